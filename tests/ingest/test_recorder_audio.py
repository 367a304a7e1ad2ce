"""Audio and opaque samples beside the picture: in which segment, at which time, and how long a cut waits for them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from ingest.rtp.flags import DAMAGED, RESTARTED
from ingest.tracks import RecordedTrack
from tests.support.recording import (
    SECOND,
    T0,
    Stage,
    Unit,
    aac_track,
    alaw_track,
    audio,
    h264_track,
    opaque_track,
    stage,
    video,
)

AAC_US = 1024 * SECOND // 48_000


def aac(seconds: float, **more: int) -> list[Unit]:
    return audio(round(seconds * 48_000 / 1024), rate=48_000, step=1024, **more)


def late(units: list[Unit], by_us: int) -> list[Unit]:
    return [replace(unit, at_us=unit.at_us + by_us) for unit in units]


def played(
    units: list[Unit], *, sweep_us: int = 200_000, nominal_s: float = 4, tracks: list[RecordedTrack] | None = None
) -> Stage:
    on = stage(nominal_s=nominal_s)
    on.begin(tracks or [h264_track(), aac_track()])
    on.play(units, sweep_us=sweep_us)
    on.end()
    on.check()
    return on


def places(on: Stage, track: int = 1) -> dict[bytes, int]:
    """UTC at which each sample of a track stands."""
    return {s.data: segment.utc(s.dts, track) for segment in on.segments for s in segment.samples[track]}


def number(data: bytes) -> int:
    return int(data.split()[1])


def assert_placed(on: Stage, sounds: list[Unit], *, tolerance_us: int, true_us: int = AAC_US) -> None:
    """All from the first one kept on, once, in order, each where it was sent."""
    kept = on.kept(1)
    assert kept == [unit.data for unit in sounds][-len(kept) :]
    for data, at_us in places(on).items():
        assert abs(at_us - T0 - number(data) * true_us) <= tolerance_us, data


@pytest.mark.parametrize("sweep_us", [40_000, 200_000, 1_000_000])
def test_audio_stands_in_the_segment_whose_time_it_is_in(sweep_us: int) -> None:
    sounds = aac(20, timestamp=4_000_000_000)
    on = played([*video(500), *sounds], sweep_us=sweep_us)
    assert len(on.segments) >= 5
    assert len(sounds) - len(on.kept(1)) <= 2
    assert_placed(on, sounds, tolerance_us=60_000)
    for before, after in itertools.pairwise(on.segments):
        assert abs(before.utc(before.samples[1][-1].dts, 1) - before.end_us) <= 2 * AAC_US
        assert after.samples[1][0].dts <= 1024


def test_a_cut_waits_for_audio_that_comes_300_ms_late() -> None:
    sounds = late(aac(20), 300_000)
    on = played([*video(500), *sounds])
    assert on.kept(1) == [unit.data for unit in sounds][-len(on.kept(1)) :]
    for before in on.segments[:-1]:
        assert before.finished
        assert abs(before.utc(before.finished.end_dts[1], 1) - before.end_us) <= 2 * AAC_US


def test_audio_that_comes_later_than_a_cut_waits_goes_into_the_next_segment_and_none_is_lost() -> None:
    """The audio's way becomes two seconds longer in the middle."""
    early, rest = aac(20)[:400], aac(20)[400:]
    sounds = [*early, *late(rest, 2 * SECOND)]
    on = played([*video(500), *sounds])
    assert on.kept(1) == [unit.data for unit in sounds][-len(on.kept(1)) :]
    assert on.kept() == [unit.data for unit in video(500)]


def test_audio_that_stops_delays_a_cut_by_no_more_than_its_wait() -> None:
    on = stage(nominal_s=4)
    on.begin([h264_track(), aac_track()])
    on.play([*video(150), *aac(3)])
    finished_us = {}
    for unit in video(250, first=150, timestamp=150 * 3600, at_us=6 * SECOND):
        on.clock.advance(40_000)
        on.sweep([unit])
        for number_of, segment in enumerate(on.segments):
            if segment.finished:
                finished_us.setdefault(number_of, on.clock.mono_us())
    on.end()
    on.check()
    waits = [finished_us[n] - (s.end_us - T0) for n, s in enumerate(on.segments[:-1]) if s.end_us > T0 + 6 * SECOND]
    assert waits
    assert max(waits) <= 600_000


def test_audio_that_begins_late_stands_where_it_arrives() -> None:
    sounds = aac(10, at_us=5_300_000, timestamp=123_456)
    on = played([*video(500), *sounds], sweep_us=1_000_000)
    assert on.kept(1) == [unit.data for unit in sounds]
    for data, at_us in places(on).items():
        assert abs(at_us - T0 - 5_300_000 - number(data) * AAC_US) <= 70_000


def test_audio_that_begins_late_while_a_cut_segment_still_waits_is_in_its_place() -> None:
    on = stage(nominal_s=4)
    on.begin([h264_track(), aac_track(), alaw_track()])
    other = audio(1000, track=2)
    on.play([*video(500), *late(other, 350_000), *aac(10, at_us=4_200_000, timestamp=3_999_999_999)], sweep_us=40_000)
    on.end()
    on.check()
    for data, at_us in places(on).items():
        assert abs(at_us - T0 - 4_200_000 - number(data) * AAC_US) <= 70_000


