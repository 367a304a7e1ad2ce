"""The index from what is in the store and the spool alone: registry and holds, then manifests, then whatever no manifest names.

Everything that the lost index had in store and spool comes back: documents and numbers, rows with their hashes, minimums and flags,
gaps with their reasons, erased time, sums and epochs. What is not told anywhere is said to be so: time without footage or reason
gets `lost with the index`, which is what changed in the minutes before the loss and nothing else. Dooms do not come back: retention
decides anew. Until all is here nothing may be doomed (`index.restoring`).
Cut short at any moment, the same call goes on where it stood. Nothing running may use the old index or the new one meanwhile. Putting
the new one in the old one's place is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from index.bond import IndexBond
from index.cameras import Camera, camera_document
from index.catalog import Catalog
from index.check import cameras_of
from index.environment import DEFAULT_MAP_BYTES, Environment, Table
from index.expiry import complete_expiry
from index.gaps import explain
from index.ledger_anchor import restore_anchor, stored_anchors
from index.rebuild_manifests import ManifestStep
from index.rebuild_registry import RegistryStep, adopt_camera, may_forbid
from index.rebuild_scan import ScanStep
from index.registry import Registry
from index.restoring import Progress, end_progress, progress_of, put_progress
from index.rows import END, KEY, MOMENT, Place, SegmentRow
from index.sites import DEFAULT_SITE
from index.timeline import UNKNOWN, Timeline
from index.writes import SegmentWriter
from vault.clock import Clock, SystemClock
from vault.errors import Refused, StreamvaultError, UsageError
from vault.grant import system_grant
from vault.ids import CameraId, CameraNumber, SegmentKey, camera_id
from vault.media import GapBefore
from vault.segment.read import read_closed
from vault.spool import Spool
from vault.store.bound import marker_of
from vault.store.interface import ObjectStore
from vault.store.local import LocalStore
from vault.store.segments import open_segment
from vault.timebase import MAX_US, Interval

LOST: Final = "lost with the index"
"""The reason of time that nothing in store and spool accounts for."""

Tell = Callable[[str, int], None]
"""Told the step's name and how many documents, segments or objects it has been through so far."""


@dataclass(slots=True)
class Rebuilt:
    """What the index holds now, and what is wrong: `refused` could not be taken in (object key and why), `absent` are objects
    that a manifest names and that are gone without a list of deletions that says so; their rows stay, and `check` finds them."""

    cameras: int = 0
    sites: int = 0
    segments: int = 0
    size_bytes: int = 0
    from_spool: int = 0
    open_files: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def rebuild(
    store: ObjectStore,
    spool: Spool,
    target_path: Path,
    tell: Tell = lambda step, seen: None,
    *,
    hash_bytes: bool = True,
    map_bytes: int = DEFAULT_MAP_BYTES,
    clock: Clock | None = None,
    origin: str = "",
    erased: Container[SegmentKey] = frozenset(),
) -> Rebuilt:
    """Make a new index in the folder `target_path`, or go on with one that was cut short there.

    `origin` tells the state of whatever may change store and spool; what was begun in another one is not gone on with. `erased`:
    segments that lists of deletions name. An object that no manifest names is read for its BLAKE3; with `hash_bytes=False` its
    hash is 32 zero bytes, unknown, and `check --level hash` passes it by. One unreadable object is noted and stalls nothing.
    Raises Refused when the folder holds anything else, StoreError.
    """
    if target_path.exists() and any(target_path.iterdir()) and not (target_path / "data.mdb").exists():
        raise Refused(f"rebuilding the index into {target_path}: it is not empty; name a new folder")
    clock = clock or SystemClock()
    with Environment(target_path, map_bytes, clock) as environment, closing(LocalStore(spool.root)) as waiting:
        store_id = marker_of(store)
        progress = _begin(environment, f"{store_id} {origin}")
        complete_expiry(environment)
        # The new index belongs to the store it is made from.
        if store_id is not None:
            IndexBond(environment).bind(store_id)
        restore_anchor(environment, stored_anchors(store))
        registry = Registry(environment, waiting)
        scan = ScanStep(
            environment, store, progress, lambda seen: tell("objects", seen), hash_bytes=hash_bytes, erased=erased
        )  # fmt: skip
        if progress.step == "registry":
            tell("registry", RegistryStep(environment, registry, (store, waiting), progress).run("manifests"))
        if progress.step == "manifests":
            ManifestStep(environment, store, progress, lambda seen: tell("manifests", seen)).run("objects")
        if progress.step == "objects":
            scan.objects("spool")
        if progress.step == "spool":
            scan.spool(spool, "rest")
        _name_cameras(environment, registry, store, spool, clock)
        _explain(environment)
        result = _result(environment, registry, progress, scan)
        with environment.write("rebuilt", frees=True) as txn:
            end_progress(txn, sum(may_forbid(key) for key, _ in result.refused))
        return result


