"""Drives the sans-IO client over real sockets in the simplest way, blocking, and collects the RTP packets it gets."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable
from typing import Any

from ingest.rtsp.client import Phase, RtspClient
from ingest.rtsp.events import Closed, Event, Failed, NeedUdpPorts
from vault.clock import SystemClock

DOLLAR = 0x24
CLOCK = SystemClock()


class Driver:
    """One connection. `events` is everything that happened, `packets[track]` the RTP packets, `reports[track]` the RTCP."""

    def __init__(self, url: str, user: str | None = None, password: str | None = None, **options: Any) -> None:
        self.client = RtspClient(url, user, password, **options)
        self.events: list[Event] = []
        self.packets: dict[int, list[bytes]] = {}
        self.reports: dict[int, list[bytes]] = {}
        self._buffer = bytearray()
        self._datagrams: dict[socket.socket, tuple[int, bool]] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Driver:
        address = self.client.address
        self._tcp = self._stack.enter_context(socket.create_connection((address.host, address.port), 10))
        self._tcp.settimeout(10)
        self.client.start(CLOCK.mono_us())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, until: Callable[[Driver], bool], seconds: float = 30) -> None:
        """Goes on until `until(self)` or the session's end; fails the test beyond `seconds`."""
        deadline_us = CLOCK.mono_us() + int(seconds * 1e6)
        while not until(self) and self.client.phase is not Phase.DONE:
            assert CLOCK.mono_us() < deadline_us, f"not within {seconds} s; so far {self.events}"
            self.step()

    def step(self) -> None:
        if data := self.client.bytes_to_send():
            self._tcp.sendall(data)
        for ready in select.select([self._tcp, *self._datagrams], [], [], 0.1)[0]:
            data = ready.recv(65536)
            if ready is not self._tcp:
                self._packet(*self._datagrams[ready], data)
            elif not data:
                self.client.eof()
            else:
                self._buffer += data
                self._split()
        self.client.tick(CLOCK.mono_us())
        for event in self.client.events():
            self.events.append(event)
            if isinstance(event, NeedUdpPorts):
                self._bind(event)

    def end(self) -> Event | None:
        """The Failed or Closed that ended the session, if one did."""
        return next((event for event in self.events if isinstance(event, Failed | Closed)), None)

    def _split(self) -> None:
        while self._buffer:
            if self._buffer[0] == DOLLAR and not self.client.mid_message:
                end = 4 + int.from_bytes(self._buffer[2:4], "big") if len(self._buffer) >= 4 else 5
                if len(self._buffer) < end:
                    return
                track = self.client.channels.get(self._buffer[1])
                if track:
                    self._packet(*track, bytes(self._buffer[4:end]))
                del self._buffer[:end]
                continue
            consumed = self.client.receive(bytes(self._buffer))
            del self._buffer[:consumed]
            if not consumed:
                return

    def _packet(self, track: int, is_rtcp: bool, data: bytes) -> None:
        (self.reports if is_rtcp else self.packets).setdefault(track, []).append(data)

    def _bind(self, event: NeedUdpPorts) -> None:
        for port in range(20_000 + event.track.index * 2, 60_000, 50):
            pair = [self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
            try:
                for offset, made in enumerate(pair):
                    made.bind(("127.0.0.1", port + offset))
            except OSError:
                continue
            for offset, made in enumerate(pair):
                self._datagrams[made] = (event.track.index, offset == 1)
            self.client.udp_ports(event.track, port, port + 1)
            return
