"""The live demo cameras: what their pictures show, by libav, over real RTSP."""

from __future__ import annotations

import itertools
import subprocess
import time
from pathlib import Path

import av
import pytest

from ingest.simulate.glyphs import read_clock
from ingest.simulate.live import DEMO, LiveFeed, LiveOptions, LiveSpec, live_tracks, start_live
from tests.support.tools import need
from vault.errors import UsageError
from vault.media import Codec


def test_the_demo_has_four_cameras_of_three_kinds() -> None:
    kinds = sorted((spec.codec.value, spec.audio.value if spec.audio else "") for spec in DEMO)
    assert kinds == [("h264", "aac"), ("h264", "aac"), ("h264", "alaw"), ("h265", "")]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_each_picture_shows_the_instant_it_was_due_at(codec: Codec) -> None:
    spec = LiveSpec("cam-1", codec=codec, audio=Codec.AAC, width=320, height=180, fps=10)
    context = av.CodecContext.create("h264" if codec is Codec.H264 else "hevc", "r")
    stamps, packets, sound = [], [], 0
    feed = LiveFeed(spec, live_tracks(spec), 1_000_000, 1_700_000_000_000_000, lambda bits: 9)
    for now_us in range(1_000_000, 3_000_000, 70_000):
        for burst in feed.take(now_us, 1_700_000_000_000_000 + now_us - 1_000_000):
            if burst.track == 0:
                (unit,) = burst.strip.units
                stamps.append(burst.timing.stamps[0] - 9)
                packets.append(av.Packet(b"".join(b"\0\0\0\1" + nal for nal in unit.nals)))
            else:
                sound += 1
    pictures = [frame for packet in [*packets, None] for frame in context.decode(packet)]
    clocks = [read_clock(frame.to_ndarray(format="rgb24")) for frame in pictures]
    assert stamps == [9000 * number for number in range(20)]
    assert clocks == [1_700_000_000_000_000 + number * 100_000 for number in range(20)]
    assert 28 <= sound <= 32


def test_a_source_that_fell_behind_leaves_pictures_out() -> None:
    spec = LiveSpec("cam-1", width=160, height=96, fps=10)
    feed = LiveFeed(spec, live_tracks(spec), 0, 0, lambda bits: 0)
    assert len(feed.take(0, 0)) == 1
    late = feed.take(10_000_000, 10_000_000)
    assert [burst.timing.stamps[0] for burst in late] == [900_000]


def test_a_listener_that_joins_gets_a_key_picture_next() -> None:
    spec = LiveSpec("cam-1", width=160, height=96, fps=10, gop=1000)
    feed = LiveFeed(spec, live_tracks(spec), 0, 0, lambda bits: 0)
    keys = []
    for number in range(6):
        if number == 4:
            feed.join()
        keys += [burst.strip.units[0].key for burst in feed.take(number * 100_000, number * 100_000)]
    assert keys == [True, False, False, False, True, False]


@pytest.mark.parametrize(("camera", "transport"), [(1, "tcp"), (2, "udp")])
def test_a_recording_by_ffmpeg_has_a_running_clock(camera: int, transport: str, tmp_path: Path) -> None:
    specs = (
        LiveSpec("cam-1", audio=Codec.ALAW, width=320, height=180),
        LiveSpec("cam-2", codec=Codec.H265, width=320, height=180),
    )
    simulator = start_live(LiveOptions(cameras=specs, log_units=True))
    before_us = time.time_ns() // 1000
    try:
        path = tmp_path / "live.ts"
        command = [need("ffmpeg"), "-v", "error", "-rtsp_transport", transport, "-i", simulator.url(camera), "-t", "2", "-an"]
        subprocess.run([*command, "-c", "copy", str(path)], timeout=60, check=True)
        sent = simulator.sent(camera)
    finally:
        simulator.stop()
    with av.open(str(path)) as container:
        clocks = [read_clock(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert len(clocks) >= 25
    assert None not in clocks
    steps = [after - before for before, after in itertools.pairwise(clocks) if before is not None and after is not None]
    assert sum(steps) == pytest.approx(len(steps) * 1e6 / 15, rel=0.1)
    assert clocks[0] is not None
    assert before_us - 1000 <= clocks[0] <= time.time_ns() // 1000
    assert any(unit.key for unit in sent)


def test_no_cameras_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        LiveOptions(cameras=())
