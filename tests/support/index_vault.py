"""A small vault: index, spool, store and registry together, with real closed segments of a second or so of G.711 each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from index.cameras import Cameras, NewCamera
from index.catalog import Catalog
from index.environment import Environment
from index.holds import Holds
from index.registry import Registry
from index.rows import NewRow
from index.sites import Sites
from tests.support.indexing import CAMERA, DAY_US
from vault.clock import ManualClock
from vault.digest import bytes_digest
from vault.ids import CameraNumber, SegmentKey
from vault.media import Codec, GapBefore, SegmentFlag, SegmentHead, SegmentInfo, TrackParams
from vault.segment.build import SegmentBuilder, TrackRun
from vault.segment.read import read_closed, tail_length
from vault.source import BytesSource
from vault.spool import Spool
from vault.store.interface import ObjectStore
from vault.store.local import LocalStore
from vault.timebase import US

ALAW = TrackParams(Codec.ALAW, 8_000, channels=1)
MAP_BYTES = 64 * 1024 * 1024
_FRAME = 160


def closed_segment(key: SegmentKey, duration_us: int = US, gap_before: GapBefore | None = None, name: str = "cam-1") -> bytes:
    """The bytes of a closed segment of silence."""
    head = SegmentHead(key, name, 0.0, gap_before, SegmentFlag.NONE)
    count = duration_us * 8_000 // US // _FRAME
    builder = SegmentBuilder(head, [ALAW])
    data = builder.opening()
    payload = bytes([0xD5]) * (_FRAME * count)
    data += builder.fragment([TrackRun(0, [at * _FRAME for at in range(count)], None, [_FRAME] * count, None)]) + payload
    end_us = key.start_us + duration_us
    info = SegmentInfo(head, end_us, end_us, "general", end_us + 30 * DAY_US, SegmentFlag.NONE)
    data += builder.closing(info, [count * _FRAME])
    offset, header = builder.mdat_header()
    return data[:offset] + header + data[offset + len(header) :]


def row_of(data: bytes) -> NewRow:
    """The row that commits these bytes."""
    source = BytesSource(data)
    table = read_closed(source)
    info = table.info
    return NewRow(
        info.head.key,
        info.end_us,
        len(data),
        bytes_digest(data),
        tail_length(source),
        tuple(track.params for track in table.tracks),
        info.site_class,
        info.min_until_us,
        info.flags,
        info.head.gap_before,
    )


@dataclass
class Vault:
    """Everything open. `clock` stands until it is moved."""

    folder: Path
    clock: ManualClock
    environment: Environment
    spool: Spool
    store: ObjectStore
    registry: Registry

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.environment, self.clock)

    @property
    def cameras(self) -> Cameras:
        return Cameras(self.registry, self.clock)

    @property
    def sites(self) -> Sites:
        return Sites(self.registry, self.clock)

    @property
    def holds(self) -> Holds:
        return Holds(self.registry, self.clock)

    def add_camera(self, id_: str = "cam-1", number: int = CAMERA) -> None:
        """A camera whose number is the tests' own."""
        camera = self.cameras.add(NewCamera(id_, "rtsp://192.0.2.1/stream"))
        assert camera.number == number

    def spooled(
        self, camera: CameraNumber, start_us: int, epoch: int, duration_us: int = US, gap_before: GapBefore | None = None
    ) -> SegmentKey:
        """A closed segment in the spool, committed."""
        key = SegmentKey(camera, start_us, epoch, 0)
        data = closed_segment(key, duration_us, gap_before)
        path = self.spool.path_of(key)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        self.catalog.commit([row_of(data)])
        return key

    def settled(
        self, camera: CameraNumber, start_us: int, epoch: int, duration_us: int = US, gap_before: GapBefore | None = None
    ) -> SegmentKey:
        """A segment that is in the store."""
        key = self.spooled(camera, start_us, epoch, duration_us, gap_before)
        self.store.put_file(key.object_key, self.spool.path_of(key))
        self.catalog.settle([key])
        self.spool.remove(key)
        return key

    def upload_registry(self) -> None:
        for key in self.registry.pending():
            self.store.put_bytes(key, self.registry.read(key))
            self.registry.drop([key])


@contextmanager
def open_vault(folder: Path, now_us: int) -> Iterator[Vault]:
    """Made where it is not there yet."""
    for name in ("spool", "store"):
        (folder / name).mkdir(exist_ok=True)
    clock = ManualClock(now_us)
    with ExitStack() as stack:
        environment = stack.enter_context(Environment(folder / "index", MAP_BYTES, clock))
        spool = stack.enter_context(Spool(folder / "spool"))
        store, waiting = LocalStore(folder / "store"), LocalStore(folder / "spool")
        stack.callback(store.close)
        stack.callback(waiting.close)
        yield Vault(folder, clock, environment, spool, store, Registry(environment, waiting))
