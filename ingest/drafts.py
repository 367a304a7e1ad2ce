"""The recorder's view of an open segment: fragments being put together and where each track stands. No I/O, no decisions."""

from __future__ import annotations

from dataclasses import dataclass, field

from ingest.jobs import Appended, Opened
from ingest.tracks import Stretch
from vault.media import SegmentFlag
from vault.segment.build import TrackRun

Arena = bytearray | bytes


@dataclass(slots=True, eq=False)
class TrackDraft:
    """One track's part of one fragment."""

    dts: list[int] = field(default_factory=list)
    cts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    sync: list[bool] = field(default_factory=list)
    slices: list[tuple[Arena, int, int]] = field(default_factory=list)

    def add(self, dts: int, cts: int, size: int, sync: bool, arena: Arena, offset: int) -> None:
        """A sample whose bytes are `arena[offset : offset + size]`; neighbours in one arena become one slice."""
        self.dts.append(dts)
        self.cts.append(cts)
        self.sizes.append(size)
        self.sync.append(sync)
        slices = self.slices
        if slices:
            last, start, end = slices[-1]
            if last is arena and end == offset:
                slices[-1] = (last, start, offset + size)
                return
        slices.append((arena, offset, offset + size))

    def add_all(self, taken: Stretch, origin: int, arena: Arena) -> None:
        """Units that follow one another: none is a random access point, and each is shown when it is decoded."""
        self.dts += [tick - origin for tick in taken.ticks]
        self.sizes += taken.sizes
        self.cts += [0] * len(taken.ticks)
        self.sync += [False] * len(taken.ticks)
        slices = self.slices
        for start, end in taken.spans:
            if slices and slices[-1][0] is arena and slices[-1][2] == start:
                slices[-1] = (arena, slices[-1][1], end)
            else:
                slices.append((arena, start, end))


@dataclass(slots=True, eq=False)
class SegmentDraft:
    """An open segment as the recorder sees it. Times are ticks of each track's own timescale.

    `start_media_us`: its start in the master's media time. `origins`: the tick that is the segment's start, per track.
    `next_dts`: the least decode time a further sample may have.
    `hard_limit`: the master's tick (absolute) at which it must be cut whatever comes.
    """

    opened: Opened
    start_us: int
    start_media_us: int
    origins: list[int]
    next_dts: list[int]
    hard_limit: int
    flags: SegmentFlag
    fragments: list[dict[int, TrackDraft]] = field(default_factory=lambda: [{}])
    size_bytes: int = 0
    samples: int = 0
    end_us: int = 0
    end_tick: int = 0
    close_by_mono_us: int = 0
    reached: set[int] = field(default_factory=set)

    def track(self, index: int) -> TrackDraft:
        """The track's part of the newest fragment."""
        fragment = self.fragments[-1]
        draft = fragment.get(index)
        if draft is None:
            draft = fragment[index] = TrackDraft()
        return draft

    def begin_fragment(self) -> None:
        """A key frame comes: what follows goes into a fragment of its own (DESIGN: `moof` at each key frame)."""
        if self.fragments[-1]:
            self.fragments.append({})

    def take_fragments(self) -> list[Appended]:
        """Everything put together so far as jobs; the draft goes on empty."""
        jobs: list[Appended] = []
        for fragment in self.fragments:
            runs: list[TrackRun] = []
            payload: list[memoryview | bytes] = []
            for index in sorted(fragment):
                part = fragment[index]
                runs.append(
                    TrackRun(
                        index, part.dts, part.cts if any(part.cts) else None, part.sizes, None if all(part.sync) else part.sync
                    )
                )
                payload.extend(memoryview(arena)[start:end] for arena, start, end in part.slices)
                self.samples += len(part.sizes)
                self.size_bytes += sum(part.sizes)
            if runs:
                jobs.append(Appended(self.opened, runs, payload))
        self.fragments = [{}]
        return jobs
