"""Timestamps that jump, wrap or restart, silences and losses: what is a gap, what is not, and why it says so."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from ingest.events import GapStarted, RecordingStarted
from ingest.rtp.flags import DAMAGED, KEY, RESTARTED
from ingest.tracks import RecordedTrack
from tests.support.recording import SECOND, T0, Stage, Unit, aac_track, audio, h264_track, stage, video
from vault.media import SegmentFlag


def played(units: list[Unit], *, sweep_us: int = 200_000, tracks: list[RecordedTrack] | None = None) -> Stage:
    on = stage()
    on.begin(tracks or [h264_track()])
    on.play(units, sweep_us=sweep_us)
    on.end()
    on.check()
    return on


def shifted(units: list[Unit], ticks: int) -> list[Unit]:
    return [replace(unit, timestamp=(unit.timestamp + ticks) & 0xFFFFFFFF) for unit in units]


def assert_seamless(on: Stage, units: list[Unit]) -> None:
    """All of it, without a gap, at even distances, each picture where it arrived."""
    assert on.kept() == [unit.data for unit in units]
    assert len({segment.epoch for segment in on.segments}) == 1
    assert not any(segment.opened.head.gap_before for segment in on.segments)
    for before, after in itertools.pairwise(on.segments):
        assert before.end_us == after.start_us
    where = [segment.utc(sample.dts) for segment in on.segments for sample in segment.samples[0]]
    assert all(abs(at - T0 - unit.at_us) <= 60_000 for at, unit in zip(where, units, strict=True))


def test_a_wrap_of_the_timestamps_is_not_seen() -> None:
    units = video(300, timestamp=(1 << 32) - 100 * 3600)
    on = played(units)
    assert_seamless(on, units)
    assert len(on.segments) == 1


def test_a_wrap_in_the_first_sweep_is_not_seen_on_any_track() -> None:
    pictures = video(300, timestamp=(1 << 32) - 3600)
    sounds = audio(560, rate=48_000, step=1024, timestamp=(1 << 32) - 3 * 1024)
    on = played([*pictures, *sounds], tracks=[h264_track(), aac_track()], sweep_us=1_000_000)
    assert_seamless(on, pictures)
    kept = on.kept(1)
    assert kept == [unit.data for unit in sounds][-len(kept) :]
    segment = on.segments[0]
    for sample in segment.samples[1]:
        arrived = T0 + int(sample.data.split()[1]) * 1024 * SECOND // 48_000
        assert abs(segment.utc(sample.dts, 1) - arrived) <= 60_000


@pytest.mark.parametrize("jump_s", [-10, -1, 3, 3600, 13 * 3600, -3600])
@pytest.mark.parametrize("at", [5, 100, 110, 125, 127])
def test_a_jump_of_the_timestamps_leaves_no_trace(jump_s: int, at: int) -> None:
    units = video(300, timestamp=1 << 31)
    units[at:] = shifted(units[at:], jump_s * 90_000)
    assert_seamless(played(units), units)


def test_a_jump_in_the_first_sweep_of_a_second_connection_leaves_no_trace() -> None:
    on = played(video(50))
    on.clock.advance(60 * SECOND)
    units = video(100, at_us=on.clock.mono_us())
    units[2:] = shifted(units[2:], 3600 * 90_000)
    on.begin([h264_track()])
    on.play(units)
    on.end()
    on.check()
    assert on.segments[1].data() == [unit.data for unit in units]
    assert on.segments[1].end_us - on.segments[1].start_us == 100 * 40_000


def test_many_jumps_leave_no_trace() -> None:
    units = video(300)
    for at in range(20, 300, 20):
        units[at:] = shifted(units[at:], (-1) ** (at // 20) * at * 90_000)
    assert_seamless(played(units), units)


def test_a_new_source_with_other_timestamps_leaves_no_trace() -> None:
    units = video(300)
    units[120:] = shifted(units[120:], 1_234_567_890)
    units[120] = replace(units[120], flags=units[120].flags | DAMAGED | RESTARTED)
    assert_seamless(played(units), units)


@pytest.mark.parametrize("ticks", [-36_000, 100_000, 150_000])
def test_a_new_source_whose_timestamps_seem_to_go_on_is_not_believed(ticks: int) -> None:
    units = video(300)
    units[120:] = shifted(units[120:], ticks)
    units[120] = replace(units[120], flags=units[120].flags | DAMAGED | RESTARTED)
    assert_seamless(played(units), units)


def test_a_new_source_after_a_silence_begins_behind_a_gap() -> None:
    units = [*video(100), *video(100, first=100, timestamp=3_000_000_000, at_us=9 * SECOND)]
    units[100] = replace(units[100], flags=KEY | DAMAGED | RESTARTED)
    on = played(units)
    assert on.kept() == [unit.data for unit in units]
    gap = on.segments[1].opened.head.gap_before
    assert gap is not None
    assert abs(on.segments[1].start_us - gap.start_us - 5 * SECOND) <= 300_000


def test_a_silence_of_five_seconds_is_a_gap_with_a_reason() -> None:
    units = [*video(100), *video(100, first=100, timestamp=225 * 3600, at_us=9 * SECOND)]
    on = played(units)
    before, after = on.segments
    assert after.start_us - before.end_us == 5 * SECOND
    gap = after.opened.head.gap_before
    assert gap is not None
    assert (gap.start_us, gap.reason) == (before.end_us, "no data from camera")
    assert on.events == [
        RecordingStarted(before.start_us),
        GapStarted(before.end_us, "no data from camera"),
        RecordingStarted(after.start_us),
        GapStarted(after.end_us, "closed by camera"),
    ]
    assert not after.opened.head.flags


def test_what_follows_a_silence_without_a_key_frame_says_that_it_continues() -> None:
    units = [*video(100), *video(110, gop=50, first=90, timestamp=215 * 3600, at_us=9 * SECOND)[10:]]
    on = played(units)
    assert on.kept() == [unit.data for unit in units]
    assert on.segments[1].opened.head.flags & SegmentFlag.CONTINUES


def test_a_silence_with_lost_packets_says_how_many() -> None:
    on = stage()
    track = h264_track()
    on.begin([track])
    track.lost_packets = 3
    on.play(video(100))
    track.lost_packets = 503
    on.play(video(100, first=100, timestamp=225 * 3600, at_us=9 * SECOND))
    on.end()
    on.check()
    gap = on.segments[1].opened.head.gap_before
    assert gap is not None
    assert gap.reason == "packets lost: 500"


def test_packets_lost_long_before_a_silence_are_not_its_reason() -> None:
    on = stage()
    track = h264_track()
    on.begin([track])
    track.lost_packets = 7
    on.play([*video(100), *video(100, first=100, timestamp=225 * 3600, at_us=9 * SECOND)])
    on.end()
    gap = on.segments[1].opened.head.gap_before
    assert gap is not None
    assert gap.reason == "no data from camera"


def test_timestamps_that_stand_still_over_a_silence_are_put_right_by_a_gap() -> None:
    """The camera's clock slept with it: the next picture follows by its timestamp, and arrives an hour later."""
    jump = shifted(video(100, first=100, timestamp=100 * 3600, at_us=9 * SECOND), -20 * 90_000)
    on = played([*video(100), *jump])
    assert len(on.kept()) == 200
    gap = on.segments[1].opened.head.gap_before
    assert gap is not None
    assert abs(on.segments[1].start_us - T0 - 9 * SECOND) <= 300_000


