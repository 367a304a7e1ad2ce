"""A connection to a syslog receiver that ends with a proof: TCP or TLS, octet-counted (RFC 6587 §3.4.1, RFC 5425 §4.3).

Syslog has no receipt, and what was handed to TCP may lie in a buffer when the receiver dies. But a receiver closes its end in good
order only after it has read everything before ours: that is what `finish` waits for, and a connection that is not finished proves
nothing. What the receiver does with what it has read is its own. What is sent when, and again, belongs to the caller.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import ssl
import sys
import termios
from pathlib import Path
from typing import Final

from vault.errors import ConfigError, SourceError
from vault.files import read_key_file
from vault.syslog import SyslogAddress

MAX_KEY_BYTES: Final = 64 * 1024
CONNECT_SECONDS: Final = 20.0
_CHUNK: Final = 64 * 1024
_MAX_SAID_BYTES: Final = 16 * 1024


def tls_context(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """Whom we believe and who we are. Raises ConfigError, and what `read_key_file` raises for the key."""
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{ca_file}: holds no certificates in PEM") from error
    if cert_file is not None:
        key_file = cert_file if key_file is None else key_file
        read_key_file(key_file, "the key for the syslog receiver", MAX_KEY_BYTES)
        try:
            # A key under a password would make the library ask the terminal.
            context.load_cert_chain(cert_file, key_file, password="")
        except (OSError, ssl.SSLError, ValueError) as error:
            raise ConfigError(
                f"{cert_file} and {key_file} are not a certificate and its key in PEM, without a password"
            ) from error
    return context


class SyslogStream:
    """One connection, open from the beginning. Not thread-safe. Every method but `send` and `close` raises SourceError."""

    def __init__(self, address: SyslogAddress, context: ssl.SSLContext | None = None) -> None:
        """`context`: for TLS."""
        self._address = address
        self._rest = bytearray()
        self._ended = self._end_seen = False
        self._said_bytes = 0
        made: socket.socket | None = None
        try:
            made = socket.create_connection((address.host, address.port), CONNECT_SECONDS)
            # So that an idle connection to a host that is gone breaks. One with something on the way breaks when that host is back,
            # or when the kernel gives up; a receiver that stands still keeps it for as long as it likes.
            for option, value in ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3)):
                made.setsockopt(socket.IPPROTO_TCP, option, value)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._socket = made if context is None else context.wrap_socket(made, server_hostname=address.host)
            self._socket.setblocking(False)
        except (OSError, ssl.SSLError) as error:
            if made is not None:
                made.close()
            raise SourceError(f"connecting to the syslog receiver {address}: {error}") from error

    def send(self, raw: bytes) -> None:
        """One message more that `finish` writes."""
        self._rest += b"%d %s" % (len(raw), raw)

    def is_open(self) -> bool:
        """Whether the receiver still keeps its end open, as far as is known here."""
        try:
            # A receiver says nothing; anything to read is its end.
            self._socket.recv(1)
            return False
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except (OSError, ValueError):
            return False

    def finish(self, seconds: float) -> bool:
        """Write what was given to `send`, end our half, and see whether the receiver has ended its own: then it has read every
        message, and the connection is closed. False: it has not yet, and nothing moved for so long; call again.
        """
        try:
            if self._rest and not self._write(seconds):
                return False
            if not self._ended:
                if not self.is_open():
                    raise SourceError(f"the syslog receiver {self._address} closed the connection before it had everything")
                self._end()
            if not self._end_seen and not self._hear(seconds):
                return False
            if self._unacknowledged():
                # The receiver's end overtook what was on the way: either it is acknowledged now or refused.
                select.select([], [], [], min(seconds, 0.01))
                if error := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(error, os.strerror(error))
                return False
        except (OSError, ssl.SSLError) as error:
            raise SourceError(f"sending to the syslog receiver {self._address}: {error}") from error
        self.close()
        return True

    def close(self) -> None:
        """Repeatable; proves nothing."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _write(self, seconds: float) -> bool:
        while self._rest:
            try:
                with memoryview(self._rest) as view:
                    done = self._socket.send(view[:_CHUNK])
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                if not self.is_open():
                    raise SourceError(f"the syslog receiver {self._address} closed the connection while it was told") from None
                select.select([], [self._socket], [], seconds)
                return False
            del self._rest[:done]
        return True

    def _end(self) -> None:
        if isinstance(self._socket, ssl.SSLSocket):
            # RFC 5425 §4.4: say that no more comes. Receivers need not answer it, and some do not.
            with contextlib.suppress(ssl.SSLWantReadError):
                self._socket.unwrap()
        # From here on the socket is plain: what the receiver says in TLS while it closes is nothing to us.
        self._socket.shutdown(socket.SHUT_WR)
        self._ended = True

    def _hear(self, seconds: float) -> bool:
        """Whether the receiver has ended its half."""
        select.select([self._socket], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while said := self._socket.recv(4096):
                # Alerts of TLS at most; whoever says more is no syslog receiver.
                self._said_bytes += len(said)
                if self._said_bytes > _MAX_SAID_BYTES:
                    raise SourceError(f"the syslog receiver {self._address} talks instead of ending")
            self._end_seen = True
        return self._end_seen

    def _unacknowledged(self) -> int:
        """Bytes, our end among them, that the receiver's host has not acknowledged: tcp(7), SIOCOUTQ."""
        found: bytes = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        return int.from_bytes(found, sys.byteorder)
