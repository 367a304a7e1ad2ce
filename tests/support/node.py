"""A whole node for tests: simulated cameras in this process, a data folder, the supervisor as a process of its own.

What was recorded is read from the files themselves and compared with what the cameras say they sent.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blake3

from index.cameras import NewCamera
from index.check import Finding, check_overlaps, check_readable, check_removal, check_time, check_usage
from index.check_ledger import check_ledger
from index.check_objects import Level, ObjectCheck
from index.growing import growing_intervals
from index.node import Node, open_node
from index.timeline import Gap
from ingest.orphans import workers
from ingest.simulate.loop import LoopSpec
from ingest.simulate.run import Simulator, SimulatorOptions, start
from ingest.simulate.stage import SentUnit
from tests.support.simulate import loop_cache
from vault.clock import SystemClock
from vault.config import Config, Store
from vault.datafolder import DataFolder
from vault.grant import system_grant
from vault.ids import CameraNumber, SegmentKey
from vault.segment.read import read_open
from vault.timebase import US, Interval

ROOT = Path(__file__).resolve().parents[2]
SPEC = LoopSpec(width=320, height=180, bitrate=200_000, fps=25, seconds=8, gop=25)
"""Longer than any doubt about a unit's time, so that its bytes and its time tell which one it is."""

RECORDING: dict[str, Any] = {
    "segment_seconds": 3,
    "sync_seconds": 0.5,
    "sweep_seconds": 0.2,
    "fragment_seconds": 0.2,
    "workers": 1,
}
MATCH_US = 3 * US


