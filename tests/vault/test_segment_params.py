"""Parameter sets as encoders write them, and as hostile cameras might."""

from __future__ import annotations

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.streams import encode_aac, encode_h264, encode_h265, parameter_sets
from vault.errors import Damaged
from vault.media import Codec, TrackParams
from vault.segment.bits import BitReader, unescape
from vault.segment.params import (
    aac_params,
    is_parameter_set,
    is_vcl,
    nal_type,
    parse_aac,
    parse_sps_h264,
    parse_sps_h265,
    reorder_depth,
    sorted_sets,
    video_params,
)

H264_SETS = parameter_sets(encode_h264()[0])
H265_SETS = parameter_sets(encode_h265()[0], h265=True)


class BitWriter:
    """Bits from the most significant down, to make parameter sets that no encoder here makes."""

    def __init__(self, head: bytes) -> None:
        self.bits = "".join(f"{byte:08b}" for byte in head)

    def u(self, count: int, value: int) -> BitWriter:
        self.bits += f"{value:0{count}b}" if count else ""
        return self

    def ue(self, *values: int) -> BitWriter:
        for value in values:
            code = f"{value + 1:b}"
            self.bits += "0" * (len(code) - 1) + code
        return self

    def done(self) -> bytes:
        bits = self.bits + "1"
        bits += "0" * (-len(bits) % 8)
        return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def baseline(
    *, profile: int = 66, order_type: int = 0, width_mbs: int = 120, map_units: int = 68, crop_bottom: int = 4
) -> BitWriter:
    sps = BitWriter(bytes((0x67, profile, 0, 40))).ue(0, 0, order_type)
    if order_type == 0:
        sps.ue(4)
    elif order_type == 1:
        sps.u(1, 0).ue(0, 0, 3, 1, 2, 3)
    sps.ue(1).u(1, 0).ue(width_mbs - 1, map_units - 1).u(1, 1).u(1, 0)
    return sps.u(1, 1).ue(0, 0, 0, crop_bottom) if crop_bottom else sps.u(1, 0)


@pytest.mark.parametrize("size", [(160, 96), (162, 90), (320, 180), (1920, 1080)], ids=str)
def test_the_picture_is_as_large_as_the_encoder_was_told(size: tuple[int, int]) -> None:
    h264 = video_params(Codec.H264, parameter_sets(encode_h264(frames=1, size=size)[0]))
    h265 = video_params(Codec.H265, parameter_sets(encode_h265(frames=1, size=size)[0], h265=True))
    assert (h264.width, h264.height) == (h265.width, h265.height) == size
    assert (h264.timescale, h265.timescale) == (90_000, 90_000)


@pytest.mark.parametrize("bframes", [0, 2])
def test_reordering_is_what_the_encoder_was_told(bframes: int) -> None:
    for codec, units in ((Codec.H264, encode_h264(bframes=bframes)), (Codec.H265, encode_h265(bframes=bframes))):
        params = video_params(codec, parameter_sets(units[0], h265=codec is Codec.H265))
        depth = reorder_depth(params)
        assert depth is not None
        # Wide enough for what the stream does, and 0 where it does nothing.
        late = max(sum(other.pts_90k > unit.pts_90k for other in units[:n]) for n, unit in enumerate(units))
        assert depth >= late
        assert (depth == 0) == (bframes == 0)


def test_reordering_without_usability_information_is_known_only_where_the_standard_says_so() -> None:
    known = {
        "baseline": baseline().u(1, 0),
        "output in decoding order": baseline(profile=77, order_type=2).u(1, 0),
    }
    for sps in known.values():
        assert parse_sps_h264(sps.done()).reorder == 0
    for unknown in (baseline(profile=77).u(1, 0), baseline(profile=77, order_type=1).u(1, 0), baseline(profile=77).u(1, 1)):
        assert parse_sps_h264(unknown.done()).reorder is None


def test_1088_lines_are_cropped_to_1080() -> None:
    sps = parse_sps_h264(baseline().u(1, 0).done())
    assert (sps.width, sps.height) == (1920, 1080)
    assert parse_sps_h264(baseline(crop_bottom=0).u(1, 0).done()).height == 1088


def test_coded_fields_count_lines_twice() -> None:
    sps = (
        BitWriter(bytes((0x67, 77, 0, 40)))
        .ue(0, 0, 2, 1)
        .u(1, 0)
        .ue(119, 33)
        .u(1, 0)
        .u(1, 1)
        .u(1, 0)
        .u(1, 1)
        .ue(0, 0, 0, 2)
        .u(1, 0)
    )
    parsed = parse_sps_h264(sps.done())
    assert (parsed.width, parsed.height) == (1920, 1080)


def test_scaling_lists_are_stepped_over() -> None:
    sps = BitWriter(bytes((0x67, 100, 0, 40))).ue(0, 1, 0, 0).u(1, 0).u(1, 1)
    sps.u(1, 1).ue(*[1] * 16)
    for _ in range(7):
        sps.u(1, 0)
    sps.ue(0, 2, 1).u(1, 0).ue(79, 44).u(1, 1).u(1, 0).u(1, 0).u(1, 0)
    parsed = parse_sps_h264(sps.done())
    assert (parsed.width, parsed.height, parsed.reorder) == (1280, 720, 0)


def test_sets_are_put_in_order_and_repeated_ones_once() -> None:
    vps, sps, pps = H265_SETS
    assert sorted_sets(Codec.H265, [pps, sps, pps, vps, sps]) == (vps, sps, pps)
    assert video_params(Codec.H264, H264_SETS[::-1]).sets == H264_SETS


