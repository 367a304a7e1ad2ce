"""The splice's promises, measured: `python -m benchmarks.splice_hour [--folder DIR]`.

First byte and throughput of a one-hour clip of warm local data, beside a loop that only reads the same files with the same
buffer; planning an hour and a day, tails read included. Writes 1.8 GB into a temporary folder and removes it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.splice_material import MINUTE_US, START_US, write_minute
from vault.segment.read import read_closed
from vault.source import FileSource
from vault.splice.clip import CHUNK_BYTES, Clip
from vault.splice.part import Part
from vault.splice.plan import plan_clip
from vault.timebase import Interval

ROUNDS = 5
DAYS = (
    ("no sound, camera 35 ppm fast", False, 35.0, 0),
    ("AAC, camera 35 ppm fast", True, 35.0, 0),
    ("AAC, jitter of 1 ms", True, 35.0, 90),
)


def load(paths: list[Path]) -> list[Part]:
    """As a reader does: open, read the tail, close; descriptors are opened again when the bytes are read."""
    parts = []
    for path in paths:
        with FileSource(path) as source:
            parts.append(Part(read_closed(source), source))
    return parts


def best(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds: least and median of some rounds."""
    took = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took), statistics.median(took)


def read_plainly(paths: list[Path]) -> int:
    """What `cat` does: the same files, the same buffer, nothing else."""
    buffer = memoryview(bytearray(CHUNK_BYTES))
    total = 0
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        try:
            while count := os.readv(fd, [buffer]):
                total += count
        finally:
            os.close(fd)
    return total


def stream(clip: Clip) -> int:
    return sum(len(view) for view in clip.chunks())


def hour(folder: Path) -> None:
    noise = os.urandom(1 << 20)
    paths = [folder / f"{number:04d}.mp4" for number in range(61)]
    for number, path in enumerate(paths):
        write_minute(path, number, sound=True, rate_ppm=35.0, jitter=0, noise=noise)
    # Cut inside GOPs at both ends.
    wanted = Interval(START_US + 1_310_000, START_US + 1_310_000 + 60 * MINUTE_US)
    sources = [FileSource(path) for path in paths]
    try:
        parts = [Part(read_closed(source), source) for source in sources]
        plan = best(lambda: plan_clip(parts, wanted))

        def first_byte() -> bytes:
            return plan_clip([Part(read_closed(source), source) for source in sources], wanted).read(0, 1)

        first = best(first_byte)
        clip = plan_clip(parts, wanted)
        read_plainly(paths)
        plain, spliced = best(lambda: read_plainly(paths)), best(lambda: stream(clip))
    finally:
        for source in sources:
            source.close()
    size = sum(path.stat().st_size for path in paths)
    print(f"one hour: {clip.size / 1e9:.2f} GB, of which head {len(clip.head) / 1e6:.2f} MB")
    print(f"  plan, tails read before   {plan[0] * 1e3:7.1f} ms (median {plan[1] * 1e3:.1f})")
    print(f"  first byte, tails and all {first[0] * 1e3:7.1f} ms (median {first[1] * 1e3:.1f})")
    print(f"  clip.chunks               {clip.size / spliced[0] / 1e9:7.2f} GB/s (median {clip.size / spliced[1] / 1e9:.2f})")
    print(f"  plain readv, same files   {size / plain[0] / 1e9:7.2f} GB/s (median {size / plain[1] / 1e9:.2f})")
    for path in paths:
        path.unlink()


def day(folder: Path) -> None:
    wanted = Interval(START_US + 1_310_000, START_US + 1_310_000 + 1440 * MINUTE_US)
    paths = [folder / f"{number:04d}.mp4" for number in range(1441)]
    for name, sound, rate_ppm, jitter in DAYS:
        for number, path in enumerate(paths):
            write_minute(path, number, sound=sound, rate_ppm=rate_ppm, jitter=jitter)
        tails = best(lambda: load(paths))
        parts = load(paths)
        plan = best(lambda parts=parts: plan_clip(parts, wanted))  # type: ignore[misc]
        head = len(plan_clip(parts, wanted).head)
        print(
            f"one day, {name}: tails {tails[0] * 1e3:.0f} ms + plan {plan[0] * 1e3:.0f} ms "
            f"= {(tails[0] + plan[0]) * 1e3:.0f} ms (median {(tails[1] + plan[1]) * 1e3:.0f}); head {head / 1e6:.1f} MB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made; local disk")
    with tempfile.TemporaryDirectory(dir=parser.parse_args().folder, prefix="splice-") as name:
        hour(Path(name))
        day(Path(name))


if __name__ == "__main__":
    main()
