"""Sample entries of an `stsd` from TrackParams, and back: `avc1`, `hvc1`, `mp4a`, `alaw`, `ulaw` and our own `svop`.

The boxes around them belong to `vault.segment.movie`, parsing parameter sets to `vault.segment.params`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from vault.errors import Damaged, UsageError
from vault.media import Codec, TrackParams
from vault.segment.boxes import Span, box, by_kind, full_box, need, u16, u32
from vault.segment.params import MAX_SET_BYTES, first_sps, nal_type

OPAQUE_ENTRY = b"svop"
"""Our sample entry of a stream we keep and do not understand; its bytes are in FORMAT.md."""

MAX_OPAQUE_NAME = 1_024
"""Characters of an opaque track's name."""

_ENTRY = struct.Struct(">6xH")
_VISUAL = struct.Struct(">16xHHIIIH32sHh")
_AUDIO = struct.Struct(">8xHHHHI")
_HIGH_PROFILES_OF_AVCC = frozenset({100, 110, 122, 144})


def sample_entry(params: TrackParams) -> bytes:
    """The sample entry of one track (ISO/IEC 14496-12 §8.5.2). Raises Damaged for parameter sets that do not parse, UsageError
    for a field out of range."""
    match params.codec:
        case Codec.H264:
            return _visual(b"avc1", params, _avcc(params))
        case Codec.H265:
            return _visual(b"hvc1", params, _hvcc(params))
        case Codec.AAC:
            return _audio(b"mp4a", params, _esds(params))
        case Codec.ALAW:
            return _audio(b"alaw", params)
        case Codec.ULAW:
            return _audio(b"ulaw", params)
        case Codec.OPAQUE:
            name = params.name[:MAX_OPAQUE_NAME].encode("utf-8", "replace")
            return box(OPAQUE_ENTRY, _ENTRY.pack(1), struct.pack(">I", 0), name)


def parse_entry(data: bytes, entry: Span, timescale: int) -> TrackParams:
    """The inverse of `sample_entry`; `timescale` is the track's (`mdhd`). Raises Damaged for what we do not write."""
    parse = _PARSERS.get(entry.kind)
    if parse is None:
        raise Damaged(f"sample entry {entry.kind!r} at offset {entry.start} is none that we write")
    return parse(data, entry, timescale)


def _visual(kind: bytes, params: TrackParams, config: bytes) -> bytes:
    """ISO/IEC 14496-12 §12.1.3: 72 dpi, one frame a sample, 24 bits without alpha."""
    if not (0 < params.width <= 0xFFFF and 0 < params.height <= 0xFFFF):
        raise UsageError(f"a video track of {params.width} by {params.height} has no sample entry")
    visual = _VISUAL.pack(params.width, params.height, 72 << 16, 72 << 16, 0, 1, b"", 24, -1)
    return box(kind, _ENTRY.pack(1), visual, config)


def _audio(kind: bytes, params: TrackParams, config: bytes = b"") -> bytes:
    """ISO/IEC 14496-12 §12.2.3, version 0 with sample size 16, which for G.711 is what every player reads right."""
    if not 0 < params.channels <= 0xFFFF:
        raise UsageError(f"an audio track of {params.channels} channels has no sample entry")
    rate = params.timescale if params.timescale <= 0xFFFF else 0
    return box(kind, _ENTRY.pack(1), _AUDIO.pack(params.channels, 16, 0, 0, rate << 16), config)


def _length_prefixed(sets: Sequence[bytes]) -> bytes:
    for item in sets:
        if not 0 < len(item) <= MAX_SET_BYTES:
            raise UsageError(f"a parameter set of {len(item)} bytes; 1 to {MAX_SET_BYTES} are possible")
    return b"".join(struct.pack(">H", len(item)) + item for item in sets)


def _of_type(params: TrackParams, kind: int, limit: int) -> list[bytes]:
    found = [item for item in params.sets if item and nal_type(params.codec, item) == kind]
    if not 0 < len(found) <= limit:
        raise UsageError(f"{len(found)} parameter sets of NAL unit type {kind}; 1 to {limit} have room in a sample entry")
    return found


