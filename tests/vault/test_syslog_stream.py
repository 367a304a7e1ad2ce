"""A connection that ends with a proof: whatever a receiver does, what it has not read does not count as read."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.certificate import certificate
from tests.support.node import wait_until
from vault.errors import SourceError
from vault.syslog import SyslogAddress
from vault.syslog_stream import SyslogStream, tls_context

MANY = b"x" * 4_000


@contextmanager
def server(serve: Callable[[socket.socket], None], pem: Path | None = None) -> Iterator[SyslogAddress]:
    """One connection, served by a thread."""
    context = None
    if pem is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)

    def run() -> None:
        with suppress(OSError):
            made, _ = listening.accept()
            with made if context is None else context.wrap_socket(made, server_side=True) as connection:
                serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield SyslogAddress("tcp" if pem is None else "tls", "127.0.0.1", listening.getsockname()[1])
        thread.join(10)
        assert not thread.is_alive()


def finish(stream: SyslogStream, steps: int = 400) -> bool:
    return any(stream.finish(0.05) for _ in range(steps))


@pytest.mark.parametrize("tls", [False, True])
def test_a_receiver_that_reads_to_the_end_and_ends_has_read_everything(tmp_path: Path, tls: bool) -> None:
    got = bytearray()

    def serve(connection: socket.socket) -> None:
        while more := connection.recv(1000):
            got.extend(more)

    pem = certificate(tmp_path) if tls else None
    with server(serve, pem) as address:
        stream = SyslogStream(address, tls_context(pem, None, None) if tls else None)
        for _ in range(500):
            stream.send(MANY)
        assert stream.is_open()
        assert finish(stream)
    assert bytes(got) == (b"%d %s" % (len(MANY), MANY)) * 500


def reads_a_little(connection: socket.socket) -> None:
    connection.recv(10)


def ends_its_half_first(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(100_000):
        pass


def ends_at_once(connection: socket.socket) -> None:
    pass


def talks(connection: socket.socket) -> None:
    for _ in range(100):
        connection.sendall(MANY)


@pytest.mark.parametrize("serve", [reads_a_little, ends_its_half_first, ends_at_once, talks])
def test_a_receiver_that_ends_before_it_has_read_everything_proves_nothing(serve: Callable[[socket.socket], None]) -> None:
    with server(serve) as address:
        stream = SyslogStream(address)
        for _ in range(500):
            stream.send(MANY)
        wait_until(lambda: serve is reads_a_little or not stream.is_open(), 10, "its end")
        with pytest.raises(SourceError):
            finish(stream)
        stream.close()


def test_a_receiver_that_stands_still_is_neither_a_yes_nor_a_no() -> None:
    go_on = threading.Event()

    def serve(connection: socket.socket) -> None:
        go_on.wait(10)
        while connection.recv(100_000):
            pass

    with server(serve) as address:
        stream = SyslogStream(address)
        for _ in range(2_000):
            stream.send(MANY)
        for _ in range(5):
            assert not stream.finish(0.01)
        go_on.set()
        assert finish(stream)


def test_an_idle_connection_shows_that_its_receiver_is_gone() -> None:
    go_on = threading.Event()

    def serve(connection: socket.socket) -> None:
        go_on.wait(10)

    with server(serve) as address:
        stream = SyslogStream(address)
        assert stream.is_open()
        go_on.set()
        wait_until(lambda: not stream.is_open(), 10, "its end")
        stream.close()
        assert not stream.is_open()
