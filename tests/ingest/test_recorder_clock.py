"""At which instant footage stands: the run's start, drifting cameras, and a host whose clock is set while it records."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from ingest.events import EpochNeeded, GapStarted, RecordingStarted
from tests.support.recording import (
    SECOND,
    T0,
    Stage,
    Unit,
    aac_track,
    audio,
    h264_track,
    stage,
    video,
)
from vault.media import GapBefore, SegmentFlag

HOUR = 3600 * SECOND


def begun(units: list[Unit], *, sweep_us: int = 200_000, nominal_s: float = 60) -> Stage:
    on = stage(nominal_s=nominal_s)
    on.begin([h264_track()])
    on.play(units, sweep_us=sweep_us)
    return on


def instants(on: Stage) -> dict[bytes, int]:
    """UTC at which each picture stands."""
    return {s.data: segment.utc(s.dts + s.cts) for segment in on.segments for s in segment.samples[0]}


def asked(on: Stage) -> int:
    return sum(isinstance(event, EpochNeeded) for event in on.events)


@pytest.mark.parametrize("sweep_us", [40_000, 200_000, 1_000_000])
def test_sweeps_do_not_delay_the_start_by_more_than_a_picture(sweep_us: int) -> None:
    on = begun(video(100), sweep_us=sweep_us)
    on.end()
    on.check()
    assert 0 <= on.segments[0].start_us - T0 <= 40_000


def test_a_burst_of_old_pictures_at_the_start_stands_where_it_was_taken() -> None:
    # Two seconds of pictures that the camera kept come at once.
    units = [replace(unit, at_us=max(unit.at_us, 2 * SECOND)) for unit in video(200)]
    on = begun(units)
    on.end()
    on.check()
    assert abs(on.segments[0].start_us - T0) <= 40_000
    assert on.kept() == [unit.data for unit in units]


def test_jitter_of_arrival_does_not_move_the_start() -> None:
    chance = random.Random(7)
    units = [replace(unit, at_us=unit.at_us + round(chance.expovariate(1 / 80_000))) for unit in video(200)]
    order = list(itertools.accumulate((unit.at_us for unit in units), max))
    on = begun([replace(unit, at_us=at) for unit, at in zip(units, order, strict=True)], sweep_us=40_000)
    on.end()
    on.check()
    assert 0 <= on.segments[0].start_us - T0 <= 60_000


@pytest.mark.parametrize("ppm", [-100, 100])
def test_a_camera_clock_100_ppm_off_stays_within_60_ms_over_an_hour(ppm: float) -> None:
    units = video(5 * 3600, fps=5, gop=10, ppm=ppm)
    on = begun(units, sweep_us=1_000_000)
    on.end()
    on.check()
    where = instants(on)
    errors = [where[unit.data] - T0 - unit.at_us for unit in units[600:]]
    assert max(map(abs, errors)) <= 60_000
    assert asked(on) == 0
    assert all(abs(segment.opened.head.rate_ppm) <= 500 for segment in on.segments)
    for before, after in itertools.pairwise(on.segments):
        assert before.end_us == after.start_us


@pytest.mark.parametrize("ppm", [-2000, 2000])
def test_a_camera_clock_2000_ppm_off_is_put_right_now_and_then_and_not_at_every_key_frame(ppm: float) -> None:
    units = video(5 * 3600, fps=5, gop=10, ppm=ppm)
    on = begun(units, sweep_us=1_000_000)
    on.end()
    on.check()
    assert on.kept() == [unit.data for unit in units]
    where = instants(on)
    assert max(abs(where[unit.data] - T0 - unit.at_us) for unit in units) <= 1_500_000
    assert asked(on) <= 6
    reasons = {s.opened.head.gap_before.reason for s in on.segments if s.opened.head.gap_before}
    assert reasons <= {"camera clock drifts"}
    assert len(on.segments) <= 80


def stepped(step_us: int, *, units: list[Unit] | None = None) -> Stage:
    """Ten seconds, then the host's clock is set, then ten more."""
    units = units or video(500)
    on = stage()
    on.begin([h264_track()])
    on.play([unit for unit in units if unit.at_us <= 10 * SECOND], sweep_us=200_000)
    on.clock.step(step_us)
    on.recorder.host_clock_stepped()
    on.play([unit for unit in units if unit.at_us > 10 * SECOND], sweep_us=200_000)
    on.end()
    on.check()
    assert on.kept() == [unit.data for unit in units]
    return on


