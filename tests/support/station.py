"""Many simulated cameras and one recorder for tests of cameras: who is recorded how, what each file holds, what the timeline says.

The supervisor is a process of its own (`tests.support.node_main`), the simulators run here. Expectations belong to the tests.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import blake3

from index.cameras import NewCamera
from index.credentials import seal_url
from index.growing import growing_intervals
from index.node import Node, open_node
from index.timeline import View
from ingest.simulate.loop import LoopSpec
from ingest.simulate.run import Simulator, SimulatorOptions, start
from ingest.simulate.stage import SentUnit
from tests.support.node import wait_until
from tests.support.simulate import loop_cache
from tests.support.tools import need
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import NotFound
from vault.grant import system_grant
from vault.ids import SegmentKey
from vault.media import SegmentTable
from vault.segment.read import read_open
from vault.timebase import Interval

ROOT = Path(__file__).resolve().parents[2]
SMALL = LoopSpec(width=192, height=128, bitrate=150_000, fps=25, seconds=8, gop=25)
RECORDING: dict[str, Any] = {"segment_seconds": 4, "sync_seconds": 0.5, "sweep_seconds": 0.2, "workers": 1}


@dataclass(frozen=True, slots=True)
class Unit:
    """One recorded access unit or frame: ticks since its segment's start, and BLAKE3 of its NAL units (of the frame for sound)."""

    dts: int
    pts: int
    sync: bool
    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class File:
    """One segment as it lies on disk; `units`: by track."""

    key: SegmentKey
    path: Path
    table: SegmentTable
    units: Sequence[Sequence[Unit]]

    @property
    def duration_us(self) -> int:
        return self.table.info.end_us - self.key.start_us


