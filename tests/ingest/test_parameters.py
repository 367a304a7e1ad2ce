"""Which parameter sets a camera uses now: from its SDP, from its stream, replaced, added, hostile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parameters import MAX_SET_BYTES, MAX_SETS, ParameterSets, parameter_nal_units
from tests.support.streams import AccessUnit, encode_h264, encode_h265, parameter_sets
from vault.media import Codec

KINDS = [Codec.H264, Codec.H265]


def first(codec: Codec, size: tuple[int, int] = (160, 96)) -> AccessUnit:
    encode = encode_h265 if codec is Codec.H265 else encode_h264
    return encode(frames=30, size=size)[0]


def sets_of(codec: Codec, size: tuple[int, int] = (160, 96)) -> tuple[bytes, ...]:
    return parameter_sets(first(codec, size), h265=codec is Codec.H265)


@pytest.mark.parametrize("codec", KINDS)
def test_sets_of_a_sample_are_found_between_its_other_nal_units(codec: Codec) -> None:
    unit = first(codec)
    assert tuple(parameter_nal_units(codec, memoryview(unit.sample))) == sets_of(codec)


@pytest.mark.parametrize("codec", KINDS)
def test_there_are_no_parameters_before_all_kinds_of_sets_came(codec: Codec) -> None:
    collected = ParameterSets(codec)
    *some, last = sets_of(codec)
    assert collected.update(some)
    assert collected.params() is None
    assert collected.update([last])
    params = collected.params()
    assert params is not None
    assert (params.width, params.height, params.sets) == (160, 96, sets_of(codec))


@pytest.mark.parametrize("codec", KINDS)
def test_the_same_sets_again_change_nothing(codec: Codec) -> None:
    collected = ParameterSets(codec, sets_of(codec))
    assert not collected.update(first(codec).nals)


@pytest.mark.parametrize("codec", KINDS)
def test_a_set_with_the_same_id_replaces_the_older_one(codec: Codec) -> None:
    collected = ParameterSets(codec, sets_of(codec))
    assert collected.update(sets_of(codec, (192, 112)))
    params = collected.params()
    assert params is not None
    assert (params.width, params.height) == (192, 112)
    assert params.sets == sets_of(codec, (192, 112))


def test_a_picture_set_with_another_id_is_kept_beside_the_first() -> None:
    sps, pps = sets_of(Codec.H264)
    # pic_parameter_set_id is the first exp-Golomb number behind the header: `1` is 0, `010` is 1.
    other = bytes((pps[0],)) + bytes((0b01000000 | pps[1] >> 3,)) + pps[2:]
    collected = ParameterSets(Codec.H264, (sps, pps))
    assert collected.update([other])
    params = collected.params()
    assert params is not None
    assert set(params.sets) == {sps, pps, other}


def test_sets_that_cannot_be_read_are_no_parameters_and_a_good_one_mends_it() -> None:
    sps, pps = sets_of(Codec.H264)
    collected = ParameterSets(Codec.H264, (sps[:5], pps))
    assert collected.params() is None
    collected.update([sps])
    assert collected.params() is not None


def test_a_hostile_camera_gets_no_more_than_a_bound() -> None:
    sps, pps = sets_of(Codec.H264)
    collected = ParameterSets(Codec.H264, (sps, pps))
    for number in range(1, 1000):
        bits = bin(number + 1)[2:]
        code = "0" * (len(bits) - 1) + bits + "1"
        collected.update([b"\x68" + int(code.ljust(32, "0"), 2).to_bytes(4, "big")])
    assert not collected.update([bytes((0x67,)) + bytes(MAX_SET_BYTES)])
    params = collected.params()
    assert params is not None
    assert len(params.sets) <= MAX_SETS


@given(st.binary(max_size=300), st.sampled_from(KINDS))
def test_any_bytes_are_taken_without_a_surprise(data: bytes, codec: Codec) -> None:
    collected = ParameterSets(codec, sets_of(codec))
    collected.update(parameter_nal_units(codec, data))
    collected.update([data, data[:1], b""])
    params = collected.params()
    assert params is None or params.width > 0


@given(
    st.lists(st.builds(bytes.__add__, st.sampled_from((b"\x67", b"\x68", b"\x65")), st.binary(max_size=40)), max_size=8),
    st.integers(0, 20),
)
def test_a_sample_that_is_cut_short_gives_the_units_before_the_cut(nals: list[bytes], cut: int) -> None:
    whole = b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)
    sets = [nal for nal in nals if nal[0] & 31 in (7, 8, 13)]
    found = list(parameter_nal_units(Codec.H264, whole[: len(whole) - cut]))
    assert found == sets[: len(found)]
    assert list(parameter_nal_units(Codec.H264, whole)) == sets
