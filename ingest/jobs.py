"""What the recorder hands to the writer thread, in order. Values; the files are in `ingest.writer`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vault.media import SegmentFlag, SegmentHead, TrackParams
from vault.segment.build import TrackRun


@dataclass(slots=True, eq=False)
class Opened:
    """A new segment: its file is to be made. The object itself is the handle that later jobs name."""

    head: SegmentHead
    tracks: tuple[TrackParams, ...]


@dataclass(slots=True, eq=False)
class Appended:
    """One fragment: the tables of its runs and the payload's slices in the same order. The slices stay valid until the
    `Released` that follows. `header`: its `moof`, once the writer has built it."""

    segment: Opened
    runs: list[TrackRun]
    payload: list[memoryview | bytes]
    header: bytes = b""


@dataclass(slots=True, eq=False)
class Finished:
    """No more fragments: close it. `end_us` is where the next access unit begins; `end_dts` per track, in its ticks."""

    segment: Opened
    end_us: int
    end_dts: list[int]
    flags: SegmentFlag
    clock_offset_us: int | None


@dataclass(slots=True, eq=False)
class Released:
    """The buffers of a sweep may be used again: nothing queued before this job needs them afterwards."""

    release: Callable[[], None] = field(repr=False)


Job = Opened | Appended | Finished | Released
