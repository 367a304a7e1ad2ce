"""One picture out of an MP4, in a process that can do no harm: libav reads what a camera sent, and cameras are not trusted.

`python -m access.decode jpeg|png|thumbnail` reads the file from standard input and writes the picture to standard output. The process
has no keys, a bounded memory, processor time and number of files. `decode_apart` starts it.
"""

from __future__ import annotations

import io
import resource
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Final

from vault.errors import Damaged, Refused
from vault.grant import Grant

MAX_INPUT_BYTES: Final = 256 * 1024 * 1024
"""A GOP of a minute at 32 Mbit/s. What is longer is no single picture's."""

_MEMORY_BYTES: Final = 3 * 1024**3
_CPU_SECONDS: Final = 60
_FORMATS: Final = {"jpeg": ("mjpeg", "yuvj420p"), "png": ("png", "rgb24"), "thumbnail": ("mjpeg", "yuvj420p")}
_THUMBNAIL_PIXELS: Final = 320
_ROOT: Final = Path(__file__).resolve().parent.parent


def decode_apart(movie: bytes, form: str, grant: Grant) -> bytes:
    """The first picture that a player would show of the MP4, as `jpeg` or `png`, or `thumbnail`, a small JPEG. `grant`: under which the
    movie was read; it is not looked at again, but nobody without one gets a picture.

    Raises Refused for a file beyond the bound or when the process ran into its limits, Damaged when there is no picture.
    """
    if len(movie) > MAX_INPUT_BYTES:
        raise Refused(f"the picture hangs on {len(movie):,} bytes before it; at most {MAX_INPUT_BYTES:,} are decoded for one")
    # -P: the current folder is nobody's business; the environment may hold secrets of whoever started us.
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "access.decode", form]
    try:
        run = subprocess.run(
            command, input=movie, capture_output=True, env=environment, cwd="/", timeout=2 * _CPU_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise Refused(f"decoding one picture took longer than {2 * _CPU_SECONDS} s; it was given up") from None
    if run.returncode < 0:
        raise Refused(f"decoding the picture was stopped by signal {-run.returncode}: it needed too much time or memory")
    if run.returncode or not run.stdout:
        reason = run.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["the decoder gave no picture"]
        raise Damaged(f"the picture cannot be decoded: {reason[0][:300]}")
    return run.stdout


def picture(movie: bytes, form: str) -> bytes:
    """As `decode_apart`, in this process and without its limits. Raises libav's errors, ValueError when there is no picture."""
    import av

    codec_name, pixels = _FORMATS[form]
    with av.open(io.BytesIO(movie), mode="r", format="mp4") as container:
        stream = container.streams.video[0]
        # PyAV's types do not say so: a stream whose sample entry names no codec that libav knows has no context.
        decoder: av.VideoCodecContext | None = stream.codec_context
        if decoder is None:
            raise ValueError("its pictures are in no codec that can be decoded here")
        decoder.thread_count = 1
        shown = [frame for frame in container.decode(stream) if frame.pts is not None and frame.pts >= 0]
    if not shown:
        raise ValueError("no picture in it")
    frame = min(shown, key=lambda frame: frame.pts or 0)
    encoder = av.CodecContext.create(codec_name, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    width, height = frame.width, frame.height
    if form == "thumbnail" and width > _THUMBNAIL_PIXELS:
        width, height = _THUMBNAIL_PIXELS, max(2, height * _THUMBNAIL_PIXELS // width // 2 * 2)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, pixels
    # Not the stream's: its container is closed by now, and what it would say is freed memory.
    encoder.time_base = Fraction(1, 25)
    if form == "jpeg":
        encoder.options = {"qmin": "2", "qmax": "3"}
    still = frame.reformat(width=width, height=height, format=pixels)
    still.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(still), *encoder.encode(None)])


def main() -> int:
    """The process that `decode_apart` starts."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    movie = sys.stdin.buffer.read(MAX_INPUT_BYTES)
    import av

    av.logging.set_level(None)
    # What libav reads is in memory already; a few are left for modules that it imports as it goes.
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    try:
        made = picture(movie, sys.argv[1])
    except (av.FFmpegError, ValueError, MemoryError, IndexError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    sys.stdout.buffer.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
