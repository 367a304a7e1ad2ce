"""Virtual fragments of any range for MSE and HLS: an init segment a sample description, then media segments of whole GOPs.

Never the stored `moof`s: they begin anywhere in a GOP and restart their times with each segment, and seeks jump or hang on that.
These begin at random access points and their times go on without a hole: a gap is squeezed and marked as a discontinuity, the
wall clock of each is said beside it. Video and one AAC track; G.711, other AAC descriptions and opaque tracks are left out, since
MSE refuses the whole stream for one track that it does not know. The playlist's text is in `vault.splice.playlist`.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vault.errors import NotFound, UsageError
from vault.media import Codec, Int64s, TrackParams
from vault.segment.boxes import box, full_box
from vault.segment.build import OTHER_SAMPLE, SYNC_SAMPLE
from vault.segment.entries import sample_entry
from vault.segment.movie import FTYP, mvhd, trak
from vault.segment.tables import sample_offsets
from vault.splice.clip import Extents
from vault.splice.lanes import Lane, TimeMap, video_lane
from vault.splice.layout import lay_out
from vault.splice.mime import mime_type
from vault.splice.part import Gaps, Part
from vault.splice.pieces import MIN_GAP_US, Selection, select
from vault.splice.sound import sound_lanes
from vault.timebase import US, Interval

TARGET_US = 4 * US
"""Media segments end at the first random access point after so long."""

_COUNT = struct.Struct(">I")
_EMPTY_TABLES = b"".join(
    full_box(kind, 0, 0, bytes(8 if kind == b"stsz" else 4)) for kind in (b"stts", b"stsc", b"stsz", b"stco")
)
_MDAT = struct.Struct(">I4s")


@dataclass(frozen=True, slots=True)
class Fragment:
    """One media segment: samples `[first, last)` of the video. `init`: the init segment it needs. `start_us`: UTC of its first
    sample. `duration_us` of media. `breaks`: the wall clock jumps or the parameters change in front of it."""

    first: int
    last: int
    init: int
    start_us: int
    duration_us: int
    breaks: bool


@dataclass(frozen=True, slots=True)
class InitSegment:
    """`ftyp` and `moov`, and what `addSourceBuffer` or `changeType` has to be told."""

    data: bytes
    mime: str


@dataclass(frozen=True, slots=True, eq=False)
class MediaSegment:
    """`moof` and `mdat` as bytes that are nowhere; read by range as a Clip is."""

    size: int
    head: bytes
    _ranges: tuple[tuple[int, int], ...]
    _extents: Extents

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """Exactly `length` bytes from `offset`; without a length, all of them. Raises UsageError outside, and what sources raise."""
        length = self.size - offset if length is None else length
        if offset < 0 or length < 0 or offset + length > self.size:
            raise UsageError(f"the media segment has {self.size} bytes: {length} at {offset} are not in it")
        out = bytearray(length)
        view, at = memoryview(out), len(self.head)
        if offset < at:
            head = self.head[offset : offset + length]
            view[: len(head)] = head
            offset, view = offset + len(head), view[len(head) :]
        for begin, size in self._ranges:
            if not len(view):
                break
            skip = offset - at
            at += size
            if skip < size:
                count = min(size - skip, len(view))
                self._extents.fill(begin + skip, view[:count])
                offset, view = offset + count, view[count:]
        return bytes(out)


@dataclass(frozen=True, slots=True, eq=False)
class Fragments:
    """A range as init and media segments. `interval`: what they show, whole GOPs, so more than was `wanted`."""

    wanted: Interval
    interval: Interval
    inits: tuple[InitSegment, ...]
    items: tuple[Fragment, ...]
    gaps: tuple[Interval, ...]
    notes: tuple[str, ...]
    _lanes: tuple[Lane, ...]
    _places: tuple[Int64s, ...]
    _extents: Extents

    def media(self, number: int) -> MediaSegment:
        """Media segment `number`, from 0. Raises NotFound for one that there is not."""
        if not 0 <= number < len(self.items):
            raise NotFound(f"there is no media segment {number}; there are {len(self.items)}")
        item = self.items[number]
        video = self._lanes[0]
        stops = [item.last]
        starts = [item.first]
        for lane in self._lanes[1:]:
            # Sound goes with the pictures that it is heard with; at the ends with the first and the last.
            edges = [_tick(video, item.first, lane), _tick(video, item.last, lane)]
            starts.append(0 if number == 0 else int(np.searchsorted(lane.dts, edges[0] + lane.media_time)))
            stops.append(
                len(lane.dts) if number == len(self.items) - 1 else int(np.searchsorted(lane.dts, edges[1] + lane.media_time))
            )
            if number == 0:
                # A sample that begins before the first picture would begin before time 0.
                starts[-1] = int(np.searchsorted(lane.dts, lane.media_time))
        return self._build(number, starts, stops)

    def _build(self, number: int, starts: list[int], stops: list[int]) -> MediaSegment:
        runs: list[tuple[int, bytes]] = []
        ranges: list[tuple[int, int]] = []
        payload_bytes = []
        for track, (lane, places, first, last) in enumerate(zip(self._lanes, self._places, starts, stops, strict=True), 1):
            if last > first:
                runs.append((track, _trun(lane, first, last)))
                mine = _ranges(places[first:last], lane.size[first:last])
                ranges += mine
                payload_bytes.append(sum(size for _, size in mine))
        moof_bytes = 24 + sum(8 + 16 + 20 + 20 + len(body) for _, body in runs)
        at = moof_bytes + 8
        trafs = []
        for (track, body), size in zip(runs, payload_bytes, strict=True):
            lane, first, last = self._lanes[track - 1], starts[track - 1], stops[track - 1]
            # Offsets count from the moof; duration, size, flags and composition offset stand at each sample (§8.8.7, §8.8.8).
            tfhd = full_box(b"tfhd", 0, 0x020000, _COUNT.pack(track))
            tfdt = full_box(b"tfdt", 1, 0, struct.pack(">Q", max(int(lane.dts[first]) - _shift(lane), 0)))
            trun = full_box(b"trun", 1, 0xF01, struct.pack(">Ii", last - first, at), body)
            trafs.append(box(b"traf", tfhd, tfdt, trun))
            at += size
        moof = box(b"moof", full_box(b"mfhd", 0, 0, _COUNT.pack(number + 1)), *trafs)
        head = moof + _MDAT.pack(8 + sum(payload_bytes), b"mdat")
        return MediaSegment(len(head) + sum(payload_bytes), head, tuple(ranges), self._extents)


def plan_fragments(parts: Sequence[Part], wanted: Interval, target_us: int = TARGET_US) -> Fragments:
    """Cut `wanted` into media segments of about `target_us`, from the random access point before it to the end of the last GOP.

    `parts` as for `plan_clip`. Raises NotFound when no picture is in the range, Refused where the codec changes inside it.
    """
    selection = select(parts, _whole_gops(select(parts, wanted)))
    if not selection.has_video:
        raise NotFound("the camera has no video: there is nothing to make fragments of")
    time = TimeMap.of(selection, Gaps.SQUEEZE)
    lanes = [video_lane(selection, time), *sound_lanes(selection, time, (Codec.AAC,))[:1]]
    layout = lay_out(lanes, [piece.index for piece in selection.pieces])
    places = tuple(
        sample_offsets(chunk[1], np.diff(chunk[0], append=len(lane.dts)), lane.size)
        for lane, chunk in zip(lanes, layout.chunks, strict=True)
    )
    sound = [lane.params for lane in lanes[1:]]
    inits = tuple(_init([entry, *sound], selection.interval.start_us) for entry in lanes[0].entries)
    left_out = {
        table.params.codec
        for piece in selection.pieces
        for table in piece.part.table.tracks
        if not table.params.codec.is_video and table.params not in sound
    }
    notes = [*selection.notes, *(f"{codec} is left out of the fragments" for codec in sorted(left_out))]
    return Fragments(
        wanted,
        selection.interval,
        inits,
        tuple(_cut(lanes[0], selection, time, target_us)),
        tuple(selection.gaps),
        tuple(notes),
        tuple(lanes),
        places,
        Extents(layout, [part.source for part in selection.parts]),
    )


def _whole_gops(selection: Selection) -> Interval:
    """From the first sample that is decoded to where the next random access point begins after the last."""
    first, last = selection.pieces[0], selection.pieces[-1]
    start_us, end_us = selection.interval.start_us, selection.interval.end_us
    table = first.part.table.video
    if table is not None:
        start_us = min(start_us, int(first.part.instants_us(table)[first.first]))
    table = last.part.table.video
    if table is not None and last.instants_us is not None:
        after = np.flatnonzero(table.sync[last.last :])
        if len(after):
            end_us = max(end_us, int(last.part.instants_us(table)[last.last + after[0]]))
        elif last.last < len(table.dts) or end_us < last.part.end_us:
            end_us = max(end_us, last.part.end_us)
    return Interval(start_us, end_us)


def _cut(video: Lane, selection: Selection, time: TimeMap, target_us: int) -> list[Fragment]:
    """Fragments end at a sync sample: where one is long enough, in front of a gap and in front of other parameters."""
    scale = video.params.timescale
    syncs = np.arange(len(video.dts)) if video.sync is None else video.sync
    takes = video.takes
    breaks: dict[int, bool] = {}
    for before, take in itertools.pairwise(takes):
        hole = selection.pieces[take.piece].start_us - selection.pieces[before.piece].end_us
        breaks[take.number] = hole >= MIN_GAP_US or take.entry != before.entry
    edges = [0]
    target = target_us * scale // US
    for sync in syncs.tolist():
        if sync > edges[-1] and (breaks.get(sync) or video.dts[sync] - video.dts[edges[-1]] >= target):
            edges.append(sync)
    for number, broken in breaks.items():
        if broken and number not in edges:
            edges.append(number)
    edges = [*sorted(edges), len(video.dts)]
    numbers = np.array([take.number for take in takes])
    out = []
    for first, last in itertools.pairwise(edges):
        take = takes[int(np.searchsorted(numbers, first, side="right")) - 1]
        begin = int(video.dts[first]) - video.media_time
        stop = (int(video.dts[last]) if last < len(video.dts) else video.end) - video.media_time
        start_us = time.origins_us[take.piece] + begin * US // scale
        out.append(Fragment(first, last, take.entry, start_us, (stop - begin) * US // scale, breaks.get(first, False)))
    return out


def _shift(lane: Lane) -> int:
    """Sound's time 0 is where the first picture is, inside its first sample; the video has no edit here."""
    return 0 if lane.params.codec.is_video else lane.media_time


