"""Real encodings through the recorder into real files: what ffmpeg makes of them, and every byte as the camera sent it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.tracks import RecordedTrack
from tests.support.probe import decode_errors, md5, packets, shown_pts
from tests.support.recording import (
    SECOND,
    Recorded,
    Stage,
    Unit,
    aac_track,
    alaw_track,
    h264_track,
    h265_track,
    real_video,
    stage,
)
from tests.support.streams import encode_aac, encode_alaw, encode_h264, encode_h265
from vault.media import Codec, SegmentFlag


def played(units: list[Unit], tracks: list[RecordedTrack], *, nominal_s: float = 2, sweep_us: int = 200_000) -> Stage:
    on = stage(nominal_s=nominal_s)
    on.begin(tracks)
    on.play(units, sweep_us=sweep_us)
    on.end()
    on.check()
    return on


def written(on: Stage, folder: Path) -> list[tuple[Recorded, Path]]:
    """Every segment as a closed file that decodes without an error line."""
    out = []
    for number, segment in enumerate(on.segments):
        path = segment.write(folder / f"{number}.mp4")
        assert decode_errors(path) == ""
        out.append((segment, path))
    return out


def files_that_hold(on: Stage, units: list[Unit], folder: Path) -> list[tuple[Recorded, Path]]:
    """The files, whose pictures one file after the other are those that were sent."""
    files = written(on, folder)
    found = [packet.md5 for _, path in files for packet in packets(path, "v:0")]
    assert found == [md5(unit.data) for unit in units if unit.track == 0]
    return files


@pytest.mark.parametrize(("bframes", "sweep_us"), [(0, 200_000), (2, 40_000), (3, 200_000), (3, 1_000_000)])
def test_h264_with_and_without_b_frames_decodes_frame_for_frame(bframes: int, sweep_us: int, tmp_path: Path) -> None:
    units = real_video(encode_h264(frames=150, gop=24, bframes=bframes), timestamp=(1 << 32) - 90_000)
    on = played(units, [h264_track(bframes)], sweep_us=sweep_us)
    assert len(on.segments) >= 3
    for segment, path in files_that_hold(on, units, tmp_path):
        shown = shown_pts(path, "v:0")
        assert shown == sorted(shown)
        assert {after - before for before, after in itertools.pairwise(shown)} == {3600}
        assert len(shown) == len(segment.data())


@pytest.mark.parametrize("bframes", [0, 3])
def test_h265_decodes_frame_for_frame(bframes: int, tmp_path: Path) -> None:
    units = real_video(encode_h265(frames=150, gop=24, bframes=bframes))
    on = played(units, [h265_track(bframes)])
    assert len(on.segments) >= 3
    for _, path in files_that_hold(on, units, tmp_path):
        shown = shown_pts(path, "v:0")
        assert {after - before for before, after in itertools.pairwise(shown)} == {3600}


def test_a_stream_that_does_not_tell_its_reorder_depth_is_learnt(tmp_path: Path) -> None:
    units = real_video(encode_h264(frames=200, gop=24, bframes=2))
    track = h264_track(2)
    track._depth = lambda: None  # type: ignore[method-assign]
    track.restart()
    on = played(units, [track])
    files_that_hold(on, units, tmp_path)
    assert len(on.segments) >= 3


@pytest.mark.parametrize("bframes", [0, 3])
def test_b_frames_across_a_gap_and_a_jump_stay_whole(bframes: int, tmp_path: Path) -> None:
    encoded = encode_h264(frames=200, gop=24, bframes=bframes)
    units = real_video(encoded)
    # A silence of five seconds before one GOP, and an hour's jump before a later one.
    units[72:] = [replace(unit, timestamp=unit.timestamp + 450_000, at_us=unit.at_us + 5 * SECOND) for unit in units[72:]]
    units[144:] = [replace(unit, timestamp=(unit.timestamp + 324_000_000) & 0xFFFFFFFF) for unit in units[144:]]
    on = played(units, [h264_track(bframes)], nominal_s=60)
    assert len(on.segments) == 2
    files = files_that_hold(on, units, tmp_path)
    shown = [pts for _, path in files[1:] for pts in shown_pts(path, "v:0")]
    assert all(3600 <= after - before <= 4 * 3600 for before, after in itertools.pairwise(shown))


@pytest.mark.parametrize("bframes", [0, 3])
def test_b_frames_across_a_step_of_the_hosts_clock_stay_whole(bframes: int, tmp_path: Path) -> None:
    units = real_video(encode_h264(frames=200, gop=24, bframes=bframes))
    on = stage()
    on.begin([h264_track(bframes)])
    on.play([unit for unit in units if unit.at_us <= 3 * SECOND])
    on.clock.step(-3600 * SECOND)
    on.recorder.host_clock_stepped()
    on.play([unit for unit in units if unit.at_us > 3 * SECOND])
    on.end()
    on.check()
    assert len(on.segments) == 2
    files_that_hold(on, units, tmp_path)


def test_a_change_of_resolution_makes_two_files_that_both_decode(tmp_path: Path) -> None:
    small, large = encode_h264(frames=60, gop=20), encode_h264(frames=60, gop=20, size=(192, 112), seed=3)
    units = [*real_video(small), *real_video(large, timestamp=60 * 3600, at_us=60 * 40_000)]
    on = played(units, [h264_track()], nominal_s=60)
    assert [segment.opened.tracks[0].width for segment in on.segments] == [160, 192]
    files_that_hold(on, units, tmp_path)


def test_what_continues_holds_every_byte_even_though_it_cannot_be_decoded_from_its_start(tmp_path: Path) -> None:
    units = real_video(encode_h264(frames=200, gop=200))
    on = played(units, [h264_track()], nominal_s=2)
    assert [bool(segment.opened.head.flags & SegmentFlag.CONTINUES) for segment in on.segments] == [False, True]
    found = [
        packet.md5
        for number, segment in enumerate(on.segments)
        for packet in packets(segment.write(tmp_path / f"{number}.mp4"), "v:0")
    ]
    assert found == [md5(unit.data) for unit in units]


def test_pictures_and_aac_decode_and_stay_together(tmp_path: Path) -> None:
    stream = encode_aac(8.0)
    sounds = [
        Unit(1, (3_000_000_000 + frame.pts) & 0xFFFFFFFF, frame.data, 0, frame.pts * SECOND // 48_000)
        for frame in stream.frames
    ]
    units = real_video(encode_h264(frames=200, gop=25))
    on = played([*units, *sounds], [h264_track(), RecordedTrack(Codec.AAC, 48_000, aac_track().params)])
    files = files_that_hold(on, units, tmp_path)
    found = [packet.md5 for _, path in files for packet in packets(path, "a:0")]
    assert found == [md5(unit.data) for unit in sounds][-len(found) :]
    assert len(found) >= len(sounds) - 2


def test_g711_decodes(tmp_path: Path) -> None:
    stream = encode_alaw(8.0)
    sounds = [Unit(1, frame.pts, frame.data, 0, frame.pts * SECOND // 8_000) for frame in stream.frames]
    units = real_video(encode_h264(frames=200, gop=25))
    on = played([*units, *sounds], [h264_track(), alaw_track()])
    files_that_hold(on, units, tmp_path)
    kept = [segment.samples[1] for segment in on.segments]
    assert all(kept)
    assert sum(map(len, kept)) >= len(sounds) - 2