def test_pictures_that_stop_while_audio_goes_on_close_the_segment_and_are_a_gap_at_once() -> None:
    on = stage()
    on.begin([h264_track(), aac_track()])
    on.play([*video(100), *audio(2000, rate=48_000, step=1024)])
    assert not on.recorder.recording
    assert not on.recorder.waits_for_audio
    assert on.events[-1] == GapStarted(on.segments[0].end_us, "no data from camera")
    at_us = on.clock.mono_us()
    pictures = video(100, first=100, timestamp=round(at_us * 0.09), at_us=at_us)
    sounds = audio(150, rate=48_000, step=1024, timestamp=2000 * 1024, at_us=at_us, first=2000)
    on.play([*pictures, *sounds])
    on.end()
    on.check()
    assert len(on.segments) == 2
    assert len(on.kept()) == 200
    assert sounds[-1].data in on.kept(1)


def test_pictures_held_up_by_the_network_come_late_and_leave_no_gap() -> None:
    """Three seconds of a stalled connection, then everything at once."""
    units = [replace(unit, at_us=7 * SECOND if 4 * SECOND <= unit.at_us < 7 * SECOND else unit.at_us) for unit in video(300)]
    on = played(units)
    assert on.kept() == [unit.data for unit in units]
    assert len(on.segments) == 1
    assert on.segments[0].end_us - on.segments[0].start_us == 12 * SECOND


def test_a_timestamp_that_repeats_or_steps_back_a_little_keeps_its_place_in_the_order() -> None:
    units = video(200)
    units[60] = replace(units[60], timestamp=units[59].timestamp)
    units[90] = replace(units[90], timestamp=units[87].timestamp)
    on = played(units)
    assert on.kept() == [unit.data for unit in units]
    assert len(on.segments) == 1
    assert on.recorder.recorded_to_us == on.segments[0].end_us


@pytest.mark.parametrize("step_s", [0, 3600, -3600])
@pytest.mark.parametrize("bframes", [0, 2])
def test_leading_pictures_of_an_open_gop_stay_with_their_key_frame_and_overlap_nothing(step_s: int, bframes: int) -> None:
    """Shown before the key frame that they follow in decoding, so that a run begins before its own first picture."""
    shown = [0, *range(1, 10)]
    for base in range(12, 480, 12):
        shown += [base, base - 2, base - 1, *range(base + 1, base + 10)]
    units = [
        Unit(0, 900_000 + at * 3600, b"picture %06d" % number, KEY if at % 12 == 0 else 0, number * 40_000)
        for number, at in enumerate(shown)
    ]
    on = stage()
    on.begin([h264_track(bframes)])
    on.play([unit for unit in units if unit.at_us <= 8 * SECOND])
    if step_s:
        on.clock.step(step_s * SECOND)
        on.recorder.host_clock_stepped()
    on.play([unit for unit in units if unit.at_us > 8 * SECOND])
    on.end()
    on.check()
    assert on.kept() == [unit.data for unit in units]
    assert len(on.segments) == (2 if step_s else 1)


@pytest.mark.parametrize("seconds", [3, 10])
def test_a_camera_that_sends_a_picture_every_few_seconds_has_no_gap_at_each(seconds: int) -> None:
    units = video(60, fps=1 / seconds, gop=5)
    on = played(units)
    assert on.kept() == [unit.data for unit in units]
    gaps = [segment.opened.head.gap_before for segment in on.segments if segment.opened.head.gap_before]
    assert len(gaps) <= 2
    assert len(on.segments) <= 4 + 60 * seconds / 50
    later = units[-1].at_us + 90 * SECOND
    on.begin([h264_track()])
    on.clock.advance(90 * SECOND)
    on.play([replace(unit, at_us=unit.at_us + later) for unit in units])
    on.end()
    on.check()
