"""A year of a thousand cameras' figures: how long `capacity report` and `capacity forecast` take over it.

    python -m benchmarks.capacity_year [--cameras 1000] [--days 365] [--folder DIR]

The figures are made by the script, a Parquet file a day as the product writes them, in the local store of a new data folder; the
commands then run as processes, as a planner starts them. Printed: seconds of the whole command, the median of three.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from index.node import open_node
from retention.parquet import HOURLY, written
from retention.tally import DAY_US, HOURLY_PREFIX, day_of
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder


def day_file(cameras: int, day: int, random: np.random.Generator) -> bytes:
    numbers = np.repeat(np.arange(1, cameras + 1, dtype=np.uint32), 24)
    count = len(numbers)
    hours = np.tile(np.arange(24, dtype=np.int64) * (DAY_US // 24) + day * DAY_US, cameras)
    missing = np.where(random.random(count) < 0.01, random.integers(1, 3_600, count), 0).astype(np.float64)
    size = ((3_600 - missing) * 500_000 * random.uniform(0.9, 1.1, count)).astype(np.int64)
    sites = [f"site-{number % 200}" for number in numbers]
    offsets = np.concatenate([[0], np.cumsum(missing > 0)]).astype(np.int32)
    some = int(offsets[-1])
    columns = {
        "camera": pa.array(numbers),
        "camera_id": pa.array([f"cam-{number}" for number in numbers]).dictionary_encode(),
        "site": pa.array(sites).dictionary_encode(),
        "site_class": pa.array(["key" if number % 3 else "general" for number in numbers]).dictionary_encode(),
        "hour": pa.array(hours, pa.int64()).cast(HOURLY.field("hour").type),
        "bytes": pa.array(size),
        "seconds_recorded": pa.array(3_600 - missing),
        "seconds_missing": pa.array(missing),
        "missing": pa.MapArray.from_arrays(pa.array(offsets), pa.array(["unreachable"] * some), pa.array(missing[missing > 0])),
        "bit_rate": pa.array(size * 8 / np.maximum(3_600 - missing, 1)),
        "frames": pa.array(np.full(count, 90_000)),
        "packets_lost": pa.array(np.zeros(count, dtype=np.int64)),
        "clock_offset_us": pa.array(random.integers(-500_000, 500_000, count)),
    }
    return written(pa.table(columns).select(HOURLY.names).cast(HOURLY))


def seconds_of(words: list[str], runs: int = 3) -> float:
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=1000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--folder", type=Path, help="where the data folder is made; a temporary one otherwise")
    given = parser.parse_args()
    random, clock = np.random.default_rng(1), SystemClock()
    with tempfile.TemporaryDirectory(prefix="capacity-", dir=given.folder) as made:
        folder = DataFolder.init(Path(made) / "data")
        today, size = clock.now_us() // DAY_US, 0
        with open_node(folder, Config(), clock, create=True) as node:
            node.sites.ensure_default()
            for day in range(today - given.days, today):
                data = day_file(given.cameras, day, random)
                size += len(data)
                node.store.put_bytes(f"{HOURLY_PREFIX}day={day_of(day)}/part-0001.parquet", data)
        print(f"{given.days} days of {given.cameras} cameras: {given.days * given.cameras * 24:,} rows in {size / 1e6:.0f} MB")
        program = [sys.executable, "-m", "streamvault", "--data", str(folder.path)]
        first = day_of(today - given.days).isoformat()
        print(f"streamvault --version             {seconds_of([*program, '--version']):6.2f} s")
        for by in (["site_class", "site"], ["site_class"], ["day"], ["camera_id"]):
            words = [*program, "capacity", "report", "--from", f"{first}T00:00:00Z"]
            words += [word for name in by for word in ("--by", name)]
            print(f"capacity report by {' and '.join(by):14} {seconds_of(words):6.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
