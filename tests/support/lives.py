"""A vault with a past: gaps of every kind, two epochs, a backfill, a late upload, erased time, and manifests of several generations.

Whatever is built anew from it can be compared with its index table by table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from index.environment import Environment, Table
from index.manifests import Manifests
from index.stale import HOUR
from tests.support.index_vault import Vault, closed_segment, row_of
from tests.support.indexing import DAY_US, T0
from vault.ids import CameraNumber, SegmentKey
from vault.manifest import HOUR_US, ManifestKey
from vault.media import GapBefore
from vault.source import OpenSource
from vault.store.interface import Failures, NewObject, ObjectStat, ObjectStore
from vault.timebase import US, Interval

ONE, TWO = CameraNumber(1), CameraNumber(2)
FOOTAGE = (
    Table.SEGMENTS,
    Table.PENDING,
    Table.GAPS,
    Table.EXPIRED,
    Table.USAGE,
    Table.EPOCHS,
    Table.PARAMS,
    Table.CLASSES,
    Table.REGISTRY,
    Table.NAMES,
    Table.HOLDS,
    Table.EXPIRYHOURS,
    Table.EXPIRYSUMS,
)
"""All that a lost index must have back; which manifests are written and which wait is apart from it."""

WHOLE = (*FOOTAGE, Table.MANIFESTS, Table.STALE)


def tables(environment: Environment, which: Sequence[Table] = WHOLE) -> dict[str, dict[bytes, bytes]]:
    """Every row of these tables."""
    with environment.read() as txn:
        return {table.name: dict(txn.scan(table)) for table in which}


def write_manifests(vault: Vault, store: ObjectStore | None = None) -> None:
    """All that is due by the vault's clock, and changed gaps besides."""
    Manifests(vault.environment, store or vault.store, vault.clock).write_all()


def erase(vault: Vault, keys: Iterable[SegmentKey], store: ObjectStore | None = None) -> None:
    """Past their minimum, gone from store and index."""
    keys = list(keys)
    assert not vault.catalog.doom(keys, at_us=T0 + 40 * DAY_US, reason="past its minimum").refused
    assert not vault.catalog.mark_deleting(keys, "batch-1").refused
    assert (store or vault.store).delete([key.object_key for key in keys]) == []
    assert not vault.catalog.erase(keys).refused


def live(vault: Vault, between: Callable[[], None] = lambda: None) -> None:
    """Two cameras through seven hours; `between` is called wherever manifests may be written."""
    catalog = vault.catalog
    vault.sites.ensure_default()
    vault.add_camera("cam-1", ONE)
    vault.add_camera("cam-2", TWO)
    vault.cameras.begin_recording(ONE, T0 - 5 * US)
    first, other = catalog.raise_epochs([ONE, TWO]).values()
    catalog.open_gap(ONE, T0 - 5 * US, "connecting")
    early = [vault.settled(ONE, T0 + at * US, first) for at in range(6)]
    vault.settled(TWO, T0 + 3_599 * US, other, 3 * US)
    catalog.open_gap(ONE, T0 + 6 * US, "camera silent")
    between()
    vault.clock.advance(T0 + 2 * HOUR_US - vault.clock.now_us())
    between()
    # A new epoch ends the gap; the segment says why nothing was before it.
    second = catalog.raise_epoch(ONE)
    vault.settled(ONE, T0 + HOUR_US, second, gap_before=GapBefore(T0 + 6 * US, "camera silent"))
    catalog.open_gap(ONE, T0 + HOUR_US + US, "switched off")
    between()
    vault.settled(ONE, T0 + 4 * HOUR_US, second)
    # A backfill under the epoch that is over splits the gap of hours; another one shows what the camera never had.
    adopted(vault, SegmentKey(ONE, T0 + 3 * HOUR_US, first, 7))
    catalog.open_gap(ONE, T0 + 4 * HOUR_US + US, "camera silent")
    catalog.open_gap(ONE, T0 + 4 * HOUR_US + 9 * US, "switched off")
    vault.clock.advance(T0 + 6 * HOUR_US - vault.clock.now_us())
    between()
    # Late, into an hour that was written long ago.
    adopted(vault, SegmentKey(ONE, T0 + 1_800 * US, first, 9))
    between()
    erase(vault, early[1:4])
    between()
    erase(vault, early[:1])
    catalog.open_gap(TWO, T0 + 3_602 * US, "unreachable")
    vault.holds.place(
        by="officer", case="case-7", why="evidence", cameras=[ONE], interval=Interval(T0 + 4 * HOUR_US, T0 + 5 * HOUR_US)
    )
    vault.cameras.remove("cam-2")
    vault.upload_registry()
    between()


def adopted(vault: Vault, key: SegmentKey) -> None:
    """Footage of an earlier epoch, found later, and then put into the store."""
    data = closed_segment(key)
    path = vault.spool.path_of(key)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    vault.catalog.commit([row_of(data)], adopt=True)
    vault.store.put_file(key.object_key, path)
    vault.catalog.settle([key])
    vault.spool.remove(key)


def stale_hours(environment: Environment) -> list[tuple[int, int]]:
    """Camera and hour (counted from T0) of each mark."""
    with environment.read() as txn:
        marks = [HOUR.unpack(raw) for raw, _ in txn.scan(Table.STALE)]
    return [(camera, (hour_us - T0) // HOUR_US) for hour_us, camera in marks]


def manifests(store: ObjectStore) -> list[ManifestKey]:
    """Those in the store."""
    return [ManifestKey.parse(item.key) for item in store.list("manifests/")]


class Watched:
    """A store that notes which objects were opened and, when told to, calls somebody before and after each change."""

    def __init__(self, store: ObjectStore, step: Callable[[str], None] = lambda name: None) -> None:
        self.opened: list[str] = []
        self._store = store
        self._step = step

    def put_file(self, key: str, path: Path, *, digest: bytes | None = None) -> None:
        self._store.put_file(key, path, digest=digest)

    def put_files(self, files: Sequence[NewObject]) -> Failures:
        return self._store.put_files(files)

    def put_bytes(self, key: str, data: bytes) -> None:
        self._step("before a put")
        self._store.put_bytes(key, data)
        self._step("after a put")

    def open(self, key: str) -> OpenSource:
        self.opened.append(key)
        return self._store.open(key)

    def stat(self, key: str) -> ObjectStat | None:
        return self._store.stat(key)

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        return self._store.list(prefix)

    def delete(self, keys: Iterable[str]) -> Failures:
        self._step("before a deletion")
        failures = self._store.delete(keys)
        self._step("after a deletion")
        return failures

    def close(self) -> None:
        self._store.close()