def wait_until(condition: Callable[[], Any], seconds: float = 30, what: str | Callable[[], str] = "") -> Any:
    """Poll until the condition is true and return it; after the deadline the test fails. `what` is asked for then, not before."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            missing = what() if callable(what) else what
            raise AssertionError(f"not within {seconds} s: {missing or getattr(condition, '__doc__', '') or condition}")
        time.sleep(0.02)
    return found


@dataclass(frozen=True)
class RecordedUnit:
    """An access unit in a file: its instant, the BLAKE3 of its NAL units, its segment, and whether that is closed."""

    at_us: int
    digests: tuple[bytes, ...]
    key: SegmentKey


@dataclass
class Comparison:
    """What was sent against what is in the files. `missing`, in sending order; `strange` was never sent or comes twice."""

    missing: list[SentUnit]
    strange: list[RecordedUnit]
    found: int


class TestNode:
    """A data folder with cameras, and its supervisor, which may be started, ended and killed."""

    __test__ = False

    def __init__(
        self,
        data: Path,
        cameras: int = 1,
        *,
        log: Path | None = None,
        spec: LoopSpec = SPEC,
        store: Store | None = None,
        **options: Any,
    ) -> None:
        """`store`: where segments go; None is the local store."""
        self.folder = DataFolder.init(data)
        self.config = Config(store=store or Store())
        self.simulator: Simulator = start(
            SimulatorOptions(cameras=cameras, spec=spec, cache=loop_cache(), log_units=True, **options)
        )
        self.log_path = log or data.parent / "node.log"
        self.markers = (log or data).parent / "markers"
        self.markers.mkdir()
        self.commits = self.markers.parent / "commits"
        self.process: subprocess.Popen[bytes] | None = None
        self.numbers: list[CameraNumber] = []
        with open_node(self.folder, Config(), SystemClock(), create=True) as node:
            node.sites.ensure_default()
            for number in range(1, cameras + 1):
                made = node.cameras.add(NewCamera(f"cam-{number}", self.simulator.url(number)))
                self.numbers.append(made.number)

    # The process.

    def start(self, *, faults: Sequence[dict[str, Any]] = (), settings: dict[str, Any] | None = None, **recording: Any) -> None:
        """Start the supervisor. `faults` and `settings`: see `tests.support.node_main`."""
        assert self.process is None
        told = {
            "data": str(self.folder.path.absolute()),
            "markers": str(self.markers),
            "commits": str(self.commits),
            "faults": list(faults),
            "set": settings or {},
            "recording": RECORDING | recording,
            "store": dataclasses.asdict(self.config.store),
        }
        environment = os.environ | {"NODE_TEST": json.dumps(told), "PYTHONPATH": str(ROOT)}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "tests/support/node_main.py")], env=environment, stdout=log, stderr=log, cwd=ROOT
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def worker_pids(self) -> list[int]:
        """Of the workers that this supervisor has now."""
        found: list[int] = []
        for task in _listed(Path(f"/proc/{self.pid}/task")):
            try:
                children = Path(f"/proc/{self.pid}/task/{task}/children").read_text().split()
                found.extend(int(one) for one in children if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes())
            except OSError:
                continue
        return [pid for pid in found if alive(pid)]

    def is_up(self) -> bool:
        """Whether the supervisor has taken the data folder."""
        try:
            return (self.folder.run / "supervisor.lock").read_text().strip() == str(self.pid)
        except FileNotFoundError:
            return False

    def status(self) -> dict[str, Any]:
        """The cameras of `run/status.json` by number."""
        try:
            whole = json.loads((self.folder.run / "status.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        found: dict[str, Any] = whole["cameras"] if self.process is None or whole["pid"] == self.process.pid else {}
        return found

    def spool_files(self, number: CameraNumber | None = None) -> list[Path]:
        pattern = "c*/*.mp4" if number is None else f"c{number:010d}/*.mp4"
        return sorted(self.folder.spool.glob(pattern))

    def growing(self, epoch_above: int = 0) -> bool:
        """Whether every camera has footage in an open file of an epoch above that."""
        for number in self.numbers:
            files = [path for path in self.spool_files(number) if epoch_of(path) > epoch_above and _size(path) > 3000]
            if not files:
                return False
        return True

    def last_epoch(self) -> int:
        """The highest of any file, in spool or store."""
        return max((epoch_of(path) for path in (*self.spool_files(), *self.segment_paths())), default=0)

    def wait_recording(self, seconds: float = 30, epoch_above: int = 0) -> None:
        wait_until(lambda: self.growing(epoch_above), seconds, f"footage; the log says\n{self.log[-3000:]}")

    def stop(self, seconds: float = 40) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        # Before that it would end as any program does, without a word.
        wait_until(self.is_up, 20, "a supervisor")
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=seconds)
        self.process = None
        return code

    def kill(self) -> list[int]:
        """SIGKILL to the supervisor only; the workers it had."""
        assert self.process is not None
        had = self.worker_pids()
        self.process.kill()
        self.process.wait()
        self.process = None
        return had

    def workers_left(self) -> set[int]:
        """Of this data folder, whoever started them."""
        return {pid for pid in workers(self.folder.run) if alive(pid)}

    def close(self) -> None:
        """End whatever still runs of ours."""
        if self.process is not None:
            self.kill()
        for pid in self.workers_left():
            end(pid)
        self.simulator.stop()

    # What is there.

    @contextmanager
    def open(self) -> Iterator[Node]:
        with open_node(self.folder, self.config, SystemClock()) as node:
            yield node

    def units(self, number: CameraNumber) -> list[RecordedUnit]:
        """Every picture of the camera's files, store and spool, by segment and time."""
        found: list[RecordedUnit] = []
        with self.open() as node:
            stored = {SegmentKey.parse(stat.key) for stat in node.store.list("segments/")}
            waiting = set(node.spool.list_keys())
            for key in sorted(stored | waiting):
                if key.camera != number:
                    continue
                with (
                    node.store.open(key.object_key)
                    if key in stored
                    else node.spool.open_source(key, system_grant("test")) as source
                ):
                    if source.size < 2000:
                        continue
                    table = read_open(source, 0)
                    video = table.video
                    assert video is not None
                    rate = video.params.timescale
                    for dts, offset, size in zip(video.dts.tolist(), video.offset.tolist(), video.size.tolist(), strict=True):
                        digests = tuple(_nal_digests(source.read(offset, size)))
                        at_us = key.start_us + round(dts * (US + table.info.head.rate_ppm) / rate)
                        found.append(RecordedUnit(at_us, digests, key))
        return found

    def sent(self, number: CameraNumber) -> list[SentUnit]:
        return [unit for unit in self.simulator.sent(self.numbers.index(number) + 1) if unit.track == 0]

    def compare(self, number: CameraNumber, until_us: int | None = None) -> Comparison:
        """Each recorded unit is matched with the unit that was sent then and has its bytes."""
        sent = [unit for unit in self.sent(number) if until_us is None or unit.sent_us < until_us]
        by_bytes: dict[tuple[bytes, ...], list[SentUnit]] = defaultdict(list)
        for unit in sent:
            by_bytes[unit.digests].append(unit)
        taken: set[int] = set()
        strange: list[RecordedUnit] = []
        for unit in self.units(number):
            near = [one for one in by_bytes[unit.digests] if abs(one.sent_us - unit.at_us) < MATCH_US and id(one) not in taken]
            if near:
                taken.add(id(min(near, key=lambda one: abs(one.sent_us - unit.at_us))))
            elif until_us is None or unit.at_us < until_us:
                strange.append(unit)
        return Comparison([unit for unit in sent if id(unit) not in taken], strange, len(taken))

    def gaps(self, number: CameraNumber) -> list[Gap]:
        """From the camera's first recording to now, what is being recorded taken out."""
        with self.open() as node:
            first = node.catalog.usage(number).first_us
            assert first is not None
            now_us = node.clock.now_us()
            growing = growing_intervals(node.environment, node.spool, number, now_us)
            return node.timeline.gaps(number, Interval(first, now_us), growing)

    def findings(self, ahead_us: int = 400 * US) -> list[Finding]:
        """The invariants of a node that stands still, as if they were asked for a while later."""
        with self.open() as node:
            return findings_of(node, ahead_us)

    def acknowledged(self) -> dict[SegmentKey, bytes]:
        """Every segment whose commit returned to whoever asked for it, and its BLAKE3."""
        lines = self.commits.read_text().splitlines() if self.commits.exists() else []
        return {SegmentKey.parse(key): bytes.fromhex(digest) for key, _, digest in (line.partition(" ") for line in lines)}

    def segment_paths(self) -> list[Path]:
        """The objects of the local store."""
        return sorted((self.folder.path / "store" / "segments").rglob("*.mp4"))


def findings_of(node: Node, ahead_us: int) -> list[Finding]:
    """The invariants, as if they were asked for a while later."""
    environment = node.environment
    now_us = node.clock.now_us() + ahead_us
    found = list(check_readable(environment))
    found += ObjectCheck(environment, node.store, node.spool, Level.HASH, now_us).findings()
    found += check_overlaps(environment)
    found += check_removal(environment)
    found += check_usage(environment)
    found += check_time(environment, now_us, lambda n: growing_intervals(environment, node.spool, n, now_us))
    found += check_ledger(environment, node.ledger, node.store, now_us)
    return found


def end(pid: int) -> None:
    """SIGKILL, and fine when it is gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def alive(pid: int) -> bool:
    """Whether a process is there and not just waiting to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _nal_digests(unit: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(unit):
        size = int.from_bytes(unit[at : at + 4], "big")
        yield blake3.blake3(unit[at + 4 : at + 4 + size]).digest()
        at += 4 + size


def epoch_of(path: Path) -> int:
    return int(path.stem.split("-")[1])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
