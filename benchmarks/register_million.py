"""The register over a ledger of a million entries: making its index, and one unit's month as a process of its own.

Four fifths of the entries are steps of looks and exports, two a deed, over a year and so many units; the rest is of other kinds. The floor
beside it is reading every line of the ledger and looking for the unit's name, with nothing decoded.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from access.occasion import Occasion, Outcome, Purpose, entry
from index.node import init_node, open_node
from index.register import Register
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.ids import CameraNumber
from vault.ledger.entry import Kind, NewEntry
from vault.timebase import US, Interval, format_us

START_US = 1_764_000_000_000_000
YEAR_US = 360 * 86_400 * US
MONTH_US = YEAR_US // 12
SAID = Occasion(
    Purpose.INVESTIGATION, "collision at the north gate, two cars", "9901-2026-117", "case file", "first officer", "9901"
)
BATCH = 10_000


def entries(count: int, units: int) -> Iterator[NewEntry]:
    """In the order of time, as a year brings them."""
    deeds = count * 2 // 5
    for at in range(deeds):
        when_us, unit = START_US + YEAR_US * at // deeds, f"unit-{at % units}"
        for outcome, later_us, more in (
            (Outcome.ASKED, 0, {"address": "10.99.1.7", "authority": ["grant 12"]}),
            (Outcome.DONE, 20 * US, {"bytes": 30_000_000, "sha256": "0" * 64}),
        ):
            made = entry(
                Kind.READ, f"user-{at % 200}@{unit}", "clip", outcome, [CameraNumber(1 + at % 1000)], Interval(when_us - US, when_us),
                id=f"deed-{at}", unit=unit, user=f"user-{at % 200}", said=SAID, more=more,
            )  # fmt: skip
            yield NewEntry(made.kind, made.actor, made.subject, made.body, made.id, when_us + later_us)
        if at % 2:
            yield NewEntry(Kind.REGISTRY, "operator@recorder-1.example", {"camera": at % 1000}, {"version": at}, at_us=when_us)


def fill_ledger(folder: DataFolder, count: int, units: int) -> None:
    with open_node(folder, Config(), SystemClock()) as node:
        batch: list[NewEntry] = []
        for new in entries(count, units):
            batch.append(new)
            if len(batch) == BATCH:
                node.ledger.append(batch)
                batch.clear()
        if batch:
            node.ledger.append(batch)


def listed(folder: Path, *arguments: str) -> tuple[float, int]:
    """Seconds and rows of `register list` as a process."""
    words = [
        sys.executable,
        "-m",
        "streamvault",
        "--data",
        str(folder),
        "register",
        "list",
        "--json",
        "--limit",
        "200000",
        *arguments,
    ]
    begin = time.perf_counter()
    done = subprocess.run(words, capture_output=True, check=True)
    return time.perf_counter() - begin, done.stdout.count(b'"deed"')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--units", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to be measured; default: the temporary folder")
    options = parser.parse_args()
    os.environ.pop("STREAMVAULT_DATA", None)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = init_node(Path(name) / "data", lambda made: Config(), SystemClock())
        begin = time.perf_counter()
        fill_ledger(folder, options.entries, options.units)
        print(f"a ledger of {options.entries:,} entries and {options.units} units in {time.perf_counter() - begin:.1f} s")
        with open_node(folder, Config(), SystemClock()) as node:
            register = Register(node.environment, node.ledger)
            before_bytes = node.environment.space().live_bytes
            begin = time.perf_counter()
            size = register.fill()
            spent = time.perf_counter() - begin
            each_bytes = (node.environment.space().live_bytes - before_bytes) / size
            print(
                f"the register's index for the first time: {spent:.1f} s, {size / spent:,.0f} entries/s, {each_bytes:.0f} bytes each"
            )
            begin = time.perf_counter()
            register.fill()
            print(f"when nothing is new: {(time.perf_counter() - begin) * 1e3:.1f} ms")
        month = ["--from", format_us(START_US + 5 * MONTH_US), "--to", format_us(START_US + 6 * MONTH_US)]
        taken = sorted(listed(folder.path, "--unit", "unit-7", *month) for _ in range(5))
        print(f"one unit's month, as a process: median {taken[2][0]:.2f} s, worst {taken[-1][0]:.2f} s, {taken[0][1]:,} rows")
        everyone = listed(folder.path, *month)
        print(f"every unit's month: {everyone[0]:.2f} s, {everyone[1]:,} rows")
        begin = time.perf_counter()
        found = sum(line.count(b'"unit":"unit-7"') for file in folder.ledger.glob("*.jsonl") for line in file.open("rb"))
        print(f"reading every line for the unit's name: {time.perf_counter() - begin:.2f} s, {found:,} lines")


if __name__ == "__main__":
    main()
