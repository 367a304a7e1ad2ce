"""A file served by GStreamer as it is: every NAL unit that leaves its file arrives, byte for byte and in order."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ingest.rtp.engine import feed_datagram
from ingest.rtp.tracks import make_track
from ingest.rtsp.events import Described
from tests.support.gst import gst_server, need_gstreamer
from tests.support.rtsp_driver import Driver
from tests.support.streams import split_annexb
from tests.support.tools import need
from vault.media import Codec

FRAMES = 100


def make_file(path: Path, codec: Codec, options: tuple[str, ...]) -> None:
    source = f"testsrc2=size=160x96:rate=25:duration={FRAMES // 25}"
    subprocess.run(
        [need("ffmpeg"), "-v", "error", "-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", *options, str(path)],
        check=True,
        timeout=60,
    )


def nal_units(path: Path, codec: Codec) -> list[bytes]:
    """The picture's NAL units of a file as ffmpeg reads them: no parameter sets, which a server may send or leave out."""
    form = "h264" if codec is Codec.H264 else "hevc"
    command = [need("ffmpeg"), "-v", "error", "-i", str(path), "-c", "copy", "-bsf:v", f"{form}_mp4toannexb", "-f", form, "-"]
    data = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return pictures(list(split_annexb(data)), codec)


def pictures(units: list[bytes], codec: Codec) -> list[bytes]:
    if codec is Codec.H264:
        return [unit for unit in units if 1 <= unit[0] & 31 <= 5]
    return [unit for unit in units if unit[0] >> 1 & 63 < 32]


def received(driver: Driver) -> list[bytes]:
    """What the packets so far hold, taken apart by the same track that records."""
    described = next(event for event in driver.events if isinstance(event, Described))
    track = make_track(0, described.tracks[0].media).track
    arena = bytearray(8 << 20)
    frames: list[tuple[int, int, int, int, int]] = []
    track.begin(arena)
    for packet in driver.packets.get(0, []):
        feed_datagram(track, packet, 0, len(packet), frames)
    out: list[bytes] = []
    for _, _, at, size, _ in frames:
        end = at + size
        while at < end:
            length = int.from_bytes(arena[at : at + 4], "big")
            out.append(bytes(arena[at + 4 : at + 4 + length]))
            at += 4 + length
    track.carry()
    return out


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        (Codec.H264, ("-c:v", "libx264", "-g", "25", "-bf", "2", "-x264-params", "slices=2")),
        (Codec.H265, ("-c:v", "libx265", "-x265-params", "keyint=25:bframes=2:log-level=none")),
    ],
    ids=["h264", "h265"],
)
def test_every_picture_of_a_file_arrives_byte_for_byte(
    codec: Codec, options: tuple[str, ...], transport: str, tmp_path: Path
) -> None:
    name = codec.value
    need_gstreamer(f"{name}parse", f"rtp{name}pay", "qtdemux")
    path = tmp_path / "camera.mp4"
    make_file(path, codec, options)
    wanted = nal_units(path, codec)
    # The last unit is whole only when the next one begins, and at the file's end none does.
    enough = len(wanted) * 9 // 10
    with gst_server("--file", str(path), "--codec", name, "--own-media") as url, Driver(url, transport=transport) as driver:
        driver.run(lambda it: len(it.packets.get(0, ())) > 60 and len(pictures(received(it), codec)) >= enough)
        got = pictures(received(driver), codec)
    assert enough <= len(got) <= len(wanted)
    assert got == wanted[: len(got)]
