"""The index from what is in the store and the spool alone: registry first, then each segment's own tail.

What comes back: cameras, sites, holds and numbers; every segment row with its parameters, hash, minimum and flags; usage; the gaps
that a segment names before it. What objects do not tell, and so cannot come back: a gap after which nothing was recorded and a
change of reason inside a gap, erased time (such time gets the reason `lost with the index`), dooms, and epochs raised under
which nothing was recorded.
Nothing running may use the old index or the new one meanwhile. Putting the new one in the old one's place is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from index.bond import IndexBond
from index.cameras import Camera, adopt_camera, camera_document, camera_from
from index.catalog import Catalog, RowsRefused
from index.check import cameras_of
from index.check_objects import UNKNOWN_HASH, digest_of
from index.environment import DEFAULT_MAP_BYTES, Environment
from index.expiry import complete_expiry
from index.holds import restore_holds
from index.registry import PREFIX, DocumentName, Registry, decode, parse_object_key
from index.rows import NewRow, Place
from index.sites import DEFAULT_SITE
from index.writes import note_first
from vault.clock import Clock, SystemClock
from vault.errors import Damaged, NotFound, Refused, StreamvaultError, UsageError
from vault.ids import CameraId, CameraNumber, SegmentKey, camera_id
from vault.segment.read import read_closed, tail_length
from vault.source import ByteSource
from vault.spool import Spool
from vault.store.bound import marker_of
from vault.store.interface import ObjectStore
from vault.store.local import LocalStore

LOST = "lost with the index"
"""The reason of time that neither footage nor a segment's word for the gap before it accounts for."""

_BATCH = 500
_MAX_DOCUMENT_BYTES = 64 * 1024

Progress = Callable[[str, int], None]
"""Told the step's name and how many objects it has taken in so far."""


@dataclass(slots=True)
class Rebuilt:
    """What was taken in, and what was not: object key and why."""

    cameras: int = 0
    sites: int = 0
    segments: int = 0
    size_bytes: int = 0
    from_spool: int = 0
    open_files: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


def rebuild(
    store: ObjectStore,
    spool: Spool,
    target_path: Path,
    progress: Progress = lambda step, seen: None,
    *,
    hash_bytes: bool = True,
    map_bytes: int = DEFAULT_MAP_BYTES,
    clock: Clock | None = None,
) -> Rebuilt:
    """Make a new index in the empty folder `target_path`.

    Reading everything for its BLAKE3 is what takes the time; without it (`hash_bytes=False`) a row's hash is 32 zero bytes,
    unknown, and `check --level hash` passes it by. One unreadable object is noted in `refused` and stalls nothing. Files in
    the spool that are not closed are left to recovery. Raises Refused when the folder is not empty, StoreError.
    """
    if target_path.exists() and any(target_path.iterdir()):
        raise Refused(f"rebuilding the index into {target_path}: it is not empty; name a new folder")
    clock = clock or SystemClock()
    with Environment(target_path, map_bytes, clock) as environment, closing(LocalStore(spool.root)) as waiting:
        complete_expiry(environment)
        # The new index belongs to the store it is made from.
        if (store_id := marker_of(store)) is not None:
            IndexBond(environment).bind(store_id)
        work = _Rebuild(environment, store, spool, waiting, clock, hash_bytes, progress)
        work.registry()
        work.segments()
        work.unknown_cameras()
        work.unexplained()
        return work.result


