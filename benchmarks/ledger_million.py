"""The ledger at a million entries: durable appends a second by size of batch, verifying all of it, and proofs.

The floor beside the appends is the same bytes written and synced twice, with nothing else done: what the disk alone costs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from vault.ledger.entry import Kind, NewEntry, encode_entry
from vault.ledger.ledger import Ledger
from vault.ledger.merkle import leaf_hash, verify_inclusion
from vault.ledger.verify import verify
from vault.signing.keys import Keys

NOW_US = 1_790_000_000_000_000


def entries(first: int, count: int) -> list[NewEntry]:
    """As the registry's changes are, some 380 bytes each."""
    return [
        NewEntry(
            Kind.REGISTRY, "operator@recorder-1.example", {"document": f"cameras/{number % 1000:010d}", "camera": number % 1000},
            {"version": number, "sha256": "0" * 64, "changed": {"name": ["north gate", "north gate, left"], "enabled": [True, False]}},
        )
        for number in range(first, first + count)
    ]  # fmt: skip


def floor(folder: Path, batch: int, seconds: float) -> float:
    """Entries a second of a loop that writes the lines, syncs, writes a note and syncs."""
    data = b"".join(encode_entry(new, 1, NOW_US) + b"\n" for new in entries(0, batch))
    done, begin = 0, time.perf_counter()
    with (folder / "lines").open("wb", buffering=0) as lines, (folder / "notes").open("wb", buffering=0) as notes:
        while time.perf_counter() - begin < seconds:
            for file, written in ((lines, data), (notes, b"x" * 240)):
                file.write(written)
                os.fdatasync(file.fileno())
            done += batch
    return done / (time.perf_counter() - begin)


def appends(ledger: Ledger, batch: int, seconds: float) -> float:
    done, spent = 0, 0.0
    while spent < seconds:
        new = entries(done, batch)
        begin = time.perf_counter()
        ledger.append(new)
        spent += time.perf_counter() - begin
        done += batch
    return done / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each size of batch")
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to be measured; default: the temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        path = Path(name)
        for batch in (1, 10, 100, 1_000):
            rate = appends(Ledger(path / f"batch-{batch}", path / "key"), batch, options.seconds)
            print(
                f"append, batches of {batch:5}: {rate:9,.0f} entries/s; the disk alone {floor(path, batch, options.seconds):9,.0f}"
            )
        ledger = Ledger(path / "ledger", path / "key")
        begin = time.perf_counter()
        for first in range(0, options.entries, 10_000):
            ledger.append(entries(first, min(10_000, options.entries - first)))
        spent = time.perf_counter() - begin
        size = sum(file.stat().st_size for file in ledger.folder.iterdir())
        print(f"{options.entries:,} entries in {spent:.1f} s, {size / options.entries:.0f} bytes each on disk, hashes included")
        begin = time.perf_counter()
        ledger.append(entries(0, 1))
        print(f"one more at that size: {(time.perf_counter() - begin) * 1e3:.1f} ms")
        begin = time.perf_counter()
        report = verify(ledger.folder, Keys(path / "key"))
        print(f"verify: {time.perf_counter() - begin:.1f} s, {report.entries:,} entries, {len(report.findings)} findings")
        taken = []
        for number in range(200):
            sequence = number * 7_919 % options.entries
            begin = time.perf_counter()
            proof = ledger.prove(sequence)
            taken.append((time.perf_counter() - begin) * 1e3)
            root = proof.signed.checkpoint
            assert verify_inclusion(leaf_hash(proof.entry.line), sequence, root.size, proof.path, root.root)
        taken.sort()
        print(f"proof of one entry: p50 {statistics.median(taken):.2f} ms, p99 {taken[197]:.2f} ms, worst {taken[-1]:.2f} ms")


if __name__ == "__main__":
    main()
