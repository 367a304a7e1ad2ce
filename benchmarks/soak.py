"""Many cameras for minutes: is a frame lost, does a gap open, does memory grow? `make soak`, or with options:

    python benchmarks/soak.py [--cameras 200] [--few 50] [--minutes 10] [--bitrate 4M] [--sweep 1.0] [--folder DIR]

Simulated cameras and `streamvault serve` run as processes of their own on this machine. First one camera is recorded alone, then
a few, then all, so that a camera's share of the memory and of the processor shows with few and with many. Each stored segment is
read back as it appears, its frames are counted, and it is removed, so that no disk is filled. Ends with exit code 1 when a frame
is missing, a gap row was opened, memory is not flat, or a camera among many costs more than a camera among few may.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.processes import cost, tree
from index.camera_import import import_cameras
from index.cameras import NewCamera
from index.node import Node, open_node
from index.timeline import Timeline
from ingest.reasons import Reason
from vault.clock import SystemClock
from vault.config import load
from vault.datafolder import DataFolder
from vault.ids import SegmentKey
from vault.segment.read import read_closed
from vault.source import FileSource
from vault.timebase import US, Interval

FRAME_TICKS = 90_000 // 25
ALONE_SECONDS = 75
SETTLE_SECONDS = 75
FEW_SECONDS = 120
"""A few cameras are recorded so long before their processor time counts, and so long while it does."""
SAMPLE_SECONDS = 5
MAX_CAMERA_BYTES = 1_000_000
MAX_CPU_RATIO = 1.3
"""A camera's processor time among all, over what it is among a few."""

MAX_GROWTH = 0.03
"""Of memory, from the end of the third minute to the end: buffers of the first segments are there by then."""


@dataclass
class Seen:
    """What the segments of one camera have shown so far."""

    segments: int = 0
    frames: int = 0
    missing: int = 0
    holes: int = 0
    end_us: int = 0
    damaged: int = 0


@dataclass
class Tally:
    """All cameras."""

    cameras: dict[int, Seen] = field(default_factory=lambda: defaultdict(Seen))
    size_bytes: int = 0

    def take_in(self, store: Path) -> None:
        """Read every object that is there, in order, and remove it."""
        for path in sorted((store / "segments").rglob("*.mp4")):
            key = SegmentKey.parse(path.relative_to(store).as_posix())
            with FileSource(path) as source:
                table = read_closed(source)
                self.size_bytes += source.size
            seen = self.cameras[key.camera]
            video = table.video
            assert video is not None
            dts = np.append(video.dts, video.end_dts)
            seen.segments += 1
            seen.frames += len(video.dts)
            seen.missing += int((np.rint(np.diff(dts) / FRAME_TICKS) - 1).clip(min=0).sum())
            seen.holes += bool(seen.end_us and abs(key.start_us - seen.end_us) > 1000)
            seen.damaged += bool(table.info.flags)
            seen.end_us = table.info.end_us
            path.unlink()


@dataclass(frozen=True)
class Shares:
    """Processor time of a camera, % of a core: recorded among `few`, among all, and played by the simulator."""

    few: int
    among_few: float
    among_all: float
    simulated: float