class _Rebuild:
    def __init__(
        self,
        environment: Environment,
        store: ObjectStore,
        spool: Spool,
        waiting: ObjectStore,
        clock: Clock,
        hash_bytes: bool,
        progress: Progress,
    ) -> None:
        self._env = environment
        self._store = store
        self._spool = spool
        self._waiting = waiting
        self._clock = clock
        self._registry = Registry(environment, waiting)
        self._catalog = Catalog(environment, clock)
        self._hash = hash_bytes
        self._progress = progress
        self._ids: dict[CameraNumber, tuple[str, int]] = {}
        self.result = Rebuilt()

    def registry(self) -> None:
        """The highest version of each document, wherever it is."""
        newest: dict[DocumentName, tuple[int, bytes]] = {}
        for where in (self._store, self._waiting):
            for key in [entry.key for entry in where.list(PREFIX)]:
                try:
                    name, version = parse_object_key(key)
                    if version > newest.get(name, (0, b""))[0]:
                        newest[name] = version, _document(where, key, name, version)
                except (Damaged, NotFound, UsageError) as error:
                    self.result.refused.append((key, str(error)))
        cameras: list[Camera] = []
        with self._env.write("rebuild registry") as txn:
            for name, (_, raw) in sorted(newest.items(), key=lambda item: item[0].row_key):
                self._registry.restore_row(txn, name, raw)
                if name.kind == "cameras":
                    cameras.append(camera_from(decode(raw, name.name)[2]))
                elif name.kind == "sites":
                    self.result.sites += 1
            restore_holds(txn, [decode(raw, name.name)[2] for name, (_, raw) in newest.items() if name.kind == "holds"])
            for camera in sorted(cameras, key=lambda camera: camera.number, reverse=True):
                adopt_camera(txn, camera)
                if camera.first_record_us is not None:
                    note_first(txn, camera.number, camera.first_record_us)
        self.result.cameras = len(cameras)
        self._progress("registry", len(newest))

    def segments(self) -> None:
        """Objects in order of time, then closed files of the spool that the store has not."""
        self._take(self._stored(), Place.STORE)
        before = self.result.segments
        self._take(self._spooled(), Place.SPOOL)
        self.result.from_spool = self.result.segments - before

    def unknown_cameras(self) -> None:
        """A document for each camera that only its footage remembers, so that its number is not given again. It does not
        record: where it was and how to reach it is lost."""
        with self._env.read() as txn:
            lost = [number for number in self._ids if self._registry.fields(txn, camera_document(number)) is None]
        for number in sorted(lost):
            name, first_us = self._ids[number]
            camera = Camera(
                number, _usable_id(name, number), "rtsp://unknown.invalid/", None, DEFAULT_SITE, "known by its footage only",
                "auto", False, first_us, self._clock.now_us(), first_us,
            )  # fmt: skip
            with self._env.write("rebuild camera") as txn:
                self._registry.write(txn, camera_document(number), asdict(camera), self._clock.now_us())
                adopt_camera(txn, camera)
            self.result.cameras += 1

    def unexplained(self) -> None:
        """Time that no object accounts for gets a gap row that says so (I6); it lasts until footage ends it."""
        for camera in cameras_of(self._env):
            first_us = self._catalog.usage(camera).first_us
            if first_us is not None:
                self._catalog.open_gap(camera, first_us, LOST)

    def _take(self, rows: Iterator[NewRow], place: Place) -> None:
        batch: list[NewRow] = []
        for row in rows:
            batch.append(row)
            if len(batch) == _BATCH:
                self._commit(batch, place)
                batch = []
        self._commit(batch, place)

    def _commit(self, batch: list[NewRow], place: Place) -> None:
        refused = 0
        try:
            self._catalog.commit(batch, adopt=True, place=place)
        except RowsRefused as error:
            self.result.refused.extend((key.object_key, why) for key, why in error.reasons)
            refused = len(error.reasons)
        self.result.segments += len(batch) - refused
        self.result.size_bytes += sum(row.size_bytes for row in batch)
        self._progress("segments", self.result.segments)

    def _stored(self) -> Iterator[NewRow]:
        for entry in self._store.list("segments/"):
            try:
                key = SegmentKey.parse(entry.key)
                with self._store.open(entry.key) as source:
                    yield self._row(key, source)
            except (Damaged, NotFound, UsageError) as error:
                self.result.refused.append((entry.key, str(error)))

    def _spooled(self) -> Iterator[NewRow]:
        for key in self._spool.list_keys():
            if self._catalog.row(key) is not None:
                continue
            try:
                with self._spool.open_source(key) as source:
                    yield self._row(key, source)
            except StreamvaultError:
                self.result.open_files += 1

    def _row(self, key: SegmentKey, source: ByteSource) -> NewRow:
        table = read_closed(source)
        info = table.info
        if info.head.key != key:
            raise Damaged(f"it says of itself that it is {info.head.key.object_key}")
        self._ids.setdefault(key.camera, (info.head.camera_id, key.start_us))
        return NewRow(
            key,
            info.end_us,
            table.file_size,
            digest_of(source) if self._hash else UNKNOWN_HASH,
            tail_length(source),
            tuple(track.params for track in table.tracks),
            info.site_class,
            info.min_until_us,
            info.flags,
            info.head.gap_before,
        )


def _document(store: ObjectStore, key: str, name: DocumentName, version: int) -> bytes:
    with store.open(key) as source:
        if source.size > _MAX_DOCUMENT_BYTES:
            raise Damaged(f"{key}: {source.size} bytes are too many for a registry document")
        raw = source.read(0, source.size)
    found, said, fields = decode(raw, key)
    if (found, said) != (name, version):
        raise Damaged(f"{key}: it says of itself that it is {found.object_key(said)}")
    if name.kind == "cameras" and camera_document(camera_from(fields).number) != name:
        raise Damaged(f"{key}: it is the document of another camera")
    return raw


def _usable_id(text: str, number: CameraNumber) -> CameraId:
    """What the footage calls its camera, or a name made of its number where that is no id."""
    try:
        return camera_id(text)
    except UsageError:
        return camera_id(f"camera-{number}")
