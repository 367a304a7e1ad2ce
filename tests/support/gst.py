"""Starts and ends `gst_server.py` under the system's Python. What is done with the stream belongs to the tests."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
_SERVER = Path(__file__).with_name("gst_server.py")
_PACKAGES = (
    "gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad "
    "gstreamer1.0-plugins-ugly gstreamer1.0-libav python3-gi"
)
_CHECK = """
import sys, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
sys.exit(0 if all(Gst.ElementFactory.find(name) for name in sys.argv[1:]) else 3)
"""
TEST_PICTURE = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=25/1"
TEST_TONE = "audiotestsrc is-live=true wave=ticks"
H264 = f"{TEST_PICTURE} ! x264enc tune=zerolatency key-int-max=25 speed-preset=ultrafast ! rtph264pay name=pay0 pt=96 config-interval=-1"
H264_B_FRAMES = (
    f"{TEST_PICTURE} ! x264enc bframes=2 b-adapt=false key-int-max=25 speed-preset=ultrafast rc-lookahead=0 sync-lookahead=0 "
    "! rtph264pay name=pay0 pt=96"
)
H265 = f"{TEST_PICTURE} ! x265enc tune=zerolatency key-int-max=25 speed-preset=ultrafast ! rtph265pay name=pay0 pt=96"
AAC = f"{TEST_TONE} ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97"
ALAW = f"{TEST_TONE} ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8"
ULAW = f"{TEST_TONE} ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=pay1 pt=0"
"""Pieces of launch lines: join them with a blank inside `( … )`."""


@functools.cache
def _has(*elements: str) -> bool:
    try:
        return (
            subprocess.run([SYSTEM_PYTHON, "-c", _CHECK, *elements], capture_output=True, timeout=60, check=False).returncode
            == 0
        )
    except OSError:
        return False


def need_gstreamer(*elements: str) -> None:
    """Skips the test, or fails it with `CI=true`, where GStreamer's server or one of `elements` is not installed."""
    if not _has(*elements):
        message = f"GStreamer's RTSP server with {', '.join(elements) or 'its base'} is not installed; on Debian: apt-get install {_PACKAGES}"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(message)
        pytest.skip(message)


@contextlib.contextmanager
def gst_server(*options: str) -> Iterator[str]:
    """Runs the server with its command-line options; gives its address, `rtsp://127.0.0.1:<port>/cam`. It is ended by its own handle."""
    with subprocess.Popen(
        [SYSTEM_PYTHON, str(_SERVER), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ready, _, _ = select.select([process.stdout], [], [], 30)
            line = process.stdout.readline().decode() if ready else ""
            if not line.startswith("port "):
                process.kill()
                assert process.stderr is not None
                pytest.fail(f"GStreamer's server did not start: {line!r} {process.stderr.read().decode()[-2000:]}")
            yield f"{'rtsps' if '--certificate' in options else 'rtsp'}://127.0.0.1:{int(line.split()[1])}/cam"
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
