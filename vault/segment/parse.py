"""The `moov` of a segment, open or closed, into values; sample tables decoded with numpy. Bytes in, nothing read.

Every count is checked against the bytes that are there before anything is made of it, so that hostile bytes cost no more
memory than a few times their own length. Raises Damaged for whatever we do not write.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from vault.errors import Damaged
from vault.media import Bools, Chunks, Int32s, Int64s, SegmentHead, SegmentInfo, TrackParams, TrackTable, UInt32s
from vault.segment.boxes import Span, by_kind, children, need, u32
from vault.segment.entries import parse_entry
from vault.segment.private import decode

MAX_TRACKS = 16
"""Tracks of one segment; one more is refused."""

_MAX_KNOWN_BYTES = 2_048
"""A longer `stsd` is parsed each time: what is remembered must stay small, whoever wrote it."""

_ALL_SYNC: Bools = np.ones(1 << 14, np.bool_)
_ALL_SYNC.flags.writeable = False
"""One array for all tracks whose samples are all random access points, which is every track of audio."""

Boxes = dict[bytes, Span]


def parse_open_moov(data: bytes, moov: Span) -> tuple[SegmentHead, list[TrackParams]]:
    """What the `moov` of an open segment says: whose it is, and its tracks. Raises Damaged."""
    traks, private = _parts(data, moov)
    head, _, _ = decode(data, private)
    out = []
    for number, trak in enumerate(traks, 1):
        params, _ = _track(data, trak, number)
        out.append(params)
    return head, out


def parse_closed_moov(
    data: bytes, moov: Span, samples_from: int, samples_to: int
) -> tuple[SegmentInfo, tuple[TrackTable, ...]]:
    """What the `moov` of a closed segment says. All samples must lie in the file's bytes `[samples_from, samples_to)`.
    Raises Damaged."""
    traks, private = _parts(data, moov)
    _, info, first = decode(data, private)
    if info is None or len(first) != len(traks):
        raise Damaged("the closing moov does not say how the segment ended")
    tables = []
    for number, trak in enumerate(traks, 1):
        params, stbl = _track(data, trak, number)
        tables.append(_table(data, params, stbl, first[number - 1], (samples_from, samples_to)))
    return info, tuple(tables)


def _parts(data: bytes, moov: Span) -> tuple[list[Span], Span]:
    traks, private = [], None
    for span in children(data, moov.body, moov.end):
        if span.kind == b"trak":
            traks.append(span)
        elif span.kind == b"uuid" and private is None:
            private = span
    if private is None or not 0 < len(traks) <= MAX_TRACKS:
        raise Damaged(f"moov at offset {moov.start} is not a segment's: {len(traks)} tracks, private box {private is not None}")
    return traks, private


def _track(data: bytes, trak: Span, number: int) -> tuple[TrackParams, Boxes]:
    """A track's description and the boxes of its `stbl`."""
    boxes = by_kind(data, trak.body, trak.end)
    tkhd = need(boxes, b"tkhd", 96)
    mdia = need(boxes, b"mdia", 8)
    boxes = by_kind(data, mdia.body, mdia.end)
    mdhd, minf = need(boxes, b"mdhd", 36), need(boxes, b"minf", 8)
    timescale = u32(data, mdhd.body + 20)
    if u32(data, tkhd.body + 20) != number or data[tkhd.body] != 1 or data[mdhd.body] != 1 or not 0 < timescale <= 10_000_000:
        raise Damaged(f"track {number} at offset {trak.start} has another number, box version or time scale than we write")
    stbl = need(by_kind(data, minf.body, minf.end), b"stbl", 8)
    boxes = by_kind(data, stbl.body, stbl.end)
    stsd = need(boxes, b"stsd", 16)
    if stsd.end - stsd.start > _MAX_KNOWN_BYTES:
        return _description(data[stsd.start : stsd.end], number, timescale), boxes
    return _known_description(data[stsd.start : stsd.end], number, timescale), boxes


def _description(stsd: bytes, number: int, timescale: int) -> TrackParams:
    entries = list(children(stsd, 16, len(stsd)))
    if len(entries) != 1 or u32(stsd, 12) != 1:
        raise Damaged(f"track {number} has {len(entries)} sample descriptions; a segment's track has one")
    return parse_entry(stsd, entries[0], timescale)


_known_description = functools.lru_cache(maxsize=256)(_description)
"""A camera's segments describe their tracks by the same bytes: parsed once, and one object that compares at once. Bounded in
number and in bytes; what is refused is not kept."""


def _numbers(
    data: bytes, boxes: Boxes, kind: bytes, columns: int, version: int = 0, dtype: str = ">u4"
) -> npt.NDArray[np.generic]:
    """A table whose length is its own count: a flat array of `columns` numbers an entry, a view of `data`."""
    span = need(boxes, kind, 8)
    count = u32(data, span.body + 4)
    width = 8 if dtype == ">u8" else 4
    if data[span.body] != version or count * columns * width != span.end - span.body - 8:
        raise Damaged(
            f"{kind!r} at offset {span.start} has version {data[span.body]} and {count} entries in {span.end - span.start} bytes"
        )
    return np.frombuffer(data, dtype, count * columns, span.body + 8)


