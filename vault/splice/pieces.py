"""Which samples of which segments a clip of `[start, end)` needs: those it shows, and those a decoder needs before them.

Decides on tables only. Where the samples come to lie in time and in the file is in `vault.splice.lanes` and `vault.splice.layout`.

A clip begins at the first picture inside the range. Before it come the samples from the random access point on (pre-roll); at
its end there may be reference pictures that are decoded before the last ones shown and presented after the end (post-roll).
In the middle of a clip nothing is ever decoded without being shown: a segment that takes over within a GOP begins at its next
random access point, and one that is overtaken ends before the first sample that would be presented too late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vault.errors import NotFound
from vault.media import Bools, Int64s, TrackTable
from vault.splice.cover import Cover, cover, order
from vault.splice.part import Part
from vault.timebase import Interval, format_local, subtract

MIN_GAP_US = 1_000
"""A shorter hole between two segments is rounding, not a gap."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Consecutive video samples `[first, last)` of `parts[index]`, in decode order, and the UTC they show.

    `start_us` = `end_us`: it is pre-roll only. `instants_us`: of its samples, only where some of them are not shown.
    A part without video has `first` = `last` = 0.
    """

    index: int
    part: Part
    first: int
    last: int
    start_us: int
    end_us: int
    instants_us: Int64s | None = None

    @property
    def is_shown(self) -> bool:
        return self.end_us > self.start_us


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What a clip is made of. `interval` begins at the first picture shown; `held` also covers pre-roll and post-roll."""

    parts: tuple[Part, ...]
    pieces: tuple[Piece, ...]
    interval: Interval
    held: Interval
    has_video: bool
    notes: tuple[str, ...]

    @property
    def gaps(self) -> list[Interval]:
        """Time inside the clip without a picture."""
        shown = [Interval(piece.start_us, piece.end_us) for piece in self.pieces if piece.is_shown]
        return [gap for gap in subtract(self.interval, shown) if gap.duration_us >= MIN_GAP_US]


@dataclass(slots=True)
class _Builder:
    parts: list[Part]
    wanted: Interval
    earliest_us: int
    has_video: bool
    withheld: bool = False
    pieces: list[Piece] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def select(parts: Sequence[Part], wanted: Interval, earliest_us: int | None = None) -> Selection:
    """Choose the pieces. `earliest_us`: no picture before it may be in the file, as pre-roll neither.

    Raises NotFound when no picture (in a camera without video: no sample) begins inside `wanted`.
    """
    ordered = order(parts)
    has_video = any(part.table.video is not None for part in ordered)
    build = _Builder(ordered, wanted, -1 if earliest_us is None else earliest_us, has_video)
    covers = cover(ordered)
    for at, item in enumerate(covers):
        if item.end_us <= wanted.start_us or item.start_us >= wanted.end_us:
            continue
        track = ordered[item.index].table.video
        if not has_video:
            start_us, end_us = max(item.start_us, wanted.start_us), min(item.end_us, wanted.end_us)
            build.pieces.append(Piece(item.index, ordered[item.index], 0, 0, start_us, end_us))
        elif track is None or not len(track.dts):
            continue
        elif build.pieces:
            _follow(build, item, track)
        else:
            _begin(build, covers, at, track)
    if not build.pieces:
        raise NotFound(f"no picture begins in {wanted} in the {len(ordered)} segments given")
    return _finish(build)


def reaches_back(part: Part, start_us: int) -> bool:
    """Whether a clip from `start_us`, the first of whose parts is this one, needs the segment before it to be decodable."""
    track = part.table.video
    if track is None or not len(track.dts):
        return False
    instants = part.instants_us(track)
    later = np.flatnonzero(instants >= start_us)
    if not len(later):
        return False
    before = np.flatnonzero(track.sync[: later[0] + 1])
    if not len(before):
        return True
    return bool(before[0] == before[-1] and _leads(instants, int(before[-1]), start_us))


def _leads(instants: Int64s, at: int, start_us: int) -> bool:
    """Whether pictures to be shown precede the random access point `at` in time but follow it in decoding (an open GOP)."""
    after = instants[at + 1 :]
    return bool(((after < instants[at]) & (after >= start_us)).any())


