"""Where segments begin and end, and that nothing between is lost: made-up pictures through the recorder, with the clock in hand."""

from __future__ import annotations

import itertools

import pytest

from ingest.cutter import Cutter
from ingest.events import GapStarted, RecordingStarted
from ingest.rtp.flags import DAMAGED, KEY, PARAMS
from ingest.tracks import RecordedTrack
from tests.support.recording import (
    CAMERA,
    SECOND,
    T0,
    Stage,
    Unit,
    aac_track,
    alaw_track,
    audio,
    h264_params,
    h264_track,
    opaque_track,
    stage,
    video,
)
from tests.support.streams import encode_h264, parameter_sets
from vault.media import Codec, GapBefore, SegmentFlag


def recorded(units: list[Unit], *, nominal_s: float = 4, sweep_us: int = 200_000) -> Stage:
    on = stage(nominal_s=nominal_s)
    on.begin([h264_track()])
    on.play(units, sweep_us=sweep_us)
    on.end()
    on.check()
    return on


def params_unit(unit: Unit, *, seed: int = 0, size: tuple[int, int] = (160, 96)) -> Unit:
    """The unit with real parameter sets in front."""
    sets = parameter_sets(encode_h264(frames=30, seed=seed, size=size)[0])
    data = b"".join(len(one).to_bytes(4, "big") + one for one in (*sets, b"\x65" + unit.data))
    return Unit(unit.track, unit.timestamp, data, unit.flags | PARAMS, unit.at_us)


@pytest.mark.parametrize("sweep_us", [40_000, 200_000, 1_000_000])
def test_every_picture_stands_once_and_in_order_and_segments_touch(sweep_us: int) -> None:
    units = video(500)
    on = recorded(units, sweep_us=sweep_us)
    assert on.kept() == [unit.data for unit in units]
    assert len(on.segments) >= 5
    for before, after in itertools.pairwise(on.segments):
        assert before.end_us == after.start_us
        assert after.opened.head.gap_before is None
        assert after.samples[0][0].sync
    assert [type(event) for event in on.events] == [RecordingStarted, GapStarted]


def test_a_segment_ends_at_the_first_key_frame_after_its_cameras_boundary() -> None:
    on = recorded(video(1000))
    cutter = Cutter(CAMERA, 4 * SECOND)
    for segment in on.segments[1:]:
        previous = cutter.boundary_us(segment.start_us) - 4 * SECOND
        assert previous <= segment.start_us < previous + SECOND


def test_a_key_frame_every_twelve_seconds_makes_segments_of_whole_gops() -> None:
    on = recorded(video(1500, gop=300), nominal_s=10)
    assert all(segment.samples[0][0].sync for segment in on.segments)
    assert all(not segment.finished.flags & SegmentFlag.CONTINUES for segment in on.segments if segment.finished)
    assert on.kept() == [unit.data for unit in video(1500, gop=300)]


def test_without_a_key_frame_recording_begins_after_fifteen_seconds_and_says_that_it_continues() -> None:
    units = video(1500, key=False)
    on = recorded(units)
    kept = on.kept()
    assert kept == [unit.data for unit in units][-len(kept) :]
    assert 15 * 25 <= 1500 - len(kept) <= 15 * 25 + 10
    flags = [segment.finished.flags for segment in on.segments if segment.finished]
    assert all(flag & SegmentFlag.CONTINUES for flag in flags)
    assert all(segment.end_us - segment.start_us == 8 * SECOND for segment in on.segments[:-1])


def test_a_camera_that_stops_sending_key_frames_is_cut_at_twice_the_length() -> None:
    units = video(25) + video(1000, key=False, first=25, timestamp=90_000, at_us=SECOND)
    on = recorded(units)
    assert on.kept() == [unit.data for unit in units]
    first, *others = on.segments
    assert first.end_us - first.start_us == 8 * SECOND
    assert first.finished
    assert not first.finished.flags & SegmentFlag.CONTINUES
    assert all(segment.opened.head.flags & SegmentFlag.CONTINUES for segment in others)


def test_pictures_before_the_first_key_frame_are_left_out() -> None:
    units = video(10, key=False) + video(100, first=10, timestamp=36_000, at_us=400_000)
    on = recorded(units)
    assert on.kept() == [unit.data for unit in units[10:]]


def test_other_parameters_at_a_key_frame_begin_a_new_segment() -> None:
    units = video(100)
    units[50] = params_unit(units[50], size=(192, 112))
    on = recorded(units, nominal_s=60)
    assert [len(segment.data()) for segment in on.segments] == [50, 50]
    assert [segment.opened.tracks[0].width for segment in on.segments] == [160, 192]
    assert on.segments[0].end_us == on.segments[1].start_us
    assert on.segments[1].opened.head.gap_before is None


def test_other_parameters_inside_a_gop_stay_in_band_and_the_next_key_frame_cuts() -> None:
    units = video(100)
    units[40] = params_unit(units[40], size=(192, 112))
    on = recorded(units, nominal_s=60)
    assert [len(segment.data()) for segment in on.segments] == [50, 50]
    assert on.kept() == [unit.data for unit in units]


