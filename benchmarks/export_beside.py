"""Eight exports of an hour each at once, beside a node that records a hundred cameras: is a frame lost, does a gap open?

    python -m benchmarks.export_beside --folder DIR [--cameras 100] [--exports 8] [--bitrate 4M] [--only prepare|run]

The footage that is exported (one camera, an hour for each export) is made first, in DIR, and stays there for another run; then simulated
cameras and `streamvault serve` run as processes of their own, and the exports are the real command, all begun together. The
frames of every camera that was recorded meanwhile are counted. Ends with exit code 1 when one is missing or a gap row was opened.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.export_hour import fill
from benchmarks.processes import cost
from benchmarks.soak import Spent, Tally, command, unwanted_gaps
from benchmarks.splice_material import MINUTE_US, START_US
from index.camera_import import import_cameras
from index.cameras import NewCamera
from index.node import open_node
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.timebase import format_us

SETTLE_SECONDS = 30
"""All cameras are recording by then."""
SAID = (
    "--purpose", "maintenance", "--why", "a benchmark", "--case", "9901", "--destination", "nobody", "--person", "first officer",
    "--staff-number", "990117",
)  # fmt: skip


def export(path: Path, number: int, target: Path) -> subprocess.Popen[bytes]:
    begin = START_US + 1_310_000 + number * 60 * MINUTE_US
    span = ("--from", format_us(begin), "--to", format_us(begin + 60 * MINUTE_US))
    arguments = ["--data", str(path), "export", "create", "cam-1", *span, "-o", str(target), *SAID]
    return subprocess.Popen([sys.executable, "-m", "streamvault", *arguments], stdout=subprocess.DEVNULL)


def run(options: argparse.Namespace, path: Path) -> int:
    folder, clock = DataFolder.open(path), SystemClock()
    store, out = folder.store(Config()), path.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    with command(
        "simulate", "rtsp", "--cameras", str(options.cameras), "--bitrate", options.bitrate, "--port", "0"
    ) as simulator:
        assert simulator.stdout is not None
        base = simulator.stdout.readline().strip().rpartition("/")[0]
        with open_node(folder, Config(), clock) as node:
            for left in node.cameras.list():
                # A run that was cut short left them.
                if left.id.startswith("live-"):
                    node.cameras.remove(left.id)
            old = node.cameras.get("cam-1")
            node.cameras.set("cam-1", enabled=False)
            new = [NewCamera(f"live-{number}", f"{base}/{number}", transport="tcp") for number in range(1, options.cameras + 1)]
            made = import_cameras(node.cameras, new).cameras
        with command("--data", str(path), "serve", "--log-level", "warning") as recorder:
            time.sleep(SETTLE_SECONDS)
            began, before = time.monotonic(), cost([recorder.pid])
            exports = [export(path, number, out / str(number)) for number in range(options.exports)]
            with Spent(recorder.pid) as spent:
                codes = [one.wait() for one in exports]
            took, cpu = time.monotonic() - began, cost([recorder.pid]).since(before).cpu_s
            time.sleep(3)
        moved = path.parent / "live" / "segments"
        shutil.rmtree(moved.parent, ignore_errors=True)
        moved.mkdir(parents=True)
        for camera in made:
            mine = store / "segments" / f"c{camera.number:010d}"
            if mine.exists():
                mine.rename(moved / mine.name)
        tally = Tally()
        tally.take_in(moved.parent)
        with open_node(folder, Config(), clock) as node:
            gaps = [text for text in unwanted_gaps(node) if not text.startswith(f"{old.id}:")]
            for camera in made:
                node.cameras.remove(camera.id)
    seen = tally.cameras.values()
    missing, holes = sum(one.missing for one in seen), sum(one.holes for one in seen)
    size = sum(path.stat().st_size for path in out.rglob("*.mp4"))
    print(f"cameras, frames       {len(tally.cameras)}, {sum(one.frames for one in seen):,}")
    print(f"frames missing        {missing}")
    print(f"gaps, holes           {len(gaps)}, {holes}")
    print(f"exports               {codes.count(0)} of {options.exports} done, {size / 1e9:.1f} GB in {took:.0f} s")
    print(f"CPU of the recorder   {spent.percent:.0f} % of a core meanwhile ({cpu:.1f} s)")
    shutil.rmtree(out)
    shutil.rmtree(moved.parent)
    bad = bool(missing or holes or gaps or any(codes) or len(tally.cameras) != options.cameras)
    for text in gaps[:5]:
        print(f"NOT GOOD: {text}")
    return int(bad)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--cameras", type=int, default=100)
    parser.add_argument("--exports", type=int, default=8)
    parser.add_argument("--bitrate", default="4M")
    parser.add_argument("--only", choices=["prepare", "run"])
    options = parser.parse_args()
    path = options.folder / "vault"
    if options.only != "run" and not path.exists():
        fill(DataFolder.init(path), options.exports * 60 + 1)
    return 0 if options.only == "prepare" else run(options, path)


if __name__ == "__main__":
    sys.exit(main())