@dataclass
class Station:
    """A data folder, its cameras by name, and the recorder's process."""

    folder: DataFolder
    log_path: Path
    numbers: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, tuple[Simulator, int]] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    last: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was said of each camera when it was last asked."""

    _simulators: list[Simulator] = field(default_factory=list)
    _files: dict[str, list[File]] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> Station:
        made = cls(DataFolder.init(folder / "data"), folder / "node.log")
        with open_node(made.folder, Config(), SystemClock(), create=True) as node:
            node.sites.ensure_default()
        return made

    def simulate(
        self, names: Sequence[str], transport: str = "tcp", spec: LoopSpec = SMALL, listed: bool = True, **options: Any
    ) -> Simulator:
        """One simulator whose cameras 1, 2, … get these names; not `listed` ones are not put into the registry."""
        given: dict[str, Any] = {"log_units": True, "cache": loop_cache()} | options
        simulator = start(SimulatorOptions(cameras=len(names), spec=spec, **given))
        self._simulators.append(simulator)
        for number, name in enumerate(names, 1):
            self.sources[name] = (simulator, number)
            if listed:
                self.add(name, simulator.url(number), transport)
        return simulator

    def add(self, name: str, url: str, transport: str = "tcp") -> None:
        """A camera of the registry; user and password may stand in the URL, and are sealed as `camera add` does."""
        given = seal_url(url, self.folder.credentials())
        with self.open() as node:
            made = node.cameras.add(NewCamera(name, given.url, given.secret, transport=transport))
        self.numbers[name] = made.number

    # The process.

    def start(
        self, *, main: str = "tests/support/node_main.py", environment: dict[str, str] | None = None, **recording: Any
    ) -> None:
        assert self.process is None
        self._files.clear()
        told = {"data": str(self.folder.path.absolute()), "markers": "", "recording": RECORDING | recording}
        whole = os.environ | {"NODE_TEST": json.dumps(told), "PYTHONPATH": str(ROOT)} | (environment or {})
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, str(ROOT / main)], env=whole, stdout=log, stderr=log, cwd=ROOT)

    def stop(self, seconds: float = 40) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=seconds)
        self.process = None
        self._files.clear()
        return code

    def close(self) -> None:
        """End what still runs of ours. The workers end by themselves when their supervisor is gone."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for simulator in self._simulators:
            simulator.stop()

    def log(self, name: str = "") -> list[str]:
        """What the recorder logged, of one camera or all."""
        lines = self.log_path.read_text().splitlines() if self.log_path.exists() else []
        return [line for line in lines if not name or f"camera={name} " in line + " "]

    def whole_status(self) -> dict[str, Any]:
        """`run/status.json`; without cameras when there is none yet."""
        try:
            whole: dict[str, Any] = json.loads((self.folder.run / "status.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {"cameras": {}, "at_us": 0}
        return whole

    def status(self, name: str) -> dict[str, Any]:
        """What it says of a camera; empty when nothing yet."""
        found: dict[str, Any] = self.whole_status()["cameras"].get(str(self.numbers[name]), {})
        return found

    def recording(self, name: str) -> bool:
        return self.status(name).get("state") == "recording"

    def wait_recording(self, *names: str, seconds: float = 60) -> None:
        wait_until(lambda: all(map(self.recording, names)), seconds, f"recording of {names}: {[*map(self.status, names)]}")

    # What is there.

    @contextmanager
    def open(self) -> Iterator[Node]:
        with open_node(self.folder, Config(), SystemClock()) as node:
            yield node

    def files(self, name: str) -> list[File]:
        """The camera's segments in store and spool, by time. Read once when the recorder has ended."""
        if self.process is None and name in self._files:
            return self._files[name]
        number, found = self.numbers[name], []
        with self.open() as node:
            stored = {SegmentKey.parse(stat.key) for stat in node.store.list("segments/")}
            for key in sorted(stored | set(node.spool.list_keys())):
                if key.camera != number:
                    continue
                inside = key in stored
                path = self.folder.path / "store" / key.object_key if inside else node.spool.path_of(key)
                try:
                    with (
                        node.store.open(key.object_key)
                        if inside
                        else node.spool.open_source(key, system_grant("test")) as source
                    ):
                        table = read_open(source, 0)
                        tracks = [list(_units(source, track)) for track in table.tracks]
                except NotFound:
                    # While it records: nothing whole is in it yet, or it went to the store since the listing.
                    if self.process is None:
                        raise
                    continue
                found.append(File(key, path, table, tracks))
        self._files[name] = found
        return found

    def units(self, name: str, track: int = 0) -> list[Unit]:
        return [unit for file in self.files(name) for unit in (file.units[track] if len(file.units) > track else ())]

    def sent(self, name: str, track: int = 0, connection: int = 0) -> list[SentUnit]:
        """What the camera sent on a track, of one connection or of all."""
        simulator, number = self.sources[name]
        units = simulator.sent(number)
        return [unit for unit in units if unit.track == track and (not connection or unit.connection == connection)]

    def view(self, name: str, until_us: int | None = None) -> View:
        """The camera's timeline from its first recording until then, or now."""
        with self.open() as node:
            number, now_us = self.numbers[name], node.clock.now_us()
            first_us = node.catalog.usage(number).first_us or 0
            growing = growing_intervals(node.environment, node.spool, number, now_us)
            return node.timeline.view(number, Interval(first_us, until_us or now_us), growing)


@contextmanager
def station(folder: Path) -> Iterator[Station]:
    """A station for the length of a `with` block."""
    made = Station.make(folder)
    try:
        yield made
    finally:
        made.close()


def decode_errors(paths: Sequence[Path]) -> str:
    """What ffmpeg complains of when it decodes every picture and sound of these files, in one process; empty when nothing."""
    command = [need("ffmpeg"), "-v", "error"]
    for path in paths:
        command += ["-i", str(path)]
    for number in range(len(paths)):
        command += ["-map", f"{number}:v?", "-map", f"{number}:a?"]
    done = subprocess.run([*command, "-f", "null", "-"], capture_output=True, text=True, timeout=120, check=False)
    return done.stderr + ("" if done.returncode == 0 else f"exit code {done.returncode}")


def _units(source: Any, track: Any) -> Iterator[Unit]:
    cts = [0] * len(track.dts) if track.cts is None else track.cts.tolist()
    rows = zip(track.dts.tolist(), cts, track.sync.tolist(), track.offset.tolist(), track.size.tolist(), strict=True)
    for dts, shift, sync, offset, size in rows:
        data = source.read(offset, size)
        digests = tuple(nal_digests(data)) if track.params.codec.is_video else (blake3.blake3(data).digest(),)
        yield Unit(dts, dts + shift, sync, digests)


def nal_digests(unit: bytes) -> Iterator[bytes]:
    """BLAKE3 of each NAL unit of a sample."""
    at = 0
    while at < len(unit):
        size = int.from_bytes(unit[at : at + 4], "big")
        yield blake3.blake3(unit[at + 4 : at + 4 + size]).digest()
        at += 4 + size
