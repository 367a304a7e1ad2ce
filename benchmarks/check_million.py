"""`check --level presence` of a million segments: every step's time, on a store and an index made for it and kept for the next run.

python benchmarks/check_million.py --folder FOLDER [--count 1000000] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from pathlib import Path

from benchmarks.store_material import fill
from index.check_all import Depth, all_findings
from index.check_objects import Level
from index.node import Node, open_node
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the data folder is, or is made")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--profile", action="store_true", help="say where the time goes; that takes longer")
    parser.add_argument("--make", action="store_true", help="make the material and end")
    options = parser.parse_args()
    if not options.folder.exists():
        began = time.perf_counter()
        with open_node(DataFolder.init(options.folder), Config(), SystemClock(), create=True) as node:
            print(f"{fill(node, options.count):,} segments made in {time.perf_counter() - began:.0f} s")
    if options.make:
        return
    with open_node(DataFolder.open(options.folder), Config(), SystemClock()) as node:
        if options.profile:
            profile = cProfile.Profile()
            profile.runcall(run, node)
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        else:
            run(node)


def run(node: Node) -> None:
    """One check with a line for each of its steps."""
    steps: dict[str, tuple[float, int]] = {}
    began = last = time.perf_counter()
    current = ""

    def tell(step: str, seen: int) -> None:
        nonlocal current, last
        now = time.perf_counter()
        if current and step != current:
            print(f"{current:<10} {steps[current][1]:>10,} {last - steps[current][0]:6.1f} s")
        if step not in steps:
            steps[step] = last, seen
        steps[step] = steps[step][0], seen
        current, last = step, now

    found = [*all_findings(node, Depth(Level.PRESENCE), tell)]
    print(f"everything {len(found):>10,} findings {time.perf_counter() - began:6.1f} s")
    for finding in found[:5]:
        print(finding)


if __name__ == "__main__":
    main()