@pytest.mark.parametrize("step_us", [HOUR, -HOUR])
def test_a_step_of_the_hosts_clock_begins_a_new_run_in_a_new_epoch_at_a_key_frame(step_us: int) -> None:
    on = stepped(step_us)
    before, after = on.segments
    assert (before.epoch, after.epoch) == (1, 2)
    assert after.opened.head.key.sequence == 0
    assert after.samples[0][0].sync
    assert abs(after.start_us - before.end_us - step_us) <= 60_000
    assert asked(on) == 1


def test_a_step_forward_leaves_a_gap_that_says_why() -> None:
    on = stepped(HOUR)
    before, after = on.segments
    assert after.opened.head.gap_before == GapBefore(before.end_us, "host clock stepped")
    assert on.events[1:4] == [
        EpochNeeded(),
        GapStarted(before.end_us, "host clock stepped"),
        RecordingStarted(after.start_us),
    ]


def test_a_step_back_tells_of_no_gap() -> None:
    on = stepped(-HOUR)
    assert on.segments[1].opened.head.gap_before is None
    assert [type(event) for event in on.events] == [RecordingStarted, EpochNeeded, GapStarted]


def test_a_step_is_followed_at_the_latest_at_twice_the_length_where_no_key_frame_comes() -> None:
    on = stage(nominal_s=4)
    on.begin([h264_track()])
    units = video(25) + video(600, key=False, first=25, timestamp=90_000, at_us=SECOND)
    on.play([unit for unit in units if unit.at_us <= 10 * SECOND])
    on.clock.step(HOUR)
    on.recorder.host_clock_stepped()
    on.play([unit for unit in units if unit.at_us > 10 * SECOND])
    on.end()
    on.check()
    assert on.kept() == [unit.data for unit in units]
    assert on.segments[-1].start_us > T0 + HOUR
    assert {segment.epoch for segment in on.segments} == {1, 2}
    assert on.segments[-1].opened.head.flags & SegmentFlag.CONTINUES


@pytest.mark.parametrize("step_us", [HOUR, -HOUR])
def test_a_step_in_the_first_second_of_a_run_counts_for_all_of_it(step_us: int) -> None:
    on = stage()
    on.begin([h264_track()])
    units = video(100)
    on.play(units[:15])
    on.clock.step(step_us)
    on.recorder.host_clock_stepped()
    on.play(units[15:])
    on.end()
    on.check()
    assert on.kept() == [unit.data for unit in units]
    assert len(on.segments) == 1
    assert abs(on.segments[0].start_us - T0 - step_us) <= 60_000


@pytest.mark.parametrize("step_us", [HOUR, -HOUR])
def test_a_step_while_disconnected_is_one_new_epoch_and_one_run(step_us: int) -> None:
    on = begun(video(100))
    on.end()
    on.clock.step(step_us)
    on.recorder.host_clock_stepped()
    on.begin([h264_track()])
    at_us = on.clock.mono_us()
    on.play(video(300, first=100, at_us=at_us))
    on.end()
    on.check()
    assert len(on.kept()) == 400
    assert [segment.epoch for segment in on.segments] == [1, 2]
    assert asked(on) == 1


def test_without_being_told_of_it_a_clock_set_back_while_disconnected_asks_for_an_epoch() -> None:
    on = begun(video(100))
    on.end()
    on.clock.step(-HOUR)
    on.begin([h264_track()])
    on.play(video(100, first=100, at_us=on.clock.mono_us()))
    on.end()
    on.check()
    assert [segment.epoch for segment in on.segments] == [1, 2]