def _begin(build: _Builder, covers: list[Cover], at: int, track: TrackTable) -> None:
    """Try to start the clip in this cover: find the first picture shown and the random access point it is decoded from."""
    item = covers[at]
    part = build.parts[item.index]
    instants = part.instants_us(track)
    start_us, end_us = max(build.wanted.start_us, item.start_us), min(build.wanted.end_us, item.end_us)
    shown: Bools = (instants >= start_us) & (instants < end_us)
    if not shown.any():
        return
    target = int(np.argmax(shown))
    syncs = np.flatnonzero(track.sync)
    before = syncs[syncs <= target]
    chain: list[Piece] = []
    if len(before) and not _leads(instants, int(before[-1]), start_us):
        first = int(before[-1])
    elif len(before) > 1:
        first = int(before[-2])
    else:
        chain = _chain(build, covers, at)
        if chain:
            first = 0
        elif len(before):
            # An open GOP whose leading pictures refer to footage that is not there: they cannot be shown.
            first = int(before[-1])
            start_us = int(instants[first])
        else:
            after = syncs[(syncs > target) & (instants[syncs] < end_us)]
            first = int(after[0]) if len(after) else 0
            if len(after):
                start_us = int(instants[first])
                build.notes.append(f"begins at {format_local(start_us, exact=True)}, the first key frame of what is there")
            else:
                build.notes.append("there is no key frame to start from: the first pictures may be damaged")
    oldest_us = _oldest(chain, int(instants[first:].min()))
    if oldest_us < min(build.earliest_us, start_us):
        # The pre-roll would show more than is allowed: start at the next random access point instead.
        build.withheld = True
        after = syncs[(instants[syncs] >= max(start_us, build.earliest_us)) & (instants[syncs] < end_us)]
        if not len(after):
            return
        chain, first = [], int(after[0])
        start_us = int(instants[first])
        build.notes.append(
            f"begins at {format_local(start_us, exact=True)}: the pictures that an earlier start needs lie outside what is allowed"
        )
    shown = (instants >= start_us) & (instants < end_us)
    last = _last(build, item, instants, shown)
    cut = instants[first:last]
    shown_from = cut[(cut >= start_us) & (cut < end_us)]
    if not len(shown_from):
        return
    build.pieces += chain
    build.pieces.append(Piece(item.index, part, first, last, int(shown_from.min()), end_us, cut))


def _oldest(chain: list[Piece], own_us: int) -> int:
    if not chain:
        return own_us
    track = chain[0].part.table.video
    assert track is not None
    return int(chain[0].part.instants_us(track)[chain[0].first :].min())


def _chain(build: _Builder, covers: list[Cover], at: int) -> list[Piece]:
    """Pre-roll from the segments that this one continues, back to a random access point; empty when there is none."""
    chain: list[Piece] = []
    for back in range(at - 1, -1, -1):
        part, after = build.parts[covers[back].index], build.parts[covers[back + 1].index]
        track = part.table.video
        if track is None or not after.continues(part) or covers[back].end_us < part.end_us:
            return []
        syncs = np.flatnonzero(track.sync)
        first = int(syncs[-1]) if len(syncs) else 0
        border_us = covers[back].end_us
        chain.insert(0, Piece(covers[back].index, part, first, len(track.dts), border_us, border_us))
        if len(syncs):
            return chain
    return []


def _follow(build: _Builder, item: Cover, track: TrackTable) -> None:
    """Take what comes after the first piece."""
    part, before = build.parts[item.index], build.pieces[-1]
    theirs = before.part.table.video
    whole_before = theirs is not None and before.last == len(theirs.dts)
    first, start_us = 0, item.start_us
    if start_us > part.start_us or not (track.sync[0] or (whole_before and part.continues(before.part))):
        instants = part.instants_us(track)
        usable = np.flatnonzero(track.sync & (instants >= start_us))
        if not len(usable):
            build.notes.append(
                f"the segment of {format_local(part.start_us, exact=True)} has no key frame to go on from and is left out"
            )
            return
        first = int(usable[0])
        start_us = int(instants[first])
    if item.end_us >= part.end_us and part.end_us <= build.wanted.end_us:
        if start_us < item.end_us:
            build.pieces.append(Piece(item.index, part, first, len(track.dts), start_us, item.end_us))
        return
    instants = part.instants_us(track)
    end_us = min(item.end_us, build.wanted.end_us)
    shown = instants < end_us
    shown[:first] = False
    if start_us < end_us and shown.any():
        last = _last(build, item, instants, shown)
        build.pieces.append(Piece(item.index, part, first, last, start_us, end_us, instants[first:last]))


def _last(build: _Builder, item: Cover, instants: Int64s, shown: Bools) -> int:
    """Behind the last sample needed. At the end of the clip that is the last one shown, with the references before it; where
    another segment takes over, nothing may be decoded that is presented too late."""
    if item.end_us >= build.wanted.end_us:
        return int(np.flatnonzero(shown)[-1]) + 1
    late = np.flatnonzero(instants >= item.end_us)
    return int(late[0]) if len(late) else len(instants)


def _finish(build: _Builder) -> Selection:
    shown = [piece for piece in build.pieces if piece.is_shown]
    interval = Interval(shown[0].start_us, shown[-1].end_us)
    if build.withheld:
        when = format_local(interval.start_us, exact=True)
        build.notes.append(f"begins at {when}: the pictures that an earlier start needs lie outside what is allowed")
    held_start, held_end = interval.start_us, interval.end_us
    for piece in build.pieces:
        track = piece.part.table.video
        if track is not None and not piece.is_shown:
            held_start = min(held_start, int(piece.part.instants_us(track)[piece.first :].min()))
        elif piece.instants_us is not None:
            held_start = min(held_start, int(piece.instants_us.min()))
            held_end = max(held_end, int(piece.instants_us.max()) + 1)
    return Selection(
        tuple(build.parts), tuple(build.pieces), interval, Interval(held_start, held_end), build.has_video, tuple(build.notes)
    )