def _avcc(params: TrackParams) -> bytes:
    """AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1), 4-byte lengths."""
    sps_sets, pps_sets = _of_type(params, 7, 31), _of_type(params, 8, 255)
    sps = first_sps(Codec.H264, sps_sets)
    head = b"\x01" + sps.profile_tier_level + bytes((0xFF, 0xE0 | len(sps_sets)))
    tail = b""
    if sps.profile_tier_level[0] in _HIGH_PROFILES_OF_AVCC:
        tail = bytes((0xFC | sps.chroma_format, 0xF8 | sps.luma_bits - 8, 0xF8 | sps.chroma_bits - 8, 0))
    return box(b"avcC", head, _length_prefixed(sps_sets), bytes((len(pps_sets),)), _length_prefixed(pps_sets), tail)


def _hvcc(params: TrackParams) -> bytes:
    """HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 §8.3.3.1): all parameter sets, each array complete as `hvc1` demands."""
    groups = [(kind, _of_type(params, kind, limit)) for kind, limit in ((32, 16), (33, 16), (34, 64))]
    sps = first_sps(Codec.H265, params.sets)
    head = struct.pack(
        ">B12sHBBBBHBB",
        1,
        sps.profile_tier_level,
        0xF000,  # Segmentation and parallelism unknown.
        0xFC,
        0xFC | sps.chroma_format,
        0xF8 | sps.luma_bits - 8,
        0xF8 | sps.chroma_bits - 8,
        0,  # Average frame rate unknown.
        sps.temporal_layers << 3 | sps.temporal_nested << 2 | 3,
        len(groups),
    )
    arrays = [struct.pack(">BH", 0x80 | kind, len(group)) + _length_prefixed(group) for kind, group in groups]
    return box(b"hvcC", head, *arrays)


def _descriptor(tag: int, *parts: bytes) -> bytes:
    """A descriptor with its length in four bytes (ISO/IEC 14496-1 §8.3.3)."""
    body = b"".join(parts)
    size = len(body)
    return bytes((tag, 0x80 | size >> 21 & 0x7F, 0x80 | size >> 14 & 0x7F, 0x80 | size >> 7 & 0x7F, size & 0x7F)) + body


def _esds(params: TrackParams) -> bytes:
    """ES_Descriptor with the AudioSpecificConfig (ISO/IEC 14496-14 §5.6, 14496-1 §7.2.6.5)."""
    if len(params.sets) != 1 or not 2 <= len(params.sets[0]) <= 1_024:
        raise UsageError("an AAC track needs one AudioSpecificConfig of 2 to 1,024 bytes")
    specific = _descriptor(0x05, params.sets[0])
    # 0x40: ISO/IEC 14496-3 audio; 0x15: an audio stream. Buffer size and bit rates are unknown.
    config = _descriptor(0x04, struct.pack(">BB3xII", 0x40, 0x15, 0, 0), specific)
    return full_box(b"esds", 0, 0, _descriptor(0x03, struct.pack(">HB", 1, 0), config, _descriptor(0x06, b"\x02")))


def _parse_visual(data: bytes, entry: Span, timescale: int) -> TrackParams:
    start = entry.body + _ENTRY.size + _VISUAL.size
    if start > entry.end:
        raise Damaged(f"sample entry {entry.kind!r} at offset {entry.start} is too short")
    width, height = u16(data, entry.body + 24), u16(data, entry.body + 26)
    inner = by_kind(data, start, entry.end)
    if entry.kind == b"avc1":
        codec, sets = Codec.H264, _parse_avcc(data, need(inner, b"avcC", 7))
    else:
        codec, sets = Codec.H265, _parse_hvcc(data, need(inner, b"hvcC", 23))
    if not (width and height):
        raise Damaged(f"sample entry {entry.kind!r} at offset {entry.start} has no picture size")
    return TrackParams(codec, timescale, sets, width, height)