def can_go_on(target_path: Path, store: ObjectStore, origin: str, map_bytes: int) -> bool:
    """Whether `rebuild` with these would go on with what is in the folder, or find it empty."""
    if not target_path.exists() or not any(target_path.iterdir()):
        return True
    try:
        with Environment(target_path, map_bytes, create=False) as environment:
            _begin(environment, f"{marker_of(store)} {origin}")
    except StreamvaultError:
        return False
    return True


def _begin(environment: Environment, origin: str) -> Progress:
    with environment.write("begin rebuild") as txn:
        progress = progress_of(txn)
        if progress is None:
            if any(txn.entries(table) for table in Table):
                raise Refused(f"rebuilding the index into {environment.path}: it is not empty; name a new folder")
            progress = Progress(origin, "registry")
            put_progress(txn, progress)
    if progress.origin != origin:
        raise Refused(f"{environment.path}: a rebuild was begun there from another state; remove it, or name a new folder")
    return progress


def _name_cameras(environment: Environment, registry: Registry, store: ObjectStore, spool: Spool, clock: Clock) -> None:
    """A document for each camera that only its footage remembers, so that its number is not given again. It does not
    record: where it was and how to reach it is lost."""
    segments = SegmentWriter()
    for number in cameras_of(environment):
        with environment.read() as txn:
            if registry.fields(txn, camera_document(number)) is not None:
                continue
            item = next(txn.scan(Table.SEGMENTS, KEY.pack(number, 0, 0), KEY.pack(number + 1, 0, 0)), None)
            row = None if item is None else segments.row(txn, *item)
        now_us = clock.now_us()
        first_us = now_us if row is None else row.key.start_us
        camera = Camera(
            number, _id_of(number, row, store, spool), "rtsp://unknown.invalid/", None, DEFAULT_SITE, "known by its footage only",
            "auto", False, first_us, now_us, first_us,
        )  # fmt: skip
        with environment.write("rebuild camera") as txn:
            registry.write(txn, camera_document(number), asdict(camera), now_us)
            adopt_camera(txn, camera)


def _id_of(number: CameraNumber, row: SegmentRow | None, store: ObjectStore, spool: Spool) -> CameraId:
    """What the footage calls its camera, or a name made of its number where it cannot be asked or that is no id."""
    try:
        if row is None:
            raise UsageError("nothing to ask")
        grant, stored = system_grant("rebuild"), row.place is Place.STORE
        with open_segment(store, row.key, grant) if stored else spool.open_source(row.key, grant) as source:
            return camera_id(read_closed(source).info.head.camera_id)
    except StreamvaultError:
        return camera_id(f"camera-{number}")


def _explain(environment: Environment) -> None:
    """Time that nothing accounts for gets a gap row that says so (I6); behind all that is known it lasts until footage ends it."""
    catalog, timeline, segments = Catalog(environment), Timeline(environment), SegmentWriter()
    for camera in cameras_of(environment):
        first_us, lasting = catalog.usage(camera).first_us, catalog.lasting_gap(camera)
        if first_us is None:
            continue
        until_us = lasting.start_us if lasting else _known_until_us(environment, timeline, camera, first_us)
        gaps = timeline.gaps(camera, Interval(first_us, until_us)) if until_us > first_us else []
        unknown = [gap for gap in gaps if gap.reason == UNKNOWN]
        if unknown:
            with environment.write("explain time") as txn:
                for gap in unknown:
                    explain(txn, segments, camera, GapBefore(gap.start_us, LOST), gap.end_us)
        if lasting is None:
            catalog.open_gap(camera, until_us, LOST)


def _known_until_us(environment: Environment, timeline: Timeline, camera: CameraNumber, first_us: int) -> int:
    """Where the last of a camera's footage, gaps and erased time ends; none of its gaps lasts."""
    ends = [first_us, timeline.last_end_us(camera) or first_us]
    with environment.read() as txn:
        for table in (Table.GAPS, Table.EXPIRED):
            last = txn.last_before(table, MOMENT.pack(camera, MAX_US))
            if last is not None and MOMENT.unpack(last[0])[0] == camera:
                ends.append(END.unpack_from(last[1])[0])
    return max(ends)


def _result(environment: Environment, registry: Registry, progress: Progress, scan: ScanStep) -> Rebuilt:
    with environment.read() as txn:
        cameras = sum(1 for _ in registry.all_fields(txn, "cameras"))
        sites = sum(1 for _ in registry.all_fields(txn, "sites"))
    usages = [Catalog(environment).usage(camera) for camera in cameras_of(environment)]
    return Rebuilt(
        cameras,
        sites,
        sum(usage.segments for usage in usages),
        sum(usage.size_bytes for usage in usages),
        sum(usage.spool_segments for usage in usages),
        scan.open_files,
        list(dict.fromkeys(progress.refused)),
        list(dict.fromkeys(progress.absent)),
    )
