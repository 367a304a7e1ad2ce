"""Buffers for sweeps, used again and again: an allocation of this size would be mapped and faulted in anew each time."""

from __future__ import annotations

import threading
from collections.abc import Sequence

LARGE_BYTES = 2 << 20
SMALL_BYTES = 1 << 17
MAX_FREE = 32
"""Buffers of a kind that are kept. At a start every camera holds its first second; that memory goes back afterwards."""

READ_LIMIT_BYTES = 768 << 10
"""At most this much is read into one set of arenas; with what is carried over it fits twice into a large one."""


class Arenas:
    """A last-in first-out pool: the buffer that was used last is the one still in the processor's cache.

    Taken by the sweep thread, given back by the writer thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: dict[int, list[bytearray]] = {LARGE_BYTES: [], SMALL_BYTES: []}
        self._out_bytes = 0

    @property
    def out_bytes(self) -> int:
        """Bytes of buffers that the writer has not given back: how far it lags."""
        return self._out_bytes

    def take(self, large: Sequence[bool], carried: Sequence[int]) -> list[bytearray]:
        """One buffer a track; larger than usual where a track carries so much that the usual one would be short."""
        out: list[bytearray] = []
        with self._lock:
            for is_large, size in zip(large, carried, strict=True):
                usual = LARGE_BYTES if is_large else SMALL_BYTES
                if size + 2 * READ_LIMIT_BYTES > LARGE_BYTES and is_large:
                    buffer = bytearray(size * 2 + 2 * READ_LIMIT_BYTES)
                else:
                    free = self._free[usual]
                    buffer = free.pop() if free else bytearray(usual)
                self._out_bytes += len(buffer)
                out.append(buffer)
        return out

    def give_back(self, buffers: Sequence[bytearray]) -> None:
        with self._lock:
            for buffer in buffers:
                self._out_bytes -= len(buffer)
                free = self._free.get(len(buffer))
                if free is not None and len(free) < MAX_FREE:
                    free.append(buffer)
