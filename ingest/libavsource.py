"""Whatever libav opens, as a source: `rtmp`, `rtmps`, `http`, `https` and files, each in a process of its own.

The process is `ingest.libavchild`; it is not trusted, and everything it says is bounded by `ingest.libavwire`. Here its messages
become frames. A file, and whatever has an end, is played at its own pace; at the end it is connected anew like a camera.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from ingest import libavwire as wire
from ingest.libavwire import Kind, Request
from ingest.source import Frame, Report
from ingest.tracks import RecordedTrack
from vault.errors import Damaged, SourceError, SourceRefused, StreamvaultError
from vault.logs import Log
from vault.secrets import BLANK, join_url, redact
from vault.timebase import US

log = Log("ingest.libav")

PROTOCOLS: Final = {
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
    # A server may send us on to its TLS door, never from there to an open one.
    "http": "http,https,tls,tcp",
    "https": "https,tls,tcp",
    "file": "file",
}
"""libav's protocols that each scheme may use, redirects and playlists included; a scheme that is not here is refused."""

FORMATS: Final = (
    "mov,matroska,flv,live_flv,mpegts,mpeg,avi,asf,h264,hevc,aac,wav,mp3,ogg,alaw,mulaw,mpjpeg,mjpeg,m4v"  # codespell:ignore
)
"""libav's demultiplexers that may be used; playlists (`hls`) come to these for what is fetched."""

BUFFER_BYTES = 1 << 20
APART_BYTES = 256 << 10
"""A sample larger than this that is not all there yet is gathered in a buffer of its own."""

PIPE_BYTES = 1 << 20
START_US = 20 * US
"""What the process itself may take until it begins to connect, on a machine that is busy."""

PROBE_SECONDS = 3
MIN_PACE_US = 50_000
MAX_NOTES = 16

_ROOT: Final = Path(__file__).resolve().parent.parent
_F_SETPIPE_SZ, _F_GETPIPE_SZ = 1031, 1032
_SYSTEM_CA: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")

_buffer = bytearray(BUFFER_BYTES)
_view = memoryview(_buffer)
"""One receive buffer for all cameras of the process; what is left of a sweep is copied out."""


