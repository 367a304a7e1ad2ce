"""The identity of a segment: BLAKE3 of its file, read once after close, while it is still in the page cache.

SHA-256 is not used here: without CPU support it costs more than all the rest of recording. It belongs to exports.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

from blake3 import blake3

from vault.files import store_error, write_all

_BUFFER_BYTES = 512 * 1024
"""30 MB from page cache on a 2-core machine, 2026-11-22, CPU per file: 64 KB 10.4 ms, 256 KB 9.5, 512 KB 9.0, 1 MB 8.7,
`update_mmap` 8.7 (benchmarks/bench_hash.py). The buffer wins over mmap all the same: a bad sector under a mapping is
SIGBUS and kills the process, here it is an error of one segment."""

_local = threading.local()


def bytes_digest(data: bytes | bytearray | memoryview) -> bytes:
    """BLAKE3 of bytes in memory: 32 bytes."""
    return blake3(data, max_threads=1).digest()


def fd_digest(fd: int, doing: str) -> bytes:
    """BLAKE3 of an open file from its beginning to its end: 32 bytes. The file position does not move.

    `doing` opens the message of a StoreError. One thread: the worker that calls has other cameras beside it.
    """
    hasher = blake3(max_threads=1)
    try:
        for piece in _pieces(fd):
            hasher.update(piece)
    except OSError as error:
        raise store_error(doing, error) from error
    return hasher.digest()


def fd_copy(source: int, target: int) -> bytes:
    """Copy an open file into an empty one; returns the BLAKE3 of the bytes copied. Raises OSError."""
    hasher = blake3(max_threads=1)
    offset = 0
    for piece in _pieces(source):
        hasher.update(piece)
        offset = write_all(target, offset, [piece])
    return hasher.digest()


def _pieces(fd: int) -> Iterator[memoryview]:
    """The file piece by piece, each in the same buffer: done with before the next is asked for."""
    buffer: bytearray | None = getattr(_local, "buffer", None)
    if buffer is None:
        # One buffer a thread for good: above 128 KB each allocation would be mapped and faulted in anew.
        buffer = _local.buffer = bytearray(_BUFFER_BYTES)
    view = memoryview(buffer)
    offset = 0
    while count := os.preadv(fd, [buffer], offset):
        yield view[:count]
        offset += count
