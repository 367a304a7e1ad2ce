"""An export of one hour of one camera from the local store, beside `cp` and `sha256sum` of the same bytes:
`python -m benchmarks.export_hour [--hours N] [--rounds N] [--folder DIR]`.

Video of 4 Mbit/s with sound in segments of a minute; the export goes through the door, takes, hashes each segment by BLAKE3 and
SHA-256, writes and syncs the package, seals it and hands it over as a folder. `cp` does not sync, so it is also measured with
`sync`. Everything is in the page cache before. The memory is the highest of the export's process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from access.door import Door
from access.export.engine import Exports
from access.export.job import Wish
from access.occasion import Occasion, Purpose
from access.people.login import operator
from benchmarks.splice_material import MINUTE_US, START_US, write_minute
from index.cameras import Cameras, NewCamera
from index.node import open_node
from index.rows import Place
from tests.support.index_vault import row_of
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.ids import CameraNumber
from vault.timebase import Interval

SAID = Occasion(Purpose.MAINTENANCE, "a benchmark", "9901", "nobody", "first officer", "990117")


def fill(folder: DataFolder, minutes: int) -> None:
    noise = os.urandom(4 << 20)
    with open_node(folder, Config(), SystemClock(), create=True) as node:
        node.sites.ensure_default()
        rows = []
        for number in range(minutes):
            path = folder.path / "minute.mp4"
            write_minute(path, number, sound=True, rate_ppm=35.0, jitter=0, noise=noise)
            row = row_of(path.read_bytes())
            node.store.put_file(row.key.object_key, path, digest=row.blake3)
            path.unlink(missing_ok=True)
            rows.append(row)
        # The material's camera has the next number.
        cameras = Cameras(node.registry, node.clock, lambda: CameraNumber(990100000), node.config.retention)
        camera = cameras.add(NewCamera("cam-1", "rtsp://192.0.2.1/stream"))
        assert camera.number == rows[0].key.camera
        node.catalog.raise_epoch(camera.number)
        node.catalog.commit(rows, adopt=True, place=Place.STORE)
        node.outbox.drain()


def export(path: Path, target: Path, minutes: int, answer: multiprocessing.queues.Queue) -> None:  # type: ignore[type-arg]
    """In a process of its own."""
    with open_node(DataFolder.open(path), Config(), SystemClock()) as node:
        exports = Exports(Door(node))
        span = Interval(START_US + 1_310_000, START_US + 1_310_000 + (minutes - 1) * MINUTE_US)
        began = time.perf_counter()
        job = exports.ask(operator(), Wish((CameraNumber(990100001),), span, str(target)), SAID)
        job, _ = exports.run(job.id, operator())
        answer.put((time.perf_counter() - began, job.size_bytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def copied(path: Path, target: Path, sync: bool) -> float:
    began = time.perf_counter()
    subprocess.run(["cp", "-r", str(path / "store" / "segments"), str(target)], check=True)
    if sync:
        subprocess.run(["sync", "-f", str(target)], check=True)
    files = sorted(map(str, target.rglob("*.mp4")))
    subprocess.run(["sha256sum", *files], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the data folder is made; default: the folder of temporary files")
    told = parser.parse_args()
    minutes = round(told.hours * 60) + 1
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=told.folder) as name:
        path, out = Path(name) / "data", Path(name) / "out"
        fill(DataFolder.init(path), minutes)
        seconds: dict[str, list[float]] = {"export": [], "cp, sha256sum": [], "cp, sync, sha256sum": []}
        size = peak = 0.0
        for turn in range(told.rounds + 1):
            found = {}
            for sync in (False, True):
                os.sync()
                found["cp, sync, sha256sum" if sync else "cp, sha256sum"] = copied(path, out, sync)
                shutil.rmtree(out)
            os.sync()
            answer = context.Queue()
            process = context.Process(target=export, args=(path, out, minutes, answer))
            process.start()
            found["export"], size, memory = answer.get()
            process.join()
            shutil.rmtree(out)
            if turn:
                # The first round warms the page cache.
                peak = max(peak, memory)
                for what, took in found.items():
                    seconds[what].append(took)
        base = statistics.median(seconds["cp, sha256sum"])
        for what, taken in seconds.items():
            took = statistics.median(taken)
            print(
                f"{what:20} {took:6.2f} s ({min(taken):.2f} to {max(taken):.2f})  {size / took / 1e6:6.0f} MB/s  {base / took:.2f}"
            )
        print(f"{size / 1e9:.2f} GB; memory of the export at most {peak:.0f} MB")


if __name__ == "__main__":
    main()
