"""Writing a segment: the opening, fragments while recording, and the closing that makes a plain MP4 of it. Bytes only, no files.

The order of the steps and what a crash between them leaves stand in FORMAT.md.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import sub

import numpy as np

from vault.errors import UsageError
from vault.media import Chunks, SegmentHead, SegmentInfo, TrackParams, TrackTable
from vault.segment.boxes import box, full_box
from vault.segment.entries import sample_entry
from vault.segment.movie import FREE_HEADER, FTYP, HEADER_OFFSET, mdat_header, mvhd, trak
from vault.segment.private import encode_head, encode_trailer
from vault.segment.tables import closing_moov, sample_offsets

SYNC_SAMPLE = 0x02000000
OTHER_SAMPLE = 0x01010000
"""Sample flags (ISO/IEC 14496-12 §8.8.3.1): depends on no other sample; depends on others and is no sync sample."""

MAX_OPENING_BYTES = 1 << 20
MAX_MOOF_BYTES = 1 << 20
"""No `moov` of an open file and no `moof` is larger; a reader takes what is for torn."""

_MOOF = struct.Struct(">I4sI4sII")
_TRAF = struct.Struct(">I4sI4sIII4sIQI4sIIi")
"""traf, tfhd (track, offsets count from the moof), tfdt version 1, trun up to its samples (ISO/IEC 14496-12 §8.8.6 to §8.8.12)."""

_U32 = struct.Struct(">I")
_FIRST_IS_SYNC = _U32.pack(SYNC_SAMPLE)
_MDAT = struct.Struct(">I4s")
_EMPTY_TABLES = b"".join(
    full_box(kind, 0, 0, bytes(8 if kind == b"stsz" else 4)) for kind in (b"stts", b"stsc", b"stsz", b"stco")
)
_DURATION, _SIZE, _FLAGS, _CTS = 0x100, 0x200, 0x400, 0x800
_DATA_OFFSET, _FIRST_FLAGS = 0x1, 0x4


@dataclass(frozen=True, slots=True)
class TrackRun:
    """The samples of one track in one fragment, at least one; all sequences have the same length.

    `track`: index into the builder's tracks. `dts`: ticks since the segment's start, strictly rising over the whole segment.
    `cts`: signed composition offsets, None: all 0. `sizes` in bytes. `sync`: random access points, None: every sample is one.
    """

    track: int
    dts: Sequence[int]
    cts: Sequence[int] | None
    sizes: Sequence[int]
    sync: Sequence[bool] | None


class _Samples:
    """One track's tables as they grow: some 20 bytes a sample."""

    __slots__ = ("chunk_counts", "chunk_offsets", "cts", "dts", "last_delta", "last_dts", "params", "sizes", "sync")

    def __init__(self, params: TrackParams) -> None:
        self.params = params
        self.dts = array("q")
        self.cts = array("i")
        self.sizes = array("I")
        self.sync = bytearray()
        self.chunk_offsets = array("q")
        self.chunk_counts = array("I")
        self.last_dts = -1
        self.last_delta = max(params.timescale // 25, 1)

    def append(self, run: TrackRun, dts: array[int], sizes: array[int], delta: int, offset: int) -> None:
        """Take over the samples of one fragment, whose bytes begin at `offset` in the file."""
        if run.cts is not None:
            self.cts.frombytes(bytes(4 * (len(self.dts) - len(self.cts))))
            self.cts.extend(run.cts)
        self.sync.extend(bytes(map(bool, run.sync)) if run.sync is not None else b"\x01" * len(dts))
        self.chunk_offsets.append(offset)
        self.chunk_counts.append(len(dts))
        self.dts.extend(dts)
        self.sizes.extend(sizes)
        self.last_dts = dts[-1]
        self.last_delta = delta

    def table(self, end_dts: int) -> TrackTable:
        """All samples so far as arrays of their own."""
        size = np.array(self.sizes, dtype=np.uint32)
        counts = np.array(self.chunk_counts, dtype=np.int64)
        cts = None
        if self.cts:
            cts = np.zeros(len(size), dtype=np.int32)
            cts[: len(self.cts)] = self.cts
        return TrackTable(
            self.params,
            np.array(self.dts, dtype=np.int64),
            cts,
            size,
            Chunks.of(sample_offsets(np.array(self.chunk_offsets, dtype=np.int64), counts, size), size),
            np.array(self.sync, dtype=np.bool_),
            end_dts,
        )


class SegmentBuilder:
    """The bytes of one segment in order: `opening`, `fragment` as often as there is one, `closing`, `mdat_header`."""

    __slots__ = ("_end_bytes", "_head", "_sequence", "_tracks", "size_bytes")

    def __init__(self, head: SegmentHead, tracks: Sequence[TrackParams]) -> None:
        """Raises UsageError when a track cannot be described."""
        if not tracks:
            raise UsageError(f"a segment of camera {head.camera_id} needs a track")
        self._head = head
        self._tracks = [_Samples(params) for params in tracks]
        self._sequence = 0
        self._end_bytes = 0
        self.size_bytes = 0
        """Of the file so far, the announced payload of the last fragment included."""

    @property
    def pictures(self) -> int:
        """Samples of the video track so far."""
        return sum(len(samples.dts) for samples in self._tracks if samples.params.codec.is_video)

    def opening(self) -> bytes:
        """`ftyp`, the 16-byte `free`, `moov` with `mvex`. Raises UsageError for a head or tracks that no reader would accept."""
        start_us = self._head.key.start_us
        traks, extends = [], []
        for number, samples in enumerate(self._tracks, 1):
            params = samples.params
            stsd = full_box(b"stsd", 0, 0, _U32.pack(1), sample_entry(params))
            traks.append(trak(number, params, start_us, box(b"stbl", stsd, _EMPTY_TABLES)))
            flags = OTHER_SAMPLE if params.codec.is_video else SYNC_SAMPLE
            extends.append(full_box(b"trex", 0, 0, struct.pack(">5I", number, 1, 0, 0, flags)))
        moov = box(b"moov", mvhd(start_us, 0, len(traks)), *traks, box(b"mvex", *extends), encode_head(self._head))
        if len(moov) > MAX_OPENING_BYTES:
            raise UsageError(
                f"the tracks of camera {self._head.camera_id} need {len(moov)} bytes of parameters; too much for a segment"
            )
        opening = FTYP + FREE_HEADER + moov
        self.size_bytes = len(opening)
        return opening

    def fragment(self, runs: Sequence[TrackRun]) -> bytes:
        """`moof` and the header of its `mdat`; the caller appends the runs' payload in order right behind it.

        At most one run a track. Raises UsageError, and changes nothing, when times do not rise or a number is out of range.
        """
        try:
            return self._fragment(runs)
        except (OverflowError, struct.error, IndexError, ValueError) as error:
            raise UsageError(f"a fragment of camera {self._head.camera_id} cannot be written: {error}") from error

    def _fragment(self, runs: Sequence[TrackRun]) -> bytes:
        # Each camera comes here at every sweep: arrays and one pack a track, no object a sample. 12 pictures and 25 frames of
        # audio take 12 µs interpreted (benchmarks/bench_segment.py, CPython 3.11, 2 cores, 2026-11-22).
        done: list[tuple[TrackRun, _Samples, array[int], array[int], int, int, bytes]] = []
        moof_bytes = 24
        payload_bytes = 0
        for run in runs:
            samples = self._tracks[run.track]
            dts, sizes, sync = array("q", run.dts), array("I", run.sizes), run.sync
            count = len(dts)
            deltas = list(map(sub, dts[1:], dts))
            if deltas:
                deltas.append(deltas[-1])
            else:
                deltas.append(dts[0] - samples.last_dts if samples.last_dts >= 0 else samples.last_delta)
            if dts[0] <= samples.last_dts or min(deltas) <= 0 or len(sizes) != count:
                raise ValueError(
                    f"decode times of track {run.track} do not rise above {samples.last_dts}, or sizes are missing"
                )
            flags = _DATA_OFFSET | _DURATION | _SIZE
            columns = [array("I", deltas), sizes]
            first = b""
            if sync is None and samples.params.codec.is_video:
                sync = [True] * count
            if sync is not None:
                if len(sync) != count:
                    raise ValueError(f"track {run.track} has {count} samples and {len(sync)} sync flags")
                if True in sync[1:]:
                    flags |= _FLAGS
                    columns.append(array("I", [SYNC_SAMPLE if key else OTHER_SAMPLE for key in sync]))
                elif sync[0]:
                    flags |= _FIRST_FLAGS
                    first = _FIRST_IS_SYNC
            if run.cts is not None:
                flags |= _CTS
                columns.append(array("I", array("i", run.cts).tobytes()))
            wide = len(columns)
            table = array("I", bytes(4 * wide * count))
            for index, column in enumerate(columns):
                table[index::wide] = column
            table.byteswap()
            body = first + table.tobytes()
            moof_bytes += _TRAF.size + len(body)
            payload_bytes += sum(sizes)
            done.append((run, samples, dts, sizes, deltas[-1], flags, body))
        if len({run.track for run in runs}) != len(runs):
            raise ValueError("a track has two runs")
        if moof_bytes > MAX_MOOF_BYTES or moof_bytes + payload_bytes >= 1 << 31:
            raise ValueError(f"it would have a moof of {moof_bytes} and samples of {payload_bytes} bytes; split it")
        self._sequence += 1
        parts = [_MOOF.pack(moof_bytes, b"moof", 16, b"mfhd", 0, self._sequence)]
        payload = moof_bytes + 8
        for run, samples, dts, sizes, delta, flags, body in done:
            size = len(body)
            parts += (
                _TRAF.pack(
                    _TRAF.size + size, b"traf", 16, b"tfhd", 0x020000, run.track + 1, 20, b"tfdt", 1 << 24, dts[0],
                    20 + size, b"trun", 1 << 24 | flags, len(dts), payload,
                ),
                body,
            )  # fmt: skip
            samples.append(run, dts, sizes, delta, self.size_bytes + payload)
            payload += sum(sizes)
        parts.append(_MDAT.pack(payload - moof_bytes, b"mdat"))
        self.size_bytes += payload
        return b"".join(parts)

    def closing(self, info: SegmentInfo, end_dts: Sequence[int]) -> bytes:
        """`moov` without `mvex` and the trailer, to be appended behind the last fragment.

        `end_dts`: where each track's last sample ends; a track without samples is left without any. Raises UsageError when one
        lies before its last sample. Nothing may be added afterwards.
        """
        tables = [samples.table(end) for samples, end in zip(self._tracks, end_dts, strict=True)]
        moov = closing_moov(tables, info)
        trailer = encode_trailer(moov, self.size_bytes)
        self._end_bytes = self.size_bytes
        self.size_bytes += len(moov) + len(trailer)
        return moov + trailer

    def mdat_header(self) -> tuple[int, bytes]:
        """Where to write which 16 bytes, once what `closing` gave is durable: the `free` becomes an `mdat` over all fragments."""
        if not self._end_bytes:
            raise UsageError(f"a segment of camera {self._head.camera_id} must be closed before its header is overwritten")
        return HEADER_OFFSET, mdat_header(self._end_bytes)
