"""The boxes around a track's samples: `ftyp`, `mvhd`, `trak` and what it holds but the sample tables (ISO/IEC 14496-12 §8).

Times of the movie run at 90,000 a second. Sample tables belong to `vault.segment.tables`, fragments to `vault.segment.build`.
"""

from __future__ import annotations

import struct

from vault.media import TrackParams
from vault.segment.boxes import box, full_box
from vault.timebase import US

MOVIE_TIMESCALE = 90_000
FTYP = box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isom", b"iso6", b"avc1", b"mp41")
HEADER_OFFSET = len(FTYP)
"""Where the 16 bytes stand that are `free` while recording and the header of `mdat` after close."""

HEADER_BYTES = 16
FREE_HEADER = box(b"free", bytes(HEADER_BYTES - 8))

_SECONDS_1904 = 2_082_844_800
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_UNDETERMINED = 0x55C4
_DATA_HERE = box(b"dinf", full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1)))


def mdat_header(end_bytes: int) -> bytes:
    """The 16 bytes that make everything from HEADER_OFFSET to `end_bytes` one `mdat`."""
    return struct.pack(">I4sQ", 1, b"mdat", end_bytes - HEADER_OFFSET)


def mvhd(start_us: int, duration: int, tracks: int) -> bytes:
    """Movie header (§8.2.2); `duration` at 90,000 a second, the creation time is the segment's start."""
    created = max(start_us, 0) // US + _SECONDS_1904
    return full_box(
        b"mvhd",
        1,
        0,
        struct.pack(">QQIQ", created, created, MOVIE_TIMESCALE, duration),
        struct.pack(">IHH8x", 0x10000, 0x0100, 0),
        _MATRIX,
        bytes(24),
        struct.pack(">I", tracks + 1),
    )


def trak(track_id: int, params: TrackParams, start_us: int, stbl: bytes, media_duration: int = 0, first_dts: int = 0) -> bytes:
    """A track (§8.3). `media_duration` and `first_dts` in the track's ticks: a late start is one empty edit and then all of the media."""
    codec = params.codec
    created = max(start_us, 0) // US + _SECONDS_1904
    late = _movie_ticks(first_dts, params.timescale)
    shown = _movie_ticks(media_duration, params.timescale)
    # An opaque track is not enabled: players leave it alone and the bytes are kept.
    tkhd = full_box(
        b"tkhd",
        1,
        3 if codec.is_video or codec.is_audio else 0,
        struct.pack(">QQI4xQ8x", created, created, track_id, late + shown),
        struct.pack(">HHH2x", 0, 1 if codec.is_audio else 0, 0x0100 if codec.is_audio else 0),
        _MATRIX,
        struct.pack(">II", params.width << 16, params.height << 16),
    )
    if codec.is_video:
        handler, name, media_header = b"vide", b"video", full_box(b"vmhd", 0, 1, bytes(8))
    elif codec.is_audio:
        handler, name, media_header = b"soun", b"audio", full_box(b"smhd", 0, 0, bytes(4))
    else:
        handler, name, media_header = b"meta", b"opaque", full_box(b"nmhd", 0, 0)
    mdhd = struct.pack(">QQIQHH", created, created, params.timescale, media_duration, _UNDETERMINED, 0)
    return box(
        b"trak",
        tkhd,
        _edits(late, shown) if late else b"",
        box(
            b"mdia",
            full_box(b"mdhd", 1, 0, mdhd),
            full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(12), name + b"\x00"),
            box(b"minf", media_header, _DATA_HERE, stbl),
        ),
    )


def _edits(late: int, shown: int) -> bytes:
    """An empty edit and one that plays the whole media (§8.6.6)."""
    return box(b"edts", full_box(b"elst", 1, 0, struct.pack(">IQqHHQqHH", 2, late, -1, 1, 0, shown, 0, 1, 0)))


def _movie_ticks(ticks: int, timescale: int) -> int:
    return (ticks * MOVIE_TIMESCALE + timescale // 2) // timescale
