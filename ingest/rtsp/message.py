"""RTSP/1.0 messages: builds requests and answers, parses what arrives in bounded memory. No state of a session here."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass

from vault.errors import SourceError, SourceRefused

MAX_HEADER_BYTES = 65_536
MAX_BODY_BYTES = 1 << 20
MAX_HEADERS = 256
MAX_MESSAGES = 1024
MAX_SHOWN_CHARS = 100
"""At most so many between two calls of `take`; a server that sends more floods us."""
DOLLAR = 0x24
"""First byte of an interleaved frame (RFC 2326 §10.12)."""

_START_BYTES = 24
_BLANK_LINE = re.compile(rb"\n\r?\n")
_START = re.compile(rb"(?i:RTSP/\d|HTTP/\d)|[A-Z][A-Z_]{2,19} ")
_START_PREFIX = re.compile(rb"(?i:R(?:T(?:S(?:P/?)?)?)?|H(?:T(?:T(?:P/?)?)?)?)|[A-Z][A-Z_]{0,19}")
_STATUS = re.compile(r"(?i)(RTSP|HTTP)/\d{1,2}\.\d{1,2}[ \t]+(\d{3})(?:[ \t]+(.*))?")
_REQUEST = re.compile(r"([A-Z_]{3,20})[ \t]+(\S{1,2048})(?:[ \t]+RTSP/\d{1,2}\.\d{1,2})?")
_RESYNC = re.compile(rb"(?i:RTSP/\d)|\$")


@dataclass(frozen=True, slots=True)
class Headers:
    """Header fields in order; names in lower case, values without surrounding blanks, folded lines joined."""

    fields: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """The first value, or an empty string."""
        return next((value for key, value in self.fields if key == name), "")

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(value for key, value in self.fields if key == name)


@dataclass(frozen=True, slots=True)
class Response:
    """`status` 100 to 999; `reason` is what the server wrote, printable, at most 100 characters, often empty."""

    status: int
    reason: str
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Request:
    """A request of the server's to us."""

    method: str
    url: str
    headers: Headers
    body: bytes = b""


Message = Response | Request


class _State(enum.Enum):
    BOUNDARY = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    UNMEASURED = enum.auto()


