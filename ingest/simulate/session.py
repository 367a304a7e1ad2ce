"""One client's RTSP/1.0 dialogue seen from the server, sans-IO: bytes in, answers and what to do next out (RFC 2326).

Which cameras there are, and when media is sent, belongs to the host (`ingest.simulate.server`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol
from urllib.parse import urlsplit

from ingest.simulate.feed import NextPacket
from ingest.simulate.gate import Gate
from vault.errors import Damaged

_MAX_HEAD_BYTES = 32_768
_MAX_BODY_BYTES = 65_536
_PATH = re.compile(r"/cam/(\d{1,9})(?:/trackID=(\d))?/?")
_REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 454: "Session Not Found",
    455: "Method Not Valid in This State", 461: "Unsupported Transport", 501: "Not Implemented",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed request; header names in lower case."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


class RequestReader:
    """Requests out of a byte stream; interleaved frames of the client (its RTCP) are passed over."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes) -> Iterator[Request]:
        """Whole requests. Raises Damaged for what is no RTSP or is beyond any sense."""
        buffer = self._buffer
        buffer += data
        while buffer:
            if buffer[0] == 0x24:
                size = 4 + int.from_bytes(buffer[2:4], "big")
                if len(buffer) < max(4, size):
                    return
                del buffer[:size]
                continue
            if buffer[0] in b"\r\n":
                del buffer[0]
                continue
            match = re.search(rb"\r?\n\r?\n", buffer)
            if match is None:
                if len(buffer) > _MAX_HEAD_BYTES:
                    raise Damaged("an RTSP client sent a request head beyond 32 KB")
                return
            request, length = _parse_head(bytes(buffer[: match.start()]))
            if len(buffer) < match.end() + length:
                return
            body = bytes(buffer[match.end() : match.end() + length])
            del buffer[: match.end() + length]
            yield Request(request.method, request.url, request.headers, body)


def _parse_head(head: bytes) -> tuple[Request, int]:
    lines = head.decode("utf-8", "replace").splitlines()
    words = lines[0].split()
    if len(words) != 3 or not words[2].startswith("RTSP/"):
        raise Damaged("an RTSP client sent something that is no request line")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    text = headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit() or len(text) > 6 or int(text) > _MAX_BODY_BYTES:
        raise Damaged("an RTSP client announced a body that is too long or has no length")
    return Request(words[0], words[1], headers, b""), int(text)


@dataclass(frozen=True, slots=True)
class Route:
    """How one track reaches the client: interleaved channels, or the client's UDP ports."""

    channels: tuple[int, int] | None
    ports: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Quirks:
    """Ways in which the answers of a camera are odd."""

    line_feed_only: bool = False
    wrong_cseq: bool = False
    refuses: bool = False
    no_get_parameter: bool = False


class Action(Enum):
    """What the host does once the answer is out."""

    NONE = 0
    PLAY = 1
    PAUSE = 2
    CLOSE = 3


@dataclass(frozen=True, slots=True)
class Reply:
    data: bytes
    action: Action = Action.NONE


class Host(Protocol):
    """What a dialogue asks its server for."""

    gate: Gate | None
    timeout_s: int
    tcp_offered: bool

    def describe(self, camera: int, base_url: str) -> str | None:
        """The camera's SDP, None when there is no such camera."""
        ...

    def track_count(self, camera: int) -> int: ...

    def quirks(self, camera: int) -> Quirks: ...

    def server_ports(self) -> tuple[int, int] | None:
        """The UDP ports that media comes from; None when UDP is not offered."""
        ...


class Player(Protocol):
    """The connection a dialogue belongs to."""

    def begin(self, camera: int) -> Sequence[NextPacket]:
        """Prepare to play; what RTP-Info is to say."""
        ...