def _tick(video: Lane, number: int, lane: Lane) -> float:
    """Where a video sample begins, in ticks of another lane."""
    at = int(video.dts[number]) if number < len(video.dts) else video.end
    return at * lane.params.timescale / video.params.timescale


def _trun(lane: Lane, first: int, last: int) -> bytes:
    following = int(lane.dts[last]) if last < len(lane.dts) else lane.end
    rows = np.zeros((last - first, 4), dtype=">u4")
    rows[:, 0] = np.diff(lane.dts[first:last], append=following)
    rows[:, 1] = lane.size[first:last]
    rows[:, 2] = SYNC_SAMPLE
    if lane.sync is not None:
        rows[:, 2] = OTHER_SAMPLE
        inside = lane.sync[(lane.sync >= first) & (lane.sync < last)]
        rows[inside - first, 2] = SYNC_SAMPLE
    if lane.cts is not None:
        rows[:, 3] = lane.cts[first:last] & 0xFFFFFFFF
    return rows.tobytes()


def _ranges(places: Int64s, sizes: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> list[tuple[int, int]]:
    """Samples that lie one behind the other, as (offset, length)."""
    ends = places + sizes
    starts = np.concatenate(([0], np.flatnonzero(places[1:] != ends[:-1]) + 1))
    stops = ends[np.append(starts[1:], len(places)) - 1]
    return list(zip(places[starts].tolist(), (stops - places[starts]).tolist(), strict=True))


def _init(tracks: Sequence[TrackParams], start_us: int) -> InitSegment:
    traks, extends = [], []
    for number, params in enumerate(tracks, 1):
        stsd = full_box(b"stsd", 0, 0, _COUNT.pack(1), sample_entry(params))
        traks.append(trak(number, params, start_us, box(b"stbl", stsd, _EMPTY_TABLES)))
        extends.append(full_box(b"trex", 0, 0, struct.pack(">5I", number, 1, 0, 0, 0)))
    moov = box(b"moov", mvhd(start_us, 0, len(tracks)), *traks, box(b"mvex", *extends))
    return InitSegment(FTYP + moov, mime_type(tracks))
