"""Reading a segment: a closed one by its tail, an open one by its fragments.

Decoding tables belongs to `vault.segment.parse` and `vault.segment.walk`; where bytes come from to `vault.source`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vault.errors import Damaged, NotFound
from vault.media import SegmentHead, SegmentInfo, SegmentTable, TrackTable
from vault.segment.boxes import Span, children, u32
from vault.segment.build import MAX_MOOF_BYTES, MAX_OPENING_BYTES
from vault.segment.movie import FTYP, HEADER_BYTES, HEADER_OFFSET
from vault.segment.parse import parse_closed_moov, parse_open_moov
from vault.segment.private import TRAILER_BYTES, Trailer, decode_trailer
from vault.segment.walk import Run, Walked, parse_moof
from vault.source import ByteSource
from vault.timebase import US

FIRST_TAIL_BYTES = 65_536
"""Read at once from the end of a closed file; holds the whole tail of nearly every segment of a minute."""

MAX_TAIL_BYTES = 64 << 20
MAX_FRAGMENTS = 100_000
_MOOF_READ_BYTES = 4_096
_SAMPLES_FROM = HEADER_OFFSET + HEADER_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """An open segment's whole fragments: whose they are, their samples, and where the last one ends in the file."""

    head: SegmentHead
    tracks: tuple[TrackTable, ...]
    end_bytes: int

    @property
    def is_empty(self) -> bool:
        return not any(len(track.dts) for track in self.tracks)


def utc_of(head: SegmentHead, ticks: int, timescale: int) -> int:
    """UTC µs of an instant `ticks` after the segment's start."""
    return head.key.start_us + round(ticks * (US + head.rate_ppm) / timescale)


def tail_length(source: ByteSource) -> int:
    """Length of a closed segment's tail: closing `moov` and trailer. Raises Damaged for a file that is not closed."""
    length = min(source.size, TRAILER_BYTES)
    return _trailer(source.read(source.size - length, length), source.size).tail_bytes


def read_closed(source: ByteSource, tail_bytes: int = FIRST_TAIL_BYTES) -> SegmentTable:
    """A closed segment, by one read of its tail, or two where it is long. Raises Damaged for anything else.

    `tail_bytes`: how much is read at once, for who knows the tail's length; it is only a guess, and the trailer decides.
    """
    # A clip of a day comes here 1,440 times. The 61 tails of an hour with AAC take 9.2 ms, open and read included: 14.0 ms while
    # each box went through a generator, each description was parsed anew and each sample's place was worked out
    # (benchmarks/splice_hour.py's material, CPython 3.11, CPU time, least of 60, 2-core EPYC VM that others used, 2026-11-22).
    size = source.size
    length = min(size, max(tail_bytes, TRAILER_BYTES), MAX_TAIL_BYTES)
    tail = source.read(size - length, length)
    trailer = _trailer(tail, size)
    if trailer.tail_bytes > length:
        tail = source.read(size - trailer.tail_bytes, trailer.tail_bytes)
        trailer = _trailer(tail, size)
    return _parse_tail(tail, trailer, size)


def read_tail(tail: bytes, file_size: int) -> SegmentTable:
    """A closed segment from the last bytes of its file, at least its whole tail. Raises Damaged."""
    return _parse_tail(tail, _trailer(tail, file_size), file_size)


def _parse_tail(tail: bytes, trailer: Trailer, file_size: int) -> SegmentTable:
    needed = trailer.tail_bytes
    if needed > len(tail):
        raise Damaged(f"the segment's tail has {needed} bytes; {len(tail)} were given")
    start, end = len(tail) - needed, len(tail) - TRAILER_BYTES
    if zlib.crc32(memoryview(tail)[start:end]) != trailer.crc:
        raise Damaged("the segment's closing moov is not what was written: its CRC differs")
    moov = next(children(tail, start, end), None)
    if moov is None or moov.kind != b"moov":
        raise Damaged("no moov stands where the segment's trailer says")
    info, tracks = parse_closed_moov(tail, moov, _SAMPLES_FROM, file_size - needed)
    return SegmentTable(info, tracks, file_size)