class LibavSource:
    """See `ingest.source.Source`."""

    lost_packets = 0

    def __init__(
        self,
        errands: Callable[[], Executor],
        url: str,
        user: str | None,
        password: str | None,
        *,
        ca_file: str,
        connect_us: int,
        silence_us: int,
        mono_us: int,
    ) -> None:
        """`errands` runs what may block: starting a process does."""
        self._shown = redact(url)[:200]
        self._secrets = [text for text in (password, password and quote(password, safe="")) if text]
        self._deadline_us = mono_us + START_US + 2 * connect_us
        self._launch: Future[subprocess.Popen[bytes]] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._fd = -1
        self._capacity = PIPE_BYTES
        self._wire: tuple[wire.WireTrack, ...] = ()
        self._recorded: list[RecordedTrack] = []
        self._reports: list[Report] = []
        self._rest = b""
        self._large: tuple[bytearray, int, tuple[int, int, int]] | None = None
        self._used: list[int] = []
        self._full = False
        self._ended = False
        self._notes = 0
        self._rate_bytes = 0.0
        self._swept_us = mono_us
        self.playing = False
        self.failure: SourceError | None = None
        try:
            request = request_for(url, user, password, ca_file, connect_us / US, silence_us / US)
            self._launch = errands().submit(launch, request)
        except StreamvaultError as error:
            self.failure = error if isinstance(error, SourceError) else SourceRefused(str(error))

    @property
    def tracks(self) -> Sequence[RecordedTrack]:
        return self._recorded

    def carried(self) -> Sequence[int]:
        sizes = [0] * len(self._wire)
        if self._large is not None:
            sizes[self._large[2][0]] = len(self._large[0])
        return sizes

    def reports(self) -> Sequence[Report]:
        reports, self._reports = self._reports, []
        return reports

    def service(self, mono_us: int) -> None:
        if self.failure is not None or self.playing:
            return
        try:
            if self._launch is not None and self._launch.done():
                done, self._launch = self._launch, None
                self._take(done.result())
            if self._fd >= 0:
                self._read([], [], BUFFER_BYTES)
            if not self.playing and mono_us >= self._deadline_us:
                raise SourceError(f"{self._shown}: nothing comes of it in time: is it switched on, and is this its address?")
        except SourceError as error:
            self.failure = error
        except Damaged as error:
            self.failure = SourceError(str(error))

    def _take(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._process = process
        self._fd = process.stdout.fileno()
        os.set_blocking(self._fd, False)
        with contextlib.suppress(OSError):
            # The kernel grants a user so much pipe in all; what it grants bounds how seldom we may read.
            fcntl.fcntl(self._fd, _F_SETPIPE_SZ, PIPE_BYTES)
        self._capacity = fcntl.fcntl(self._fd, _F_GETPIPE_SZ)

    # Messages.

    def sweep(self, arenas: Sequence[bytearray], frames: list[Frame], limit_bytes: int, mono_us: int) -> int:
        self._used = [0] * len(self._wire)
        count = 0
        try:
            count = self._read(arenas, frames, limit_bytes)
        except SourceError as error:
            self.failure = error
        except Damaged as error:
            self.failure = SourceError(str(error))
        elapsed = mono_us - self._swept_us
        if elapsed > 0:
            self._rate_bytes = 0.7 * self._rate_bytes + 0.3 * count * 1e6 / elapsed
            self._swept_us = mono_us
        # Buffers that are full mean that there is more to do, whatever was read.
        return max(count, limit_bytes) if self._full and self.failure is None else count

    def pace_us(self, wanted_us: int) -> int:
        """A pipe does not run over, but the process has to wait where it is full, and a camera may not like that."""
        if self._rate_bytes > 0:
            wanted_us = min(wanted_us, max(MIN_PACE_US, int(self._capacity / 2 / self._rate_bytes * 1e6)))
        return wanted_us

    def _read(self, arenas: Sequence[bytearray], frames: list[Frame], limit_bytes: int) -> int:
        count = 0
        self._full = False
        while count < limit_bytes and self.failure is None:
            if self._large is not None:
                buffer, have, head = self._large
                got = self._receive(memoryview(buffer)[have:])
                self._large = (buffer, have + got, head)
                count += got
                if have + got == len(buffer):
                    self._large = None
                    self._place(head, buffer, arenas, frames)
                if got == 0 or self._full:
                    break
                continue
            have = len(self._rest)
            room = min(limit_bytes - count, BUFFER_BYTES - have)
            got = self._receive(_view[have : have + room]) if room else 0
            if got == 0 and not have:
                break
            _view[:have] = self._rest
            count += got
            used = self._consume(have + got, arenas, frames)
            self._rest = bytes(_view[used : have + got])
            if got < room or self._full:
                break
        if self._ended and not self._full and self.failure is None:
            code = None if self._process is None else self._process.poll()
            how = f" (signal {-code})" if code is not None and code < 0 else ""
            self.failure = SourceError(f"{self._shown}: the process that reads it ended{how}")
        return count

    def _receive(self, view: memoryview) -> int:
        """Bytes read; 0 when there are none."""
        if not len(view):
            return 0
        try:
            got = os.readv(self._fd, [view])
        except (BlockingIOError, InterruptedError):
            return 0
        self._ended = got == 0
        return got

    def _consume(self, end: int, arenas: Sequence[bytearray], frames: list[Frame]) -> int:
        """Take the whole messages of `_buffer[:end]`; how many bytes that was."""
        at = 0
        while at + wire.HEAD.size <= end and self.failure is None:
            kind, size = wire.parse_head(_view[at : at + wire.HEAD.size])
            body = at + wire.HEAD.size
            if kind is Kind.FRAME:
                if not self.playing or not arenas or body + wire.FRAME.size > end:
                    break
                head = wire.parse_frame(_view[body : body + wire.FRAME.size], size, self._wire)
                sample, stop = body + wire.FRAME.size, body + size
                if stop > end:
                    if stop - sample <= APART_BYTES:
                        break
                    large = bytearray(stop - sample)
                    large[: end - sample] = _view[sample:end]
                    self._large = (large, end - sample, head)
                    return end
                if not self._place(head, _view[sample:stop], arenas, frames):
                    break
                at = stop
                continue
            if body + size > end:
                break
            self._follow(kind, bytes(_view[body : body + size]))
            at = body + size
        return at

    def _place(
        self, head: tuple[int, int, int], sample: bytearray | memoryview, arenas: Sequence[bytearray], frames: list[Frame]
    ) -> bool:
        """Copy a sample into its arena. False when there is no room: it waits for the next ones."""
        track, flags, timestamp = head
        offset, size = self._used[track], len(sample)
        if offset + size > len(arenas[track]):
            if offset == 0:
                raise SourceError(f"{self._shown}: a sample of {size} bytes is larger than any buffer")
            self._full = True
            if isinstance(sample, bytearray):
                self._large = (sample, size, head)
            return False
        arenas[track][offset : offset + size] = sample
        frames.append((track, timestamp, offset, size, flags))
        self._used[track] = offset + size
        return True

    def _follow(self, kind: Kind, body: bytes) -> None:
        if kind is Kind.TRACKS:
            if self.playing:
                raise Damaged("the libav process announced its tracks twice")
            self._wire = wire.parse_tracks(body)
            self._recorded = [RecordedTrack(one.codec, one.rate, one.params) for one in self._wire]
            self._used = [0] * len(self._wire)
            self.playing = True
        elif kind is Kind.CLOCK:
            track, timestamp, clock_us = wire.parse_clock(body, self._wire)
            self._reports = [*self._reports[-31:], Report(track, clock_us, timestamp, is_wall=False)]
        elif kind is Kind.NOTE:
            self._notes += 1
            if self._notes <= MAX_NOTES:
                log.warning("libav source", camera=self._shown, note=self._clean(wire.parse_text(body)))
        else:
            end = wire.parse_end(body)
            made = SourceRefused if end.refused else SourceError
            self.failure = made(f"{self._shown}: {self._clean(end.text)}")

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, BLANK)
        return redact("".join(char if char.isprintable() else " " for char in text))[:400]

    def close(self) -> None:
        if self._launch is not None:
            self._launch.cancel()
            self._launch.add_done_callback(_end_unwanted)
            self._launch = None
        if self._process is not None:
            _end(self._process)
            self._process = None
        self._fd = -1
        self._rest, self._large = b"", None


