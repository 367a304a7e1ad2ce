"""Clips are exact: ffmpeg shows the pictures of the range and no other, at their times, and every byte of the file is addressable."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.numbered import FRAME_US, encode, record, split
from tests.support.players import by_ffmpeg
from tests.support.segments import START_US, audio_track, make_segment, video_track
from tests.support.streams import encode_aac, encode_alaw, encode_ulaw
from vault.errors import NotFound, Refused, UsageError
from vault.ids import CameraNumber, SegmentKey
from vault.media import Codec, SegmentFlag, SegmentHead
from vault.segment.read import read_closed, read_open
from vault.source import BytesSource
from vault.splice.clip import Clip
from vault.splice.part import Gaps, Part
from vault.splice.plan import plan_clip
from vault.timebase import Interval


def at(frame: float) -> int:
    return START_US + round(frame * FRAME_US)


def span(first: float, last: float) -> Interval:
    return Interval(at(first), at(last))


def save(clip: Clip, path: Path) -> Path:
    path.write_bytes(b"".join(bytes(view) for view in clip.chunks(chunk_bytes=10_000)))
    assert path.stat().st_size == clip.size
    return path


def two_segments(**how: object) -> list[Part]:
    """Pictures 0 to 99 with a segment border before 50."""
    first, second = split(encode(frames=100, gop=25, **how), [50])  # type: ignore[arg-type]
    codec = how.get("codec", Codec.H264)
    assert isinstance(codec, Codec)
    return [record(first, codec=codec), record(second, start_us=at(50), sequence=1, codec=codec)]


CUTS = {
    "on a key frame": (25, 40),
    "one picture before a key frame": (24, 40),
    "one picture after a key frame": (26, 40),
    "to one picture before a key frame": (30, 49),
    "to just before a key frame": (30, 50),
    "to just after a key frame": (30, 51),
    "across a segment border": (33, 77),
    "one picture inside a GOP": (11, 12),
    "the last picture": (99, 100),
    "everything": (0, 100),
}


@pytest.mark.parametrize("bframes", [0, 3])
@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_clip_shows_exactly_the_pictures_of_its_range(
    tmp_path: Path, cut: tuple[int, int], codec: Codec, bframes: int
) -> None:
    clip = plan_clip(two_segments(bframes=bframes, codec=codec), span(*cut))

    seen = by_ffmpeg(save(clip, tmp_path / "clip.mp4"))

    assert seen.numbers == list(range(*cut))
    assert seen.times == pytest.approx([0.04 * n for n in range(cut[1] - cut[0])], abs=2e-5)
    assert seen.complaints == ""
    assert clip.interval == span(*cut)


def test_a_picture_belongs_to_the_range_in_which_it_begins(tmp_path: Path) -> None:
    parts = two_segments()

    late = by_ffmpeg(save(plan_clip(parts, Interval(at(30) + 1, at(40) + 1)), tmp_path / "late.mp4"))
    sharp = by_ffmpeg(save(plan_clip(parts, Interval(at(30), at(40))), tmp_path / "sharp.mp4"))

    assert late.numbers == list(range(31, 41))
    assert sharp.numbers == list(range(30, 40))


def test_open_gops_are_decoded_from_the_key_frame_before(tmp_path: Path) -> None:
    part = record(encode(frames=60, gop=20, bframes=3, codec=Codec.H265, open_gop=True), codec=Codec.H265)

    for first, last in ((17, 30), (18, 30), (20, 21), (39, 45)):
        seen = by_ffmpeg(save(plan_clip([part], span(first, last)), tmp_path / "clip.mp4"))
        assert seen.numbers == list(range(first, last))


def test_a_gap_is_kept_in_time_or_squeezed_out(tmp_path: Path) -> None:
    first, second = split(encode(frames=100, gop=25), [50])
    parts = [record(first), record(second, start_us=at(100), sequence=1)]

    kept, squeezed = (plan_clip(parts, span(40, 120), gaps) for gaps in Gaps)

    assert kept.gaps == squeezed.gaps == (span(50, 100),)
    shown = by_ffmpeg(save(kept, tmp_path / "kept.mp4"))
    assert shown.numbers == list(range(40, 70))
    assert shown.times[9:12] == pytest.approx([0.36, 2.4, 2.44], abs=2e-5)
    shown = by_ffmpeg(save(squeezed, tmp_path / "squeezed.mp4"))
    assert shown.numbers == list(range(40, 70))
    assert shown.times == pytest.approx([0.04 * n for n in range(30)], abs=2e-5)


@pytest.mark.parametrize("repeated", [True, False], ids=["sets in band", "sets only in the sample entry"])
def test_parameters_may_change_between_segments(tmp_path: Path, repeated: bool) -> None:
    small = encode(frames=50, gop=25, repeat_sets=repeated)
    large = encode(first=50, frames=50, gop=25, size=(320, 192), repeat_sets=repeated)
    parts = [record(small), record(large, start_us=at(50), sequence=1)]

    path = save(plan_clip(parts, span(33, 90)), tmp_path / "clip.mp4")

    assert by_ffmpeg(path).numbers == list(range(33, 90))
    with av.open(str(path)) as container:
        sizes = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert sizes == [(160, 96)] * 17 + [(320, 192)] * 40
    # Each key sample brings its sets, so that a player may begin at any of them.
    with av.open(str(path)) as container:
        keys = [bytes(packet) for packet in container.demux(video=0) if packet.is_keyframe]
    assert all({key[4] & 31, key[4 + 4 + int.from_bytes(key[:4], "big")] & 31} >= {7, 8} for key in keys)


def test_a_change_of_codec_is_refused_with_the_instant_to_cut_at() -> None:
    parts = [record(encode()), record(encode(codec=Codec.H265), start_us=at(50), sequence=1, codec=Codec.H265)]

    with pytest.raises(Refused, match=r"h264 to h265 at 2026-11-18 19:06:42\.000\+08:00"):
        plan_clip(parts, span(20, 80))


def test_each_picture_is_within_a_tick_of_its_utc_when_the_camera_runs_fast(tmp_path: Path) -> None:
    first, second = split(encode(frames=250, gop=25, bframes=2), [125])
    border = START_US + round(125 * FRAME_US * 1.0005)
    parts = [record(first, rate_ppm=500.0), record(second, start_us=border, sequence=1, rate_ppm=-300.0)]

    clip = plan_clip(parts, Interval(at(10), at(240)))
    path = save(clip, tmp_path / "clip.mp4")

    expected = [START_US + n * FRAME_US * 1.0005 for n in range(125)] + [border + n * FRAME_US * 0.9997 for n in range(125)]
    expected = [us for us in expected if clip.interval.start_us <= us + 0.5 and us < clip.interval.end_us]
    with av.open(str(path)) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
    assert len(times) == len(expected)
    off_ticks = np.abs(np.array(times) * 90_000 - (np.array(expected) - clip.interval.start_us) * 0.09)
    assert off_ticks.max() <= 1.1


def test_pictures_before_the_first_key_frame_are_decoded_from_the_segment_before(tmp_path: Path) -> None:
    units = encode(frames=100, gop=60)
    first, second = split(units, [40])
    parts = [record(first), record(second, start_us=at(40), sequence=1, flags=SegmentFlag.CONTINUES, sets_from=first)]

    clip = plan_clip(parts, span(45, 70))

    assert by_ffmpeg(save(clip, tmp_path / "clip.mp4")).numbers == list(range(45, 70))
    assert clip.preroll == span(0, 45)
    alone = plan_clip(parts[1:], span(45, 70))
    assert alone.interval == span(60, 70)
    assert "first key frame" in alone.notes[0]
    assert by_ffmpeg(save(alone, tmp_path / "alone.mp4")).numbers == list(range(60, 70))


def test_nothing_from_before_the_allowed_window_is_in_the_file(tmp_path: Path) -> None:
    clip = plan_clip(two_segments(), span(33, 77), earliest_us=at(30))

    assert clip.interval == span(50, 77)
    assert clip.held.start_us == at(50)
    assert "outside what is allowed" in clip.notes[0]
    assert by_ffmpeg(save(clip, tmp_path / "clip.mp4")).numbers == list(range(50, 77))


def test_the_newer_epoch_is_shown_where_two_recordings_overlap(tmp_path: Path) -> None:
    # The clock steps back by one second: pictures 50 to 99 are recorded over the time of 25 to 74.
    first, second = split(encode(frames=100, gop=25), [50])
    parts = [record(first), record(second, start_us=at(25), epoch=2)]

    clip = plan_clip(parts, span(5, 200))

    seen = by_ffmpeg(save(clip, tmp_path / "clip.mp4"))
    assert seen.numbers == [*range(5, 25), *range(50, 100)]
    assert seen.times == sorted(seen.times)
    assert clip.gaps == ()


def test_an_older_epoch_that_outlasts_a_newer_one_goes_on_at_its_next_key_frame(tmp_path: Path) -> None:
    old = record(encode(frames=100, gop=25))
    new = record(encode(first=500, frames=25, gop=25), start_us=at(30), epoch=2)

    clip = plan_clip([old, new], span(10, 100))

    assert by_ffmpeg(save(clip, tmp_path / "clip.mp4")).numbers == [*range(10, 30), *range(500, 525), *range(75, 100)]
    assert clip.gaps == (span(55, 75),)


def test_sound_of_the_range_stays_with_its_pictures(tmp_path: Path) -> None:
    first, second = split(encode(frames=100, gop=25), [50])
    aac = encode_aac(2.0)
    parts = [record(first, audio=aac), record(second, start_us=at(100), sequence=1, audio=aac)]

    path = save(plan_clip(parts, span(33, 133)), tmp_path / "clip.mp4")

    assert by_ffmpeg(path).complaints == ""
    sound, rate = heard(path)
    assert len(sound) / rate == pytest.approx(4.0, abs=0.05)
    loud = [float(np.abs(sound[int(t * rate) : int((t + 0.2) * rate)]).mean()) for t in (0.2, 0.4, 1.0, 2.0, 2.4, 2.8, 3.5)]
    assert [level > 0.05 for level in loud] == [True, True, False, False, False, True, True]
    # The tone rises from 300 Hz: what is heard at the beginning is what was recorded 1.32 s after the segment's start.
    assert pitch(sound[: rate // 4], rate) == pytest.approx(300 + 2 * 40 * (33 * 0.04 + 0.125), rel=0.02)


@pytest.mark.parametrize("codec", [Codec.ALAW, Codec.ULAW])
def test_g711_is_a_table_of_160_byte_samples_of_version_0(tmp_path: Path, codec: Codec) -> None:
    first, second = split(encode(frames=100, gop=25), [50])
    audio = (encode_alaw if codec is Codec.ALAW else encode_ulaw)(2.0)
    how = {"audio": audio, "audio_codec": codec}
    parts = [record(first, **how), record(second, start_us=at(50), sequence=1, **how)]  # type: ignore[arg-type]

    clip = plan_clip(parts, span(33, 77))
    path = save(clip, tmp_path / "clip.mp4")

    assert by_ffmpeg(path).complaints == ""
    sound, rate = heard(path)
    assert len(sound) / rate == pytest.approx(44 * 0.04, abs=0.021)
    assert pitch(sound[: rate // 4], rate) == pytest.approx(300 + 2 * 40 * (33 * 0.04 + 0.125), rel=0.02)
    entry = clip.head.index(b"alaw" if codec is Codec.ALAW else b"ulaw")
    assert clip.head[entry + 12 : entry + 14] == b"\0\0"
    sizes = clip.head.rindex(b"stsz")
    assert clip.head[sizes + 8 : sizes + 12] == b"\0\0\0\0"
    assert clip.head[sizes + 16 : sizes + 20] == (160).to_bytes(4, "big")


def test_sound_that_starts_late_is_silent_until_then(tmp_path: Path) -> None:
    first, second = split(encode(frames=100, gop=25), [50])
    parts = [record(first), record(second, start_us=at(50), sequence=1, audio=encode_aac(1.5), audio_from=0.5)]

    path = save(plan_clip(parts, span(30, 100)), tmp_path / "clip.mp4")

    sound, rate = heard(path)
    onset = int(np.argmax(np.abs(sound) > 0.1)) / rate
    assert onset == pytest.approx(20 * 0.04 + 0.5, abs=0.05)
    assert by_ffmpeg(path).numbers == list(range(30, 100))


def test_other_audio_and_private_tracks_get_tracks_of_their_own(tmp_path: Path) -> None:
    first, second = split(encode(frames=100, gop=25), [50])
    payloads = [bytes([n]) * 10 for n in range(50)]
    parts = [
        record(first, audio=encode_alaw(2.0), audio_codec=Codec.ALAW, opaque=payloads),
        record(second, start_us=at(50), sequence=1, audio=encode_aac(2.0), opaque=payloads),
    ]

    clip = plan_clip(parts, span(40, 90))
    path = save(clip, tmp_path / "clip.mp4")

    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio", "audio", "data"]
    # The private track's samples are there as they were stored, in order, each behind its length.
    data = path.read_bytes()
    found = [data.find(b"\0\n" + payload) for payload in (*payloads[40:], *payloads[:40])]
    assert all(place > 0 for place in found)
    assert data.find(b"\0\n" + bytes([39]) * 10, 0, found[0]) < 0
    assert "2 audio tracks (aac, alaw)" in clip.notes[0]


def test_any_range_of_bytes_is_the_same_as_a_cut_of_the_whole() -> None:
    clip = plan_clip(two_segments(bframes=2), span(33, 77))
    whole = clip.read(0, clip.size)

    rng = np.random.default_rng(7)
    for begin, end in np.sort(rng.integers(0, clip.size + 1, (200, 2))).tolist():
        assert clip.read(begin, end - begin) == whole[begin:end]
    assert b"".join(bytes(view) for view in clip.chunks(5, 3_000, chunk_bytes=999)) == whole[5:3_005]
    with pytest.raises(UsageError):
        clip.read(clip.size - 1, 2)


def test_no_sample_outside_what_is_held_is_copied() -> None:
    parts = [record(encode(frames=100, gop=25), audio=encode_aac(4.0))]
    clip = plan_clip(parts, span(33, 40))
    body = clip.read(len(clip.head), clip.size - len(clip.head))

    video, audio = parts[0].table.tracks
    source = parts[0].source
    samples = [source.read(int(o), int(s)) for o, s in zip(video.offset, video.size, strict=True)]
    # Pictures that hardly differ from the one before may be the same few bytes.
    telling = [n for n, sample in enumerate(samples) if samples.count(sample) == 1]
    assert len(telling) > 50
    assert [n for n in telling if samples[n] in body] == [n for n in telling if 25 <= n < 40]
    heard_at = [n * 1024 / 48_000 for n in range(len(audio.dts))]
    inside = [source.read(int(o), int(s)) in body for o, s in zip(audio.offset, audio.size, strict=True)]
    assert [n for n, there in enumerate(inside) if there] == [
        n for n, t in enumerate(heard_at) if 33 * 0.04 - 1024 / 48_000 < t < 40 * 0.04
    ]


def test_the_etag_names_the_inputs() -> None:
    parts = two_segments()
    clip = plan_clip(parts, span(33, 77))

    assert plan_clip(list(reversed(parts)), span(33, 77)).etag == clip.etag
    assert re.fullmatch(r"[0-9a-f]{32}", clip.etag)
    others = [plan_clip(parts, span(33, 76)), plan_clip(parts, span(33, 77), Gaps.SQUEEZE), plan_clip(parts[:1], span(33, 77))]
    assert len({clip.etag, *(other.etag for other in others)}) == 4


def test_a_range_without_pictures_is_not_found() -> None:
    with pytest.raises(NotFound, match="no picture begins in"):
        plan_clip(two_segments(), span(100, 200))
    with pytest.raises(NotFound):
        plan_clip(two_segments(), Interval(at(30) + 1, at(31)))
    with pytest.raises(NotFound):
        plan_clip([], span(0, 1))


def heard(path: Path) -> tuple[np.ndarray, int]:
    """One channel of the first audio track, placed in time as its timestamps say."""
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        sound = np.zeros(int(10 * rate))
        end = 0
        for frame in container.decode(audio=0):
            data = frame.to_ndarray().astype(np.float64)
            data = data[0] / (32768 if "16" in frame.format.name else 1)
            begin = max(round(float(frame.time) * rate), 0)
            mono = data[:: 1 if frame.format.is_planar else len(frame.layout.channels)]
            sound[begin : begin + len(mono)] = mono
            end = begin + len(mono)
    return sound[:end], rate


def pitch(sound: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 16))
    return float(np.argmax(spectrum) * rate / (1 << 16))


def test_a_camera_without_video_gives_its_sound(tmp_path: Path) -> None:
    audio = encode_alaw(2.0)
    parts = []
    for number in range(2):
        head = SegmentHead(
            SegmentKey(CameraNumber(990100001), at(50 * number), 1, number), "cam-1", 0.0, None, SegmentFlag.NONE
        )
        source = BytesSource(make_segment([audio_track(audio, Codec.ALAW)], head=head).closed_bytes)
        parts.append(Part(read_closed(source), source))

    clip = plan_clip(parts, span(20, 80))
    path = save(clip, tmp_path / "clip.mp4")

    sound, rate = heard(path)
    assert clip.interval == span(20, 80)
    assert len(sound) / rate == pytest.approx(2.4, abs=0.021)
    assert pitch(sound[: rate // 4], rate) == pytest.approx(300 + 2 * 40 * (0.8 + 0.125), rel=0.02)


def test_a_segment_is_cut_while_it_is_being_recorded(tmp_path: Path) -> None:
    written = make_segment([video_track(encode(frames=60, gop=20)), audio_track(encode_aac(2.4))])
    source = BytesSource(written.open_bytes[:-700])
    part = Part(read_open(source, at(60)), source)

    clip = plan_clip([part], span(10, 500))

    seen = by_ffmpeg(save(clip, tmp_path / "clip.mp4"))
    assert seen.numbers == list(range(10, 10 + len(seen.numbers)))
    assert len(seen.numbers) >= 30
    assert clip.interval.end_us == part.end_us
    assert seen.complaints == ""
