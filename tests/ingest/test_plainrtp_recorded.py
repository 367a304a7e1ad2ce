"""ffmpeg and GStreamer send bare RTP, unicast and multicast; a node records it, and every picture is in the files byte for byte."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from ingest.reception import media_of, receptions_of_sdp
from ingest.rtp.tracks import make_track
from tests.support.feeds import bound_ports, ffmpeg_plays, free_port, make_movie, picture_digests, running
from tests.support.gst import need_gstreamer
from tests.support.node import wait_until
from tests.support.probe import decode_errors, packets
from tests.support.station import Station, station
from vault.media import Codec

SECONDS = 6


def assert_recorded_whole(it: Station, name: str, wanted: list[bytes], frames: int) -> None:
    """Every picture NAL unit is there once and in order, and each file decodes with as many frames as it has units."""
    known = set(wanted)
    found = [digest for unit in it.units(name) for digest in unit.digests if digest in known]
    assert found == wanted
    assert len(it.units(name)) == frames
    for file in it.files(name):
        assert decode_errors(file.path) == ""
        assert len(packets(file.path, "v:0")) == len(file.units[0])


@pytest.mark.slow
def test_bare_rtp_of_ffmpeg_and_gstreamer_is_recorded_byte_for_byte(tmp_path: Path) -> None:
    need_gstreamer("h264parse", "rtph264pay", "tsdemux", "udpsink")
    # A transport stream has its parameter sets in band, and so has what ffmpeg then sends; an MP4 has them not.
    h264 = make_movie(tmp_path / "h264.ts", Codec.H264, seconds=SECONDS)
    h265 = make_movie(tmp_path / "h265.mp4", Codec.H265, Codec.ALAW, seconds=SECONDS, more=["-f", "mov"])
    tone = make_movie(tmp_path / "tone.wav", None, Codec.ULAW, seconds=SECONDS)
    one, two, three, group, sound = (free_port() for _ in range(5))
    sdp = tmp_path / "a camera.sdp"
    both = ["-map", "0:v", "-c", "copy", "-f", "rtp", f"rtp://127.0.0.1:{two}"]
    both += ["-map", "0:a", "-c", "copy", "-f", "rtp", f"rtp://127.0.0.1:{three}"]
    with ffmpeg_plays(h265, "-t", "0.1", "-sdp_file", str(sdp), *both) as process:
        process.wait(30)
    with station(tmp_path) as it, contextlib.ExitStack() as senders:
        it.add("cam-url", f"rtp://127.0.0.1:{one}?codec=h264&pt=96")
        it.add("cam-sdp", sdp.as_uri())
        it.add("cam-group", f"rtp://239.255.7.7:{group}?codec=h264&interface=lo")
        it.add("cam-sound", f"rtp://127.0.0.1:{sound}")
        it.start()
        wait_until(lambda: {one, two, three, group, sound} <= bound_ports(), 30, "sockets to receive on")
        senders.enter_context(ffmpeg_plays(h264, "-c", "copy", "-f", "rtp", f"rtp://127.0.0.1:{one}"))
        senders.enter_context(ffmpeg_plays(h265, *both))
        senders.enter_context(ffmpeg_plays(tone, "-c", "copy", "-f", "rtp", f"rtp://127.0.0.1:{sound}"))
        launch = f"filesrc location={h264} ! tsdemux ! h264parse ! rtph264pay config-interval=1 pt=100 ! udpsink sync=true"
        launch += f" host=239.255.7.7 port={group} auto-multicast=true multicast-iface=lo"
        senders.enter_context(running("gst-launch-1.0", "-q", *launch.split()))
        frames = SECONDS * 25
        wait_until(lambda: len(it.units("cam-url")) >= frames and len(it.units("cam-sdp")) >= frames, 30, "the pictures")
        # The sender's last frame has no marker behind it that says so in every case.
        wait_until(lambda: len(it.units("cam-group")) >= frames - 1, 30, "the group's pictures")
        wait_until(lambda: len(it.units("cam-sound")) >= frames * 2 - 8, 30, "the sound")
        assert it.stop() == 0
        assert_recorded_whole(it, "cam-url", picture_digests(h264, Codec.H264), frames)
        assert_recorded_whole(it, "cam-group", picture_digests(h264, Codec.H264), frames)
        assert_recorded_whole(it, "cam-sdp", picture_digests(h265, Codec.H265), frames)
        assert len(it.units("cam-sdp", 1)) >= frames * 2 - 60
        for file in it.files("cam-sound"):
            assert decode_errors(file.path) == ""
        assert not [line for line in it.log() if "level=error" in line]


def test_the_sdp_file_that_ffmpeg_writes_is_understood(tmp_path: Path) -> None:
    movie = make_movie(tmp_path / "movie.mov", Codec.H264, Codec.AAC, seconds=1)
    one, two = free_port(), free_port()
    outputs = ["-map", "0:v", "-c", "copy", "-f", "rtp", f"rtp://127.0.0.1:{one}", "-map", "0:a", "-c", "copy"]
    with ffmpeg_plays(movie, "-sdp_file", str(tmp_path / "x.sdp"), *outputs, "-f", "rtp", f"rtp://127.0.0.1:{two}") as process:
        process.wait(30)
    video, sound = receptions_of_sdp((tmp_path / "x.sdp").read_bytes())
    assert (video.host, video.port, video.rtcp_port) == ("127.0.0.1", one, one + 1)
    made = [make_track(index, media_of(reception, -1)) for index, reception in enumerate((video, sound))]
    assert [one.codec for one in made] == [Codec.H264, Codec.AAC]
    assert made[0].params is not None
    assert (made[0].params.width, made[0].params.height) == (192, 128)
