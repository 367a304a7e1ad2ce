"""What a segment costs to write and to read: `pytest benchmarks/bench_segment.py`. Figures and machine stand in benchmarks/README.md.

The fragment is what each camera comes to twice a second; the minute is 1,500 pictures and 2,800 frames of audio.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from vault.ids import CameraNumber, SegmentKey
from vault.media import Codec, SegmentFlag, SegmentHead, SegmentInfo, TrackParams
from vault.segment.build import SegmentBuilder, TrackRun
from vault.segment.params import aac_params, video_params
from vault.segment.read import read_tail

SPS = bytes.fromhex("674d0028eca03c0113f2e02d4040405000003e90000ea60e8c000f4240003d093bcb8280")
PPS = bytes.fromhex("68ee3c80")
START_US = 1_795_000_000_000_000
VIDEO, AUDIO = 12, 25
VIDEO_SIZES = [80_000] + [18_000] * (VIDEO - 1)
AUDIO_SIZES = [320] * AUDIO
KEY_FIRST = [True] + [False] * (VIDEO - 1)


def tracks() -> list[TrackParams]:
    return [video_params(Codec.H264, (SPS, PPS)), aac_params(bytes.fromhex("1190"))]


def head() -> SegmentHead:
    return SegmentHead(SegmentKey(CameraNumber(990100001), START_US, 1, 0), "cam-1", 12.5, None, SegmentFlag.NONE)


def runs(turn: int) -> list[TrackRun]:
    # Arrival jitter: no two frames are exactly 3,600 ticks apart, which is the worst case for the tables.
    video = [(turn * VIDEO + n) * 3600 + (n * 37 + turn) % 90 for n in range(VIDEO)]
    audio = [(turn * AUDIO + n) * 1024 for n in range(AUDIO)]
    return [TrackRun(0, video, None, VIDEO_SIZES, KEY_FIRST), TrackRun(1, audio, None, AUDIO_SIZES, None)]


def minute() -> SegmentBuilder:
    builder = SegmentBuilder(head(), tracks())
    builder.opening()
    for turn in range(112):
        builder.fragment(runs(turn))
    return builder


def close(builder: SegmentBuilder) -> bytes:
    info = SegmentInfo(head(), START_US + 60_000_000, START_US + 61_000_000, "default", 0, SegmentFlag.NONE)
    return builder.closing(info, [112 * VIDEO * 3600 + 3600, 112 * AUDIO * 1024])


def test_a_fragment_of_12_pictures_and_25_audio_frames(benchmark: Any) -> None:
    builder = SegmentBuilder(head(), tracks())
    builder.opening()
    turns = count()
    benchmark.pedantic(builder.fragment, setup=lambda: ((runs(next(turns)),), {}), rounds=2_000)


def test_closing_a_minute(benchmark: Any) -> None:
    benchmark.pedantic(close, setup=lambda: ((minute(),), {}), rounds=100)


def test_the_opening(benchmark: Any) -> None:
    assert benchmark(lambda: SegmentBuilder(head(), tracks()).opening())


def test_reading_the_tail_of_a_minute(benchmark: Any) -> None:
    builder = minute()
    tail = close(builder)
    table = benchmark(read_tail, tail, builder.size_bytes)
    assert [len(track.dts) for track in table.tracks] == [112 * VIDEO, 112 * AUDIO]
