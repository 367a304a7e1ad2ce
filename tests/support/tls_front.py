"""TLS in front of a plain server on 127.0.0.1, so that a simulated camera can be spoken to by `rtsps://`."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def tls_front(port: int, certificate: Path) -> Iterator[int]:
    """Give the port that speaks TLS; `certificate` is a PEM file with its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    ended = threading.Event()
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)

        def accept() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    plain, _ = server.accept()
                    one = threading.Thread(target=_serve, args=(context, plain, port, ended), daemon=True)
                    one.start()
                    threads.append(one)

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            for thread in (accepting, *threads):
                thread.join(10)


def _serve(context: ssl.SSLContext, plain: socket.socket, port: int, ended: threading.Event) -> None:
    """One connection: a thread for each direction would need TLS in two threads, so one thread does both by turns."""
    plain.settimeout(10)
    with (
        contextlib.suppress(OSError),
        plain,
        socket.create_connection(("127.0.0.1", port)) as inner,
        context.wrap_socket(plain, server_side=True) as outer,
    ):
        inner.settimeout(0.01)
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                data = inner.recv(1 << 16)
                if not data:
                    return
                outer.settimeout(10)
                outer.sendall(data)
            outer.settimeout(0.001)
            with contextlib.suppress(TimeoutError):
                data = outer.recv(1 << 16)
                if not data:
                    return
                inner.sendall(data)
