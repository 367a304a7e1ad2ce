"""The head of a clip, which is its `moov` (ISO/IEC 14496-12 §8): sample tables from lanes and layout, built with numpy.

One edit a track and never an empty one: players play the first of two edits twice or the second not at all.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vault.media import Int64s
from vault.segment.boxes import box, full_box
from vault.segment.entries import sample_entry
from vault.segment.movie import FTYP, MOVIE_TIMESCALE, mvhd
from vault.splice.lanes import Lane
from vault.splice.layout import Layout
from vault.splice.ticks import run_lengths, steps
from vault.timebase import US

Bytes = bytes | memoryview
_U32 = 2**32 - 1
_COUNT = struct.Struct(">I")
_HEADER = struct.Struct(">I4s")
_SECONDS_1904 = 2_082_844_800
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_UNDETERMINED = 0x55C4
_DATA_HERE = box(b"dinf", full_box(b"dref", 0, 0, _COUNT.pack(1), full_box(b"url ", 0, 1)))


def build_head(lanes: Sequence[Lane], layout: Layout, start_us: int) -> bytes:
    """Everything in front of the payload: `ftyp`, `moov` and the header of `mdat`.

    The pieces are joined once: an hour's tables are a megabyte, and every box around them would copy it again.
    """
    wide = layout.size + sum(16 * len(lane.dts) for lane in lanes) + 2**20 > _U32
    offsets_at: list[int] = []
    parts: list[Bytes] = [mvhd(start_us, max(_movie_ticks(lane.shown, lane.params.timescale) for lane in lanes), len(lanes))]
    for number, (lane, chunks) in enumerate(zip(lanes, layout.chunks, strict=True), 1):
        trak, at = _trak(number, lane, chunks, start_us, wide)
        offsets_at.append(len(parts) + at)
        parts += trak
    parts = [FTYP, *_around(b"moov", parts), struct.pack(">I4sQ", 1, b"mdat", 16 + layout.size)]
    # Where the payload begins is known once all lengths are; until then zeros stand for the chunk offsets.
    begin = sum(map(len, parts))
    for at, (_, places, _) in zip(offsets_at, layout.chunks, strict=True):
        parts[at + 2] = _raw((places + begin).astype(">u8" if wide else ">u4"))
    return b"".join(parts)


def _around(kind: bytes, parts: Sequence[Bytes]) -> list[Bytes]:
    """A box around parts that stay apart."""
    return [_HEADER.pack(8 + sum(map(len, parts)), kind), *parts]


def _trak(number: int, lane: Lane, chunks: tuple[Int64s, Int64s, Int64s], start_us: int, wide: bool) -> tuple[list[Bytes], int]:
    """The parts of one `trak`, and which of them are the chunk offsets: zeros as yet."""
    params, created = lane.params, max(start_us, 0) // US + _SECONDS_1904
    shown = _movie_ticks(lane.shown, params.timescale)
    audio = params.codec.is_audio
    enabled = 3 if lane.enabled and (audio or params.codec.is_video) else 0
    tkhd = full_box(
        b"tkhd",
        1,
        enabled,
        struct.pack(">QQI4xQ8x", created, created, number, shown),
        struct.pack(">HHH2x", 0, 1 if audio else 0, 0x0100 if audio else 0),
        _MATRIX,
        struct.pack(">II", max(item.width for item in lane.entries) << 16, max(item.height for item in lane.entries) << 16),
    )
    edit = full_box(b"elst", 1, 0, struct.pack(">IQqHH", 1, shown, lane.media_time, 1, 0))
    mdhd = full_box(b"mdhd", 1, 0, struct.pack(">QQIQHH", created, created, params.timescale, lane.end, _UNDETERMINED, 0))
    if params.codec.is_video:
        handler, name, media_header = b"vide", b"video", full_box(b"vmhd", 0, 1, bytes(8))
    elif audio:
        handler, name, media_header = b"soun", b"audio", full_box(b"smhd", 0, 0, bytes(4))
    else:
        handler, name, media_header = b"meta", b"opaque", full_box(b"nmhd", 0, 0)
    hdlr = full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(12), name + b"\x00")
    count = len(chunks[1])
    offsets = bytes(count * (8 if wide else 4))
    stbl = [*_tables(lane), _stsc(lane, chunks)]
    stbl += [struct.pack(">I4sII", 16 + len(offsets), b"co64" if wide else b"stco", 0, count), offsets]
    inner = _around(b"minf", [media_header, _DATA_HERE, *_around(b"stbl", stbl)])
    parts = _around(b"trak", [tkhd, box(b"edts", edit), *_around(b"mdia", [mdhd, hdlr, *inner])])
    return parts, len(parts) - 1


def _tables(lane: Lane) -> list[Bytes]:
    """The boxes of `stbl` that do not depend on where the bytes are (§8.5.2, §8.6, §8.7.3)."""
    entries = [sample_entry(item) for item in lane.entries]
    boxes = [full_box(b"stsd", 0, 0, _COUNT.pack(len(entries)), *entries)]
    boxes.append(_runs(b"stts", 0, *run_lengths(steps(lane.dts, lane.end))))
    if lane.cts is not None and lane.cts.any():
        boxes.append(_ctts(lane.cts))
    if lane.sync is not None and len(lane.sync) < len(lane.dts):
        boxes.append(full_box(b"stss", 0, 0, _COUNT.pack(len(lane.sync)), (lane.sync + 1).astype(">u4").tobytes()))
    # Always a table: VLC loses a second of G.711 where the size is said once.
    sizes = _raw(lane.size.astype(">u4"))
    return [*boxes, struct.pack(">I4sIII", 20 + len(sizes), b"stsz", 0, 0, len(lane.size)), sizes]


def _raw(values: npt.NDArray[np.generic]) -> memoryview:
    """The array's own bytes, which the one join copies."""
    return values.view(np.uint8).data


def _ctts(cts: Int64s) -> bytes:
    """Version 1, signed (§8.6.1.3). libav looks for the most negative offset in all entries but the last two and else complains
    of a presentation before decoding; where it stands there, two entries of no samples follow, which it and others skip."""
    counts, values = run_lengths(cts)
    if values[-2:].min() < min(int(values[:-2].min(initial=0)), 0):
        counts, values = np.append(counts, [0, 0]), np.append(values, [0, 0])
    return _runs(b"ctts", 1, counts, values)


def _runs(kind: bytes, version: int, counts: Int64s, values: Int64s) -> bytes:
    out = np.empty((len(counts), 2), dtype=">u4")
    out[:, 0] = counts
    out[:, 1] = values & _U32
    return full_box(kind, version, 0, _COUNT.pack(len(counts)), out.tobytes())


def _stsc(lane: Lane, chunks: tuple[Int64s, Int64s, Int64s]) -> bytes:
    """§8.7.4."""
    numbers, _, entries = chunks
    per_chunk = steps(numbers, len(lane.dts))
    change = np.ones(len(numbers), np.bool_)
    change[1:] = (per_chunk[1:] != per_chunk[:-1]) | (entries[1:] != entries[:-1])
    first = np.flatnonzero(change)
    runs = np.empty((len(first), 3), dtype=">u4")
    runs[:, 0] = first + 1
    runs[:, 1] = per_chunk[first]
    runs[:, 2] = entries[first] + 1
    return full_box(b"stsc", 0, 0, _COUNT.pack(len(runs)), runs.tobytes())


def _movie_ticks(ticks: int, timescale: int) -> int:
    return (ticks * MOVIE_TIMESCALE + timescale // 2) // timescale
