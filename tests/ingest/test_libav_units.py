"""Packets of containers become the samples we keep, whichever way their NAL units and frames are framed; and hostile ones too."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.libavunits import AacUnits, G711Units, OpaqueUnits, VideoUnits, avc_record, hevc_record, split_annexb
from ingest.rtp.flags import DAMAGED, KEY, PARAMS, RECOVERY
from tests.support.streams import AccessUnit, encode_aac, encode_h264, encode_h265, parameter_sets
from vault.media import Codec


def annexb(unit: AccessUnit, start: bytes = b"\x00\x00\x00\x01") -> bytes:
    return b"".join(start + nal for nal in unit.nals)


def prefixed(unit: AccessUnit, length_bytes: int) -> bytes:
    return b"".join(len(nal).to_bytes(length_bytes, "big") + nal for nal in unit.nals)


def avcc(unit: AccessUnit, length_bytes: int = 4) -> bytes:
    """ISO/IEC 14496-15 §5.3.3.1."""
    sps, pps = parameter_sets(unit)
    head = bytes((1, sps[1], sps[2], sps[3], 0xFC | (length_bytes - 1)))
    return head + b"\xe1" + struct.pack(">H", len(sps)) + sps + b"\x01" + struct.pack(">H", len(pps)) + pps


def hvcc(unit: AccessUnit, length_bytes: int = 4) -> bytes:
    """ISO/IEC 14496-15 §8.3.3.1; only what is looked at is filled in."""
    out = bytes((1,)) + bytes(20) + bytes((0xFC | (length_bytes - 1), 3))
    for nal in parameter_sets(unit, h265=True):
        out += bytes((nal[0] >> 1 & 63,)) + struct.pack(">HH", 1, len(nal)) + nal
    return out


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
@pytest.mark.parametrize("framing", ["annexb", "annexb3", "prefixed4", "prefixed2"])
def test_every_framing_gives_the_same_samples(codec: Codec, framing: str) -> None:
    units = encode_h264(30, bframes=2) if codec is Codec.H264 else encode_h265(30, bframes=2)
    record = avcc if codec is Codec.H264 else hvcc
    length_bytes = 2 if framing == "prefixed2" else 4
    made = VideoUnits(codec, b"" if framing.startswith("annexb") else record(units[0], length_bytes))
    for unit in units:
        if framing == "annexb":
            data = annexb(unit)
        elif framing == "annexb3":
            data = annexb(unit, b"\x00\x00\x01") + b"\x00\x00"
        else:
            data = prefixed(unit, length_bytes)
        ((sample, flags, after),) = made.convert(data, unit.key)
        assert sample == unit.sample
        assert bool(flags & KEY) is unit.key
        assert bool(flags & PARAMS) is bool(parameter_sets(unit, h265=codec is Codec.H265))
        assert not flags & (DAMAGED | RECOVERY)
        assert after == 0


def test_parameter_sets_are_read_from_the_record_of_either_codec() -> None:
    first = encode_h264()[0]
    assert avc_record(avcc(first, 2)) == (list(parameter_sets(first)), 2)
    assert VideoUnits(Codec.H264, annexb(first)).sets == list(parameter_sets(first))
    first = encode_h265()[0]
    assert hevc_record(hvcc(first)) == (list(parameter_sets(first, h265=True)), 4)


def test_new_parameters_of_the_container_are_put_in_band() -> None:
    old, new = encode_h264(), encode_h264(size=(320, 192))
    made = VideoUnits(Codec.H264, avcc(old[0]))
    made.reconfigure(avcc(old[0]))
    assert made.convert(prefixed(old[1], 4), False)[0][1] & PARAMS == 0
    made.reconfigure(avcc(new[0]))
    sample, flags, _ = made.convert(prefixed(new[1], 4), False)[0]
    sets = b"".join(len(nal).to_bytes(4, "big") + nal for nal in parameter_sets(new[0]))
    assert sample == sets + new[1].sample
    assert flags & PARAMS


def test_a_length_that_does_not_fit_marks_the_unit_as_damaged() -> None:
    units = encode_h264()
    made = VideoUnits(Codec.H264, avcc(units[0]))
    ((sample, flags, _),) = made.convert(units[0].sample[:-3], True)
    assert flags & DAMAGED
    assert units[0].sample.startswith(sample)


def adts(frame: bytes, *, crc: bool = False) -> bytes:
    """ISO/IEC 14496-3 §1.A.2.2: AAC-LC, 48 kHz, two channels."""
    size = len(frame) + (9 if crc else 7)
    head = bytes((0xFF, 0xF0 if crc else 0xF1, 0x4C, 0x80 | size >> 11, size >> 3 & 0xFF, (size & 7) << 5 | 0x1F, 0xFC))
    return head + (b"\x00\x00" if crc else b"") + frame


@pytest.mark.parametrize("crc", [False, True])
def test_adts_is_taken_off_and_tells_the_configuration(crc: bool) -> None:
    stream = encode_aac()
    made = AacUnits(b"")
    packets = [one.data for one in stream.frames]
    found = [made.convert(adts(packets[0], crc=crc) + adts(packets[1], crc=crc), True)]
    found += [made.convert(adts(data, crc=crc), True) for data in packets[2:]]
    assert [sample for one in found for sample, _, _ in one] == packets
    assert [after for _, _, after in found[0]] == [0, 1024]
    assert made.config == stream.config[:2]


def test_raw_aac_is_passed_on() -> None:
    assert AacUnits(b"\x11\x90").convert(b"abc", True) == [(b"abc", KEY, 0)]


@given(st.lists(st.integers(0, 700), max_size=20), st.sampled_from([1, 2]))
def test_g711_of_any_packet_length_becomes_20_ms_and_no_byte_is_lost(sizes: list[int], channels: int) -> None:
    made, total, begin, out = G711Units(8000, channels), bytes(range(256)) * 60, 0, []
    for size in sizes:
        data = total[begin : begin + size * channels]
        out += [(begin // channels + after, sample) for sample, _, after in made.convert(data, True)]
        begin += len(data)
    assert [at for at, _ in out] == [at * 160 for at in range(len(out))]
    joined = b"".join(sample for _, sample in out)
    assert joined == total[: len(joined)]
    assert 0 <= begin - len(joined) < 160 * channels


@given(st.integers(0, 140_000))
def test_an_opaque_packet_can_be_put_together_again(size: int) -> None:
    data = bytes(index * 7 & 0xFF for index in range(size))
    samples = OpaqueUnits().convert(data, True)
    rest, found = samples[0][0] if samples else b"", b""
    while rest:
        length = int.from_bytes(rest[:2], "big")
        found, rest = found + rest[2 : 2 + length], rest[2 + length :]
    assert found == data


@given(st.sampled_from([Codec.H264, Codec.H265]), st.binary(max_size=80), st.binary(max_size=200), st.booleans())
def test_hostile_packets_give_whole_nal_units_or_nothing(codec: Codec, extradata: bytes, data: bytes, is_key: bool) -> None:
    made = VideoUnits(codec, extradata)
    made.reconfigure(data)
    for sample, _, _ in made.convert(data, is_key):
        at = 0
        while at < len(sample):
            at += 4 + int.from_bytes(sample[at : at + 4], "big")
        assert at == len(sample)


@given(st.binary(max_size=200))
def test_hostile_sound_gives_frames_that_stood_in_it(data: bytes) -> None:
    for sample, _, _ in AacUnits(b"").convert(data, True):
        assert sample in data


def test_an_empty_stream_of_bytes_has_no_nal_units() -> None:
    assert split_annexb(b"") == []
    assert split_annexb(b"\x00\x00\x01\x00\x00\x01") == []
