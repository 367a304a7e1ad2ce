"""The index against SQLite: the same rows, the same questions, one run. `python benchmarks/compare_index.py --sizes 1000000 10000000`

Both are written durably, a transaction for each minute of all cameras, which is how segments arrive: interleaved over the
cameras. SQLite has its best schema for this (clustered by camera, start and epoch: WITHOUT ROWID), write-ahead log, and full
sync; it answers with bare tuples where the index answers with checked values. The two sizes are a decade apart, so that what
grows with what is stored shows. The last table is the size of the file after what 200 cameras write in a day, uploads included.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.index_material import DAY_US, START_US, camera, minutes_of
from index.catalog import Catalog
from index.environment import Environment
from index.rows import NewRow, Place
from index.stat import index_stat
from index.timeline import Timeline
from vault.timebase import Interval

LOOKUPS = 20_000
DAYS = 200

SCHEMA = """
CREATE TABLE segment (
  camera INTEGER, start_us INTEGER, epoch INTEGER, end_us INTEGER, sequence INTEGER, size_bytes INTEGER, blake3 BLOB,
  tail_bytes INTEGER, params_id INTEGER, class INTEGER, min_until_us INTEGER, flags INTEGER, place INTEGER, state INTEGER,
  PRIMARY KEY (camera, start_us, epoch)) WITHOUT ROWID
"""
FIND = "SELECT * FROM segment WHERE camera=? AND start_us<=? AND state=1 ORDER BY start_us DESC LIMIT 1"
DAY = "SELECT start_us, end_us FROM segment WHERE camera=? AND start_us>=? AND start_us<? AND state=1 ORDER BY start_us"


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds and bytes of one engine at one size."""

    insert_per_s: float
    find_us: tuple[float, float]
    day_ms: tuple[float, float]
    bytes_per_row: float


