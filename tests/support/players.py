"""What ffmpeg, GStreamer and VLC show of a file whose pictures carry numbers (`tests.support.numbered`). Chromium: `browser`."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.numbered import read_number
from tests.support.tools import need

_WIDTH, _HEIGHT = 160, 96
_SYSTEM_PYTHON = "/usr/bin/python3"
_NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Seen:
    """The pictures shown, in order, when each begins (seconds), and what the player complained of."""

    numbers: list[int]
    times: list[float]
    complaints: str


def by_ffmpeg(path: Path) -> Seen:
    """Decoded by the ffmpeg program: every picture that it gives out, none made up and none left out."""
    command = [need("ffmpeg"), "-v", "error", "-nostdin", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
    command += ["-vf", f"scale={_WIDTH}:{_HEIGHT},showinfo=checksum=0", "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    command[command.index("error")] = "info"
    run = subprocess.run(command, capture_output=True, timeout=60, check=True)
    pictures = np.frombuffer(run.stdout, np.uint8).reshape(-1, _HEIGHT, _WIDTH)
    text = run.stderr.decode()
    times = [float(line.split("pts_time:")[1].split()[0]) for line in text.splitlines() if "pts_time:" in line]
    quiet = subprocess.run(
        [need("ffmpeg"), "-v", "error", "-nostdin", "-i", str(path), "-f", "null", "-"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    return Seen([read_number(picture) for picture in pictures], times, quiet.stderr.decode())


def by_gstreamer(path: Path) -> Seen:
    """Decoded by GStreamer. Pictures of one running time are shown for no time, all but the last."""
    _need_gstreamer()
    script = Path(__file__).with_name("gst_decode.py")
    run = subprocess.run([_SYSTEM_PYTHON, str(script), str(path)], capture_output=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr.decode()
    seen = json.loads(run.stdout)
    later = [*(item[0] for item in seen[1:]), None]
    shown = [item for item, after in zip(seen, later, strict=True) if after is None or after - item[0] > 1_000_000]
    return Seen([number for _, number in shown], [at / 1e9 for at, _ in shown], "")


@functools.cache
def _need_gstreamer() -> None:
    check = "import gi; gi.require_version('Gst','1.0'); from gi.repository import Gst; Gst.init(None)"
    check += "; assert Gst.ElementFactory.find('qtdemux') and Gst.ElementFactory.find('avdec_h264')"
    if subprocess.run([_SYSTEM_PYTHON, "-c", check], capture_output=True, check=False).returncode:
        pytest.skip(
            "GStreamer for Python is not installed; on Debian: apt-get install python3-gi gir1.2-gstreamer-1.0 "
            "gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav"
        )


def by_vlc(path: Path) -> Seen:
    """Played by VLC in real time; each picture that reaches its output is written by its scene filter."""
    need("cvlc")
    with _public_folder() as folder:
        shutil.copy(path, folder / "clip.mp4")
        os.chmod(folder / "clip.mp4", 0o644)
        (folder / "out").mkdir()
        os.chmod(folder / "out", 0o777)
        command = [need("vlc"), "-I", "dummy", "--no-audio", "--vout=dummy", "--video-filter=scene", "--scene-format=png"]
        command += ["--scene-ratio=1", "--scene-prefix=f", f"--scene-path={folder / 'out'}", "--no-drop-late-frames"]
        command += ["--no-skip-frames", "--play-and-exit", "--quiet", f"file://{folder / 'clip.mp4'}"]
        # VLC does not run as root.
        account = {"user": _NOBODY, "group": _NOBODY} if os.geteuid() == 0 else {}
        environment = {"HOME": str(folder / "out"), "PATH": os.environ["PATH"]}
        run = subprocess.run(command, capture_output=True, timeout=60, check=False, env=environment, **account)  # type: ignore[call-overload]
        numbers = []
        for file in sorted((folder / "out").glob("*.png")):
            with av.open(str(file)) as container:
                numbers.append(read_number(next(container.decode(video=0)).to_ndarray(format="gray")))
        return Seen(numbers, [], run.stderr.decode())


@contextlib.contextmanager
def _public_folder() -> Iterator[Path]:
    """pytest's own folders are closed to other accounts."""
    folder = Path(tempfile.mkdtemp(prefix="streamvault-vlc-"))
    try:
        os.chmod(folder, 0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
