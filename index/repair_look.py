"""What a repair is decided from: a walk over rows, objects and counters. Only reads; what stays the same is looked at twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from index.check import Progress, cameras_of, check_expiry, no_progress, rows_of
from index.check_objects import SEGMENTS, paired
from index.closed import closed_table
from index.doom import Sentence, holding, objection_to_doom
from index.environment import Table
from index.erased import ErasedSegments
from index.node import Node
from index.repair import Action, Item, Lost, Orphan, Plan
from index.rows import CAMERA, Place, SegmentRow, State, Usage, key_of_pending, pending_key, segment_key
from index.writes import SegmentWriter, sum_of, usage_of
from vault.errors import Damaged, NotFound, Unreadable, UsageError
from vault.grant import system_grant
from vault.ids import CameraNumber, SegmentKey
from vault.store.interface import ObjectStat
from vault.store.segments import damage, open_segment

_EVERY = 1_000


def orphans(node: Node, now_us: int, grace_us: int, progress: Progress = no_progress) -> tuple[list[Orphan], int]:
    """Objects below `segments/` that no row knows, and how many objects there are. Raises StoreError: absence of the store
    proves nothing."""
    found: list[Orphan] = []
    objects = 0
    for row, stat in paired(rows_of(node.environment, SegmentWriter()), node.store.list(SEGMENTS)):
        objects += stat is not None
        if objects % _EVERY == 0:
            progress("objects", objects)
        if row is None and stat is not None and (orphan := _orphan(node, stat, now_us - grace_us)) is not None:
            found.append(orphan)
    return found, objects


def _orphan(node: Node, stat: ObjectStat, before_us: int) -> Orphan | None:
    try:
        key = SegmentKey.parse(stat.key)
    except UsageError:
        return Orphan(stat.key, None, stat.size_bytes, stat.modified_us)
    if node.catalog.row(key) is not None:
        return None
    unreadable = None
    if stat.modified_us <= before_us:
        # What is younger stays in any case, and need not be read.
        try:
            with open_segment(node.store, key, system_grant("repair")) as source:
                closed_table(key, source)
        except NotFound:
            return None
        except Damaged as error:
            unreadable = str(error)
        except Unreadable as error:
            unreadable = str(damage(node.store, key, error))
    return Orphan(stat.key, key, stat.size_bytes, stat.modified_us, unreadable)


def missing(node: Node, progress: Progress = no_progress) -> list[Lost]:
    """Committed rows whose bytes are not where they say. Raises StoreError."""
    found: list[Lost] = []
    erased = ErasedSegments(node.ledger)
    for seen, (row, stat) in enumerate(paired(rows_of(node.environment, SegmentWriter()), node.store.list(SEGMENTS)), 1):
        if seen % _EVERY == 0:
            progress("rows", seen)
        if row is not None and _is_lost(node, row, stat):
            now = node.catalog.row(row.key)
            again = node.store.stat(row.key.object_key)
            if now is not None and _is_lost(node, now, again):
                found.append(Lost(now, again.size_bytes if again else None, _hold(node, now), now.key in erased))
    return found


def _is_lost(node: Node, row: SegmentRow, stat: ObjectStat | None) -> bool:
    if row.state is not State.COMMITTED:
        return False
    if row.place is Place.STORE:
        return stat is None
    return not node.spool.path_of(row.key).is_file()


def _hold(node: Node, row: SegmentRow) -> str | None:
    with node.environment.read() as txn:
        hold = holding(txn, row, node.clock.now_us())
    return None if hold is None else hold.id


def usage(node: Node) -> Iterator[tuple[CameraNumber, Usage, Usage]]:
    """Each camera with what its counters say and what its rows make."""
    for camera in cameras_of(node.environment):
        with node.environment.read() as txn:
            yield camera, usage_of(txn, camera), sum_of(txn, camera)


def expiry(node: Node, counted: Iterable[tuple[CameraNumber, Usage, Usage]], progress: Progress = no_progress) -> str | None:
    """The first thing that is wrong with the counts of when segments expire. `counted`: as of `usage`, since they are compared
    with counters that may be wrong themselves."""
    uncounted = sum(
        (make.segments - make.doomed_segments) - (says.segments - says.doomed_segments) for _, says, make in counted
    )
    found = next(check_expiry(node.environment, progress, uncounted), None)
    if found is None:
        return None
    return found.message if found.camera is None else f"camera {found.camera}: {found.message}"


def lists(node: Node, progress: Progress = no_progress) -> Plan:
    """The lists of uploads and of removals against the rows, which are right: what is put right, and why."""
    items: list[Item] = []
    segments = SegmentWriter()
    for seen, row in enumerate(rows_of(node.environment, segments), 1):
        if seen % _EVERY == 0:
            progress("rows", seen)
        if row.place is Place.STORE and row.state is State.COMMITTED:
            continue
        raw_key = segment_key(row.key)
        with node.environment.read() as txn:
            sentence = txn.get(Table.DOOMED, raw_key)
            why = objection_to_doom(txn, row, Sentence.unpack(sentence).at_us) if sentence else None
            waits = txn.get(Table.PENDING, pending_key(row.key)) is not None
        if row.state is not State.COMMITTED and sentence is None:
            items.append(
                _relist(row.key.object_key, row.key.camera, "doomed by nobody that is written down: it is committed again")
            )
        elif row.state is State.DOOMED and why is not None:
            items.append(_relist(row.key.object_key, row.key.camera, f"doomed although {why}: it is committed again"))
        elif row.place is Place.SPOOL and not waits:
            items.append(_relist(row.key.object_key, row.key.camera, "in the spool, and not on the list of uploads"))
    with node.environment.read() as txn:
        for raw_key, _ in txn.scan(Table.DOOMED):
            value = txn.get(Table.SEGMENTS, raw_key)
            if value is None or segments.row(txn, raw_key, value).state is State.COMMITTED:
                items.append(
                    _relist(
                        raw_key.hex(), CameraNumber(CAMERA.unpack(raw_key[:4])[0]), "on the list of removals, and not doomed"
                    )
                )
        for raw, _ in txn.scan(Table.PENDING):
            value = txn.get(Table.SEGMENTS, raw_key := key_of_pending(raw))
            if value is None or segments.row(txn, raw_key, value).place is Place.STORE:
                items.append(
                    _relist(
                        raw_key.hex(),
                        CameraNumber(CAMERA.unpack(raw_key[:4])[0]),
                        "on the list of uploads, and not in the spool",
                    )
                )
    return Plan(tuple(items))


def _relist(name: str, camera: CameraNumber, reason: str) -> Item:
    return Item(Action.RELIST, name, camera, reason)
