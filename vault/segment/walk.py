"""One fragment of an open segment, `moof` and `mdat`, into arrays, and all of them into tables. Bytes in, nothing read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vault.errors import Damaged
from vault.media import Bools, Chunks, Int32s, Int64s, TrackParams, TrackTable, UInt32s
from vault.segment.boxes import Span, by_kind, children, need, u32, u64

_NON_SYNC = 0x10000
_KNOWN_FLAGS = 0x1 | 0x4 | 0x100 | 0x200 | 0x400 | 0x800


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """The samples of one track in one fragment; `dts` in ticks since the segment's start, `offset` in the file."""

    track: int
    params: TrackParams
    dts: Int64s
    end_dts: int
    size: UInt32s
    offset: Int64s
    sync: Bools
    cts: Int32s | None


def parse_moof(data: bytes, moof: Span, tracks: Sequence[TrackParams], moof_at: int, mdat_end: int) -> list[Run]:
    """The runs of one `moof` that lies at `moof_at` in the file and whose `mdat` ends at `mdat_end`. Raises Damaged."""
    runs: list[Run] = []
    payload_at = moof_at + moof.end - moof.start + 8
    for span in children(data, moof.body, moof.end):
        if span.kind == b"traf":
            runs.append(_run(data, span, tracks, moof_at))
            if int(runs[-1].offset[0]) < payload_at or int(runs[-1].offset[-1]) + int(runs[-1].size[-1]) > mdat_end:
                raise Damaged(f"samples of the fragment at offset {moof_at} lie outside its mdat")
    if not runs or len({run.track for run in runs}) != len(runs):
        raise Damaged(f"the fragment at offset {moof_at} has no samples, or a track twice")
    return runs


def _run(data: bytes, traf: Span, tracks: Sequence[TrackParams], moof_at: int) -> Run:
    """tfhd, tfdt and trun in the form that the builder writes (ISO/IEC 14496-12 §8.8.7, §8.8.8, §8.8.12)."""
    boxes = by_kind(data, traf.body, traf.end)
    tfhd, tfdt, trun = need(boxes, b"tfhd", 8), need(boxes, b"tfdt", 12), need(boxes, b"trun", 12)
    track, base = u32(data, tfhd.body + 4) - 1, u64(data, tfdt.body + 4)
    flags, count, start = u32(data, trun.body) & 0xFFFFFF, u32(data, trun.body + 4), u32(data, trun.body + 8)
    at = trun.body + 12
    wide = 2 + bool(flags & 0x400) + bool(flags & 0x800)
    has_first = bool(flags & 0x4)
    if (
        not 0 <= track < len(tracks)
        or base >= 1 << 48
        or flags & 0x301 != 0x301
        or flags & ~_KNOWN_FLAGS
        or not count
        or count * wide * 4 + has_first * 4 != trun.end - at
    ):
        raise Damaged(f"the fragment at offset {moof_at} is not of the form that we write")
    sync = np.full(count, not tracks[track].codec.is_video, dtype=np.bool_)
    if has_first:
        sync[0] = not u32(data, at) & _NON_SYNC
        at += 4
    table = np.frombuffer(data, ">u4", count * wide, at).reshape(count, wide)
    deltas = table[:, 0].astype(np.int64)
    if int(deltas.min()) <= 0:
        raise Damaged(f"the fragment at offset {moof_at} has samples that last no time")
    size = table[:, 1].astype(np.uint32)
    if flags & 0x400:
        sync = (table[:, 2] & _NON_SYNC) == 0
    cts = table[:, wide - 1].astype(np.uint32).view(np.int32) if flags & 0x800 else None
    ends = np.cumsum(deltas) + base
    offset = np.cumsum(size, dtype=np.int64) - size + (moof_at + start)
    return Run(track, tracks[track], ends - deltas, int(ends[-1]), size, offset, sync, cts)


class Walked:
    """Runs of a segment put together, in order of the file."""

    __slots__ = ("_runs", "params")

    def __init__(self, tracks: Sequence[TrackParams]) -> None:
        self.params = tracks
        self._runs: list[list[Run]] = [[] for _ in tracks]

    def add(self, runs: Sequence[Run]) -> None:
        """Append one fragment. Raises Damaged, and takes nothing, where a track's times do not rise."""
        for run in runs:
            before = self._runs[run.track]
            if before and int(run.dts[0]) <= int(before[-1].dts[-1]):
                raise Damaged(f"decode times of track {run.track} go back to {int(run.dts[0])}")
        for run in runs:
            self._runs[run.track].append(run)

    def tables(self) -> tuple[TrackTable, ...]:
        """One table a track; the last sample lasts as long as its fragment says."""
        return tuple(_join(params, runs) for params, runs in zip(self.params, self._runs, strict=True))


def _join(params: TrackParams, runs: list[Run]) -> TrackTable:
    if not runs:
        none = np.zeros(0, dtype=np.int64)
        return TrackTable(params, none, None, none.astype(np.uint32), Chunks(none, none, none), none.astype(np.bool_), 0)
    cts = None
    if any(run.cts is not None for run in runs):
        cts = np.concatenate([run.cts if run.cts is not None else np.zeros(len(run.dts), np.int32) for run in runs])
    size = np.concatenate([run.size for run in runs])
    return TrackTable(
        params,
        np.concatenate([run.dts for run in runs]),
        cts,
        size,
        Chunks.of(np.concatenate([run.offset for run in runs]), size),
        np.concatenate([run.sync for run in runs]),
        runs[-1].end_dts,
    )