class Spent:
    """What a tree of processes takes of a core while the `with` lasts: `percent`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.percent = 0.0

    def __enter__(self) -> Spent:
        self._before, self._began = cost([self._pid]), time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        elapsed = time.monotonic() - self._began
        self.percent = 100 * cost([self._pid]).since(self._before).cpu_s / elapsed


def memory_bytes(pid: int) -> int:
    """Proportional set size of a process and its children: shared pages count once."""
    total = 0
    for one in tree(pid):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A streamvault process, stopped at the end of the `with`."""
    with subprocess.Popen([sys.executable, "-m", "streamvault", *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def watch(pid: int, seconds: float, tally: Tally, store: Path) -> list[int]:
    """Take in what is stored for so long; memory at each sample."""
    samples: list[int] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(SAMPLE_SECONDS, max(0.1, end - time.monotonic())))
        tally.take_in(store)
        samples.append(memory_bytes(pid))
    return samples


def run(options: argparse.Namespace, path: Path) -> int:
    folder = DataFolder.init(path)
    folder.config_file.write_text(f"[recording]\nsweep_seconds = {options.sweep}\n")
    config = load(folder.config_file)
    clock, tally, store = SystemClock(), Tally(), folder.store(config)
    with command(
        "simulate", "rtsp", "--cameras", str(options.cameras), "--bitrate", options.bitrate, "--port", "0"
    ) as simulator:
        assert simulator.stdout is not None
        base = simulator.stdout.readline().strip().rpartition("/")[0]
        new = [NewCamera(f"cam-{number}", f"{base}/{number}", transport="tcp") for number in range(1, options.cameras + 1)]
        with open_node(folder, config, clock, create=True) as node:
            node.sites.ensure_default()
            node.cameras.add(new[0])
        with command("--data", str(path), "serve", "--log-level", "warning") as recorder:
            alone = watch(recorder.pid, ALONE_SECONDS, tally, store)[-1]
            few = min(options.few, options.cameras)
            with open_node(folder, config, clock) as node:
                import_cameras(node.cameras, new[1:few])
            watch(recorder.pid, SETTLE_SECONDS, tally, store)
            with Spent(recorder.pid) as among_few:
                watch(recorder.pid, FEW_SECONDS, tally, store)
            with open_node(folder, config, clock) as node:
                import_cameras(node.cameras, new[few:])
            warm = watch(recorder.pid, min(180, options.minutes * 30), tally, store)
            with Spent(recorder.pid) as among_all, Spent(simulator.pid) as simulated:
                late = watch(recorder.pid, options.minutes * 60 - len(warm) * SAMPLE_SECONDS, tally, store)
        tally.take_in(store)
        with open_node(folder, config, clock) as node:
            gaps = unwanted_gaps(node)
    shares = Shares(few, among_few.percent / few, among_all.percent / options.cameras, simulated.percent / options.cameras)
    return report(options.cameras, tally, gaps, alone, late, shares)


def unwanted_gaps(node: Node) -> list[str]:
    """Gaps but for those of the start and the end of a run."""
    found: list[str] = []
    for camera in node.cameras.list():
        now_us = node.clock.now_us()
        found += [
            f"{camera.id}: {gap.reason}, {(gap.end_us - gap.start_us) / US:.3f} s"
            for gap in Timeline(node.environment).gaps(camera.number, Interval(now_us - 86_400 * US, now_us))
            if gap.reason not in (Reason.CONNECTING, Reason.STOPPED)
        ]
    return found


def report(cameras: int, tally: Tally, gaps: list[str], alone: int, late: list[int], shares: Shares) -> int:
    seen = tally.cameras.values()
    missing, holes, damaged = (sum(getattr(one, name) for one in seen) for name in ("missing", "holes", "damaged"))
    quarter = max(1, len(late) // 4)
    first, last = sum(late[:quarter]) / quarter, sum(late[-quarter:]) / quarter
    each = (last - alone) / max(1, cameras - 1)
    growth = last / first - 1
    ratio = shares.among_all / shares.among_few
    faults = [
        (len(tally.cameras) != cameras, f"{cameras - len(tally.cameras)} cameras without a segment"),
        (missing, f"{missing} frames missing"),
        (holes, f"{holes} holes between segments"),
        (damaged, f"{damaged} segments flagged"),
        (gaps, f"{len(gaps)} gaps: {'; '.join(gaps[:5])}"),
        (each > MAX_CAMERA_BYTES, f"more than {MAX_CAMERA_BYTES / 1e6:g} MB of memory a camera"),
        (growth > MAX_GROWTH, f"memory grew by {growth:.1%}"),
        (ratio > MAX_CPU_RATIO, f"a camera among {cameras} costs {ratio:.2f} times one among {shares.few}"),
    ]
    print(f"cameras               {cameras}")
    print(f"segments, frames      {sum(one.segments for one in seen):,}, {sum(one.frames for one in seen):,}")
    print(f"read back             {tally.size_bytes / 1e9:.1f} GB")
    print(f"frames missing        {missing}")
    print(f"gaps, holes           {len(gaps)}, {holes}")
    print(f"CPU of a camera       {shares.among_all:.4f} % of a core (simulator {shares.simulated:.4f} %)")
    print(f"among {shares.few:<5} cameras   {shares.among_few:.4f} % of a core; {ratio:.2f} times that among {cameras}")
    print(f"memory, one camera    {alone / 1e6:.1f} MB")
    print(f"memory, all           {first / 1e6:.1f} MB at first, {last / 1e6:.1f} MB at the end ({growth:+.1%})")
    print(f"memory a camera more  {each / 1e6:.3f} MB")
    for is_fault, text in faults:
        if is_fault:
            print(f"NOT GOOD: {text}")
    return int(any(is_fault for is_fault, _ in faults))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=200)
    parser.add_argument("--few", type=int, default=50, help="cameras recorded first, to compare a camera's cost with")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--bitrate", default="4M")
    parser.add_argument("--sweep", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, help="where the data folder is made; a temporary one otherwise")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamvault-soak-", dir=options.folder) as folder:
        return run(options, Path(folder) / "vault")


if __name__ == "__main__":
    sys.exit(main())
