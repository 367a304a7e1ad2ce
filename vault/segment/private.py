"""Our own boxes: what the segment says of itself (JSON in a `uuid` box inside `moov`) and the trailer at the end of a closed file.

The bytes stand in FORMAT.md. Both are `uuid` boxes (ISO/IEC 14496-12 §11.1), which every player skips.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from vault.errors import Damaged, UsageError
from vault.ids import CameraNumber, SegmentKey, camera_id
from vault.media import GapBefore, SegmentFlag, SegmentHead, SegmentInfo
from vault.segment.boxes import Span, box
from vault.timebase import MAX_US

FORMAT = 1
"""Version of the private box. A reader refuses another one, since it cannot know what it would misread."""

INFO_UUID = bytes.fromhex("e1f3b004746d42729f8a4e559b4b3e58")
TRAILER_UUID = bytes.fromhex("4269462d176544059f69a4c188e7234d")
TRAILER_BYTES = 48
MAX_REASON = 500
"""Characters of a gap's reason; a longer one is cut."""

_TRAILER = struct.Struct(">I4s16sIIQQ")
_MAX_JSON = 16_384
_MAX_TICKS = 1 << 48
_U32 = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Trailer:
    """The last 48 bytes of a closed file: length of the tail (closing `moov` and trailer), the file's length, the moov's CRC-32."""

    tail_bytes: int
    file_bytes: int
    crc: int


def encode_head(head: SegmentHead) -> bytes:
    """The private box of an open segment. Raises UsageError for a field that no reader would accept."""
    return _encode({"format": FORMAT, "head": _head_fields(head)})


def encode_info(info: SegmentInfo, first_dts: list[int]) -> bytes:
    """The private box of a closed segment; `first_dts`: of each track, since sample tables begin at 0. Raises UsageError."""
    close = {
        "end_us": info.end_us,
        "closed_us": info.closed_us,
        "site_class": info.site_class,
        "min_until_us": info.min_until_us,
        "flags": int(info.flags),
        "clock_offset_us": info.clock_offset_us,
        "first_dts": first_dts,
    }
    return _encode({"format": FORMAT, "head": _head_fields(info.head), "close": close})


def decode(data: bytes, span: Span) -> tuple[SegmentHead, SegmentInfo | None, list[int]]:
    """The private box: its head, and of a closed segment the whole and each track's first dts. Raises Damaged."""
    if span.end - span.body > _MAX_JSON or data[span.body : span.body + 16] != INFO_UUID:
        raise Damaged(f"the uuid box at offset {span.start} is not ours")
    return _decode(data[span.body + 16 : span.end])


def encode_trailer(moov: bytes, file_bytes_before: int) -> bytes:
    """The trailer that follows `moov`, which begins at `file_bytes_before`."""
    tail = len(moov) + TRAILER_BYTES
    return _TRAILER.pack(TRAILER_BYTES, b"uuid", TRAILER_UUID, FORMAT, zlib.crc32(moov), tail, file_bytes_before + tail)


def decode_trailer(data: bytes) -> Trailer | None:
    """The trailer in the last bytes of `data`, or None where no trailer of ours stands. Raises Damaged for another version."""
    if len(data) < TRAILER_BYTES:
        return None
    size, kind, uuid, version, crc, tail, whole = _TRAILER.unpack_from(data, len(data) - TRAILER_BYTES)
    if (size, kind, uuid) != (TRAILER_BYTES, b"uuid", TRAILER_UUID):
        return None
    if version != FORMAT:
        raise Damaged(f"the segment's trailer has version {version}; this program reads {FORMAT}")
    return Trailer(tail, whole, crc)


def _head_fields(head: SegmentHead) -> dict[str, Any]:
    gap = head.gap_before
    reason = "".join(c if c.isprintable() else "?" for c in gap.reason[:MAX_REASON]) if gap else ""
    return {
        "camera": head.camera_id,
        "number": head.key.camera,
        "start_us": head.key.start_us,
        "epoch": head.key.epoch,
        "sequence": head.key.sequence,
        "rate_ppm": head.rate_ppm,
        "gap_before": {"start_us": gap.start_us, "reason": reason} if gap else None,
        "flags": int(head.flags),
    }


def _encode(fields: dict[str, Any]) -> bytes:
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    # What is written must read back, so the reader's rules are the writer's too.
    try:
        _decode(text)
    except Damaged as error:
        raise UsageError(f"a segment cannot be described so: {error}") from error
    return box(b"uuid", INFO_UUID, text)


def _decode(text: bytes) -> tuple[SegmentHead, SegmentInfo | None, list[int]]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damaged("the segment's private box is not JSON") from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        version = fields.get("format") if isinstance(fields, dict) else None
        raise Damaged(f"the segment's private box has format {str(version)[:20]}; this program reads {FORMAT}")
    head = _decode_head(_object(fields, "head"))
    if fields.get("close") is None:
        return head, None, []
    close = _object(fields, "close")
    first = close.get("first_dts")
    if not isinstance(first, list) or not all(type(item) is int and 0 <= item < _MAX_TICKS for item in first):
        raise Damaged("first_dts in the segment's private box is not a list of ticks")
    offset = close.get("clock_offset_us")
    end_us = _integer(close, "end_us", MAX_US)
    if end_us <= head.key.start_us:
        raise Damaged(f"the segment's private box ends at {end_us} µs and starts at {head.key.start_us} µs")
    info = SegmentInfo(
        head,
        end_us,
        _integer(close, "closed_us", MAX_US),
        _text(close, "site_class", 64),
        _integer(close, "min_until_us", MAX_US),
        SegmentFlag(_integer(close, "flags", _U32)),
        None if offset is None else _integer(close, "clock_offset_us", MAX_US, -MAX_US),
    )
    return head, info, first


def _decode_head(fields: dict[str, Any]) -> SegmentHead:
    rate = fields.get("rate_ppm")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not -500 <= rate <= 500:
        raise Damaged("rate_ppm in the segment's private box is not between -500 and 500")
    try:
        key = SegmentKey(
            CameraNumber(_integer(fields, "number", _U32)),
            _integer(fields, "start_us", MAX_US),
            _integer(fields, "epoch", _U32),
            _integer(fields, "sequence", _U32),
        )
        camera = camera_id(_text(fields, "camera", 64))
    except UsageError as error:
        raise Damaged(f"the segment's private box names no segment: {error}") from error
    gap = None
    if fields.get("gap_before") is not None:
        raw = _object(fields, "gap_before")
        gap = GapBefore(_integer(raw, "start_us", key.start_us), _text(raw, "reason", MAX_REASON))
    return SegmentHead(key, camera, float(rate), gap, SegmentFlag(_integer(fields, "flags", _U32)))


def _object(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    if not isinstance(value, dict):
        raise Damaged(f"{name} in the segment's private box is missing")
    return value


def _integer(fields: dict[str, Any], name: str, highest: int, lowest: int = 0) -> int:
    value = fields.get(name)
    if type(value) is not int or not lowest <= value <= highest:
        raise Damaged(f"{name} in the segment's private box is not a number between {lowest} and {highest}")
    return value


def _text(fields: dict[str, Any], name: str, limit: int) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > limit or not value.isprintable():
        raise Damaged(f"{name} in the segment's private box is not printable text of at most {limit} characters")
    return value
