"""What retention costs: deciding and dooming at two sizes a decade apart, deleting from a local store and from MinIO.

`python benchmarks/retention.py --sizes 1000000 10000000`. 200 cameras with a segment a minute each; what is doomed is the first
day of them all. Deleting takes whole batches through the ledger: list, objects, a look that they are gone, erase.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.index_material import minutes_of
from index.catalog import Catalog
from index.environment import Environment
from index.expiry import complete_expiry, expiry_sums
from index.rows import Place
from retention.deleter import Deleted
from retention.expired import plans
from retention.policy import rules_of
from tests.support.retaining import DAY_US, MINUTE_US, open_kept
from tests.support.s3servers import KEYS, server
from vault.clock import SystemClock
from vault.config import Config, Retention, Store

CAMERAS = 200


def make_index(rows: int, folder: Path) -> None:
    """An index of so many stored segments; one that is there already is left as it is."""
    if folder.is_dir():
        return
    making = folder.with_name(f"{folder.name}.part")
    with Environment(making / "index") as environment:
        catalog = Catalog(environment)
        complete_expiry(environment)
        batch = []
        for minute in minutes_of(CAMERAS, rows):
            batch += minute
            if len(batch) >= 10_000:
                catalog.commit(batch, adopt=True, place=Place.STORE)
                batch = []
        catalog.commit(batch, adopt=True, place=Place.STORE)
    making.rename(folder)


def doom_cost(folder: Path) -> tuple[int, float, float]:
    """How many were doomed; for each, µs that passed and µs of CPU, the plan included."""
    with Environment(folder / "index") as environment:
        catalog = Catalog(environment)
        with environment.read() as txn:
            now_us = next(iter(expiry_sums(txn))).min_until_us
        began, cpu_began, doomed = time.perf_counter(), time.process_time(), 0
        for plan in plans(environment, rules_of(Retention()), now_us, 0):
            keys = [item.row.key for item in plan.going]
            doomed += len(catalog.doom(keys, at_us=now_us, reason=plan.items[0].reason, rule=plan.items[0].article).done)
        passed, cpu = time.perf_counter() - began, time.process_time() - cpu_began
        return doomed, passed / doomed * 1e6, cpu / doomed * 1e6


def delete_rate(count: int, folder: Path, store: Store) -> float:
    """Objects a second, from the doomed list to the erased row."""
    config = Config(store=store, retention=Retention(deletes_per_second=0))
    # The bucket's server wants the true time in what is signed, so the grace is left out instead of waited for.
    now_us = SystemClock().now_us()
    with open_kept(folder, now_us, config) as kept:
        for first in range(0, count, 1_000):
            starts = [now_us - 60 * DAY_US + at * MINUTE_US for at in range(first, first + 1_000)]
            kept.put(starts, until_us=now_us - 1)
        with mock.patch("retention.deleter.Deleter.run", return_value=Deleted()):
            halted = kept.run().halt
            if halted is not None:
                kept.sweep.confirm(halted.plan, "benchmark")
                kept.run()
        began = time.perf_counter()
        deleted = kept.sweep.run_once(grace_us=0).deleted.segments
        assert deleted == count
        return deleted / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--minio", action="store_true", help="also from a MinIO of tests/support (make servers)")
    parser.add_argument(
        "--indexes", type=Path, help="where the indexes are made, and stay; a measurement dooms their first day"
    )
    parser.add_argument(
        "--only-make", action="store_true", help="only make the indexes, which takes long and need not be alone"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        indexes = options.indexes or Path(name)
        for rows in options.sizes:
            make_index(rows, indexes / str(rows))
        for rows in () if options.only_make else options.sizes:
            doomed, cost_us, cpu_us = doom_cost(indexes / str(rows))
            print(f"{rows:>12,} stored: {doomed:,} doomed, {cost_us:.1f} µs each, {cpu_us:.1f} of CPU", flush=True)
        if options.only_make:
            return
        rate = delete_rate(options.objects, Path(name) / "local", Store())
        print(f"local store: {rate:,.0f} objects a second")
        if options.minio:
            with server("minio", Path(name) / "minio") as minio, mock.patch.dict(os.environ, KEYS):
                rate = delete_rate(options.objects, Path(name) / "s3", minio.settings)
            print(f"MinIO: {rate:,.0f} objects a second")


if __name__ == "__main__":
    main()