def read_open(source: ByteSource, now_us: int) -> SegmentTable:
    """A segment that is being recorded, as far as its fragments are whole; a closed or closing one as well.

    Of an open one `end_us` is where its last sample ends, `closed_us` is `now_us`, and what close fixes is unknown.
    Raises NotFound while there is no whole fragment, Damaged when it is not a segment's file.
    """
    size = source.size
    length = min(size, TRAILER_BYTES)
    if decode_trailer(source.read(size - length, length)) is not None:
        return read_closed(source)
    walk = walk_fragments(source)
    if walk.is_empty:
        raise NotFound(
            f"the segment of camera {walk.head.camera_id} opened at {walk.head.key.start_us} µs has no whole fragment yet"
        )
    info = SegmentInfo(walk.head, end_of(walk), now_us, "", 0, walk.head.flags)
    return SegmentTable(info, walk.tracks, walk.end_bytes)


def end_of(walk: Walk) -> int:
    """Where an open segment ends by now, UTC µs: the end of its video, without video the latest end; at least 1 µs after its start."""
    filled = [track for track in walk.tracks if len(track.dts)]
    shown = [track for track in filled if track.params.codec.is_video] or filled
    ends = [utc_of(walk.head, track.end_dts, track.params.timescale) for track in shown]
    return max(walk.head.key.start_us + 1, *ends) if ends else walk.head.key.start_us + 1


def walk_fragments(source: ByteSource, accept: Callable[[Sequence[Run]], bool] | None = None) -> Walk:
    """The whole fragments of a segment's file, whatever state it is in. What is torn or foreign behind them ends the walk,
    and so does a fragment whose runs `accept` refuses.

    Raises NotFound when not even its opening is whole, Damaged when it is not a segment's file.
    """
    size = source.size
    head, walked, at = _opening(source)
    for _ in range(MAX_FRAGMENTS):
        if size - at < 16:
            break
        data = source.read(at, min(_MOOF_READ_BYTES, size - at))
        moof_bytes = u32(data, 0)
        if data[4:8] != b"moof" or not 16 <= moof_bytes <= min(MAX_MOOF_BYTES, size - at - 8):
            break
        if moof_bytes + 8 > len(data):
            data = source.read(at, moof_bytes + 8)
        end = at + moof_bytes + u32(data, moof_bytes)
        if data[moof_bytes + 4 : moof_bytes + 8] != b"mdat" or end < at + moof_bytes + 8 or end > size:
            break
        try:
            runs = parse_moof(data, Span(b"moof", 0, 8, moof_bytes), walked.params, at, end)
            if accept is not None and not accept(runs):
                break
            walked.add(runs)
        except Damaged:
            # A power cut may leave a fragment of the right length and the wrong bytes: it is where the file ends.
            break
        at = end
    return Walk(head, walked.tables(), at)


def _opening(source: ByteSource) -> tuple[SegmentHead, Walked, int]:
    """Head and tracks of the opening, and where the first fragment begins."""
    size = source.size
    moov_at = _SAMPLES_FROM
    data = source.read(0, min(size, _MOOF_READ_BYTES))
    if data[: len(FTYP)] != FTYP[: len(data)]:
        raise Damaged("the file does not begin as a segment does")
    if len(data) >= moov_at + 8:
        kind = data[HEADER_OFFSET + 4 : HEADER_OFFSET + 8]
        length = u32(data, moov_at)
        if kind not in (b"free", b"mdat") or data[moov_at + 4 : moov_at + 8] != b"moov" or not 8 <= length <= MAX_OPENING_BYTES:
            raise Damaged("the file begins as a segment does and has no moov behind it")
        if moov_at + length <= size:
            data = source.read(0, moov_at + length)
            head, params = parse_open_moov(data, Span(b"moov", moov_at, moov_at + 8, moov_at + length))
            return head, Walked(params), moov_at + length
    raise NotFound(f"the segment's opening is not whole: {size} bytes")


def _trailer(tail: bytes, file_size: int) -> Trailer:
    trailer = decode_trailer(tail)
    if trailer is None:
        raise Damaged("the file does not end as a closed segment does: it is open, cut or foreign")
    if trailer.file_bytes != file_size or not TRAILER_BYTES + 8 <= trailer.tail_bytes <= min(
        file_size - _SAMPLES_FROM, MAX_TAIL_BYTES
    ):
        raise Damaged(
            f"the segment's trailer tells of a file of {trailer.file_bytes} bytes with a tail of {trailer.tail_bytes}; "
            f"the file has {file_size}"
        )
    return trailer