def test_parameters_that_change_at_every_key_frame_cut_once_a_second_at_most() -> None:
    units = video(250, gop=5)
    for number in range(0, 250, 5):
        units[number] = params_unit(units[number], size=(160, 96) if number % 2 else (192, 112))
    on = recorded(units, nominal_s=60)
    assert on.kept() == [unit.data for unit in units]
    assert all(segment.end_us - segment.start_us >= SECOND for segment in on.segments[:-1])


def test_the_same_parameters_again_change_nothing() -> None:
    units = video(100)
    units[50] = params_unit(units[50])
    assert len(recorded(units, nominal_s=60).segments) == 1


def test_parameters_that_stand_in_the_stream_only_are_waited_for() -> None:
    on = stage()
    on.begin([RecordedTrack(Codec.H264, 90_000, None)])
    units = video(100)
    for number in (25, 50, 75):
        units[number] = params_unit(units[number])
    on.play(units)
    on.end()
    on.check()
    assert on.kept() == [unit.data for unit in units[25:]]
    assert on.segments[0].opened.tracks[0] == h264_params()


def test_damage_is_told_of_the_segment_that_holds_it() -> None:
    units = video(600)
    units[300] = Unit(0, units[300].timestamp, units[300].data, units[300].flags | DAMAGED, units[300].at_us)
    on = recorded(units)
    damaged = [segment for segment in on.segments if segment.finished and segment.finished.flags & SegmentFlag.DAMAGED_INPUT]
    assert len(damaged) == 1
    assert units[300].data in damaged[0].data()


def test_a_damaged_key_frame_at_a_cut_belongs_to_the_new_segment() -> None:
    units = video(600)
    whole = recorded(units)
    at = len(whole.segments[0].data())
    units[at] = Unit(0, units[at].timestamp, units[at].data, KEY | DAMAGED, units[at].at_us)
    on = recorded(units)
    flags = [bool(s.finished and s.finished.flags & SegmentFlag.DAMAGED_INPUT) for s in on.segments[:2]]
    assert flags == [False, True]


def test_a_fragment_begins_at_each_key_frame_and_at_each_sweep() -> None:
    on = recorded(video(100, gop=10), nominal_s=60, sweep_us=1_000_000)
    assert on.segments[0].fragments >= 10


def test_an_end_in_the_first_second_still_writes_what_came() -> None:
    units = video(10)
    on = recorded(units)
    assert on.kept() == [unit.data for unit in units]
    assert on.segments[0].end_us - on.segments[0].start_us == 10 * 40_000


def test_an_end_before_any_key_frame_writes_nothing_and_gives_all_buffers_back() -> None:
    on = recorded(video(20, key=False))
    assert not on.segments
    assert not on.events


def test_an_end_before_anything_came_does_nothing() -> None:
    on = stage()
    on.begin([h264_track()])
    on.end()
    on.check()


def test_the_gap_before_this_process_stands_in_the_first_segment_and_its_end_is_told() -> None:
    on = stage(gap=GapBefore(T0 - 60 * SECOND, "crash"))
    on.begin([h264_track()])
    on.play(video(50))
    on.end("recorder stopped")
    on.check()
    head = on.segments[0].opened.head
    assert head.gap_before == GapBefore(T0 - 60 * SECOND, "crash")
    assert on.events[0] == RecordingStarted(on.segments[0].start_us)
    assert on.events[-1] == GapStarted(on.segments[-1].end_us, "recorder stopped")


def test_a_second_connection_begins_with_the_gap_since_the_first() -> None:
    on = stage()
    on.begin([h264_track()])
    on.play(video(50))
    on.end("closed by camera")
    ended = on.segments[-1].end_us
    on.clock.advance(20 * SECOND)
    on.recorder.gap_begins("unreachable")
    on.drain()
    on.begin([h264_track()])
    on.play(video(50, timestamp=77_000_000, at_us=on.clock.mono_us()))
    on.end()
    on.check()
    assert on.segments[1].opened.head.gap_before == GapBefore(ended, "unreachable")
    assert on.events[1:4] == [
        GapStarted(ended, "closed by camera"),
        GapStarted(ended, "unreachable"),
        RecordingStarted(on.segments[1].start_us),
    ]


def test_a_camera_of_audio_alone_is_cut_at_its_boundary_and_continues_nothing() -> None:
    on = stage(nominal_s=4)
    on.begin([aac_track()])
    units = audio(1000, rate=48_000, step=1024, track=0)
    on.play(units)
    on.end()
    on.check()
    assert on.kept() == [unit.data for unit in units]
    assert len(on.segments) >= 5
    assert all(not segment.opened.head.flags for segment in on.segments)
    assert all(segment.end_us - segment.start_us <= 4.1 * SECOND for segment in on.segments)


@pytest.mark.parametrize("track", [opaque_track, alaw_track])
def test_a_camera_of_one_track_without_pictures_is_recorded_whole(track: type) -> None:
    on = stage(nominal_s=4)
    made = track()
    on.begin([made])
    units = audio(500, rate=made.rate, step=made.rate // 25, track=0)
    on.play(units)
    on.end()
    on.check()
    assert on.kept() == [unit.data for unit in units]
    for before, after in itertools.pairwise(on.segments):
        assert before.end_us == after.start_us
