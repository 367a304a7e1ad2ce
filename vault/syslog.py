"""Syslog messages as RFC 5424 writes them, and sending them by UDP (RFC 5426), TCP (RFC 6587 §3.4.1) or TLS (RFC 5425).

What is told to whom, and that nothing is told twice, belongs to the callers. A sender waits at most for its timeout.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vault.errors import ConfigError, SourceError

FACILITY_LOCAL0 = 16
MAX_BYTES = 8192
"""RFC 5425 §4.3.1: receivers should take messages of up to this length."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ADDRESS = re.compile(r"(udp|tcp|tls)://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::([0-9]{1,5}))?")
_PORTS = {"udp": 514, "tcp": 514, "tls": 6514}
_NOT_IN_NAME = re.compile(r"[^!-~]+")


class Priority(enum.IntEnum):
    """Severities of RFC 5424 §6.2.1 that we use."""

    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6


@dataclass(frozen=True, slots=True)
class SyslogMessage:
    """`msgid`: what sort of message; `fields`: the parameters of our one structured-data element; `text`: for people."""

    at_us: int
    priority: Priority
    msgid: str
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)


def encode(message: SyslogMessage, host: str, process: int, max_bytes: int = MAX_BYTES) -> bytes:
    """RFC 5424 §6. Whatever would break a field is left out or escaped; what is too long is cut at the end of the text."""
    at = (_EPOCH + timedelta(microseconds=message.at_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    pairs = "".join(f' {_name(name, 32)}="{_value(value)}"' for name, value in message.fields.items())
    # 32473 is the number that RFC 5612 keeps for examples and for whoever has none of their own.
    data = f"[streamvault@32473{pairs}]" if pairs else "-"
    pri = FACILITY_LOCAL0 * 8 + message.priority
    head = f"<{pri}>1 {at} {_name(host, 255)} streamvault {process} {_name(message.msgid, 32)} {data} ".encode()
    text = _printed(message.text).encode()
    return head + (b"\xef\xbb\xbf" + text[: max(0, max_bytes - len(head) - 3)]).decode(errors="ignore").encode()


@functools.lru_cache(256)
def _name(text: str, longest: int) -> str:
    return _NOT_IN_NAME.sub("_", text).replace('"', "_").replace("]", "_").replace("=", "_")[:longest] or "-"


def _printed(text: str) -> str:
    """Asked of the whole first: going through it costs ten times the rest of a message."""
    return text if text.isprintable() else "".join(character if character.isprintable() else " " for character in text)


def _value(text: str) -> str:
    return _printed(text[:500]).replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


@dataclass(frozen=True, slots=True)
class SyslogAddress:
    """Where a receiver is."""

    transport: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.transport}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> SyslogAddress:
        """`udp://HOST[:PORT]`, `tcp://…` or `tls://…`. Raises ConfigError."""
        match = _ADDRESS.fullmatch(text)
        if match is None or not 0 < int(match[3] or 1) < 65536:
            raise ConfigError(
                f"{text[:80]!r} is not the address of a syslog receiver: write udp://, tcp:// or tls:// HOST:PORT"
            )
        return cls(match[1], match[2].strip("[]"), int(match[3] or _PORTS[match[1]]))


class SyslogSender:
    """One connection to one receiver, made when it is needed. Not thread-safe."""

    def __init__(self, address: SyslogAddress, ca_file: Path | None = None, timeout_seconds: float = 10.0) -> None:
        self._address = address
        self._timeout = timeout_seconds
        self._context: ssl.SSLContext | None = None
        if address.transport == "tls":
            try:
                self._context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"{ca_file}: holds no certificates in PEM") from error
        self._host = socket.gethostname()
        self._socket: socket.socket | None = None

    def send(self, message: SyslogMessage, process: int) -> None:
        """Hand one message over. Raises SourceError; then it may be sent again. TCP has no receipt: what was handed to a peer
        that dies right then is lost, and that is the protocol's limit (RFC 6587 §4.4)."""
        raw = encode(message, self._host, process)
        try:
            if self._socket is not None and self._address.transport != "udp" and self._is_closed(self._socket):
                self.close()
            if self._socket is None:
                self._socket = self._connect()
            if self._address.transport == "udp":
                self._socket.send(raw)
            else:
                self._socket.sendall(b"%d %s" % (len(raw), raw))
        except (OSError, ssl.SSLError) as error:
            self.close()
            raise SourceError(f"telling the syslog receiver {self._address}: {error}") from error

    def close(self) -> None:
        """Repeatable."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        address = self._address
        if address.transport == "udp":
            family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
            made = socket.socket(family, kind, protocol)
            made.settimeout(self._timeout)
            made.connect(where)
            return made
        made = socket.create_connection((address.host, address.port), self._timeout)
        if self._context is None:
            return made
        try:
            return self._context.wrap_socket(made, server_hostname=address.host)
        except BaseException:
            made.close()
            raise

    def _is_closed(self, connection: socket.socket) -> bool:
        """Whether the receiver closed it meanwhile: a first write would still succeed, and its message would be lost."""
        connection.setblocking(False)
        try:
            # A receiver says nothing; anything to read is its end.
            return not connection.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        finally:
            connection.settimeout(self._timeout)
