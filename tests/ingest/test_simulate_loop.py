"""Encoded loops, their cache, and the clock in the picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.simulate.encode import Unit, is_set, nal_type, split_annex_b
from ingest.simulate.glyphs import burn_clock, burn_text, read_clock
from ingest.simulate.loop import Loop, LoopSpec, make_loop, with_sets
from tests.support.simulate import SMALL, loop_cache
from vault.errors import StoreError, UsageError
from vault.media import Codec


def _decode(loop: Loop) -> list[np.ndarray]:
    """Pictures of two laps in the order they are shown, by libav."""
    context = av.CodecContext.create("h264" if loop.video.params.codec is Codec.H264 else "hevc", "r")
    packets = [av.Packet(b"".join(b"\0\0\0\1" + nal for nal in unit.nals)) for unit in loop.video.units * 2]
    return [frame.to_ndarray(format="gray") for packet in [*packets, None] for frame in context.decode(packet)]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
@pytest.mark.parametrize("bframes", [0, 2])
def test_two_laps_decode_to_every_picture_in_order(codec: Codec, bframes: int) -> None:
    spec = replace(SMALL, codec=codec, bframes=bframes)
    clocks = [read_clock(picture) for picture in _decode(make_loop(spec, loop_cache()))]
    assert clocks == [index % 25 * 40_000 for index in range(50)]


def test_the_rate_is_the_one_asked_for_to_five_percent() -> None:
    for spec in (
        replace(SMALL, width=640, height=360, bitrate=1_000_000, seconds=2, gop=25),
        replace(SMALL, width=640, height=360, bitrate=1_000_000, seconds=2, gop=25, codec=Codec.H265),
    ):
        loop = make_loop(spec, loop_cache())
        bits = 8 * sum(len(nal) for unit in loop.video.units for nal in unit.nals)
        assert bits / spec.seconds == pytest.approx(spec.bitrate, rel=0.05)


def test_slices_delimiters_and_parameter_sets_are_as_asked() -> None:
    loop = make_loop(replace(SMALL, slices=3, aud=True, bframes=2), loop_cache())
    for unit in loop.video.units:
        kinds = [nal_type(Codec.H264, nal) for nal in unit.nals]
        assert kinds[0] == 9
        assert sum(kind in (1, 5) for kind in kinds) == 3
        assert (7 in kinds and 8 in kinds) == unit.key
    without = with_sets(loop, in_band=False)
    assert not any(is_set(Codec.H264, nal) for unit in without.video.units for nal in unit.nals)
    assert without.video.params.sets == loop.video.params.sets != ()


def test_h265_pictures_may_have_slices_too() -> None:
    loop = make_loop(replace(SMALL, codec=Codec.H265, slices=2), loop_cache())
    assert {sum(nal_type(Codec.H265, nal) < 32 for nal in unit.nals) for unit in loop.video.units} == {2}


@pytest.mark.parametrize(
    ("codec", "rate", "block"), [(Codec.AAC, 16_000, 1024), (Codec.ALAW, 8_000, 160), (Codec.ULAW, 8_000, 160)]
)
def test_sound_fills_its_own_loop_without_a_seam(codec: Codec, rate: int, block: int) -> None:
    sound = make_loop(replace(SMALL, audio=codec), loop_cache()).tracks[1]
    assert sound.params.timescale == rate
    assert [unit.pts for unit in sound.units] == list(range(0, sound.ticks, block))
    if codec is not Codec.AAC:
        assert {len(unit.nals[0]) for unit in sound.units} == {block}


def test_a_loop_comes_out_of_the_cache_as_it_went_in_and_a_torn_file_is_made_anew(tmp_path: Path) -> None:
    spec = replace(SMALL, audio=Codec.AAC)
    shares: list[float] = []
    first = make_loop(spec, tmp_path / "cache", shares.append)
    assert shares[-1] == 1.0
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert make_loop(spec, tmp_path / "cache") == first
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:-5])
    again = make_loop(spec, tmp_path / "cache")
    assert [unit.pts for unit in again.video.units] == [unit.pts for unit in first.video.units]


def test_a_cache_that_others_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(StoreError, match="others"):
        make_loop(SMALL, tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [{"width": 63}, {"height": 101}, {"fps": 0}, {"bitrate": 1}, {"codec": Codec.AAC}, {"audio": Codec.H264}, {"gop": 0}],
)
def test_a_spec_beyond_sense_is_a_usage_error(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        LoopSpec(**wrong)  # type: ignore[arg-type]


@given(st.integers(0, (1 << 44) * 1000 - 1))
def test_any_instant_before_the_year_2527_burnt_into_a_picture_is_read_back_to_the_millisecond(at_us: int) -> None:
    luma = np.full((180, 320), 90, np.uint8)
    burn_clock(luma, at_us)
    assert read_clock(luma) == at_us // 1000 * 1000
    assert read_clock(np.repeat(luma[:, :, None], 3, axis=2)) == read_clock(luma)


def test_a_picture_without_a_clock_has_none() -> None:
    random = np.random.default_rng(7)
    assert read_clock(np.zeros((180, 320), np.uint8)) is None
    assert read_clock(np.full((180, 320), 255, np.uint8)) is None
    assert read_clock(random.integers(0, 255, (180, 320, 3), dtype=np.uint8)) is None
    assert read_clock(np.zeros((8, 8), np.uint8)) is None


def test_text_is_cut_off_at_the_picture_and_differs_by_letter() -> None:
    luma = np.zeros((40, 100), np.uint8)
    burn_text(luma, "0123456789", 4, 4, 4)
    other = np.zeros((40, 100), np.uint8)
    burn_text(other, "0723456789", 4, 4, 4)
    assert luma.shape == (40, 100)
    assert (luma != other).any()


def test_annex_b_is_split_at_start_codes_of_either_length() -> None:
    assert split_annex_b(b"\0\0\0\1\x67a\0\0\1\x68b\0\0\0\1\x65c") == (b"\x67a", b"\x68b", b"\x65c")
    assert split_annex_b(b"") == ()
    assert Unit((b"\x65",), 0, 0, True).key
