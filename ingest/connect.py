"""A TCP (or TLS) connection made without ever blocking: names are resolved on helper threads, the rest is polled.

What is spoken over it is the source's business.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import ssl
from concurrent.futures import Future, ThreadPoolExecutor

from vault.errors import SourceError, SourceRefused

RECEIVE_BYTES = 4 << 20
"""Asked of the kernel for a socket's receive buffer: what bounds how seldom a camera may be swept."""

Address = tuple[str, int]
_Resolved = list[tuple[int, str]]


class Resolver:
    """Name look-ups on a few threads, so that a dead name server delays only the cameras that have names."""

    def __init__(self, threads: int = 4) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="resolver")

    def resolve(self, host: str, port: int) -> Future[_Resolved]:
        """Addresses as (family, numeric host), in the system's order of preference; at once for a numeric host."""
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return self._pool.submit(_look_up, host, port)
        done: Future[_Resolved] = Future()
        done.set_result([(socket.AF_INET6 if address.version == 6 else socket.AF_INET, str(address))])
        return done

    def close(self) -> None:
        """Look-ups under way are left to end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> _Resolved:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(int(family), str(address[0])) for family, _, _, _, address in found[:8]]


class Connector:
    """One attempt: `poll` until it gives the socket. Raises SourceError; `close` drops what is half done."""

    def __init__(self, resolver: Resolver, host: str, port: int, tls: ssl.SSLContext | None, deadline_mono_us: int) -> None:
        self._where = f"{host}:{port}"
        self._host, self._port, self._tls, self._deadline_us = host, port, tls, deadline_mono_us
        self._lookup = resolver.resolve(host, port)
        self._addresses: _Resolved = []
        self._socket: socket.socket | None = None
        self._connected = False
        self._why = ""

    def fileno(self) -> int:
        """The socket's descriptor while one is connecting, else -1."""
        return -1 if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._lookup.cancel()

    def poll(self, mono_us: int) -> socket.socket | None:
        """One step on; the connected, non-blocking socket once it stands."""
        if mono_us >= self._deadline_us:
            state = "it accepts no connection" if self._lookup.done() else "its name is not resolved"
            self.close()
            raise SourceError(f"{self._where}: {state} in time{self._why}: is it switched on, and is this its address?")
        if not self._connected and not self._connect():
            return None
        if isinstance(self._socket, ssl.SSLSocket) and not self._shake_hands(self._socket):
            return None
        done, self._socket = self._socket, None
        return done

    def _connect(self) -> bool:
        if self._socket is None and not self._next_address():
            return False
        assert self._socket is not None
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            try:
                self._socket.getpeername()
            except OSError as error:
                if error.errno == errno.ENOTCONN:
                    return False
                raise SourceError(f"{self._where}: {error.strerror}") from error
            self._connected = True
            if self._tls is not None:
                self._socket = self._tls.wrap_socket(self._socket, server_hostname=self._host, do_handshake_on_connect=False)
            return True
        self._why = f" ({os.strerror(code)})"
        self._socket.close()
        self._socket = None
        if not self._addresses:
            raise SourceError(f"{self._where}: no connection{self._why}: is it switched on, and is this its address?")
        return False

    def _next_address(self) -> bool:
        """Begin to connect to the next address of the name. True when a socket is on its way."""
        if not self._lookup.done():
            return False
        if not self._addresses:
            try:
                self._addresses = list(self._lookup.result())
            except (OSError, UnicodeError) as error:
                raise SourceError(
                    f"{self._where}: the name cannot be resolved ({error}): check it, or write the address"
                ) from error
            if not self._addresses:
                raise SourceError(f"{self._where}: the name has no address")
        family, address = self._addresses.pop(0)
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _buffer_limit() >= RECEIVE_BYTES:
            # Where the kernel grants less, its own tuning does better than what it would grant.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        code = made.connect_ex((address, self._port))
        if code not in (0, errno.EINPROGRESS):
            self._why = f" ({os.strerror(code)})"
            made.close()
            if not self._addresses:
                raise SourceError(f"{self._where}: no connection{self._why}: is it switched on, and is this its address?")
            return False
        self._socket = made
        return True

    def _shake_hands(self, made: ssl.SSLSocket) -> bool:
        try:
            made.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise SourceRefused(
                f"{self._where}: its certificate is not trusted ({error.verify_message}): "
                "name the authority in recording.tls_ca_file"
            ) from error
        except (ssl.SSLError, OSError) as error:
            self.close()
            raise SourceError(f"{self._where}: no TLS ({error}): is this an RTSPS port?") from error
        return True


def _buffer_limit() -> int:
    """The largest receive buffer that a program may ask for, as the kernel is set."""
    with contextlib.suppress(OSError, ValueError), open("/proc/sys/net/core/rmem_max", encoding="ascii") as file:
        return int(file.read(32))
    return 0


def client_tls(ca_file: str) -> ssl.SSLContext:
    """TLS for cameras: certificates are verified, against the system's authorities or those of `ca_file`. Raises SourceRefused."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise SourceRefused(f"recording.tls_ca_file {ca_file!r}: cannot be read as certificates ({error})") from error