class Session:
    """The dialogue's state. `routes`: track number to how it is carried; `camera`: the one that was set up, or 0."""

    def __init__(self, host: Host, player: Player) -> None:
        self.camera = 0
        self.routes: dict[int, Route] = {}
        self.playing = False
        self._host = host
        self._player = player
        self._reader = RequestReader()
        self._id = secrets.token_hex(6)

    def receive(self, data: bytes) -> Iterator[Reply]:
        """Answers to whole requests in what came. Raises Damaged when the connection is to be closed."""
        for request in self._reader.receive(data):
            yield self._answer(request)

    def _answer(self, request: Request) -> Reply:
        match = _PATH.fullmatch(urlsplit(request.url).path) if request.url != "*" else None
        camera = int(match[1]) if match else self.camera
        quirks = self._host.quirks(camera)
        gate = self._host.gate
        if request.method != "OPTIONS" or quirks.refuses:
            admitted = gate is None or gate.admits(request.method, request.headers.get("authorization", ""))
            if quirks.refuses or not admitted:
                challenge = gate.challenge() if gate else 'Basic realm="simulated camera"'
                return self._reply(request, quirks, 401, {"WWW-Authenticate": challenge})
        handler = getattr(self, f"_{request.method.lower()}", None) if request.method in _METHODS else None
        if handler is None or (request.method == "GET_PARAMETER" and quirks.no_get_parameter):
            return self._reply(request, quirks, 501)
        status, headers, body, action = handler(request, camera, int(match[2]) if match and match[2] else 0)
        reply = self._reply(request, quirks, status, headers, body)
        return Reply(reply.data, action)

    def _reply(
        self, request: Request, quirks: Quirks, status: int, headers: dict[str, str] | None = None, body: str = ""
    ) -> Reply:
        end = "\n" if quirks.line_feed_only else "\r\n"
        cseq = request.headers.get("cseq", "0")
        if quirks.wrong_cseq:
            cseq = str(int(cseq) + 7 if cseq.isdigit() else 7)
        lines = [f"RTSP/1.0 {status} {_REASONS[status]}", f"CSeq: {cseq[:20]}", "Server: streamvault-simulator"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body:
            lines.append(f"Content-Length: {len(body.encode())}")
        return Reply((end.join(lines) + end * 2 + body).encode())

    def _options(self, request: Request, camera: int, track: int) -> _Outcome:
        methods = [name for name in _METHODS if name != "GET_PARAMETER" or not self._host.quirks(camera).no_get_parameter]
        return 200, {"Public": ", ".join(methods)}, "", Action.NONE

    def _describe(self, request: Request, camera: int, track: int) -> _Outcome:
        split = urlsplit(request.url)
        base = f"rtsp://{split.netloc.rpartition('@')[2]}/cam/{camera}"
        text = self._host.describe(camera, base)
        if text is None:
            return 404, {}, "", Action.NONE
        return 200, {"Content-Base": f"{base}/", "Content-Type": "application/sdp"}, text, Action.NONE

    def _setup(self, request: Request, camera: int, track: int) -> _Outcome:
        if track >= self._host.track_count(camera):
            return 404, {}, "", Action.NONE
        if self.playing or (self.camera and self.camera != camera):
            return 455, {}, "", Action.NONE
        for offer in request.headers.get("transport", "").split(","):
            route = _route(offer)
            ports = self._host.server_ports()
            if route is None or (ports is None if route.ports else not self._host.tcp_offered):
                continue
            self.camera = camera
            if route.ports and ports:
                chosen = f"RTP/AVP;unicast;client_port={route.ports[0]}-{route.ports[1]};server_port={ports[0]}-{ports[1]}"
            else:
                pair = route.channels or (track * 2, track * 2 + 1)
                route = Route(pair, None)
                chosen = f"RTP/AVP/TCP;unicast;interleaved={pair[0]}-{pair[1]}"
            self.routes[track] = route
            return 200, {"Transport": chosen, **self._session_header()}, "", Action.NONE
        return 461, {}, "", Action.NONE

    def _play(self, request: Request, camera: int, track: int) -> _Outcome:
        if not self.routes:
            return 455, {}, "", Action.NONE
        base = request.url.rstrip("/").partition("/trackID=")[0]
        headers = {"Range": "npt=now-", **self._session_header()}
        if self.playing:
            return 200, headers, "", Action.NONE
        self.playing = True
        info = [
            f"url={base}/trackID={item.track};seq={item.sequence};rtptime={item.stamp}"
            for item in self._player.begin(self.camera)
            if item.track in self.routes
        ]
        if info:
            headers["RTP-Info"] = ",".join(info)
        return 200, headers, "", Action.PLAY

    def _pause(self, request: Request, camera: int, track: int) -> _Outcome:
        self.playing = False
        return 200, self._session_header(), "", Action.PAUSE

    def _get_parameter(self, request: Request, camera: int, track: int) -> _Outcome:
        return 200, self._session_header() if self.routes else {}, "", Action.NONE

    def _teardown(self, request: Request, camera: int, track: int) -> _Outcome:
        self.playing = False
        return 200, {}, "", Action.CLOSE

    def _session_header(self) -> dict[str, str]:
        return {"Session": f"{self._id};timeout={self._host.timeout_s}"}


_Outcome = tuple[int, dict[str, str], str, Action]
_METHODS = ("OPTIONS", "DESCRIBE", "SETUP", "PLAY", "PAUSE", "GET_PARAMETER", "TEARDOWN")


def _route(offer: str) -> Route | None:
    """One offer of a Transport header (RFC 2326 §12.39); None when we cannot do it."""
    parts = [part.strip() for part in offer.split(";")]
    protocol = parts[0].upper()
    options = dict(part.split("=", 1) for part in parts if "=" in part)
    if protocol == "RTP/AVP/TCP":
        pair = _pair(options.get("interleaved", ""), 255)
        return Route(pair, None)
    if protocol in ("RTP/AVP", "RTP/AVP/UDP") and "multicast" not in parts:
        pair = _pair(options.get("client_port", ""), 65535)
        return Route(None, pair) if pair and min(pair) > 0 else None
    return None


def _pair(text: str, limit: int) -> tuple[int, int] | None:
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text)
    if match is None:
        return None
    first = int(match[1])
    second = int(match[2]) if match[2] else first + 1
    return (first, second) if first <= limit and second <= limit else None