def timed(call: Callable[[int], object], turns: int, scale: float, realtime: bool) -> tuple[float, float]:
    """Median and 99th percentile. `realtime` keeps other programs of a shared machine out of them (root only)."""
    taken = []
    if realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    for turn in range(turns):
        began = time.perf_counter_ns()
        call(turn)
        taken.append(time.perf_counter_ns() - began)
    if realtime:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    taken.sort()
    return taken[turns // 2] / scale, taken[turns * 99 // 100] / scale


class Questions:
    """The same for both engines: moments and days spread over cameras and time."""

    def __init__(self, cameras: int, rows: int) -> None:
        self.cameras = cameras
        self.length_us = rows // cameras * 60_000_000

    def moment(self, turn: int) -> tuple[int, int]:
        return camera(turn * 37 % self.cameras), START_US + 60_000_000 + turn * 7_919_000_003 % (self.length_us - 120_000_000)

    def day(self, turn: int) -> tuple[int, int]:
        spare = max(1, self.length_us - DAY_US)
        return camera(turn * 37 % self.cameras), START_US + turn * 7_919_000_000_003 % spare


def index_engine(folder: Path, cameras: int, rows: int, realtime: bool) -> Result:
    questions = Questions(cameras, rows)
    with Environment(folder / "index") as environment:
        catalog, timeline = Catalog(environment), Timeline(environment)
        busy = 0.0
        for minute in minutes_of(cameras, rows):
            began = time.perf_counter()
            catalog.commit(minute, adopt=True, place=Place.STORE)
            busy += time.perf_counter() - began

        def find(turn: int) -> None:
            number, at_us = questions.moment(turn)
            row = timeline.find(number, at_us)
            assert row is not None
            assert row.end_us > at_us

        def day(turn: int) -> None:
            number, at_us = questions.day(turn)
            assert len(timeline.view(number, Interval(at_us, at_us + DAY_US)).runs) == 1

        warm(find, day)
        return Result(
            rows / busy,
            timed(find, LOOKUPS, 1e3, realtime),
            timed(day, DAYS, 1e6, realtime),
            environment.space().used_bytes / rows,
        )


def sqlite_engine(folder: Path, cameras: int, rows: int, realtime: bool) -> Result:
    questions = Questions(cameras, rows)
    path = folder / "segments.sqlite"
    base = sqlite3.connect(path)
    base.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=68719476736; {SCHEMA};")
    busy = 0.0
    for minute in minutes_of(cameras, rows):
        values = [as_tuple(row) for row in minute]
        began = time.perf_counter()
        with base:
            base.executemany("INSERT INTO segment VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", values)
        busy += time.perf_counter() - began

    def find(turn: int) -> None:
        number, at_us = questions.moment(turn)
        assert base.execute(FIND, (number, at_us)).fetchone()[3] > at_us

    def day(turn: int) -> None:
        number, at_us = questions.day(turn)
        runs: list[list[int]] = []
        for start_us, end_us in base.execute(DAY, (number, at_us - 120_000_000, at_us + DAY_US)):
            if runs and start_us <= runs[-1][1] + 1_000:
                runs[-1][1] = max(runs[-1][1], end_us)
            else:
                runs.append([start_us, end_us])
        assert len(runs) == 1

    warm(find, day)
    figures = timed(find, LOOKUPS, 1e3, realtime), timed(day, DAYS, 1e6, realtime)
    base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    base.close()
    return Result(rows / busy, *figures, path.stat().st_size / rows)


def as_tuple(row: NewRow) -> tuple[object, ...]:
    key = row.key
    return (
        key.camera, key.start_us, key.epoch, row.end_us, key.sequence, row.size_bytes, row.blake3, row.tail_bytes, 1, 1,
        row.min_until_us, int(row.flags), 2, 1,
    )  # fmt: skip


def warm(find: Callable[[int], None], day: Callable[[int], None]) -> None:
    """Both engines answer from the page cache."""
    for turn in range(LOOKUPS):
        find(turn)
    for turn in range(DAYS):
        day(turn)


def file_per_camera_minute(folder: Path, cameras: int, minutes: int) -> None:
    """What the index's file costs after interleaved inserts, each segment committed and settled in its turn."""
    with Environment(folder / "day") as environment:
        catalog = Catalog(environment)
        catalog.raise_epochs(camera(at) for at in range(cameras))
        for rows in minutes_of(cameras, cameras * minutes):
            for at in range(0, cameras, 20):
                catalog.commit(rows[at : at + 20])
            catalog.settle([row.key for row in rows])
        stat = index_stat(environment)
        print(f"\n{cameras} cameras x {minutes} minutes, committed 20 at a time and settled: {stat.segments} segments")
        print(f"  bytes of file a camera-minute (limit 300)  {stat.bytes_per_camera_minute:8.1f}")
        print(f"  of them in use by trees                    {stat.live_bytes / stat.camera_minutes:8.1f}")
        for name, size in sorted(stat.table_bytes.items(), key=lambda item: -item[1])[:4]:
            print(f"    {name:<10} {size / stat.camera_minutes:8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[100_000, 1_000_000], help="rows, the second a decade above the first"
    )
    parser.add_argument("--cameras", type=int, default=200)
    parser.add_argument("--minutes", type=int, default=1440, help="length of the run that measures the file's size")
    parser.add_argument("--realtime", action="store_true", help="ask the questions at real-time priority (root)")
    parser.add_argument("--folder", type=Path, help="where to build (a disk with room for 0.6 GB a million rows)")
    options = parser.parse_args()
    print(f"{'':>12}{'':>10}{'insert':>11}{'find p50':>11}{'p99':>9}{'day p50':>11}{'p99':>9}{'file':>11}")
    print(f"{'rows':>12}{'':>10}{'rows/s':>11}{'us':>11}{'us':>9}{'ms':>11}{'ms':>9}{'bytes/row':>11}")
    seen: list[Result] = []
    for rows in options.sizes:
        folder = Path(tempfile.mkdtemp(dir=options.folder))
        try:
            ours = index_engine(folder, options.cameras, rows, options.realtime)
            theirs = sqlite_engine(folder, options.cameras, rows, options.realtime)
        finally:
            shutil.rmtree(folder)
        for name, result in (("index", ours), ("sqlite", theirs)):
            find, day = result.find_us, result.day_ms
            print(
                f"{rows:>12}{name:>10}{result.insert_per_s:>11.0f}{find[0]:>11.2f}{find[1]:>9.2f}{day[0]:>11.3f}{day[1]:>9.3f}{result.bytes_per_row:>11.1f}"
            )
        print(
            f"{'':>12}{'ratio':>10}{ours.insert_per_s / theirs.insert_per_s:>11.2f}{theirs.find_us[0] / ours.find_us[0]:>11.2f}"
            f"{theirs.find_us[1] / ours.find_us[1]:>9.2f}{theirs.day_ms[0] / ours.day_ms[0]:>11.2f}{theirs.day_ms[1] / ours.day_ms[1]:>9.2f}"
            f"{theirs.bytes_per_row / ours.bytes_per_row:>11.2f}   (above 1: the index is better)"
        )
        seen.append(ours)
    if len(seen) > 1:
        first, last = seen[0], seen[-1]
        print(
            f"\ngrowth of the index from {options.sizes[0]} to {options.sizes[-1]} rows: find x {last.find_us[0] / first.find_us[0]:.2f}, "
            f"day x {last.day_ms[0] / first.day_ms[0]:.2f}, insert x {first.insert_per_s / last.insert_per_s:.2f}, "
            f"bytes a row x {last.bytes_per_row / first.bytes_per_row:.2f}"
        )
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        file_per_camera_minute(folder, options.cameras, options.minutes)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
