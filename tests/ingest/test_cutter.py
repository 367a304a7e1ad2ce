"""When a segment ends: at its camera's boundary, for new parameters, at twice the length, when it grows too large."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from ingest.cutter import MAX_SEGMENT_BYTES, MAX_SEGMENT_SAMPLES, Cutter, Verdict
from vault.ids import CameraNumber

SECOND = 1_000_000
MINUTE = 60 * SECOND
CUTTER = Cutter(CameraNumber(990100001), MINUTE)
START = CUTTER.boundary_us(1_795_000_000 * SECOND)


def verdict(age_us: int, **more: object) -> Verdict:
    usual: Mapping[str, object] = {"key": True, "params_changed": False, "size_bytes": 1000, "samples": 100}
    return CUTTER.verdict(start_us=START, at_us=START + age_us, **{**usual, **more})  # type: ignore[arg-type]


@given(st.integers(1, 2**32 - 1), st.integers(0, 4 * 10**15), st.integers(1 * SECOND, 3600 * SECOND))
def test_a_boundary_lies_ahead_by_no_more_than_the_length_and_the_next_one_length_further(
    camera: int, at_us: int, nominal_us: int
) -> None:
    cutter = Cutter(CameraNumber(camera), nominal_us)
    boundary = cutter.boundary_us(at_us)
    assert at_us < boundary <= at_us + nominal_us
    assert cutter.boundary_us(boundary) == boundary + nominal_us
    assert cutter.boundary_us(boundary - 1) == boundary


def test_cameras_with_neighbouring_numbers_do_not_cut_together() -> None:
    phases = [Cutter(CameraNumber(990100000 + n), MINUTE).boundary_us(10**15) - 10**15 for n in range(600)]
    seconds = [phase // SECOND for phase in phases]
    assert max(seconds.count(second) for second in range(61)) <= 20


def test_a_key_frame_just_before_the_boundary_goes_on_and_one_at_it_cuts() -> None:
    assert verdict(MINUTE - 1) is Verdict.GO_ON
    assert verdict(MINUTE) is Verdict.CUT


def test_only_a_key_frame_cuts_at_the_boundary() -> None:
    assert verdict(MINUTE + 30 * SECOND, key=False) is Verdict.GO_ON
    assert verdict(MINUTE + 30 * SECOND) is Verdict.CUT


def test_twice_the_length_is_cut_whatever_comes() -> None:
    assert verdict(2 * MINUTE - 1, key=False) is Verdict.GO_ON
    assert verdict(2 * MINUTE, key=False) is Verdict.CUT_CONTINUES
    assert verdict(2 * MINUTE) is Verdict.CUT


def test_new_parameters_cut_at_a_key_frame_from_one_second_on() -> None:
    assert verdict(SECOND, params_changed=True) is Verdict.CUT
    assert verdict(SECOND - 1, params_changed=True) is Verdict.GO_ON
    assert verdict(30 * SECOND, params_changed=True, key=False) is Verdict.GO_ON


def test_too_many_bytes_or_samples_cut_at_once() -> None:
    assert verdict(SECOND, size_bytes=MAX_SEGMENT_BYTES + 1) is Verdict.CUT
    assert verdict(SECOND, samples=MAX_SEGMENT_SAMPLES + 1, key=False) is Verdict.CUT_CONTINUES