def _parse_avcc(data: bytes, span: Span) -> tuple[bytes, ...]:
    at, sets = _take(data, span.body + 6, span.end, data[span.body + 5] & 0x1F)
    if at >= span.end:
        raise Damaged(f"avcC at offset {span.start} ends before its picture parameter sets")
    _, more = _take(data, at + 1, span.end, data[at])
    return (*sets, *more)


def _parse_hvcc(data: bytes, span: Span) -> tuple[bytes, ...]:
    at, sets = span.body + 23, []
    for _ in range(data[span.body + 22]):
        if at + 3 > span.end:
            raise Damaged(f"hvcC at offset {span.start} ends inside an array")
        at, group = _take(data, at + 3, span.end, u16(data, at + 1))
        sets += group
    return tuple(sets)


def _take(data: bytes, at: int, end: int, count: int) -> tuple[int, list[bytes]]:
    """`count` byte strings behind 16-bit lengths, and the offset behind them."""
    out: list[bytes] = []
    for _ in range(count):
        if at + 2 > end or at + 2 + u16(data, at) > end:
            raise Damaged(f"a parameter set at offset {at} leaves its box")
        size = u16(data, at)
        out.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return at, out


def _parse_audio(data: bytes, entry: Span, timescale: int) -> TrackParams:
    start = entry.body + _ENTRY.size + _AUDIO.size
    if start > entry.end:
        raise Damaged(f"sample entry {entry.kind!r} at offset {entry.start} is too short")
    channels = u16(data, entry.body + 16)
    if not channels:
        raise Damaged(f"sample entry {entry.kind!r} at offset {entry.start} has no channels")
    if entry.kind != b"mp4a":
        return TrackParams(Codec.ALAW if entry.kind == b"alaw" else Codec.ULAW, timescale, channels=channels)
    esds = need(by_kind(data, start, entry.end), b"esds", 4)
    return TrackParams(Codec.AAC, timescale, (_parse_esds(data, esds.body + 4, esds.end),), channels=channels)


def _parse_esds(data: bytes, at: int, end: int) -> bytes:
    """The AudioSpecificConfig in the descriptors that `_esds` writes: ES, decoder config, decoder specific info."""
    for tag, skip in ((0x03, 3), (0x04, 13), (0x05, 0)):
        if at >= end or data[at] != tag:
            raise Damaged(f"esds has no descriptor {tag} at offset {at}")
        size, at = 0, at + 1
        for _ in range(4):
            if at >= end:
                raise Damaged(f"esds ends inside a length at offset {at}")
            size, more, at = size << 7 | data[at] & 0x7F, data[at] & 0x80, at + 1
            if not more:
                break
        if skip > size or size > end - at:
            raise Damaged(f"esds descriptor {tag} of {size} bytes leaves its box at offset {at}")
        end, at = at + size, at + skip
    if not 2 <= end - at <= 1_024:
        raise Damaged(f"an AudioSpecificConfig of {end - at} bytes at offset {at}")
    return data[at:end]


def _parse_opaque(data: bytes, entry: Span, timescale: int) -> TrackParams:
    start = entry.body + _ENTRY.size + 4
    if start > entry.end or u32(data, start - 4) != 0 or entry.end - start > 4 * MAX_OPAQUE_NAME:
        raise Damaged(f"sample entry {entry.kind!r} at offset {entry.start} is not of a version we know")
    try:
        name = data[start : entry.end].decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damaged(f"the name in sample entry {entry.kind!r} at offset {entry.start} is not UTF-8") from error
    return TrackParams(Codec.OPAQUE, timescale, name=name)


_PARSERS: dict[bytes, Callable[[bytes, Span, int], TrackParams]] = {
    b"avc1": _parse_visual,
    b"hvc1": _parse_visual,
    b"mp4a": _parse_audio,
    b"alaw": _parse_audio,
    b"ulaw": _parse_audio,
    OPAQUE_ENTRY: _parse_opaque,
}
