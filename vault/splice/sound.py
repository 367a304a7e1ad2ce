"""The other tracks of a clip: audio, with silence where there is none, and opaque tracks.

Each sample description that occurs makes a track of its own: players do not follow a change of codec within one. Audio is taken
where it overlaps the range; what it has too much of at either end is outside the track's edit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vault.media import Codec, Int64s, TrackParams, TrackTable
from vault.splice.lanes import Fill, Lane, Take, TimeMap
from vault.splice.pieces import Piece, Selection
from vault.splice.silence import nominal_ticks, silent_sample
from vault.splice.ticks import on_grid
from vault.timebase import US

MIN_SILENCE_US = 100_000
"""A shorter hole stays one long sample: cameras stumble, and players bridge that."""

MAX_SILENCE_S = 3_600
"""Of one gap at most this much is filled; beyond, the last silent sample lasts (an hour of silence is 1 to 29 MB)."""


@dataclass(slots=True)
class _Builder:
    """A lane being made. `floor` is where the next sample goes at the earliest, `expected` where it would follow smoothly."""

    params: TrackParams
    nominal: int
    silent: bytes | None
    decode: list[Int64s] = field(default_factory=list)
    sizes: list[np.ndarray[tuple[int], np.dtype[np.uint32]]] = field(default_factory=list)
    takes: list[Take] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    number: int = 0
    floor: int = 0
    expected: int = 0

    def add(self, take: Take, times: Int64s) -> None:
        self.takes.append(take)
        self.decode.append(times)
        self.sizes.append(take.table.size[take.first : take.last])
        self.number += len(times)
        self.floor = int(times[-1]) + 1
        self.expected = int(times[-1]) + self.nominal

    def fill(self, piece: int, until: int) -> None:
        """Silence from `expected` until `until`, where the hole is worth it."""
        missing = until - self.expected
        if self.silent is None or missing * US < MIN_SILENCE_US * self.params.timescale or missing < self.nominal:
            return
        count = min(missing, MAX_SILENCE_S * self.params.timescale) // self.nominal
        times = self.expected + np.arange(count) * self.nominal
        self.fills.append(Fill(piece, self.silent, count, self.number, 0))
        self.decode.append(times)
        self.sizes.append(np.full(count, len(self.silent), np.uint32))
        self.number += count
        self.floor = int(times[-1]) + 1
        self.expected = int(times[-1]) + self.nominal


EVERY_SOUND = (Codec.AAC, Codec.ALAW, Codec.ULAW, Codec.OPAQUE)


def sound_lanes(selection: Selection, time: TimeMap, codecs: tuple[Codec, ...] = EVERY_SOUND) -> list[Lane]:
    """Audio and opaque tracks, each sample description once, audio with the most samples first; only that one is enabled."""
    used: dict[TrackParams, list[tuple[int, TrackTable]]] = {}
    for at, piece in enumerate(selection.pieces):
        if piece.is_shown:
            for table in piece.part.table.tracks:
                if table.params.codec in codecs and len(table.dts):
                    used.setdefault(table.params, []).append((at, table))
    lanes = [lane for params, tables in used.items() if (lane := _lane(params, tables, selection, time))]
    audio = sorted((lane for lane in lanes if lane.params.codec.is_audio), key=_taken, reverse=True)
    for lane in audio[1:]:
        lane.enabled = False
    return audio + [lane for lane in lanes if not lane.params.codec.is_audio]


def _taken(lane: Lane) -> int:
    return sum(take.last - take.first for take in lane.takes)


def _lane(params: TrackParams, tables: list[tuple[int, TrackTable]], selection: Selection, time: TimeMap) -> Lane | None:
    nominal = _usual_ticks(params, tables[0][1])
    build = _Builder(params, nominal, silent_sample(params, nominal))
    end = time.end_tick(params.timescale)
    media_time = 0
    for at, table in tables:
        piece = selection.pieces[at]
        first, last = _overlapping(at, piece, table, selection, nominal)
        if last <= first:
            continue
        exact = time.ticks(at, piece.part, table.dts[first:last], params.timescale)
        if build.number == 0:
            # The first sample overlaps the clip's beginning: what of it lies before is cut off by the edit.
            media_time = max(0, min(nominal, round(-float(exact[0]))))
            if exact[0] > 0:
                _lead_in(build, round(float(exact[0])))
            exact += media_time
        else:
            # A new segment's audio may begin inside the last sample of the one before.
            exact += media_time
            late = int(exact.searchsorted(build.expected - nominal / 2))
            first, exact = first + late, exact[late:]
            if last <= first:
                continue
        times = on_grid(exact, build.floor)
        build.fill(at - 1, int(times[0]))
        _add_with_holes(build, at, piece, table, first, times)
    if not build.takes:
        return None
    dts = np.concatenate(build.decode)
    if dts[0] > 0:
        # Never an empty edit: the first sample is there from the beginning.
        dts[0] = 0
    stop = max(build.expected, int(dts[-1]) + 1)
    shown = min(stop - media_time, end)
    lane = Lane([params], dts, None, np.concatenate(build.sizes), None, media_time, max(shown, 1), stop)
    lane.takes, lane.fills = build.takes, build.fills
    return lane


def _usual_ticks(params: TrackParams, table: TrackTable) -> int:
    if len(table.dts) > 2 and params.codec is not Codec.AAC:
        return max(int(np.median(np.diff(table.dts[:64]))), 1)
    return nominal_ticks(params)


def _overlapping(at: int, piece: Piece, table: TrackTable, selection: Selection, nominal: int) -> tuple[int, int]:
    """The samples `[first, last)` that sound inside what the piece shows. At a border to its own continuation nothing is cut:
    audio that came late stands in the next segment."""
    pieces = selection.pieces
    follows = at > 0 and pieces[at - 1].is_shown and piece.part.continues(pieces[at - 1].part)
    goes_on = at + 1 < len(pieces) and pieces[at + 1].part.continues(piece.part)
    begin, stop = piece.part.tick_of(table, piece.start_us), piece.part.tick_of(table, piece.end_us)
    first = 0 if follows else int(np.searchsorted(table.dts, begin - nominal, side="right"))
    last = len(table.dts) if goes_on else int(np.searchsorted(table.dts, stop, side="left"))
    return first, last


def _lead_in(build: _Builder, start: int) -> None:
    """Audio that starts late: silence from the clip's beginning, the first sample of it a little longer, so that it fits."""
    if build.params.codec is Codec.OPAQUE:
        build.fills.append(Fill(-1, b"", 1, 0, 0))
        build.decode.append(np.zeros(1, np.int64))
        build.sizes.append(np.zeros(1, np.uint32))
        build.number, build.floor = 1, 1
        return
    if build.silent is None or start < build.nominal:
        return
    count = min(start, MAX_SILENCE_S * build.params.timescale) // build.nominal
    times = start - build.nominal * np.arange(count, 0, -1)
    times[0] = 0
    build.fills.append(Fill(-1, build.silent, count, 0, 0))
    build.decode.append(times)
    build.sizes.append(np.full(count, len(build.silent), np.uint32))
    build.number, build.floor, build.expected = count, int(times[-1]) + 1, start


def _add_with_holes(build: _Builder, at: int, piece: Piece, table: TrackTable, first: int, times: Int64s) -> None:
    """A take for each stretch without a hole that silence is put into."""
    limit = build.nominal + max(build.nominal, MIN_SILENCE_US * build.params.timescale // US)
    holes = np.flatnonzero(times[1:] - times[:-1] >= limit) + 1 if build.silent is not None else np.zeros(0, np.int64)
    start = 0
    for stop in [*holes.tolist(), len(times)]:
        if start:
            build.fill(at, int(times[start]))
        build.add(Take(at, table, first + start, first + stop, build.number, 0, piece.part.table.tracks), times[start:stop])
        start = stop