def _table(data: bytes, params: TrackParams, boxes: Boxes, first_dts: int, room: tuple[int, int]) -> TrackTable:
    size = _sizes(data, boxes)
    count = len(size)
    dts, end_dts = _decode_times(data, boxes, count, first_dts)
    cts = _composition(data, boxes, count) if b"ctts" in boxes else None
    sync = _sync(data, boxes, count) if b"stss" in boxes else _all_sync(count)
    return TrackTable(params, dts, cts, size, _chunks(data, boxes, size, room), sync, end_dts)


def _sizes(data: bytes, boxes: Boxes) -> UInt32s:
    """`stsz` (§8.7.3.2), always as a table."""
    span = need(boxes, b"stsz", 12)
    count = u32(data, span.body + 8)
    if u32(data, span.body) != 0 or u32(data, span.body + 4) != 0 or count * 4 != span.end - span.body - 12:
        raise Damaged(f"stsz at offset {span.start} is no table of {count} sizes")
    return np.frombuffer(data, ">u4", count, span.body + 12).astype(np.uint32)


def _decode_times(data: bytes, boxes: Boxes, count: int, first_dts: int) -> tuple[Int64s, int]:
    entries = _numbers(data, boxes, b"stts", 2).astype(np.int64)
    if len(entries) == 2 and int(entries[0]) == count and int(entries[1]) > 0:
        # All samples last equally long, as audio's mostly do.
        step = int(entries[1])
        end_dts = first_dts + count * step
        return np.arange(first_dts, end_dts, step, dtype=np.int64), end_dts
    deltas = _unroll(entries[0::2], entries[1::2], count, "stts")
    if count and int(entries[1::2].min()) <= 0:
        raise Damaged("stts has samples that last no time")
    times = np.empty(count + 1, np.int64)
    times[0] = 0
    deltas.cumsum(out=times[1:])
    times += first_dts
    return times[:-1], int(times[-1])


def _composition(data: bytes, boxes: Boxes, count: int) -> Int32s:
    entries = _numbers(data, boxes, b"ctts", 2, version=1).astype(np.int64)
    return _unroll(entries[0::2], entries[1::2], count, "ctts").astype(np.int32)


def _unroll(counts: Int64s, values: Int64s, count: int, kind: str) -> Int64s:
    total = int(counts.sum())
    if total != count:
        raise Damaged(f"{kind} is of {total} samples; there are {count}")
    return values.repeat(counts)


def _sync(data: bytes, boxes: Boxes, count: int) -> Bools:
    numbers = _numbers(data, boxes, b"stss", 1).astype(np.int64)
    sync = np.zeros(count, np.bool_)
    if len(numbers):
        if int(numbers.min()) < 1 or int(numbers.max()) > count:
            raise Damaged(f"stss names a sample outside 1 to {count}")
        sync[numbers - 1] = True
    return sync


def _all_sync(count: int) -> Bools:
    if count <= len(_ALL_SYNC):
        return _ALL_SYNC[:count]
    return np.ones(count, np.bool_)


def _chunks(data: bytes, boxes: Boxes, size: UInt32s, room: tuple[int, int]) -> Chunks:
    """Where the samples lie, all inside the file's bytes `[room[0], room[1])`."""
    kind, dtype = (b"co64", ">u8") if b"co64" in boxes else (b"stco", ">u4")
    begin = _numbers(data, boxes, kind, 1, dtype=dtype).astype(np.int64)
    counts = _chunk_counts(_numbers(data, boxes, b"stsc", 3).astype(np.int64), len(begin))
    after = counts.cumsum()
    total = int(after[-1]) if len(after) else 0
    if total != len(size):
        raise Damaged(f"stsc is of {total} samples in {len(begin)} chunks; there are {len(size)}")
    if not len(begin):
        return Chunks(begin, begin, begin)
    first = after - counts
    # A chunk's samples lie between its own ends, so that 100 chunks need looking at and not each sample. Where they begin is
    # compared first: the sum of a begin far outside and a length would not fit 64 bits.
    end = begin + np.add.reduceat(size, first, dtype=np.int64)
    if not (room[0] <= int(begin.min()) and int(begin.max()) <= room[1] and int(end.max()) <= room[1]):
        raise Damaged(f"samples of a track lie outside bytes {room[0]} to {room[1]}")
    breaks = begin[1:] != end[:-1]
    if breaks.all():
        return Chunks(first, begin, end)
    opens = np.concatenate(([0], np.flatnonzero(breaks) + 1))
    closes = np.append(opens[1:] - 1, len(end) - 1)
    return Chunks(first[opens], begin[opens], end[closes])


def _chunk_counts(runs: Int64s, chunks: int) -> Int64s:
    """How many samples each chunk has, from the entries of `stsc` (§8.7.4)."""
    if not len(runs):
        if chunks:
            raise Damaged(f"stsc is of no chunks; there are {chunks}")
        return np.zeros(0, np.int64)
    spans = np.empty(len(runs) // 3, np.int64)
    np.subtract(runs[3::3], runs[:-3:3], out=spans[:-1])
    spans[-1] = chunks + 1 - runs[-3]
    # The spans add up to the number of chunks, so that none is longer than the table of offsets.
    if int(runs[0]) != 1 or int(spans.min()) < 1 or int(runs[1::3].min()) < 1:
        raise Damaged("stsc does not say how many samples each chunk has")
    return runs[1::3].repeat(spans)
