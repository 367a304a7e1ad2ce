"""What parameter sets say: picture size and reordering from an SPS, rate and channels from an AudioSpecificConfig; kinds of NAL units.

The bytes come from cameras and are hostile: every count is bounded, anything else raises Damaged. Writing them into sample
entries belongs to `vault.segment.entries`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vault.errors import Damaged
from vault.media import Codec, TrackParams
from vault.segment.bits import BitReader, unescape
from vault.timebase import VIDEO_RATE

MAX_SET_BYTES = 65_535
"""A parameter set's length stands in 16 bits of `avcC` and `hvcC` (ISO/IEC 14496-15 §5.3.3.1, §8.3.3.1)."""

MAX_PICTURE = 16_384
"""Wider or higher pictures are refused; no camera makes them, and a decoder would be asked for gigabytes."""

_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
_INTRA_CAPABLE = frozenset({44, 86, 100, 110, 122, 244})
_SET_ORDER = {Codec.H264: (7, 8), Codec.H265: (32, 33, 34)}
_MAX_SETS = {7: 31, 8: 255, 32: 16, 33: 16, 34: 64}
_AAC_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
_AAC_CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 14: 8}


@dataclass(frozen=True, slots=True)
class Sps:
    """What we need of an SPS. `reorder` is the most pictures that precede one in decoding and follow it in output; None: unknown.

    `profile_tier_level`: H.265: the 12 bytes that hvcC repeats; H.264: profile, constraints and level, 3 bytes.
    """

    width: int
    height: int
    reorder: int | None
    chroma_format: int
    luma_bits: int
    chroma_bits: int
    profile_tier_level: bytes
    temporal_layers: int = 1
    temporal_nested: bool = True


@dataclass(frozen=True, slots=True)
class AacConfig:
    """An AudioSpecificConfig: the core's sample rate, the rate after SBR (the same without), channels, samples a frame."""

    object_type: int
    rate: int
    output_rate: int
    channels: int
    frame_samples: int


def nal_type(codec: Codec, nal: bytes) -> int:
    """nal_unit_type (ITU-T H.264 §7.4.1, H.265 §7.4.2.2). `nal` has at least one byte."""
    return (nal[0] >> 1) & 0x3F if codec is Codec.H265 else nal[0] & 0x1F


def is_parameter_set(codec: Codec, kind: int) -> bool:
    """VPS, SPS or PPS: the NAL unit types that go into a sample entry."""
    return kind in _SET_ORDER[codec]


def is_vcl(codec: Codec, kind: int) -> bool:
    """A NAL unit that carries a part of a picture (ITU-T H.264 table 7-1, H.265 table 7-1)."""
    return kind < 32 if codec is Codec.H265 else 1 <= kind <= 5


def sorted_sets(codec: Codec, sets: Sequence[bytes]) -> tuple[bytes, ...]:
    """Parameter sets in the order VPS, SPS, PPS, each literal one once. Raises Damaged where one is missing, too long or too many."""
    order = _SET_ORDER[codec]
    groups: dict[int, list[bytes]] = {kind: [] for kind in order}
    for item in sets:
        kind = nal_type(codec, item) if item else -1
        if kind not in groups or not 2 <= len(item) <= MAX_SET_BYTES:
            raise Damaged(f"NAL unit type {kind} of {len(item)} bytes is not a parameter set of {codec}")
        if item not in groups[kind]:
            groups[kind].append(item)
    for kind, group in groups.items():
        if not group or len(group) > _MAX_SETS[kind]:
            raise Damaged(
                f"{len(group)} parameter sets of NAL unit type {kind} in a stream of {codec}; 1 to {_MAX_SETS[kind]} are needed"
            )
    return tuple(item for group in groups.values() for item in group)


def video_params(codec: Codec, sets: Sequence[bytes]) -> TrackParams:
    """A video track's description from its VPS, SPS and PPS, in any order. Raises Damaged."""
    ordered = sorted_sets(codec, sets)
    sps = first_sps(codec, ordered)
    return TrackParams(codec, VIDEO_RATE, ordered, sps.width, sps.height)


def aac_params(config: bytes) -> TrackParams:
    """An AAC track's description from its AudioSpecificConfig; times run at the core's sample rate. Raises Damaged."""
    parsed = parse_aac(config)
    return TrackParams(Codec.AAC, parsed.rate, (config,), channels=parsed.channels)


def reorder_depth(params: TrackParams) -> int | None:
    """How many pictures may precede one in decoding and follow it in output: 0 when none do, None when the stream does not say."""
    return first_sps(params.codec, params.sets).reorder


