"""The closing `moov`: complete sample tables of a segment's tracks (ISO/IEC 14496-12 §8.6, §8.7), built with numpy.

Reading them back belongs to `vault.segment.read`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vault.errors import UsageError
from vault.media import Int64s, SegmentInfo, TrackTable, UInt32s
from vault.segment.boxes import box, full_box
from vault.segment.entries import sample_entry
from vault.segment.movie import MOVIE_TIMESCALE, mvhd, trak
from vault.segment.private import encode_info

_COUNT = struct.Struct(">I")
_U32 = 2**32 - 1


def closing_moov(tracks: Sequence[TrackTable], info: SegmentInfo) -> bytes:
    """The `moov` of a closed segment. Raises UsageError for tables that cannot be: dts that does not rise, an end before the last."""
    start_us = info.head.key.start_us
    first = [int(track.dts[0]) if len(track.dts) else 0 for track in tracks]
    traks = [
        trak(
            index + 1, track.params, start_us, _stbl(track), track.end_dts - first[index] if len(track.dts) else 0, first[index]
        )
        for index, track in enumerate(tracks)
    ]
    duration = max(
        (-(-track.end_dts * MOVIE_TIMESCALE // track.params.timescale) for track in tracks if len(track.dts)), default=0
    )
    return box(b"moov", mvhd(start_us, duration, len(tracks)), *traks, encode_info(info, first))


def sample_offsets(chunk_offsets: Int64s, chunk_counts: Int64s, sizes: UInt32s) -> Int64s:
    """Where each sample lies, from where its chunk begins and the sizes of those before it in the chunk (§8.7.4, §8.7.5).

    `chunk_counts` are above 0 and sum up to the number of sizes.
    """
    before = np.cumsum(sizes, dtype=np.int64) - sizes
    first = np.cumsum(chunk_counts) - chunk_counts
    offsets: Int64s = np.repeat(chunk_offsets - before[first], chunk_counts) + before
    return offsets


def _stbl(track: TrackTable) -> bytes:
    count = len(track.dts)
    if not (len(track.size) == len(track.sync) == count):
        raise UsageError(f"a track's tables have different lengths: {count} times and {len(track.size)} sizes")
    boxes = [full_box(b"stsd", 0, 0, _COUNT.pack(1), sample_entry(track.params)), _stts(track)]
    if track.cts is not None and track.cts.any():
        # Version 1: signed offsets (§8.6.1.3), so that dts needs no shift.
        values, counts = _runs(track.cts)
        boxes.append(full_box(b"ctts", 1, 0, _COUNT.pack(len(values)), _pairs(counts, values)))
    if track.params.codec.is_video and not track.sync.all():
        numbers = np.flatnonzero(track.sync) + 1
        boxes.append(full_box(b"stss", 0, 0, _COUNT.pack(len(numbers)), numbers.astype(">u4").tobytes()))
    boxes += [_stsc_stco(track), full_box(b"stsz", 0, 0, struct.pack(">II", 0, count), track.size.astype(">u4").tobytes())]
    return box(b"stbl", *boxes)


def _stts(track: TrackTable) -> bytes:
    deltas = np.diff(track.dts, append=track.end_dts)
    if len(deltas) and (int(deltas.min()) <= 0 or int(deltas.max()) > _U32):
        raise UsageError(
            f"a track's decode times do not rise to their end {track.end_dts}, or leave a hole of over {_U32} ticks"
        )
    values, counts = _runs(deltas)
    return full_box(b"stts", 0, 0, _COUNT.pack(len(values)), _pairs(counts, values))


def _stsc_stco(track: TrackTable) -> bytes:
    """Chunks are the stretches where samples lie one behind the other: one a track and fragment."""
    starts, chunk_offsets = track.chunks.first, track.chunks.begin
    per_chunk = np.diff(starts, append=len(track.size))
    run_starts = np.flatnonzero(np.diff(per_chunk, prepend=-1))
    runs = np.empty((len(run_starts), 3), dtype=">u4")
    runs[:, 0] = run_starts + 1
    runs[:, 1] = per_chunk[run_starts]
    runs[:, 2] = 1
    stsc = full_box(b"stsc", 0, 0, _COUNT.pack(len(runs)), runs.tobytes())
    if len(chunk_offsets) and int(chunk_offsets[-1]) > _U32:
        return stsc + full_box(b"co64", 0, 0, _COUNT.pack(len(starts)), chunk_offsets.astype(">u8").tobytes())
    return stsc + full_box(b"stco", 0, 0, _COUNT.pack(len(starts)), chunk_offsets.astype(">u4").tobytes())


def _runs(values: npt.NDArray[np.int64] | npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Run-length code: the values and how often each stands in a row."""
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    starts = np.concatenate(([0], changes)) if len(values) else changes
    return values[starts].astype(np.int64), np.diff(starts, append=len(values))


def _pairs(counts: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> bytes:
    """Entries of 32-bit count and 32-bit value; a negative value in two's complement."""
    out = np.empty((len(counts), 2), dtype=">u4")
    out[:, 0] = counts
    out[:, 1] = values & _U32
    return out.tobytes()