def request_for(
    url: str, user: str | None, password: str | None, ca_file: str, open_seconds: float, read_seconds: float
) -> Request:
    """What to ask of the process. Raises SourceRefused for a scheme that libav is not let have."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    protocols = PROTOCOLS.get(scheme)
    if protocols is None:
        known = ", ".join(["rtsp", "rtsps", "rtp", *PROTOCOLS])
        raise SourceRefused(f"{redact(url)[:200]}: {scheme[:20]!r} is none of the schemes that are recorded: {known}")
    micros = str(int(read_seconds * US))
    options = {
        "protocol_whitelist": protocols,
        "format_whitelist": FORMATS if scheme == "file" else f"{FORMATS},hls",
        "analyzeduration": str(PROBE_SECONDS * US),
        "rw_timeout": micros,
    }
    if scheme == "file":
        path = unquote(rest.removeprefix("localhost"))
        if not path.startswith("/"):
            raise SourceRefused(f"{redact(url)[:200]}: write file:/// and the whole path")
        return Request(f"file:{path}", options, open_seconds, read_seconds, paced=True)
    if "tls" in protocols:
        options |= {"tls_verify": "1", "ca_file": ca_file or _system_ca()}
    if scheme.startswith("http"):
        options["user_agent"] = "streamvault"
    return Request(join_url(f"{scheme}://{rest}", user, password), options, open_seconds, read_seconds, paced=False)


def _system_ca() -> str:
    """A file with the authorities that this machine trusts; libav's own build does not know where it is."""
    default = ssl.get_default_verify_paths().cafile
    return next((path for path in (default, *_SYSTEM_CA) if path and os.path.isfile(path)), _SYSTEM_CA[0])


def launch(request: Request) -> subprocess.Popen[bytes]:
    """Start the process and tell it what to do. Blocks as starting a process does. Raises SourceError."""
    # -P: the current folder is nobody's business; the environment may hold secrets of whoever started us.
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "ingest.libavchild"]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            bufsize=0,
            start_new_session=True,
        )
    except OSError as error:
        raise SourceError(f"a process to read the stream cannot be started ({error.strerror})") from error
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(request.line())
    return process


def _end_unwanted(launched: Future[subprocess.Popen[bytes]]) -> None:
    if not launched.cancelled() and launched.exception() is None:
        _end(launched.result())


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it and take its exit code, on a thread that may wait for it."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    threading.Thread(target=process.wait, name="libav-end", daemon=True).start()