def first_sps(codec: Codec, sets: Sequence[bytes]) -> Sps:
    """The first SPS of a track's parameter sets, parsed. Raises Damaged."""
    wanted = 33 if codec is Codec.H265 else 7
    for item in sets:
        if item and nal_type(codec, item) == wanted:
            return parse_sps_h265(item) if codec is Codec.H265 else parse_sps_h264(item)
    raise Damaged(f"a stream of {codec} without a sequence parameter set")


def parse_sps_h264(nal: bytes) -> Sps:
    """ITU-T H.264 §7.3.2.1.1. Raises Damaged."""
    bits = BitReader(unescape(nal[:MAX_SET_BYTES]), "H.264 SPS")
    bits.u(8)
    profile, constraints, level = bits.u(8), bits.u(8), bits.u(8)
    _bounded(bits.ue(), 31, "seq_parameter_set_id")
    chroma, luma_bits, chroma_bits = 1, 8, 8
    separate = False
    if profile in _HIGH_PROFILES:
        chroma = _bounded(bits.ue(), 3, "chroma_format_idc")
        separate = chroma == 3 and bits.flag()
        luma_bits = 8 + _bounded(bits.ue(), 6, "bit_depth_luma_minus8")
        chroma_bits = 8 + _bounded(bits.ue(), 6, "bit_depth_chroma_minus8")
        bits.flag()
        if bits.flag():
            for index in range(12 if chroma == 3 else 8):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    _bounded(bits.ue(), 12, "log2_max_frame_num_minus4")
    order_type = _bounded(bits.ue(), 2, "pic_order_cnt_type")
    if order_type == 0:
        _bounded(bits.ue(), 12, "log2_max_pic_order_cnt_lsb_minus4")
    elif order_type == 1:
        bits.flag()
        bits.se()
        bits.se()
        for _ in range(_bounded(bits.ue(), 255, "num_ref_frames_in_pic_order_cnt_cycle")):
            bits.se()
    _bounded(bits.ue(), 16, "max_num_ref_frames")
    bits.flag()
    width = (_bounded(bits.ue(), MAX_PICTURE // 16, "pic_width_in_mbs_minus1") + 1) * 16
    map_units = _bounded(bits.ue(), MAX_PICTURE // 16, "pic_height_in_map_units_minus1") + 1
    frames_only = bits.flag()
    height = map_units * 16 * (1 if frames_only else 2)
    if not frames_only:
        bits.flag()
    bits.flag()
    if bits.flag():
        # Cropping counts chroma samples, and pairs of lines where fields are coded (ITU-T H.264 §7.4.2.1.1).
        unit_x = 2 if chroma in (1, 2) and not separate else 1
        unit_y = (2 if chroma == 1 and not separate else 1) * (1 if frames_only else 2)
        width -= unit_x * (bits.ue() + bits.ue())
        height -= unit_y * (bits.ue() + bits.ue())
    _check_picture(width, height)
    if order_type == 2 or profile == 66 or (constraints & 0x10 and profile in _INTRA_CAPABLE):
        reorder: int | None = 0
    else:
        reorder = _vui_reorder(bits)
    return Sps(width, height, reorder, chroma, luma_bits, chroma_bits, bytes((profile, constraints, level)))


def parse_sps_h265(nal: bytes) -> Sps:
    """ITU-T H.265 §7.3.2.2.1, as far as the bit depths and the reordering. Raises Damaged."""
    rbsp = unescape(nal[:MAX_SET_BYTES])
    bits = BitReader(rbsp, "H.265 SPS")
    bits.u(16 + 4)
    layers = _bounded(bits.u(3), 6, "sps_max_sub_layers_minus1") + 1
    nested = bits.flag()
    profile_tier_level = rbsp[3:15]
    bits.u(96)
    present = [(bits.flag(), bits.flag()) for _ in range(layers - 1)]
    if present:
        bits.u(2 * (8 - len(present)))
    for profile_there, level_there in present:
        bits.u(88 * profile_there + 8 * level_there)
    _bounded(bits.ue(), 15, "sps_seq_parameter_set_id")
    chroma = _bounded(bits.ue(), 3, "chroma_format_idc")
    separate = chroma == 3 and bits.flag()
    width, height = bits.ue(), bits.ue()
    if bits.flag():
        unit_x = 2 if chroma in (1, 2) and not separate else 1
        unit_y = 2 if chroma == 1 and not separate else 1
        width -= unit_x * (bits.ue() + bits.ue())
        height -= unit_y * (bits.ue() + bits.ue())
    _check_picture(width, height)
    luma_bits = 8 + _bounded(bits.ue(), 8, "bit_depth_luma_minus8")
    chroma_bits = 8 + _bounded(bits.ue(), 8, "bit_depth_chroma_minus8")
    _bounded(bits.ue(), 12, "log2_max_pic_order_cnt_lsb_minus4")
    reorder = 0
    # The last one is the highest layer's, and holds for the whole stream (ITU-T H.265 §7.4.3.2.1).
    for _ in range(layers if bits.flag() else 1):
        bits.ue()
        reorder = _bounded(bits.ue(), 16, "sps_max_num_reorder_pics")
        bits.ue()
    return Sps(width, height, reorder, chroma, luma_bits, chroma_bits, profile_tier_level, layers, nested)


def parse_aac(config: bytes) -> AacConfig:
    """An AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1). Raises Damaged."""
    if not 2 <= len(config) <= 1_024:
        raise Damaged(f"an AudioSpecificConfig of {len(config)} bytes; 2 to 1,024 are possible")
    bits = BitReader(config, "AudioSpecificConfig")
    object_type = _aac_object_type(bits)
    rate = _aac_rate(bits)
    channels = bits.u(4)
    output_rate = rate
    if object_type in (5, 29):
        output_rate = _aac_rate(bits)
        object_type = _aac_object_type(bits)
    if object_type not in (1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23):
        raise Damaged(f"AudioSpecificConfig names audio object type {object_type}; only the AAC family can be recorded as AAC")
    short = bits.flag()
    if bits.flag():
        bits.u(14)
    bits.flag()
    counted = _AAC_CHANNELS.get(channels) if channels else _aac_program_channels(bits)
    if not counted:
        raise Damaged(f"AudioSpecificConfig has channel configuration {channels} without channels")
    return AacConfig(object_type, rate, output_rate, counted, 960 if short else 1_024)


def _bounded(value: int, limit: int, name: str) -> int:
    if value > limit:
        raise Damaged(f"{name} is {value}; at most {limit} is possible")
    return value


def _check_picture(width: int, height: int) -> None:
    if not (0 < width <= MAX_PICTURE and 0 < height <= MAX_PICTURE):
        raise Damaged(f"an SPS gives a picture of {width} by {height}; 1 to {MAX_PICTURE} are possible")


def _skip_scaling_list(bits: BitReader, count: int) -> None:
    """ITU-T H.264 §7.3.2.1.1.1."""
    last, following = 8, 8
    for _ in range(count):
        if following:
            following = (last + bits.se()) & 0xFF
        last = following or last


def _vui_reorder(bits: BitReader) -> int | None:
    """max_num_reorder_frames of the VUI (ITU-T H.264 §E.1.1); None where it is absent or cut off, which cameras do."""
    try:
        if not bits.flag():
            return None
        if bits.flag() and bits.u(8) == 255:
            bits.u(32)
        if bits.flag():
            bits.flag()
        if bits.flag():
            bits.u(4)
            if bits.flag():
                bits.u(24)
        if bits.flag():
            bits.ue()
            bits.ue()
        if bits.flag():
            bits.u(65)
        nal_hrd = bits.flag()
        if nal_hrd:
            _skip_hrd(bits)
        vcl_hrd = bits.flag()
        if vcl_hrd:
            _skip_hrd(bits)
        if nal_hrd or vcl_hrd:
            bits.flag()
        bits.flag()
        if not bits.flag():
            return None
        bits.flag()
        for _ in range(4):
            bits.ue()
        reorder = bits.ue()
    except Damaged:
        return None
    return reorder if reorder <= 16 else None


def _skip_hrd(bits: BitReader) -> None:
    """ITU-T H.264 §E.1.2."""
    count = _bounded(bits.ue(), 31, "cpb_cnt_minus1") + 1
    bits.u(8)
    for _ in range(count):
        bits.ue()
        bits.ue()
        bits.flag()
    bits.u(20)


def _aac_object_type(bits: BitReader) -> int:
    kind = bits.u(5)
    return 32 + bits.u(6) if kind == 31 else kind


def _aac_rate(bits: BitReader) -> int:
    index = bits.u(4)
    rate = bits.u(24) if index == 15 else _AAC_RATES[index] if index < len(_AAC_RATES) else 0
    if not 1_000 <= rate <= 768_000:
        raise Damaged(f"AudioSpecificConfig gives sample rate index {index}, {rate} a second; 1,000 to 768,000 are possible")
    return rate


def _aac_program_channels(bits: BitReader) -> int:
    """Channels of a program config element (ISO/IEC 14496-3 §4.4.1.1), which stands where the channel configuration is 0."""
    bits.u(4 + 2 + 4)
    front, side, back, low = bits.u(4), bits.u(4), bits.u(4), bits.u(2)
    bits.u(3 + 4)
    for extra in (4, 4, 3):
        if bits.flag():
            bits.u(extra)
    channels = low
    for _ in range(front + side + back):
        channels += 1 + bits.u(1)
        bits.u(4)
    return channels
