"""For tests of the simulator: a small RTSP client over plain sockets, and small loops that encode in a blink.

It is written apart from the recorder's client, so that one does not hide the other's mistakes.
"""

from __future__ import annotations

import atexit
import base64
import hashlib
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ingest.simulate.loop import LoopSpec
from ingest.simulate.misbehave import parse_misbehaviour
from ingest.simulate.run import SimulatorOptions

SMALL = LoopSpec(width=192, height=128, bitrate=200_000, fps=25, seconds=1, gop=10)


@cache
def loop_cache() -> Path:
    """A cache folder for this test process."""
    folder = tempfile.mkdtemp(prefix="loops-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def options(*misbehaviours: str, **changes: Any) -> SimulatorOptions:
    """Options of one small camera that misbehaves as these texts say."""
    given: dict[str, Any] = {"spec": SMALL, "cache": loop_cache(), "misbehave": tuple(map(parse_misbehaviour, misbehaviours))}
    return SimulatorOptions(**(given | changes))


@dataclass(frozen=True)
class Rtp:
    """A packet as it came: the interleaved channel, the header's fields, when."""

    channel: int
    payload_type: int
    marker: bool
    sequence: int
    stamp: int
    ssrc: int
    payload: bytes
    at: float


def parse_rtp(channel: int, data: bytes) -> Rtp:
    number = int.from_bytes
    return Rtp(
        channel,
        data[1] & 0x7F,
        bool(data[1] & 0x80),
        number(data[2:4], "big"),
        number(data[4:8], "big"),
        number(data[8:12], "big"),
        data[12:],
        time.monotonic(),
    )


class Ended(Exception):
    """The server closed the connection."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str
    raw: bytes


@dataclass
class Client:
    """One connection. What comes interleaved while an answer is awaited is kept in `early`."""

    url: str
    early: list[tuple[int, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        match = re.fullmatch(r"rtsp://([^:/]+):(\d+)(/.*)", self.url)
        assert match
        self.sock = socket.create_connection((match[1], int(match[2])), timeout=10)
        self._buffer = b""
        self._cseq = 0
        self.authorization = ""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *unused: object) -> None:
        self.sock.close()

    def _more(self) -> None:
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            raise Ended from None
        if not data:
            raise Ended
        self._buffer += data

    def _frame(self) -> tuple[int, bytes]:
        while len(self._buffer) < 4 or len(self._buffer) < 4 + int.from_bytes(self._buffer[2:4], "big"):
            self._more()
        size = int.from_bytes(self._buffer[2:4], "big")
        frame = self._buffer[1], self._buffer[4 : 4 + size]
        self._buffer = self._buffer[4 + size :]
        return frame

    def ask(self, method: str, url: str = "", **headers: str) -> Answer:
        self._cseq += 1
        lines = [f"{method} {url or self.url} RTSP/1.0", f"CSeq: {self._cseq}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self.authorization:
            lines.append(f"Authorization: {self.authorization}")
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while True:
            while not self._buffer:
                self._more()
            if self._buffer[:1] != b"$":
                break
            self.early.append(self._frame())
        while not (match := re.search(rb"\r?\n\r?\n", self._buffer)):
            self._more()
        head = self._buffer[: match.start()].decode().splitlines()
        given = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        size = int(given.get("Content-Length", 0))
        while len(self._buffer) < match.end() + size:
            self._more()
        answer = Answer(
            int(head[0].split()[1]), given, self._buffer[match.end() : match.end() + size].decode(), self._buffer[: match.end()]
        )
        self._buffer = self._buffer[match.end() + size :]
        return answer

    def play(self, tracks: int = 1, ports: tuple[int, int] | None = None) -> Answer:
        for track in range(tracks):
            way = f"RTP/AVP;unicast;client_port={ports[0]}-{ports[1]}" if ports else "RTP/AVP/TCP;unicast"
            channels = "" if ports else f";interleaved={2 * track}-{2 * track + 1}"
            assert self.ask("SETUP", f"{self.url}/trackID={track}", Transport=way + channels).status == 200
        return self.ask("PLAY")

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Interleaved frames, endless; raises Ended when the server closes and TimeoutError after its 10 s of silence."""
        yield from self.early
        while True:
            yield self._frame()

    def packets(self, seconds: float = 60.0) -> Iterator[Rtp]:
        """RTP packets for that long."""
        end = time.monotonic() + seconds
        for channel, data in self.frames():
            if channel % 2 == 0:
                yield parse_rtp(channel, data)
            if time.monotonic() > end:
                return

    def raw(self, size: int) -> bytes:
        """The next bytes whatever they are."""
        while len(self._buffer) < size:
            self._more()
        out, self._buffer = self._buffer[:size], self._buffer[size:]
        return out


def h264_nals(packets: list[Rtp]) -> list[bytes]:
    """NAL units out of whole H.264 packets in order: single, STAP-A and FU-A."""
    out: list[bytes] = []
    for packet in packets:
        data = packet.payload
        kind = data[0] & 31
        if kind == 28:
            if data[1] & 0x80:
                out.append(bytes([data[0] & 0xE0 | data[1] & 0x1F]))
            out[-1] += data[2:]
        elif kind == 24:
            at = 1
            while at < len(data):
                size = int.from_bytes(data[at : at + 2], "big")
                out.append(data[at + 2 : at + 2 + size])
                at += 2 + size
        else:
            out.append(data)
    return out


def digest_header(algorithm: str, challenge: str, user: str, password: str, method: str, url: str) -> str:
    """The Authorization of a client; `algorithm` is md5 or sha256, or basic."""
    if algorithm == "basic":
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    said = dict(re.findall(r'(\w+)="([^"]*)"', challenge))

    def hashed(text: str) -> str:
        return hashlib.new(algorithm, text.encode()).hexdigest()

    first, second = hashed(f"{user}:{said['realm']}:{password}"), hashed(f"{method}:{url}")
    response = hashed(f"{first}:{said['nonce']}:{second}")
    return f'Digest username="{user}", realm="{said["realm"]}", nonce="{said["nonce"]}", uri="{url}", response="{response}"'
