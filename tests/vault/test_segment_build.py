"""Segments of real streams, in each state of their life, as ffmpeg reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.probe import Packet, decode_errors, md5, packets, shown_pts, streams
from tests.support.segments import Track, Written, audio_track, make_head, make_segment, opaque_track, video_track
from tests.support.streams import encode_aac, encode_alaw, encode_h264, encode_h265, encode_ulaw
from vault.errors import UsageError
from vault.media import Codec, SegmentFlag, SegmentInfo, TrackParams
from vault.segment.build import SegmentBuilder, TrackRun
from vault.segment.params import video_params
from vault.segment.read import read_open, read_tail
from vault.source import FileSource

CASES = {
    "h264 and late aac": lambda: [video_track(encode_h264()), audio_track(encode_aac(), first_dts=480)],
    "h264 with b-frames, slices, aud and alaw": lambda: [
        video_track(encode_h264(bframes=2, slices=3, aud=True)),
        audio_track(encode_alaw(), Codec.ALAW),
    ],
    "h265 and late ulaw": lambda: [
        video_track(encode_h265(slices=2, aud=True), Codec.H265),
        audio_track(encode_ulaw(), Codec.ULAW, first_dts=1234),
    ],
    "h265 with b-frames and an opaque track": lambda: [
        video_track(encode_h265(bframes=2), Codec.H265),
        opaque_track([b"one", b"two", b"three"] * 10),
    ],
    "audio alone": lambda: [audio_track(encode_aac(rate=16_000, channels=1))],
}


def _expected(track: Track) -> list[Packet]:
    cts = track.cts or [0] * len(track.dts)
    sync = track.sync or [True] * len(track.dts)
    rows = zip(track.dts, cts, sync, track.samples, strict=True)
    return [Packet(dts + offset, dts, key, md5(sample)) for dts, offset, key, sample in rows]


def _states(written: Written, folder: Path) -> dict[str, Path]:
    out = {}
    states = {"open": written.open_bytes, "closing": written.closing_bytes, "closed": written.closed_bytes}
    for state, data in states.items():
        out[state] = folder / f"{state}.mp4"
        out[state].write_bytes(data)
    return out


@pytest.mark.parametrize("case", CASES)
def test_every_state_decodes_without_an_error_and_holds_the_bytes_that_were_sent(case: str, tmp_path: Path) -> None:
    tracks = CASES[case]()
    for state, path in _states(make_segment(tracks), tmp_path).items():
        assert decode_errors(path) == "", state
        for index, track in enumerate(tracks):
            found, sent = packets(path, str(index)), _expected(track)
            assert [(p.key, p.md5) for p in found] == [(p.key, p.md5) for p in sent], (state, index)
            # ffmpeg moves an open file with signed offsets later by the reordering; a closed one it shows as written.
            moved = found[0].pts - sent[0].pts if state != "closed" and track.cts else 0
            assert [p.pts - moved for p in found] == [p.pts for p in sent], (state, index)


def test_frames_are_shown_in_order_and_at_their_times(tmp_path: Path) -> None:
    track = video_track(encode_h264(bframes=2))
    path = tmp_path / "b.mp4"
    path.write_bytes(make_segment([track]).closed_bytes)
    assert shown_pts(path, "v:0") == track.dts


def test_a_segment_that_continues_one_keeps_every_sample(tmp_path: Path) -> None:
    whole = video_track(encode_h264())
    track = Track(whole.params, whole.dts, None, whole.samples, [False] * len(whole.dts), whole.end_dts)
    for path in _states(make_segment([track]), tmp_path).values():
        with FileSource(path) as source:
            assert not read_open(source, 0).tracks[0].sync.any()
        assert [p.md5 for p in packets(path, "v:0")] == [p.md5 for p in _expected(track)]


def test_jittering_times_are_kept_to_the_tick(tmp_path: Path) -> None:
    plain = video_track(encode_h264())
    dts = [at + (index * 37) % 90 for index, at in enumerate(plain.dts)]
    track = Track(plain.params, dts, None, plain.samples, plain.sync, dts[-1] + 5000)
    for path in _states(make_segment([track]), tmp_path).values():
        assert [p.pts for p in packets(path, "v:0")] == dts


def test_a_player_sees_the_streams_it_knows(tmp_path: Path) -> None:
    tracks = [video_track(encode_h265(), Codec.H265), audio_track(encode_aac()), opaque_track([b"x"])]
    path = _states(make_segment(tracks), tmp_path)["closed"]
    video, audio, opaque = streams(path)
    assert (video["codec_name"], video["codec_tag_string"], video["width"], video["height"]) == ("hevc", "hvc1", 160, 96)
    assert (audio["codec_name"], audio["sample_rate"], audio["channels"]) == ("aac", "48000", 2)
    assert (opaque["codec_type"], opaque["codec_tag_string"]) == ("data", "svop")


def test_an_announced_track_without_samples_does_not_disturb(tmp_path: Path) -> None:
    track = video_track(encode_h264())
    silent = Track(TrackParams(Codec.ALAW, 8000, channels=1), [], None, [], None, 0)
    for state, path in _states(make_segment([track, silent]), tmp_path).items():
        assert decode_errors(path) == "", state
        assert len(packets(path, "v:0")) == len(track.dts)


def test_parameter_sets_that_never_come_in_band_are_enough_in_the_sample_entry(tmp_path: Path) -> None:
    for codec, units in ((Codec.H264, encode_h264()), (Codec.H265, encode_h265())):
        track = video_track(units, codec)
        stripped = [_strip(sample, codec) for sample in track.samples]
        bare = Track(track.params, track.dts, None, stripped, track.sync, track.end_dts)
        for state, path in _states(make_segment([bare]), tmp_path).items():
            assert decode_errors(path) == "", (codec, state)
            assert shown_pts(path, "v:0") == track.dts


def _strip(sample: bytes, codec: Codec) -> bytes:
    out, at = b"", 0
    while at < len(sample):
        end = at + 4 + int.from_bytes(sample[at : at + 4], "big")
        kind = sample[at + 4] & 0x1F if codec is Codec.H264 else sample[at + 4] >> 1 & 0x3F
        if kind not in (7, 8, 32, 33, 34):
            out += sample[at:end]
        at = end
    return out


def test_the_size_is_that_of_the_file_at_every_step() -> None:
    track = video_track(encode_h264())
    builder = SegmentBuilder(make_head(), [track.params])
    opening = builder.opening()
    assert builder.size_bytes == len(opening)
    sizes = [len(sample) for sample in track.samples]
    fragment = builder.fragment([TrackRun(0, track.dts, None, sizes, track.sync)])
    assert builder.size_bytes == len(opening) + len(fragment) + sum(sizes)
    closing = builder.closing(_info(), [track.end_dts])
    assert builder.size_bytes == len(opening) + len(fragment) + sum(sizes) + len(closing)


def _info() -> SegmentInfo:
    head = make_head()
    return SegmentInfo(head, head.key.start_us + 2_000_000, head.key.start_us, "default", 0, SegmentFlag.NONE)


def test_a_refused_fragment_changes_nothing() -> None:
    params = video_params(Codec.H264, [n for n in encode_h264()[0].nals if n[0] & 0x1F in (7, 8)])
    builder = SegmentBuilder(make_head(), [params])
    builder.opening()
    builder.fragment([TrackRun(0, [0, 3600], None, [10, 10], [True, False])])
    before = builder.size_bytes
    for run in (
        TrackRun(0, [3600], None, [10], [True]),
        TrackRun(0, [7200, 7200], None, [10, 10], [True, False]),
        TrackRun(0, [7200, 10800], None, [10], [True, False]),
        TrackRun(0, [7200], None, [1 << 32], [True]),
        TrackRun(0, [7200], None, [1 << 31], [True]),
        TrackRun(0, [7200, 10800], None, [10, 10], [True]),
        TrackRun(0, [7200], [1 << 31], [10], [True]),
        TrackRun(0, [], None, [], []),
        TrackRun(3, [7200], None, [10], [True]),
    ):
        with pytest.raises(UsageError):
            builder.fragment([run])
    with pytest.raises(UsageError):
        builder.fragment([TrackRun(0, [7200], None, [10], [True]), TrackRun(0, [7200], None, [10], [True])])
    assert builder.size_bytes == before
    builder.fragment([TrackRun(0, [7200], None, [10], [True])])
    table = read_tail(builder.closing(_info(), [10_800]), builder.size_bytes)
    assert table.tracks[0].dts.tolist() == [0, 3600, 7200]


def test_a_segment_cannot_end_before_its_last_sample() -> None:
    track = video_track(encode_h264())
    builder = SegmentBuilder(make_head(), [track.params])
    builder.opening()
    builder.fragment([TrackRun(0, track.dts, None, [10] * len(track.dts), track.sync)])
    with pytest.raises(UsageError, match="do not rise"):
        builder.closing(_info(), [track.dts[-1]])
    with pytest.raises(UsageError, match="must be closed"):
        builder.mdat_header()
