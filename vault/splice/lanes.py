"""The tracks of a clip as flat tables: when each sample is decoded and presented. Video here; sound is in `vault.splice.sound`.

Times are ticks of the track's own timescale; 0 is the first instant shown, after the pre-roll. Where the bytes lie is decided in
`vault.splice.layout`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vault.errors import Refused
from vault.media import Bools, Int64s, TrackParams, TrackTable, UInt32s
from vault.splice.part import Floats, Gaps, Part
from vault.splice.pieces import MIN_GAP_US, Piece, Selection
from vault.splice.ticks import on_grid
from vault.timebase import US, format_local

MAX_KEPT_GAP_US = 12 * 3600 * US
"""A longer gap is shortened to this, even when gaps are kept: the duration of one sample has 32 bits, 13 hours of video."""


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """Samples `[first, last)` of one stored track that stand in a lane from `number` on, described by `entries[entry]`.

    `neighbours`: all tracks of its segment.
    """

    piece: int
    table: TrackTable
    first: int
    last: int
    number: int
    entry: int
    neighbours: tuple[TrackTable, ...]


@dataclass(frozen=True, slots=True)
class Fill:
    """`count` samples of ours, each `sample`, that stand in a lane from `number` on, and in the file behind piece `piece` (-1:
    before the first)."""

    piece: int
    sample: bytes
    count: int
    number: int
    entry: int


@dataclass(slots=True)
class Lane:
    """One track of a clip, in decode order.

    `cts`: presentation minus decode time, or None. `sync`: numbers (from 0) of random access points, or None: all are.
    `media_time`: where presentation begins: the pre-roll's ticks, or the part of the first audio sample that is not heard.
    `shown`: ticks that are presented. `end`: where the last sample ends.
    """

    entries: list[TrackParams]
    dts: Int64s
    cts: Int64s | None
    size: UInt32s
    sync: Int64s | None
    media_time: int
    shown: int
    end: int
    takes: list[Take] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    enabled: bool = True

    @property
    def params(self) -> TrackParams:
        return self.entries[0]


@dataclass(frozen=True, slots=True, eq=False)
class TimeMap:
    """Where each piece lies in the clip: `origins_us` are UTC instants that clip time 0 has as seen from each piece."""

    selection: Selection
    origins_us: tuple[int, ...]
    duration_us: int

    @classmethod
    def of(cls, selection: Selection, gaps: Gaps) -> TimeMap:
        """Kept, a gap leaves all origins at the clip's start; squeezed, each gap moves the later ones on."""
        origin, origins, before_us = selection.interval.start_us, [], None
        longest = 0 if gaps is Gaps.SQUEEZE else MAX_KEPT_GAP_US
        for piece in selection.pieces:
            if piece.is_shown:
                hole = 0 if before_us is None else piece.start_us - before_us
                if hole >= MIN_GAP_US:
                    origin += max(hole - longest, 0)
                before_us = piece.end_us
            origins.append(origin)
        return cls(selection, tuple(origins), selection.interval.end_us - origin)

    def ticks(self, piece: int, part: Part, stored: Int64s, timescale: int) -> Floats:
        """Clip ticks, exact, of a segment's own ticks."""
        exact: Floats = np.multiply(stored, part.us_per_second / US, dtype=np.float64)
        exact += (part.start_us - self.origins_us[piece]) * timescale / US
        return exact

    def end_tick(self, timescale: int) -> int:
        return round(self.duration_us * timescale / US)


def video_lane(selection: Selection, time: TimeMap) -> Lane:
    """The video track of all pieces. Raises Refused where the camera's codec changes: no player follows that in one track."""
    pieces = [(at, piece) for at, piece in enumerate(selection.pieces) if piece.last > piece.first]
    entries = _entries(pieces)
    preroll = sum(_preroll(piece, selection) for _, piece in pieces)
    timescale = entries[0].timescale
    end = _end_tick(pieces[-1][1], time, timescale)
    decode: list[Int64s] = []
    offsets: list[Int64s | None] = []
    takes: list[Take] = []
    number, floor = 0, 0
    for at, piece in pieces:
        table = _video(piece)
        neighbours = piece.part.table.tracks
        takes.append(Take(at, table, piece.first, piece.last, number, entries.index(table.params), neighbours))
        dts, cts = _piece_times(at, piece, table, time, (preroll, end, floor))
        decode.append(dts)
        offsets.append(cts)
        number += len(dts)
        floor = int(dts[-1]) + 1
    dts = np.concatenate(decode)
    cts = None
    if any(item is not None for item in offsets):
        cts = np.concatenate([np.zeros(len(d), np.int64) if c is None else c for d, c in zip(decode, offsets, strict=True)])
    size = np.concatenate([take.table.size[take.first : take.last] for take in takes])
    sync = np.flatnonzero(np.concatenate([take.table.sync[take.first : take.last] for take in takes]))
    # The last sample in decode order lasts until the end of what is shown, or one tick where it is post-roll.
    total = max(preroll + end, int(dts[-1]) + 1)
    return Lane(entries, dts, cts, size, sync, preroll, end, total, takes)


