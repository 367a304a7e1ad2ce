"""A TCP proxy on this machine that harms what passes it: for what a network or a dying store does to a request."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Harm = Callable[[int, int, bytes], bytes | None]
"""(connection number from 0, bytes passed before, piece) -> what goes on in its place; None cuts both sides off."""


def _as_it_is(connection: int, offset: int, piece: bytes) -> bytes | None:
    return piece


class Proxy:
    """`up` sees what the client sends, `down` what the server answers; either may be changed while it runs."""

    def __init__(self, port: int) -> None:
        self.up: Harm = _as_it_is
        self.down: Harm = _as_it_is
        self.connections = 0
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def close(self) -> None:
        """No connection is left."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in list(self._open):
            _cut(end)
        for thread in list(self._threads):
            thread.join(timeout=10)

    def _begin(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._open += [client, server]
            number, self.connections = self.connections, self.connections + 1
            self._begin(self._pass, number, client, server, "up")
            self._begin(self._pass, number, server, client, "down")

    def _pass(self, number: int, source: socket.socket, target: socket.socket, way: str) -> None:
        offset = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                changed = (self.up if way == "up" else self.down)(number, offset, piece)
                offset += len(piece)
                if changed is None:
                    break
                target.sendall(changed)
        _cut(source)
        _cut(target)


def _cut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextlib.contextmanager
def proxy(port: int) -> Iterator[Proxy]:
    """In front of `port` of this machine."""
    made = Proxy(port)
    try:
        yield made
    finally:
        made.close()
