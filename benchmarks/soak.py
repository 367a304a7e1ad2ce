"""Many cameras for minutes: is a frame lost, does a gap open, does memory grow? `make soak`, or with options:

    python benchmarks/soak.py [--cameras 200] [--minutes 10] [--bitrate 4M] [--sweep 1.0] [--folder DIR]

Simulated cameras and `streamvault serve` run as processes of their own on this machine. First one camera is recorded alone, then
all, so that a camera's share of the memory shows. Each stored segment is read back as it appears, its frames are counted, and it
is removed, so that no disk is filled. Ends with exit code 1 when a frame is missing, a gap row was opened, or memory is not flat.
"""

from __future__ import annotations

import argparse
import os
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
SAMPLE_SECONDS = 5
MAX_CAMERA_BYTES = 1_000_000
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


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def memory_bytes(pid: int) -> int:
    """Proportional set size of a process and its children: shared pages count once."""
    total = 0
    for one in tree(pid):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its living children."""
    ticks = 0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


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
            with open_node(folder, config, clock) as node:
                node.cameras.import_rows(new[1:])
            warm = watch(recorder.pid, min(180, options.minutes * 30), tally, store)
            cpu, simulator_cpu, began = cpu_seconds(recorder.pid), cpu_seconds(simulator.pid), time.monotonic()
            late = watch(recorder.pid, options.minutes * 60 - len(warm) * SAMPLE_SECONDS, tally, store)
            elapsed = time.monotonic() - began
            cpu, simulator_cpu = cpu_seconds(recorder.pid) - cpu, cpu_seconds(simulator.pid) - simulator_cpu
        tally.take_in(store)
        with open_node(folder, config, clock) as node:
            gaps = unwanted_gaps(node)
    return report(options.cameras, tally, gaps, alone, late, 100 * cpu / elapsed, 100 * simulator_cpu / elapsed)


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


def report(cameras: int, tally: Tally, gaps: list[str], alone: int, late: list[int], cpu: float, simulator_cpu: float) -> int:
    seen = tally.cameras.values()
    missing, holes, damaged = (sum(getattr(one, name) for one in seen) for name in ("missing", "holes", "damaged"))
    quarter = max(1, len(late) // 4)
    first, last = sum(late[:quarter]) / quarter, sum(late[-quarter:]) / quarter
    each = (last - alone) / max(1, cameras - 1)
    growth = last / first - 1
    faults = [
        (len(tally.cameras) != cameras, f"{cameras - len(tally.cameras)} cameras without a segment"),
        (missing, f"{missing} frames missing"),
        (holes, f"{holes} holes between segments"),
        (damaged, f"{damaged} segments flagged"),
        (gaps, f"{len(gaps)} gaps: {'; '.join(gaps[:5])}"),
        (each > MAX_CAMERA_BYTES, f"more than {MAX_CAMERA_BYTES / 1e6:g} MB of memory a camera"),
        (growth > MAX_GROWTH, f"memory grew by {growth:.1%}"),
    ]
    print(f"cameras               {cameras}")
    print(f"segments, frames      {sum(one.segments for one in seen):,}, {sum(one.frames for one in seen):,}")
    print(f"read back             {tally.size_bytes / 1e9:.1f} GB")
    print(f"frames missing        {missing}")
    print(f"gaps, holes           {len(gaps)}, {holes}")
    print(f"CPU of a camera       {cpu / cameras:.3f} % of a core (simulator {simulator_cpu / cameras:.3f} %)")
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
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--bitrate", default="4M")
    parser.add_argument("--sweep", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, help="where the data folder is made; a temporary one otherwise")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamvault-soak-", dir=options.folder) as folder:
        return run(options, Path(folder) / "vault")


if __name__ == "__main__":
    sys.exit(main())
