"""BLAKE3 of a camera-minute (30 MB in the page cache), one thread, by CPU time: a reused buffer of some size against mmap.

Run: `.venv/bin/pytest benchmarks/bench_hash.py --benchmark-columns=min,median,stddev`

CPU per file (user and system), 2-core machine without SHA instructions, 2026-11-22, milliseconds (lowest / median of 12):

    mmap         8.5 / 8.7
    read 64 KB  10.3 / 10.4      256 KB  9.3 / 9.5
    read 128 KB  9.6 / 9.9       512 KB  8.0 / 9.0       1 MB  8.4 / 8.7

`vault.digest` reads with 512 KB: as cheap as mmap within the noise, and a bad sector is an error instead of SIGBUS.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from pytest_benchmark.fixture import BenchmarkFixture

from vault.digest import fd_digest

SIZE_BYTES = 30_000_000


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hash") / "segment.mp4"
    path.write_bytes(os.urandom(SIZE_BYTES))
    return path


def by_digest(path: Path) -> bytes:
    with path.open("rb", buffering=0) as file:
        return fd_digest(file.fileno(), "hashing")


def by_mmap(path: Path) -> bytes:
    hasher = blake3(max_threads=1)
    hasher.update_mmap(path)
    return hasher.digest()


def by_buffer(size: int) -> Callable[[Path], bytes]:
    buffer = bytearray(size)
    view = memoryview(buffer)

    def read(path: Path) -> bytes:
        hasher = blake3(max_threads=1)
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                hasher.update(view[:count])
        return hasher.digest()

    return read


WAYS: dict[str, Callable[[Path], bytes]] = {
    "vault.digest": by_digest,
    "mmap": by_mmap,
    **{f"read {size} KB": by_buffer(size * 1024) for size in (64, 128, 256, 512, 1024)},
}


@pytest.mark.benchmark(timer=time.process_time, min_rounds=12, warmup=True, warmup_iterations=2)
@pytest.mark.parametrize("way", WAYS)
def test_hash_of_a_camera_minute(benchmark: BenchmarkFixture, segment: Path, way: str) -> None:
    digest = benchmark(WAYS[way], segment)
    assert digest == by_mmap(segment)