def test_sender_reports_put_audio_right_at_the_next_segment() -> None:
    """By arrival audio seems 150 ms later than it is; the camera's reports know better."""
    on = stage(nominal_s=4)
    on.begin([h264_track(), aac_track()])
    pictures, sounds = video(500), late(aac(20, timestamp=777_777), 150_000)
    both = sorted([*pictures, *sounds], key=lambda unit: unit.at_us)
    on.play([unit for unit in both if unit.at_us < 2 * SECOND])
    on.recorder.sender_report(0, 1_700_000_000_000_000, 0)
    on.recorder.sender_report(1, 1_700_000_000_000_000, 777_777)
    on.play([unit for unit in both if unit.at_us >= 2 * SECOND])
    on.end()
    on.check()
    where = places(on)
    last = [at_us - T0 - number(data) * AAC_US for data, at_us in where.items()][-100:]
    assert max(map(abs, last)) <= 45_000


def test_reports_that_cannot_be_true_are_not_followed() -> None:
    on = stage(nominal_s=4)
    on.begin([h264_track(), aac_track()])
    both = sorted([*video(500), *aac(20)], key=lambda unit: unit.at_us)
    on.play([unit for unit in both if unit.at_us < 2 * SECOND])
    on.recorder.sender_report(0, 1_700_000_000_000_000, 0)
    on.recorder.sender_report(1, 50_000_000, 0)
    on.play([unit for unit in both if unit.at_us >= 2 * SECOND])
    on.end()
    on.check()
    assert_placed(on, aac(20), tolerance_us=60_000)


def test_the_cameras_own_clock_is_measured_against_ours() -> None:
    on = stage()
    on.begin([h264_track()])
    on.play(video(50))
    on.recorder.sender_report(0, T0 + 42 * SECOND + SECOND, 90_000)
    on.play(video(50, first=50, timestamp=50 * 3600, at_us=2 * SECOND))
    on.end()
    on.check()
    assert on.segments[0].finished
    assert on.segments[0].finished.clock_offset_us is not None
    assert abs(on.segments[0].finished.clock_offset_us - 42 * SECOND) <= 60_000


@pytest.mark.parametrize("jump_s", [-3600, -10, -1, 5, 3600])
def test_a_jump_of_the_audios_timestamps_leaves_no_trace(jump_s: int) -> None:
    sounds = aac(20, timestamp=1 << 31)
    sounds[400:] = [replace(unit, timestamp=(unit.timestamp + jump_s * 48_000) & 0xFFFFFFFF) for unit in sounds[400:]]
    on = played([*video(500), *sounds])
    assert_placed(on, sounds, tolerance_us=60_000)


def test_a_new_source_of_audio_leaves_no_trace() -> None:
    sounds = aac(20)
    sounds[400:] = [replace(unit, timestamp=(unit.timestamp + 3_333_333_333) & 0xFFFFFFFF) for unit in sounds[400:]]
    sounds[400] = replace(sounds[400], flags=DAMAGED | RESTARTED)
    on = played([*video(500), *sounds])
    assert_placed(on, sounds, tolerance_us=60_000)


def test_audio_that_comes_back_after_a_pause_with_other_timestamps_stands_where_it_arrives() -> None:
    first, again = aac(5), aac(8, timestamp=3_000_000_000, at_us=11 * SECOND, first=5000)
    on = played([*video(500), *first, *again], nominal_s=60)
    where = places(on)
    for unit in again:
        assert abs(where[unit.data] - T0 - unit.at_us) <= 100_000


def test_audio_with_the_same_timestamp_twice_is_kept_twice() -> None:
    sounds = aac(10)
    sounds[100] = replace(sounds[100], timestamp=sounds[99].timestamp)
    on = played([*video(250), *sounds])
    assert on.kept(1) == [unit.data for unit in sounds][-len(on.kept(1)) :]


def test_opaque_samples_stand_beside_the_picture_and_delay_no_cut() -> None:
    data = audio(10, rate=90_000, step=180_000, timestamp=99)
    on = played([*video(500), *data], tracks=[h264_track(), opaque_track()])
    assert on.kept(1) == [unit.data for unit in data][-len(on.kept(1)) :]
    assert len(on.kept(1)) >= 9


def test_audio_keeps_its_place_while_the_cameras_clock_runs_fast() -> None:
    sounds = aac(60, timestamp=42)
    on = played([*video(1500, ppm=300), *sounds], nominal_s=10, sweep_us=1_000_000)
    assert_placed(on, sounds, tolerance_us=260_000)


def test_audio_of_the_first_pictures_waits_for_their_decode_times() -> None:
    """With B-frames a run's first segment opens some pictures late; the audio of that time must not be lost."""
    on = stage()
    on.begin([h264_track(bframes=2), aac_track()])
    order = [0, *(3 * group + place for group in range(80) for place in (3, 1, 2))]
    pictures = [
        replace(unit, timestamp=shown * 3600, flags=unit.flags if shown % 24 == 0 else 0)
        for unit, shown in zip(video(len(order)), order, strict=True)
    ]
    pictures = [replace(unit, flags=1 if shown % 24 == 0 else 0) for unit, shown in zip(pictures, order, strict=True)]
    sounds = aac(9, at_us=10_000)
    on.play([*pictures, *sounds], sweep_us=40_000)
    on.end()
    on.check()
    assert on.kept(1) == [unit.data for unit in sounds]
    assert on.kept() == [unit.data for unit in pictures]
