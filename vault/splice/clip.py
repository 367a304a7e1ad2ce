"""A clip as bytes: a file that is nowhere, of exact length, read by range out of the stored objects. How it is made up: `plan`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from vault.errors import UsageError
from vault.ids import SegmentKey
from vault.source import ByteSource
from vault.splice.layout import LITERAL, Layout
from vault.timebase import Interval

CHUNK_BYTES = 4 * 1024 * 1024


class _Fills(Protocol):
    """A source that can fill a buffer of ours, which saves a fresh allocation a read; FileSource does."""

    def read_into(self, offset: int, buffer: memoryview) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A virtual file.

    `interval`: what is shown, from the first picture on. `preroll`, `postroll`: footage outside it that the file holds because
    decoding needs it; whoever may see the clip can see that too. `gaps`: time inside without footage (in a squeezed clip: left
    out). `sources`: the segments whose samples it holds. `notes`: what a reader should know, for people.
    `etag`: strong (RFC 9110 §8.8.3), without quotes; equal only for equal bytes.
    """

    size: int
    etag: str
    interval: Interval
    preroll: Interval | None
    postroll: Interval | None
    gaps: tuple[Interval, ...]
    sources: tuple[SegmentKey, ...]
    notes: tuple[str, ...]
    head: bytes
    _extents: Extents

    @property
    def held(self) -> Interval:
        """From the first to the last instant of which the file holds a picture: what authorisation has to cover."""
        start_us = self.preroll.start_us if self.preroll else self.interval.start_us
        return Interval(start_us, self.postroll.end_us if self.postroll else self.interval.end_us)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`. Raises UsageError outside the file, and what the sources raise."""
        self._check(offset, length)
        out = bytearray(length)
        self._fill(offset, memoryview(out))
        return bytes(out)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """As `read`, into a buffer of the caller's."""
        self._check(offset, len(buffer))
        self._fill(offset, buffer)

    def chunks(self, offset: int = 0, length: int | None = None, chunk_bytes: int = CHUNK_BYTES) -> Iterator[memoryview]:
        """The bytes from `offset` in order. Each view is good until the next one is asked for: they share one buffer."""
        stop = self.size if length is None else offset + length
        self._check(offset, stop - offset)
        buffer = memoryview(bytearray(min(chunk_bytes, max(stop - offset, 1))))
        while offset < stop:
            view = buffer[: min(len(buffer), stop - offset)]
            self._fill(offset, view)
            yield view
            offset += len(view)

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise UsageError(f"the clip has {self.size} bytes: {length} at {offset} are not in it")

    def _fill(self, offset: int, view: memoryview) -> None:
        head = len(self.head)
        if offset < head:
            count = min(head - offset, len(view))
            view[:count] = self.head[offset : offset + count]
            offset, view = offset + count, view[count:]
        if len(view):
            self._extents.fill(offset - head, view)


class Extents:
    """The payload: byte ranges of sources and literals, found by offset."""

    __slots__ = ("_lengths", "_literals", "_offsets", "_owners", "_sources", "_starts")

    def __init__(self, layout: Layout, sources: list[ByteSource]) -> None:
        self._starts: list[int] = layout.starts.tolist()
        self._owners: list[int] = layout.sources.tolist()
        self._offsets: list[int] = layout.offsets.tolist()
        self._lengths: list[int] = layout.lengths.tolist()
        self._literals = memoryview(layout.literals)
        self._sources = sources

    def __len__(self) -> int:
        return len(self._starts)

    def fill(self, offset: int, view: memoryview) -> None:
        """The payload's bytes from `offset` on, which the caller knows to be there."""
        at = bisect_right(self._starts, offset) - 1
        while len(view):
            skip = offset - self._starts[at]
            count = min(self._lengths[at] - skip, len(view))
            begin = self._offsets[at] + skip
            if self._owners[at] == LITERAL:
                view[:count] = self._literals[begin : begin + count]
            else:
                _read_into(self._sources[self._owners[at]], begin, view[:count])
            offset, view, at = offset + count, view[count:], at + 1


def _read_into(source: ByteSource, offset: int, view: memoryview) -> None:
    if hasattr(source, "read_into"):
        cast(_Fills, source).read_into(offset, view)
    else:
        view[:] = source.read(offset, len(view))
