"""The client against VLC's RTSP server, another that nobody here wrote: it has no TCP, names no OPTIONS, loops its file."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.probe import probe
from tests.support.tools import need
from vault.clock import SystemClock
from vault.config import Recording
from vault.errors import SourceError, SourceRefused
from vault.secrets import SplitUrl

NOBODY = "65534"
CLOCK = SystemClock()


@contextlib.contextmanager
def vlc_server() -> Iterator[str]:
    """VLC serving a looped file of H.264 with B-frames and AAC. It will not run as root, so then it runs as nobody."""
    program = need("cvlc")
    with tempfile.TemporaryDirectory() as name, socket.socket() as free:
        folder = Path(name)
        path = folder / "camera.mp4"
        source = ("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=10", "-f", "lavfi", "-i", "sine=duration=10")
        codecs = ("-c:v", "libx264", "-g", "25", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "aac")
        subprocess.run([need("ffmpeg"), "-v", "error", *source, *codecs, str(path)], check=True, timeout=60)
        folder.chmod(0o755)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [
            program,
            "-I",
            "dummy",
            "--loop",
            str(path),
            "--sout",
            f"#rtp{{sdp=rtsp://127.0.0.1:{port}/cam}}",
            "--sout-keep",
        ]
        if os.geteuid() == 0:
            shutil.chown(folder, int(NOBODY), int(NOBODY))
            command = [need("setpriv"), "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", *command]
        environment = os.environ | {"HOME": name}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                until_it_listens(port, process)
                yield f"rtsp://127.0.0.1:{port}/cam"
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


def until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline_us = CLOCK.mono_us() + 30_000_000
    while CLOCK.mono_us() < deadline_us and process.poll() is None:
        try:
            # The stream itself is there a little later than the port.
            probe(SplitUrl(f"rtsp://127.0.0.1:{port}/cam", None, None), "udp", Recording(), CLOCK, 0.5)
        except SourceError:
            select.select([], [], [], 0.2)
            continue
        return
    pytest.fail(f"VLC does not serve on port {port}")


def test_auto_falls_back_to_udp_and_nothing_is_lost() -> None:
    with vlc_server() as url:
        found = probe(SplitUrl(url, None, None), "auto", Recording(), CLOCK, 3.0)
        with pytest.raises(SourceRefused, match="461"):
            probe(SplitUrl(url, None, None), "tcp", Recording(), CLOCK, 1.0)
    assert found.recordable
    # VLC describes its tracks in the order in which it met them.
    audio, video = sorted(found.tracks, key=lambda track: track.codec)
    assert video.params is not None
    assert (video.codec, video.params.width, video.params.height) == ("h264", 320, 240)
    assert video.key_units >= 2
    assert audio.codec == "aac"
    assert audio.units >= 100
    assert found.lost_packets == 0
