"""Senders that nobody here wrote, as processes of a test: ffmpeg and GStreamer toward an address, and what they send.

Each is ended by its own handle. What becomes of the stream belongs to the tests.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import blake3

from tests.support.streams import split_annexb
from tests.support.tools import need
from vault.media import Codec

ENCODERS = {
    Codec.H264: (
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-x264-params",
        "keyint=25:scenecut=0:b-adapt=0:threads=1:bframes=",
    ),
    Codec.H265: ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=25:log-level=none:pools=1:bframes="),
}
"""The number of B-frames between two others goes behind the last word."""

SOUND = {
    Codec.AAC: ("-c:a", "aac", "-ar", "48000"),
    Codec.ALAW: ("-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"),
    Codec.ULAW: ("-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1"),
}


def free_port(*, even: bool = True) -> int:
    """A UDP port that nobody has, and whose neighbour nobody has; free for TCP too as a rule."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            if (port % 2 == 0) is not even or port > 65000:
                continue
            with contextlib.suppress(OSError):
                two.bind(("127.0.0.1", port + 1))
                return port


def bound_ports() -> set[int]:
    """UDP ports over IPv4 that any process of this machine receives on."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return {int(line.split()[1].rpartition(":")[2], 16) for line in lines}


def make_movie(
    path: Path,
    picture: Codec | None,
    sound: Codec | None = None,
    *,
    seconds: float = 6,
    bframes: int = 0,
    more: Sequence[str] = (),
) -> Path:
    """A file of ffmpeg's: a moving picture of 25 a second with a key frame each second, and a tone."""
    command = [need("ffmpeg"), "-v", "error", "-y"]
    if picture is not None:
        command += ["-f", "lavfi", "-i", f"testsrc2=size=192x128:rate=25:duration={seconds}"]
    if sound is not None:
        command += ["-f", "lavfi", "-i", f"sine=duration={seconds}"]
    if picture is not None:
        command += ["-pix_fmt", "yuv420p", *ENCODERS[picture][:-1], f"{ENCODERS[picture][-1]}{bframes}"]
    if sound is not None:
        command += SOUND[sound]
    subprocess.run([*command, *more, str(path)], check=True, timeout=60)
    return path


def picture_digests(path: Path, codec: Codec) -> list[bytes]:
    """BLAKE3 of each picture NAL unit of a file as ffmpeg reads it, in order: no parameter sets, SEI or delimiters."""
    form = "h264" if codec is Codec.H264 else "hevc"
    filters = [] if path.suffix == ".ts" else ["-bsf:v", f"{form}_mp4toannexb"]
    command = [need("ffmpeg"), "-v", "error", "-i", str(path), "-map", "0:v", "-c", "copy", *filters, "-f", form, "-"]
    data = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    units = split_annexb(data)
    kept = [u for u in units if (1 <= u[0] & 31 <= 5 if codec is Codec.H264 else u[0] >> 1 & 63 < 32)]
    return [blake3.blake3(unit).digest() for unit in kept]


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of a `with` block."""
    with subprocess.Popen(
        [need(command[0]), *command[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ffmpeg_plays(path: Path, *outputs: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """ffmpeg sends a file as it is and at its pace; `outputs` are the options behind the input."""
    return running("ffmpeg", "-v", "error", "-nostdin", "-re", "-i", str(path), *outputs)
