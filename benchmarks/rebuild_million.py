"""An index of a million segments made anew from their manifests: `python -m benchmarks.rebuild_million [--segments N] [--folder DIR]`.

Each step's time is printed. The store is local and its objects are sparse files; the page cache is as making them has left it.
With `--profile` the functions that take the most time are printed as well.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.store_material import make_store
from index.rebuild import Rebuilt, rebuild
from vault.spool import Spool
from vault.store.local import LocalStore


class Steps:
    """Prints a step when the next one begins: what was told last of it, and how long it took."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._step: tuple[str, int] | None = None

    def tell(self, step: str, seen: int) -> None:
        if self._step is not None and self._step[0] != step:
            self.end()
        self._step = step, seen

    def end(self, rest: str = "") -> None:
        now = time.perf_counter()
        name, seen = (rest, 0) if rest else self._step or ("", 0)
        print(f"{name:>12}  {seen:>9,}  {now - self._began:7.2f} s")
        self._began = now


def measure(folder: Path) -> Rebuilt:
    steps = Steps()
    began, cpu = time.perf_counter(), os.times()
    with Spool(folder / "spool") as spool, closing(LocalStore(folder / "store")) as store:
        found = rebuild(store, spool, folder / "index", steps.tell)
    steps.end()
    used = os.times()
    seconds = used.user - cpu.user, used.system - cpu.system
    print(
        f"{'all':>12}  {found.segments:>9,}  {time.perf_counter() - began:7.2f} s, CPU {seconds[0]:.1f} user, {seconds[1]:.1f} system"
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=1_000_000)
    parser.add_argument("--cameras", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where to make the store; else a temporary folder")
    parser.add_argument("--profile", action="store_true")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=told.folder) as name:
        folder = Path(name)
        (folder / "spool").mkdir()
        began = time.perf_counter()
        made = make_store(folder / "store", told.cameras, told.segments)
        print(f"made a store of {made:,} segments of {told.cameras} cameras in {time.perf_counter() - began:.0f} s")
        if told.profile:
            with cProfile.Profile() as profile:
                found = measure(folder)
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        else:
            found = measure(folder)
    if (found.segments, found.refused, found.absent) != (made, [], []):
        raise SystemExit(f"not equal: {found.segments} segments, {len(found.refused)} refused, {len(found.absent)} absent")


if __name__ == "__main__":
    main()
