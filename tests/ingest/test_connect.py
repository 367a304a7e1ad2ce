"""Connections made without blocking: names that hang or vanish, ports that refuse or never answer, addresses one after another."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from ingest import connect
from ingest.connect import ADDRESS_US, PATIENCE_US, Connector, Resolver
from tests.support.node import wait_until
from vault.errors import SourceError
from vault.timebase import US

START_US = 50 * US


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    made = Resolver()
    yield made
    made.close()


class Names:
    """In place of the system's resolver. A name in `hanging` is answered only when the event is set."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.hanging: dict[str, threading.Event] = {}
        self.asked: list[str] = []

    def getaddrinfo(self, host: str, port: int, **unused: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        self.asked.append(host)
        if host in self.hanging:
            self.hanging[host].wait(30)
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.addresses[host]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    made = Names()
    monkeypatch.setattr(connect.socket, "getaddrinfo", made.getaddrinfo)
    yield made
    for event in made.hanging.values():
        event.set()


@contextlib.contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """A port whose queue of connections is full: to further ones the kernel says nothing at all."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as stack:
        for _ in range(8):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def joined(connector: Connector) -> socket.socket:
    """Poll as a worker does, in real time."""
    return wait_until(lambda: connector.poll(START_US), 10, "a connection")


def closed_port() -> int:
    with listening() as port:
        return port


def test_a_numeric_address_needs_no_resolver(resolver: Resolver, names: Names) -> None:
    with listening() as port, joined(Connector(resolver, "127.0.0.1", port, None, START_US + US)) as made:
        assert made.getpeername() == ("127.0.0.1", port)
    assert names.asked == []


def test_a_name_that_does_not_exist_says_so(resolver: Resolver) -> None:
    connector = Connector(resolver, "camera.invalid", 554, None, START_US + 60 * US)
    with pytest.raises(SourceError, match=r"camera\.invalid:554: the name cannot be resolved"):
        joined(connector)


def test_names_that_hang_hold_up_no_other_name_and_no_poll(resolver: Resolver, names: Names) -> None:
    release = threading.Event()
    dead = [f"dead-{number}.example" for number in range(12)]
    names.hanging = dict.fromkeys(dead, release)
    connectors = [Connector(resolver, name, 554, None, START_US + US) for name in dead]
    names.addresses["good.example"] = ["127.0.0.1"]
    with listening() as port:
        good = Connector(resolver, "good.example", port, None, START_US + US)
        before = time.perf_counter()
        assert all(connector.poll(START_US) is None for connector in connectors)
        assert time.perf_counter() - before < 1
        joined(good).close()
    for connector in connectors:
        with pytest.raises(SourceError, match="its name is not resolved in time"):
            connector.poll(START_US + US)


def test_a_name_is_looked_up_once_for_all_cameras_that_have_it(resolver: Resolver, names: Names) -> None:
    release = threading.Event()
    names.hanging["nvr.example"] = release
    names.addresses["nvr.example"] = ["127.0.0.1"]
    with listening() as port:
        many = [Connector(resolver, "nvr.example", port, None, START_US + US) for _ in range(40)]
        many[0].poll(START_US)
        many[0].close()
        release.set()
        for connector in many[1:]:
            joined(connector).close()
    assert names.asked == ["nvr.example"]


@pytest.mark.parametrize("how", ["hangs", "fails"])
def test_a_name_server_that_died_does_not_keep_us_from_a_camera_we_know(resolver: Resolver, names: Names, how: str) -> None:
    names.addresses["cam.example"] = ["127.0.0.1"]
    with listening() as port:
        joined(Connector(resolver, "cam.example", port, None, START_US + US)).close()
        if how == "hangs":
            names.hanging["cam.example"] = threading.Event()
        names.addresses.clear()
        again = Connector(resolver, "cam.example", port, None, START_US + 60 * US)
        assert again.poll(START_US) is None
        wait_until(lambda: len(names.asked) == 2)
        wait_until(lambda: again.poll(START_US + PATIENCE_US + 1), 10, "the address of before").close()


def test_a_port_that_refuses_says_so(resolver: Resolver) -> None:
    with pytest.raises(SourceError, match=r"no connection \(Connection refused\)"):
        joined(Connector(resolver, "127.0.0.1", closed_port(), None, START_US + US))


def test_a_port_that_never_answers_is_given_up_in_time(resolver: Resolver) -> None:
    with full_backlog() as port:
        connector = Connector(resolver, "127.0.0.1", port, None, START_US + 5 * US)
        assert connector.poll(START_US) is None
        assert connector.poll(START_US + 5 * US - 1) is None
        with pytest.raises(SourceError, match="it accepts no connection in time"):
            connector.poll(START_US + 5 * US)


def test_an_address_that_never_answers_gives_way_to_the_next_one(resolver: Resolver, names: Names) -> None:
    with full_backlog() as port, socket.create_server(("127.0.0.2", port)):
        names.addresses["two.example"] = ["127.0.0.1", "127.0.0.2"]
        connector = Connector(resolver, "two.example", port, None, START_US + 60 * US)
        wait_until(lambda: connector.poll(START_US) is None and connector.fileno() >= 0)
        assert connector.poll(START_US + ADDRESS_US + 1) is None
        with wait_until(lambda: connector.poll(START_US + ADDRESS_US + 2), 10, "the second address") as made:
            assert made.getpeername()[0] == "127.0.0.2"


def test_without_descriptors_to_spare_the_camera_waits_and_nothing_breaks(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*unused: object) -> socket.socket:
        raise OSError(24, "Too many open files")

    connector = Connector(resolver, "127.0.0.1", 554, None, START_US + US)
    with monkeypatch.context() as patch:
        patch.setattr(connect.socket, "socket", none_left)
        with pytest.raises(SourceError, match="Too many open files"):
            connector.poll(START_US)
