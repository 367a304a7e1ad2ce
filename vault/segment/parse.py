"""The `moov` of a segment, open or closed, into values; sample tables decoded with numpy. Bytes in, nothing read.

Every count is checked against the bytes that are there before anything is made of it, so that hostile bytes cost no more
memory than a few times their own length. Raises Damaged for whatever we do not write.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vault.errors import Damaged
from vault.media import Int32s, Int64s, SegmentHead, SegmentInfo, TrackParams, TrackTable, UInt32s
from vault.segment.boxes import Span, by_kind, children, need, u32
from vault.segment.entries import parse_entry
from vault.segment.private import decode
from vault.segment.tables import sample_offsets

MAX_TRACKS = 16
"""Tracks of one segment; one more is refused."""

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
        table = _table(data, params, stbl, first[number - 1])
        if len(table.offset):
            ends = table.offset + table.size
            if int(table.offset.min()) < samples_from or int(ends.max()) > samples_to:
                raise Damaged(f"samples of track {number} lie outside bytes {samples_from} to {samples_to}")
        tables.append(table)
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
    entries = list(children(data, stsd.body + 8, stsd.end))
    if len(entries) != 1 or u32(data, stsd.body + 4) != 1:
        raise Damaged(f"track {number} has {len(entries)} sample descriptions; a segment's track has one")
    return parse_entry(data, entries[0], timescale), boxes


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


def _table(data: bytes, params: TrackParams, boxes: Boxes, first_dts: int) -> TrackTable:
    size = _sizes(data, boxes)
    count = len(size)
    dts, end_dts = _decode_times(data, boxes, count, first_dts)
    cts = _composition(data, boxes, count) if b"ctts" in boxes else None
    sync = np.ones(count, dtype=np.bool_)
    if b"stss" in boxes:
        numbers = _numbers(data, boxes, b"stss", 1).astype(np.int64)
        if len(numbers) and (int(numbers.min()) < 1 or int(numbers.max()) > count):
            raise Damaged(f"stss names a sample outside 1 to {count}")
        sync[:] = False
        sync[numbers - 1] = True
    return TrackTable(params, dts, cts, size, _offsets(data, boxes, size), sync, end_dts)


def _sizes(data: bytes, boxes: Boxes) -> UInt32s:
    """`stsz` (§8.7.3.2), always as a table."""
    span = need(boxes, b"stsz", 12)
    count = u32(data, span.body + 8)
    if u32(data, span.body) != 0 or u32(data, span.body + 4) != 0 or count * 4 != span.end - span.body - 12:
        raise Damaged(f"stsz at offset {span.start} is no table of {count} sizes")
    return np.frombuffer(data, ">u4", count, span.body + 12).astype(np.uint32)


def _decode_times(data: bytes, boxes: Boxes, count: int, first_dts: int) -> tuple[Int64s, int]:
    entries = _numbers(data, boxes, b"stts", 2).astype(np.int64)
    deltas = _unroll(entries[0::2], entries[1::2], count, "stts")
    if count and int(entries[1::2].min()) <= 0:
        raise Damaged("stts has samples that last no time")
    ends = np.cumsum(deltas)
    ends += first_dts
    return ends - deltas, int(ends[-1]) if count else first_dts


def _composition(data: bytes, boxes: Boxes, count: int) -> Int32s:
    entries = _numbers(data, boxes, b"ctts", 2, version=1).astype(np.int64)
    return _unroll(entries[0::2], entries[1::2], count, "ctts").astype(np.int32)


def _unroll(counts: Int64s, values: Int64s, count: int, kind: str) -> Int64s:
    if int(counts.sum()) != count:
        raise Damaged(f"{kind} is of {int(counts.sum())} samples; there are {count}")
    return np.repeat(values, counts)


def _offsets(data: bytes, boxes: Boxes, size: UInt32s) -> Int64s:
    kind, dtype = (b"co64", ">u8") if b"co64" in boxes else (b"stco", ">u4")
    chunks = _numbers(data, boxes, kind, 1, dtype=dtype).astype(np.int64)
    runs = _numbers(data, boxes, b"stsc", 3).astype(np.int64)
    counts = np.zeros(0, dtype=np.int64)
    if len(runs):
        first, per_chunk = runs[0::3], runs[1::3]
        spans = np.empty(len(first), dtype=np.int64)
        np.subtract(first[1:], first[:-1], out=spans[:-1])
        spans[-1] = len(chunks) + 1 - first[-1]
        if int(first[0]) != 1 or int(spans.min()) < 1 or int(per_chunk.min()) < 1:
            raise Damaged("stsc does not say how many samples each chunk has")
        counts = np.repeat(per_chunk, spans)
    if len(counts) != len(chunks) or int(counts.sum()) != len(size):
        raise Damaged(
            f"stsc is of {len(counts)} chunks and {int(counts.sum())} samples; there are {len(chunks)} and {len(size)}"
        )
    return sample_offsets(chunks, counts, size)
