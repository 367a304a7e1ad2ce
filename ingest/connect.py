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
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from vault.errors import SourceError, SourceRefused

RECEIVE_BYTES = 4 << 20
"""Asked of the kernel for a socket's receive buffer: what bounds how seldom a camera may be swept."""

RESOLVER_THREADS = 16
MAX_KNOWN = 4096
PATIENCE_US = 1_000_000
"""A name that was resolved before is not waited for longer than this: the camera is most likely where it was."""

ADDRESS_US = 3_000_000
"""Where a name has several addresses, one that does not answer is given up for the next after this long."""

_Resolved = list[tuple[int, str]]


class Resolver:
    """Name look-ups on a few threads, so that a dead name server delays only the cameras that have names.

    Each name is looked up once at a time however many cameras ask, and its last answer is kept for when none comes.
    """

    def __init__(self, threads: int = RESOLVER_THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="resolver")
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Future[_Resolved]]] = {}
        self._known: dict[str, _Resolved] = {}

    def resolve(self, host: str, port: int) -> Future[_Resolved]:
        """Addresses as (family, numeric host), in the system's order of preference; at once for a numeric host."""
        answer: Future[_Resolved] = Future()
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            with self._lock:
                asked = host in self._waiting
                others = [one for one in self._waiting.get(host, ()) if not one.cancelled()]
                self._waiting[host] = [*others, answer]
            if not asked:
                self._pool.submit(self._look_up, host, port)
            return answer
        answer.set_result([(socket.AF_INET6 if address.version == 6 else socket.AF_INET, str(address))])
        return answer

    def known(self, host: str) -> _Resolved:
        """The last answer for a name; empty when there was none."""
        return self._known.get(host, [])

    def close(self) -> None:
        """Look-ups under way are left to end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _look_up(self, host: str, port: int) -> None:
        found: _Resolved = []
        failure: OSError | UnicodeError | None = None
        try:
            for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:8]:
                found.append((int(family), str(address[0])))
        except (OSError, UnicodeError) as error:
            failure = error
        with self._lock:
            waiting = self._waiting.pop(host, [])
            if found and (host in self._known or len(self._known) < MAX_KNOWN):
                self._known[host] = found
        for answer in waiting:
            if not answer.set_running_or_notify_cancel():
                continue
            if failure is None:
                answer.set_result(found)
            else:
                answer.set_exception(failure)


class Connector:
    """One attempt: `poll` until it gives the socket. Raises SourceError; `close` drops what is half done."""

    def __init__(self, resolver: Resolver, host: str, port: int, tls: ssl.SSLContext | None, deadline_mono_us: int) -> None:
        self._where = f"{host}:{port}"
        self._host, self._port, self._tls, self._deadline_us = host, port, tls, deadline_mono_us
        self._resolver = resolver
        self._lookup = resolver.resolve(host, port)
        self._addresses: _Resolved = []
        self._asked = False
        self._began_us: int | None = None
        self._tried_us = 0
        self._mono_us = 0
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
        self._mono_us = mono_us
        if self._began_us is None:
            self._began_us = mono_us
        if mono_us >= self._deadline_us:
            state = "it accepts no connection" if self._asked else "its name is not resolved"
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
                    if self._addresses and self._mono_us - self._tried_us > ADDRESS_US:
                        self._give_up(errno.ETIMEDOUT)
                    return False
                raise SourceError(f"{self._where}: {error.strerror}") from error
            self._connected = True
            if self._tls is not None:
                self._socket = self._tls.wrap_socket(self._socket, server_hostname=self._host, do_handshake_on_connect=False)
            return True
        self._give_up(code)
        return False

    def _give_up(self, code: int) -> None:
        """This address is none; raises when it was the last one."""
        self._why = f" ({os.strerror(code)})"
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if not self._addresses:
            raise SourceError(f"{self._where}: no connection{self._why}: is it switched on, and is this its address?")

    def _resolve(self) -> _Resolved:
        """The name's addresses; empty while they are waited for."""
        assert self._began_us is not None
        known = self._resolver.known(self._host)
        if not self._lookup.done():
            return known if self._mono_us - self._began_us > PATIENCE_US else []
        try:
            found = self._lookup.result()
        except (OSError, UnicodeError) as error:
            if known:
                return known
            raise SourceError(
                f"{self._where}: the name cannot be resolved ({error}): check it, or write the address"
            ) from error
        if not found:
            raise SourceError(f"{self._where}: the name has no address")
        return found

    def _next_address(self) -> bool:
        """Begin to connect to the next address of the name. True when a socket is on its way."""
        if not self._asked:
            self._addresses = list(self._resolve())
            if not self._addresses:
                return False
            self._asked = True
        family, address = self._addresses.pop(0)
        try:
            made = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            # Too many open files, or no IPv6 on this host.
            self._give_up(error.errno or errno.EINVAL)
            return False
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _buffer_limit() >= RECEIVE_BYTES:
            # Where the kernel grants less, its own tuning does better than what it would grant.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        code = made.connect_ex((address, self._port))
        if code not in (0, errno.EINPROGRESS):
            made.close()
            self._give_up(code)
            return False
        self._tried_us = self._mono_us
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
