"""Unwrapping of timestamps, the least delay, the clock of a run and a host's clock that steps."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ingest.clockmap import DelayFilter, RunClock, StepDetector, Unwrapper

SECOND = 1_000_000


@given(st.integers(0, (1 << 32) - 1), st.lists(st.integers(-(1 << 31) + 1, (1 << 31) - 1)))
def test_unwrapped_timestamps_step_as_the_camera_stepped(first: int, steps: list[int]) -> None:
    true = list(itertools.accumulate(steps, initial=first))
    unwrapper = Unwrapper()
    unwrapped = [unwrapper.unwrap(value & 0xFFFFFFFF) for value in true]
    assert [value - unwrapped[0] for value in unwrapped] == [value - true[0] for value in true]


def test_a_step_back_right_after_the_start_stays_positive() -> None:
    unwrapper = Unwrapper()
    unwrapper.unwrap(10)
    assert unwrapper.unwrap(0xFFFFFFFF) > 0


def test_the_least_delayed_frame_of_the_last_minute_counts() -> None:
    delays = DelayFilter()
    assert delays.least_us is None
    for second in range(30):
        delays.observe(second * SECOND, second * SECOND + 500 + (0 if second == 7 else 300))
    assert delays.least_us == 500
    for second in range(30, 90):
        delays.observe(second * SECOND, second * SECOND + 800)
    assert delays.least_us == 800


def test_a_filter_whose_arrivals_are_told_by_another_clock_keeps_its_order() -> None:
    delays = DelayFilter()
    delays.observe(0, 500)
    delays.observe(SECOND, SECOND + 300)
    delays.shift(-3600 * SECOND)
    assert delays.least_us == 300 - 3600 * SECOND
    delays.observe(2 * SECOND, 2 * SECOND - 3600 * SECOND + 200)
    assert delays.least_us == 200 - 3600 * SECOND


def test_an_hour_of_frames_takes_no_more_memory_than_a_minute() -> None:
    delays = DelayFilter()
    for tick in range(5 * 3600):
        delays.observe(tick * 200_000, tick * 200_000 + tick % 7)
    assert len(delays._slices) <= 8


@given(
    st.integers(-(10**15), 10**15),
    st.lists(st.tuples(st.integers(1, 120 * SECOND), st.integers(-5 * SECOND, 5 * SECOND)), max_size=20),
)
def test_time_is_led_by_500_ppm_at_most_and_never_jumps(base: int, segments: list[tuple[int, int]]) -> None:
    clock = RunClock(base, 10**15)
    media = base
    for length_us, error_us in segments:
        before = clock.utc(media)
        least = before - media + error_us
        start_us, rate = clock.begin_segment(media, least, 60 * SECOND)
        assert start_us == before
        assert abs(rate) <= 500
        assert rate * error_us >= 0
        media += length_us
        assert abs(clock.utc(media) - start_us - length_us) <= length_us * 500e-6 + 1
        assert abs(clock.media_us(clock.utc(media)) - media) <= 2


def test_an_error_is_gone_after_one_segment() -> None:
    clock = RunClock(0, 0)
    clock.begin_segment(0, 20_000, 60 * SECOND)
    assert abs(clock.error_us(60 * SECOND, 20_000)) <= 10


def test_a_segment_does_not_begin_before_what_was_recorded_before() -> None:
    clock = RunClock(0, 0)
    assert clock.begin_segment(SECOND, 0, 60 * SECOND, not_before_us=SECOND + 300)[0] == SECOND + 300
    assert clock.utc(2 * SECOND) > 2 * SECOND + 200


def test_a_step_of_the_wall_clock_is_seen_once_and_slewing_is_not() -> None:
    detector = StepDetector(1_000 * SECOND, 0)
    assert detector.check(1_001 * SECOND, SECOND) == 0
    assert detector.check(4_602 * SECOND, 2 * SECOND) == 3600 * SECOND
    assert detector.check(4_603 * SECOND, 3 * SECOND) == 0
    assert detector.check(1_004 * SECOND, 4 * SECOND) == -3600 * SECOND
    for second in range(5, 4000):
        assert detector.check(1_000 * SECOND + second * (SECOND + 400), second * SECOND) == 0