class MessageParser:
    """Takes bytes in any split and yields whole messages.

    Between two messages a `$` is left to the caller (an interleaved frame), and so are up to 23 bytes that do not yet
    tell what they are; from a message's first line on everything up to its end is consumed and kept here.
    """

    def __init__(self) -> None:
        self.channels: frozenset[int] = frozenset()
        """Interleaved channels in use; what `$` must be followed by to end a stretch of garbage."""
        self.garbage_bytes = 0
        """Bytes skipped since the last whole message because they were neither a message nor a frame."""
        self._state = _State.BOUNDARY
        self._buffer = bytearray()
        self._head: Message | None = None
        self._wanted_bytes = 0
        self._done: list[Message] = []

    @property
    def mid_message(self) -> bool:
        """Whether the next byte belongs to a message even if it is a `$`."""
        return self._state is not _State.BOUNDARY

    def take(self) -> list[Message]:
        """The messages completed since the last call, in order."""
        done, self._done = self._done, []
        return done

    def feed(self, data: bytes | memoryview) -> int:
        """Consumes from the front of `data` and returns how many bytes; see the class. Raises SourceError beyond a bound."""
        data = bytes(data)
        at, end = 0, len(data)
        while at < end:
            if self._state is _State.BOUNDARY:
                at, go_on = self._boundary(data, at)
                if not go_on:
                    break
            elif self._state is _State.HEAD:
                at = self._take_head(data, at)
            elif self._state is _State.BODY:
                at = self._take_body(data, at)
            else:
                at = self._take_unmeasured(data, at)
        return at

    def flush(self) -> None:
        """Nothing more came for a while, or the peer closed: ends a description whose length was missing or too large."""
        if self._state is _State.UNMEASURED or (
            self._state is _State.BODY and self._head_says_sdp() and self._buffer.endswith(b"\n")
        ):
            self._finish(bytes(self._buffer))

    def _boundary(self, data: bytes, at: int) -> tuple[int, bool]:
        while at < len(data) and data[at] in b"\r\n \t\0":
            at += 1
        if at == len(data) or data[at] == DOLLAR:
            return at, False
        start = data[at : at + _START_BYTES]
        if _START.match(start):
            self._state = _State.HEAD
            return at, True
        if len(start) < _START_BYTES and _START_PREFIX.fullmatch(start):
            return at, False
        resumed = self._next_start(data, at)
        self.garbage_bytes += resumed - at
        if self.garbage_bytes > MAX_BODY_BYTES:
            raise SourceError(
                f"{self.garbage_bytes} bytes in a row are neither RTSP nor RTP: not an RTSP server, or bytes were lost"
            )
        return resumed, resumed > at

    def _next_start(self, data: bytes, at: int) -> int:
        """Where garbage ends: at the next status line, or at a `$` with a channel in use and RTP version 2 behind it.

        Where the bytes end before that, a byte of the garbage is left in front, so that the caller, who takes any `$` at
        the front for a frame, comes back here with more.
        """
        end = len(data)
        for found in _RESYNC.finditer(data, at + 1):
            here = found.start()
            frame = data[here : here + 5]
            if data[here] != DOLLAR or (len(frame) == 5 and frame[1] in self.channels and frame[4] >> 6 == 2):
                return here
            if len(frame) == 1 or (len(frame) < 5 and frame[1] in self.channels):
                end = here
                break
        kept = next((size for size in (5, 4, 3, 2, 1) if data.endswith(b"RTSP/"[:size])), 0)
        if kept and end == len(data):
            return max(at, end - kept)
        end = max(at, end - 1)
        while end > at and data[end] in b"$\r\n \t\0":
            end -= 1
        return end

    def _take_head(self, data: bytes, at: int) -> int:
        before = len(self._buffer)
        self._buffer += data[at : at + min(4096, MAX_HEADER_BYTES + 4 - before)]
        blank = _BLANK_LINE.search(self._buffer, max(0, before - 2))
        if blank is None:
            if len(self._buffer) > MAX_HEADER_BYTES:
                raise SourceError(f"the header of an answer is longer than {MAX_HEADER_BYTES} bytes: not an RTSP server")
            return at + len(self._buffer) - before
        text = self._buffer[: blank.end()].decode("utf-8", "replace")
        self._buffer.clear()
        self._head = _parse_head(text)
        self._expect_body(self._head)
        return at + blank.end() - before

    def _expect_body(self, head: Message) -> None:
        length = head.headers.get("content-length")
        digits = re.match(r"\+?(\d{1,18})", length)
        if digits:
            self._wanted_bytes = int(digits[1])
            if self._wanted_bytes > MAX_BODY_BYTES:
                raise SourceError(
                    f"the body of an answer is announced with {self._wanted_bytes} bytes; at most {MAX_BODY_BYTES}"
                )
            self._state = _State.BODY
            if self._wanted_bytes == 0:
                self._finish(b"")
        elif isinstance(head, Response) and head.status == 200 and self._head_says_sdp():
            self._state = _State.UNMEASURED
        else:
            self._finish(b"")

    def _take_body(self, data: bytes, at: int) -> int:
        part = data[at : at + self._wanted_bytes - len(self._buffer)]
        self._buffer += part
        if len(self._buffer) == self._wanted_bytes:
            self._finish(bytes(self._buffer))
        return at + len(part)

    def _take_unmeasured(self, data: bytes, at: int) -> int:
        """A description without Content-Length goes on while lines begin like SDP's (a lower-case letter) or are empty."""
        while at < len(data):
            if (not self._buffer or self._buffer[-1] == 0x0A) and (data[at] == DOLLAR or 0x41 <= data[at] <= 0x5A):
                self._finish(bytes(self._buffer))
                return at
            newline = data.find(b"\n", at)
            end = len(data) if newline < 0 else newline + 1
            self._buffer += data[at:end]
            at = end
            if len(self._buffer) > MAX_BODY_BYTES:
                raise SourceError(f"the body of an answer without Content-Length is longer than {MAX_BODY_BYTES} bytes")
        return at

    def _head_says_sdp(self) -> bool:
        return self._head is not None and "sdp" in self._head.headers.get("content-type").lower()

    def _finish(self, body: bytes) -> None:
        head = self._head
        if isinstance(head, Response):
            self._done.append(Response(head.status, head.reason, head.headers, body))
        elif isinstance(head, Request):
            self._done.append(Request(head.method, head.url, head.headers, body))
        if len(self._done) > MAX_MESSAGES:
            raise SourceError(f"more than {MAX_MESSAGES} messages at once: the server floods us")
        self._head = None
        self._buffer.clear()
        self._state = _State.BOUNDARY
        self.garbage_bytes = 0


def _parse_head(text: str) -> Message:
    first, *lines = text.replace("\r", "").rstrip("\n").split("\n")
    fields: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and fields:
            name, value = fields[-1]
            fields[-1] = (name, f"{value} {line.strip()}".strip())
            continue
        name, colon, value = line.partition(":")
        if colon and name.strip():
            fields.append((name.strip().lower(), value.strip()))
        if len(fields) > MAX_HEADERS:
            raise SourceError(f"an answer has more than {MAX_HEADERS} header fields: not an RTSP server")
    headers = Headers(tuple(fields))
    if status := _STATUS.fullmatch(first.rstrip()):
        if status[1].upper() == "HTTP":
            raise SourceRefused("it answers in HTTP, not RTSP: check the port (RTSP is usually 554)")
        return Response(int(status[2]), printable(status[3] or ""), headers)
    if request := _REQUEST.fullmatch(first.rstrip()):
        return Request(request[1], request[2], headers)
    raise SourceError(f"its answer begins with {printable(first)!r}, which is not RTSP/1.0 (RFC 2326 §7.1)")


def printable(text: str) -> str:
    """Text of a peer's, fit for one line of a message."""
    return "".join(char if char.isprintable() else "?" for char in text[:MAX_SHOWN_CHARS])


def build_request(method: str, url: str, cseq: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """A request without a body (RFC 2326 §6). Nothing in `url` or `headers` can end a line or add one."""
    lines = [
        f"{method} {_one_word(url)} RTSP/1.0",
        f"CSeq: {cseq}",
        *(f"{name}: {_one_line(value)}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def build_response(status: int, reason: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """An answer without a body to a request of the server's (RFC 2326 §7)."""
    lines = [f"RTSP/1.0 {status} {reason}", *(f"{name}: {_one_line(value)}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def _one_word(url: str) -> str:
    """The URL with blanks and control characters percent-encoded, so that a hostile control URL stays one word."""
    return "".join(char if "!" <= char <= "~" else "".join(f"%{byte:02X}" for byte in char.encode()) for char in url)


def _one_line(value: str) -> str:
    return "".join(char for char in value if char >= " " and char != "\x7f")
