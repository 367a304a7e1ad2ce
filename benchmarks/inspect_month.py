"""A month of a thousand cameras: how long `inspect report` takes over it.

    python -m benchmarks.inspect_month --folder FOLDER [--cameras 1000] [--days 30] [--gaps 4] [--profile]

The index is made by the script and kept for the next run: a segment an hour of each camera (one a minute would be 43 million rows, which
an inspection does not look at), its gap rows (so many a day, of four reasons), its expired time, and figures of hours in the store as
the product writes them. The command then runs as a process, as an inspector starts it. Printed:
seconds of the whole command, the median of three.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.capacity_year import day_file, seconds_of
from benchmarks.index_material import PARAMS
from index.camera_import import import_cameras
from index.cameras import NewCamera
from index.gaps import expire, put_gap
from index.node import Node, open_node
from index.rows import GapRow, NewRow, Place
from index.sites import Site
from retention.inspect_look import Scope, inspect
from retention.inspection import Limits
from retention.tally import DAY_US, HOURLY_PREFIX, day_of
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.ids import CameraNumber, SegmentKey
from vault.media import SegmentFlag
from vault.timebase import US, Interval

REASONS = ("unreachable", "no data from camera", "packets lost: 12", "recording switched off")
SITES = 50
HOUR_US = 3_600 * US


def fill(node: Node, cameras: int, days: int, gaps_a_day: int) -> None:
    now_us = node.clock.now_us()
    random = np.random.default_rng(1)
    # Before there is any footage, or a store without a marker is another one.
    today = now_us // DAY_US
    for day in range(today - days, today):
        node.store.put_bytes(f"{HOURLY_PREFIX}day={day_of(day)}/part-0001.parquet", day_file(cameras, day, random))
    first_us = now_us - (days + 100) * DAY_US
    node.sites.import_sites(
        [
            Site(f"site-{at}", *(("key", 90, "finance") if at % 3 else ("general", 30, "other")), unit=f"unit {at}")
            for at in range(SITES)
        ]
    )
    new = [NewCamera(f"cam-{at}", f"rtsp://127.0.0.1/{at}", site=f"site-{at % SITES}") for at in range(cameras)]
    for camera in import_cameras(node.cameras, new).cameras:
        number = camera.number
        node.cameras.begin_recording(number, first_us)
        oldest_us = now_us - (91 if int(camera.site[5:]) % 3 else 31) * DAY_US
        starts = [oldest_us, *(now_us - at * HOUR_US for at in range(days * 24, 0, -1))]
        node.catalog.commit([_row(number, start_us) for start_us in starts], adopt=True, place=Place.STORE)
        with node.environment.write("make gaps") as txn:
            expire(txn, number, Interval(first_us, oldest_us))
            for day in range(days):
                begin_us = now_us - (days - day) * DAY_US
                for at in sorted(random.choice(23, gaps_a_day, replace=False).tolist()):
                    start_us = begin_us + at * HOUR_US + int(random.integers(0, 1_800 * US))
                    end_us = start_us + int(random.integers(US, 1_200 * US))
                    put_gap(
                        txn, number, GapRow(start_us, end_us, REASONS[int(random.integers(0, 4 if number % 10 == 0 else 3))])
                    )


def _row(number: CameraNumber, start_us: int) -> NewRow:
    key = SegmentKey(number, start_us, 1, 0)
    digest = start_us.to_bytes(32, "big")
    return NewRow(
        key, start_us + HOUR_US, 1_800_000_000, digest, 90_000, PARAMS, "general", start_us + 400 * DAY_US, SegmentFlag.NONE
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the data folder is, or is made")
    parser.add_argument("--cameras", type=int, default=1000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--gaps", type=int, default=4, help="a camera and day, 23 at most")
    parser.add_argument("--profile", action="store_true", help="say where the time goes; that takes longer")
    given = parser.parse_args()
    clock = SystemClock()
    if not given.folder.exists():
        began = time.perf_counter()
        with open_node(DataFolder.init(given.folder), Config(), clock, create=True) as node:
            node.sites.ensure_default()
            fill(node, given.cameras, given.days, given.gaps)
        print(f"made in {time.perf_counter() - began:.0f} s")
    if given.profile:
        with open_node(DataFolder.open(given.folder), Config(), clock) as node, cProfile.Profile() as profile:
            now_us = clock.now_us()
            inspect(node, Interval(now_us - given.days * DAY_US, now_us), Scope(), Limits())
        pstats.Stats(profile).sort_stats("cumulative").print_stats(25)
        return 0
    program = [sys.executable, "-m", "streamvault", "--data", str(given.folder)]
    print(f"streamvault --version             {seconds_of([*program, '--version']):6.2f} s")
    words = [*program, "inspect", "report", "--from", f"now-{given.days}d", "--force"]
    for name, more in (
        ("table", []), ("--json", ["--json"]), ("--html", ["--html", str(given.folder.with_suffix(".html"))]),
        ("--csv", ["--csv", str(given.folder.with_suffix(".csv"))]),
    ):  # fmt: skip
        print(f"inspect report {name:18} {seconds_of([*words, *more]):6.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