def _video(piece: Piece) -> TrackTable:
    table = piece.part.table.video
    assert table is not None
    return table


def _entries(pieces: list[tuple[int, Piece]]) -> list[TrackParams]:
    entries: list[TrackParams] = []
    for _, piece in pieces:
        params = _video(piece).params
        if params not in entries:
            entries.append(params)
        if params.codec is not entries[0].codec or params.timescale != entries[0].timescale:
            at = format_local(piece.start_us, exact=True)
            raise Refused(
                f"the camera changed from {entries[0].codec} to {params.codec} at {at}, which no player follows within one file: "
                f"ask for the time before and the time from {at} on apart"
            )
    return entries


def _end_tick(piece: Piece, time: TimeMap, timescale: int) -> int:
    """Where presentation ends. A picture that begins just before the end still gets a tick, though rounding leaves it none."""
    instants = (
        piece.part.instants_us(_video(piece))[piece.first : piece.last] if piece.instants_us is None else piece.instants_us
    )
    last_us = int(instants[instants < piece.end_us].max(initial=piece.start_us)) - time.origins_us[-1]
    return max(time.end_tick(timescale), -(-last_us * timescale // US) + 2)


def _preroll(piece: Piece, selection: Selection) -> int:
    """How many ticks of this piece are presented before the clip's first instant: one for each such picture.

    libav counts time from the first sample that it decodes and shows; that one must not be decoded later than the first picture
    is presented. So references that are decoded before it and presented after the clip add a tick each.
    """
    if not piece.is_shown:
        return piece.last - piece.first
    if piece.instants_us is None:
        return 0
    begin_us = selection.interval.start_us
    early = piece.instants_us < begin_us
    return int(early.sum()) + _late_before_shown(piece, begin_us)


def _late_before_shown(piece: Piece, begin_us: int) -> int:
    """Samples in front of the first one shown, in decode order, that are presented after the end."""
    if piece.instants_us is None:
        return 0
    late = piece.instants_us >= piece.end_us
    return int(late[: _first_shown(piece, begin_us)].sum())


def _first_shown(piece: Piece, begin_us: int) -> int:
    assert piece.instants_us is not None
    return int(np.argmax((piece.instants_us >= begin_us) & (piece.instants_us < piece.end_us)))


def _piece_times(
    at: int, piece: Piece, table: TrackTable, time: TimeMap, place: tuple[int, int, int]
) -> tuple[Int64s, Int64s | None]:
    """Decode times and composition offsets of one piece. `place`: the clip's pre-roll, its end, the first tick that is free."""
    preroll, end, floor = place
    timescale = table.params.timescale
    stored = table.dts[piece.first : piece.last]
    cts = None if table.cts is None else table.cts[piece.first : piece.last]
    if piece.is_shown and piece.instants_us is None:
        exact = time.ticks(at, piece.part, stored, timescale)
        exact += preroll
        grid = on_grid(exact, floor)
        if cts is None:
            return grid, None
        # A closed segment's decode times are its presentation times, sorted; so a sample's presentation is one of them.
        rank = np.minimum(np.searchsorted(stored, stored + cts), len(stored) - 1)
        if (stored[rank] == stored + cts).all():
            return grid, grid[rank] - grid
    present = stored if cts is None else stored + cts
    order = np.argsort(present, kind="stable")
    shown, late = _parts_of(piece, time.selection, order)
    # Pre-roll lasts one tick a picture, and so does what is needed after the end: a player that ignores the edit shows it for
    # 11 µs, one that ignores `media_time` loses nothing.
    sorted_times = floor + np.arange(len(order))
    if shown.any():
        exact = time.ticks(at, piece.part, present[order][shown], timescale) + preroll
        sorted_times[shown] = on_grid(exact, max(floor, preroll))
    if late.any():
        begin = max(preroll + end, int(sorted_times[~late].max(initial=floor - 1)) + 1)
        sorted_times[late] = begin + np.arange(int(late.sum()))
    if cts is None:
        return sorted_times, None
    presented = np.empty_like(sorted_times)
    presented[order] = sorted_times
    decoded = sorted_times
    if late.any():
        # GStreamer stops at the first sample that is decoded after the end of the edit, whenever it is presented.
        decoded = np.minimum(sorted_times, preroll + end - np.arange(len(order), 0, -1))
        if decoded[0] < floor:
            decoded = sorted_times
        if _late_before_shown(piece, time.selection.interval.start_us):
            upto = _first_shown(piece, time.selection.interval.start_us) + 1
            decoded[:upto] = np.minimum(decoded[:upto], preroll + 1 - np.arange(upto, 0, -1))
    return decoded, presented - decoded


def _parts_of(piece: Piece, selection: Selection, order: Int64s) -> tuple[Bools, Bools]:
    """Of a piece's samples in order of presentation: which are shown, which are presented after the end of the clip."""
    if not piece.is_shown:
        none = np.zeros(len(order), np.bool_)
        return none, none
    if piece.instants_us is None:
        return np.ones(len(order), np.bool_), np.zeros(len(order), np.bool_)
    instants = piece.instants_us[order]
    late = instants >= piece.end_us
    return (instants >= selection.interval.start_us) & ~late, late