def test_what_comes_while_an_epoch_is_waited_for_is_kept_and_its_buffers_go_back_at_once() -> None:
    on = begun(video(100))
    on.grants = False
    on.recorder.host_clock_stepped()
    on.play(video(300, first=100, timestamp=100 * 3600, at_us=4 * SECOND))
    assert on.buffers_back == on.buffers_given
    assert not on.recorder.recording
    assert asked(on) == 1
    on.grant()
    on.play(video(50, first=400, timestamp=400 * 3600, at_us=16 * SECOND))
    on.end()
    on.check()
    assert on.kept() == [b"video %06d" % number for number in range(450)]
    for before, after in itertools.pairwise(on.segments):
        assert abs(after.start_us - before.end_us) <= 40_000


def test_memory_stays_bounded_when_no_epoch_is_granted_and_the_loss_is_a_gap() -> None:
    on = begun(video(100))
    on.grants = False
    on.recorder.host_clock_stepped()
    big = [
        replace(unit, data=unit.data + bytes(400_000)) for unit in video(500, first=100, timestamp=100 * 3600, at_us=4 * SECOND)
    ]
    on.play(big)
    assert on.recorder._hold is not None
    assert on.recorder._hold.held_bytes <= (16 << 20) + (2 << 20)
    on.grant()
    on.play(video(50, first=600, timestamp=600 * 3600, at_us=24 * SECOND))
    on.end()
    on.check()
    kept = on.kept()
    assert len(kept) < 650
    assert kept[-50:] == [b"video %06d" % number for number in range(600, 650)]
    gap = on.segments[1].opened.head.gap_before
    assert gap == GapBefore(on.segments[0].end_us, "host clock stepped")
    assert on.segments[1].samples[0][0].sync


def test_an_end_while_an_epoch_is_waited_for_gives_all_back_and_the_late_grant_serves_the_next_run() -> None:
    on = begun(video(100))
    on.grants = False
    on.recorder.host_clock_stepped()
    on.play(video(100, first=100, timestamp=100 * 3600, at_us=4 * SECOND))
    on.end()
    on.check()
    on.grant()
    on.begin([h264_track()])
    on.play(video(100, first=200, at_us=on.clock.mono_us()))
    on.end()
    on.check()
    assert [segment.epoch for segment in on.segments] == [1, 2]
    assert asked(on) == 1


def test_a_large_burst_does_not_wait_for_the_whole_first_second() -> None:
    on = stage()
    on.begin([h264_track()])
    units = [replace(unit, data=unit.data + bytes(2_000_000), at_us=number * 20_000) for number, unit in enumerate(video(20))]
    on.play(units, sweep_us=40_000)
    assert on.recorder.recording
    on.end()
    on.check()
    assert on.kept() == [unit.data for unit in units]


def test_audio_held_with_the_next_run_still_reaches_the_segment_that_was_cut() -> None:
    on = stage()
    on.begin([h264_track(), aac_track()])
    pictures, sounds = video(500), audio(940, rate=48_000, step=1024, timestamp=5_000)
    late = [replace(unit, at_us=unit.at_us + 300_000) for unit in sounds]
    both = sorted([*pictures, *late], key=lambda unit: unit.at_us)
    on.play([unit for unit in both if unit.at_us <= 10 * SECOND])
    on.clock.step(HOUR)
    on.recorder.host_clock_stepped()
    on.play([unit for unit in both if unit.at_us > 10 * SECOND])
    on.end()
    on.check()
    assert on.kept(1) == [unit.data for unit in sounds][-len(on.kept(1)) :]
    first = on.segments[0]
    assert first.finished
    assert abs(first.utc(first.finished.end_dts[1], 1) - first.end_us) <= 60_000


def test_a_short_reconnect_whose_start_falls_before_the_last_end_begins_at_it() -> None:
    # The first run's pictures were all 300 ms late, the second's are not.
    on = begun(video(100, delay_us=300_000))
    on.end()
    end_us = on.segments[-1].end_us
    on.begin([h264_track()])
    on.play(video(100, first=100, at_us=on.clock.mono_us() - 150_000))
    on.end()
    on.check()
    assert on.segments[1].start_us == end_us
    assert asked(on) == 0