@pytest.mark.parametrize(
    "sets",
    [(), H264_SETS[:1], H264_SETS[1:], (*H264_SETS, b"\x65abc"), (*H264_SETS, b""), (*H264_SETS, b"\x68" + bytes(70_000))],
    ids=["none", "no pps", "no sps", "a slice", "empty", "too long"],
)
def test_sets_that_make_no_track_are_damaged(sets: tuple[bytes, ...]) -> None:
    with pytest.raises(Damaged):
        video_params(Codec.H264, sets)


def test_kinds_of_nal_units() -> None:
    for codec, units in ((Codec.H264, encode_h264(aud=True)), (Codec.H265, encode_h265(aud=True))):
        sets = set(parameter_sets(units[0], h265=codec is Codec.H265))
        for unit in units:
            kinds = [nal_type(codec, nal) for nal in unit.nals]
            assert any(is_vcl(codec, kind) for kind in kinds)
            assert {nal for nal, kind in zip(unit.nals, kinds, strict=True) if is_parameter_set(codec, kind)} <= sets
    assert not is_vcl(Codec.H264, 6)
    assert not is_vcl(Codec.H265, 35)


def test_emulation_prevention_is_removed() -> None:
    assert unescape(b"\x67\x00\x00\x03\x01\x00\x00\x03\x00\x00\x03\x02") == b"\x67\x00\x00\x01\x00\x00\x00\x00\x02"
    assert unescape(b"\x00\x00\x03") == b"\x00\x00"


def test_exp_golomb_codes() -> None:
    bits = BitReader(BitWriter(b"").ue(0, 1, 2, 7, 255, 2**32 - 2).done(), "test")
    assert [bits.ue() for _ in range(6)] == [0, 1, 2, 7, 255, 2**32 - 2]
    bits = BitReader(BitWriter(b"").ue(0, 1, 2, 3, 4).done(), "test")
    assert [bits.se() for _ in range(5)] == [0, 1, -1, 2, -2]
    with pytest.raises(Damaged, match="more than 32 bits"):
        BitReader(bytes(100), "test").ue()


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 1), (44_100, 2), (48_000, 2), (96_000, 1)])
def test_an_aac_configuration_gives_rate_and_channels(rate: int, channels: int) -> None:
    config = encode_aac(0.5, rate, channels).config
    assert aac_params(config) == TrackParams(Codec.AAC, rate, (config,), channels=channels)
    assert parse_aac(config).frame_samples == 1024


def test_unusual_aac_configurations() -> None:
    explicit = BitWriter(b"").u(5, 2).u(4, 15).u(24, 12_345).u(4, 1).u(3, 0).done()
    assert (parse_aac(explicit).rate, parse_aac(explicit).channels) == (12_345, 1)
    sbr = BitWriter(b"").u(5, 5).u(4, 6).u(4, 2).u(4, 3).u(5, 2).u(3, 0).done()
    assert (parse_aac(sbr).rate, parse_aac(sbr).output_rate, parse_aac(sbr).object_type) == (24_000, 48_000, 2)
    # A program config element: one front pair, one single at the back, one for low frequencies.
    own = BitWriter(b"").u(5, 2).u(4, 3).u(4, 0).u(3, 0).u(10, 0).u(4, 1).u(4, 0).u(4, 1).u(2, 1).u(7, 0).u(3, 0)
    assert parse_aac(own.u(1, 1).u(4, 0).u(1, 0).u(4, 0).done()).channels == 4
    for bad in (b"", b"\x12", b"\xff" * 8, BitWriter(b"").u(5, 2).u(4, 13).u(4, 2).u(3, 0).done(), bytes(2000)):
        with pytest.raises(Damaged):
            parse_aac(bad)


def test_libav_agrees_on_what_an_sps_says() -> None:
    for codec, name in ((Codec.H264, "h264"), (Codec.H265, "hevc")):
        units = (encode_h264 if codec is Codec.H264 else encode_h265)(frames=5, size=(322, 182))
        decoder = av.CodecContext.create(name, "r")
        for unit in units:
            decoder.decode(av.Packet(b"".join(b"\x00\x00\x00\x01" + nal for nal in unit.nals)))
        params = video_params(codec, parameter_sets(units[0], h265=codec is Codec.H265))
        assert (decoder.width, decoder.height) == (params.width, params.height)


@settings(deadline=None)
@given(st.sampled_from([*H264_SETS, *H265_SETS]), st.data())
def test_mutated_parameter_sets_are_parsed_or_damaged(original: bytes, data: st.DataObject) -> None:
    nal = bytearray(original)
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(nal) - 1))
        nal[at] = data.draw(st.integers(0, 255))
    cut = bytes(nal[: data.draw(st.integers(1, len(nal)))])
    for parse in (parse_sps_h264, parse_sps_h265):
        try:
            sps = parse(cut)
        except Damaged:
            continue
        assert 0 < sps.width <= 16_384
        assert 0 < sps.height <= 16_384


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_damaged(data: bytes) -> None:
    for codec in (Codec.H264, Codec.H265):
        try:
            params = video_params(codec, [data, *(H264_SETS if codec is Codec.H264 else H265_SETS)])
            reorder_depth(params)
        except Damaged:
            pass
    try:
        parsed = parse_aac(data)
    except Damaged:
        return
    assert 0 < parsed.channels <= 100
