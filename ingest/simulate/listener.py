"""One client connection: its dialogue, its place on a stage, and what of a volley it is sent. The sockets' events come from outside."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Protocol

from ingest.simulate.feed import NextPacket
from ingest.simulate.outlet import Backlog, DatagramPair
from ingest.simulate.session import Action, Host, Session
from ingest.simulate.stage import Camera, Stage, record
from ingest.simulate.tamper import Tamper, Verdict
from ingest.simulate.volley import Channels, Volley, frame
from vault.clock import Clock
from vault.errors import Damaged, SourceError

_RECV_BYTES = 65_536


class Home(Host, Protocol):
    """What a connection needs of its server."""

    clock: Clock
    datagrams: DatagramPair | None

    def camera(self, number: int) -> Camera: ...

    def private_stage(self, camera: Camera, connection: int) -> Stage: ...

    def watch(self, listener: Listener) -> None:
        """The backlog became empty or ceased to be: watch for writability accordingly."""
        ...

    def ended(self, listener: Listener) -> None:
        """The connection is over; its socket is to be closed."""
        ...


class Listener:
    """A connection. `closed` once it is over; `why` then says so in words for the log, empty for an ordinary end."""

    def __init__(self, home: Home, sock: socket.socket, peer: tuple[str, int], backlog_bytes: int) -> None:
        self.sock = sock
        self.peer = peer
        self.closed = False
        self.why = ""
        self.muted = False
        self.backlog = Backlog(sock, backlog_bytes)
        self.session = Session(home, self)
        self.heard_us = home.clock.mono_us()
        self._home = home
        self._stage: Stage | None = None
        self._started = False
        self._tamper: Tamper | None = None
        self._held = b""
        self._channels: Channels = ()
        self._reset = False

    def on_readable(self) -> None:
        """Read what came and answer it."""
        try:
            data = self.sock.recv(_RECV_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.end(f"the client has gone: {error.strerror}")
            return
        if not data:
            self.end("")
            return
        if self.muted:
            return
        self.heard_us = self._home.clock.mono_us()
        try:
            for reply in self.session.receive(data):
                if reply.action is Action.PLAY and self._home.camera(self.session.camera).early:
                    self._held = reply.data
                else:
                    self._send(reply.data)
                if reply.action is Action.PLAY:
                    self._join()
                elif reply.action is Action.PAUSE:
                    self._leave()
                elif reply.action is Action.CLOSE:
                    self.end("")
                    return
        except Damaged as error:
            self.end(str(error))

    def on_writable(self) -> None:
        """The socket takes more."""
        self._guarded(self.backlog.drain)

    def begin(self, camera: int) -> Sequence[NextPacket]:
        """PLAY was asked for: take a place on a stage. What RTP-Info is to say."""
        home, now_us = self._home, self._home.clock.mono_us()
        shown = home.camera(camera)
        shown.connections += 1
        if shown.first_play_us is None:
            shown.first_play_us = now_us
        stage = shown.stage
        if stage is None:
            number = shown.connections
            stage = home.private_stage(shown, number)
            stage.on_volley = lambda volley, wall_us: record(shown, number, volley, wall_us)
            self._tamper = Tamper(shown.of(number), random.Random(camera * 1_000_003 + number))
        self._stage = stage
        self._started = False
        self._channels = tuple(self._channel(track) for track in range(len(shown.tracks)))
        feed = stage.open(now_us)
        feed.join()
        return feed.next_packets()

    def give(self, volley: Volley, report: bool) -> None:
        """Send what of this volley is ours: nothing before the first key picture since we joined."""
        if self.muted or self.closed:
            return
        if not self._started:
            due_us = volley.first_key()
            if due_us is None and not self._home.camera(self.session.camera).keyless:
                return
            volley = volley.from_due(due_us or 0)
            self._started = report = True
        if report:
            self._report(volley)
        if self._tamper is not None and self._tamper.touches_packets:
            self._send_tampered(volley, self._tamper)
        else:
            self._send_plain(volley)
        if self._held:
            held, self._held = self._held, b""
            self._send(held)
        if self._tamper is not None:
            self._obey(self._tamper.verdict(self._elapsed_us()))

    def end(self, why: str) -> None:
        """The connection is over; the server closes the socket."""
        if not self.closed:
            self.closed = True
            self.why = why
            self._leave()
            self._home.ended(self)

    def close(self) -> None:
        """Close the socket, by RST where the camera was told to."""
        if self._reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def on_time(self, mono_us: int) -> int | None:
        """Close or fall silent when told to; the monotonic instant to look again."""
        stage = self._stage
        if self._tamper is None or stage is None or stage.feed is None:
            return None
        elapsed_us = mono_us - stage.feed.start_us
        self._obey(self._tamper.verdict(elapsed_us))
        due_us = self._tamper.next_us(elapsed_us)
        return None if due_us is None else stage.feed.start_us + due_us

    def _join(self) -> None:
        if self._stage is not None:
            self._stage.listeners.append(self)

    def _leave(self) -> None:
        if self._stage is not None and self in self._stage.listeners:
            self._stage.listeners.remove(self)
        self._stage = None

    def _elapsed_us(self) -> int:
        stage = self._stage
        return self._home.clock.mono_us() - stage.feed.start_us if stage and stage.feed else 0

    def _channel(self, track: int) -> int | None:
        route = self.session.routes.get(track)
        return None if route is None or route.channels is None else route.channels[0]

    def _send_plain(self, volley: Volley) -> None:
        if any(channel is not None for channel in self._channels):
            self._send(volley.interleaved(self._channels))
        pair = self._home.datagrams
        if pair is not None:
            for track, address in self._addresses():
                for run in volley.runs(track):
                    pair.send_run(run, address)

    def _send_tampered(self, volley: Volley, tamper: Tamper) -> None:
        packets = tamper.packets(volley.packets(), self._elapsed_us())
        addresses = dict(self._addresses())
        stream = []
        for track, packet in packets:
            channel = self._channels[max(track, 0)]
            if channel is not None:
                # Garbage is no packet of any track; in a TCP stream it comes without a frame around it.
                stream.append(frame(channel, packet) if track >= 0 else packet)
            elif (address := addresses.get(max(track, 0))) and self._home.datagrams:
                self._home.datagrams.send(packet, address)
        self._send(b"".join(stream))

    def _report(self, volley: Volley) -> None:
        self._send(volley.reports_interleaved(self._channels))
        pair = self._home.datagrams
        for track, report in volley.reports():
            route = self.session.routes.get(track)
            if route is not None and route.ports is not None and pair is not None:
                pair.send_control(report, (self.peer[0], route.ports[1]))

    def _addresses(self) -> list[tuple[int, tuple[str, int]]]:
        return [
            (track, (self.peer[0], route.ports[0]))
            for track, route in self.session.routes.items()
            if route.ports is not None and self._home.datagrams is not None
        ]

    def _obey(self, verdict: Verdict) -> None:
        if verdict is Verdict.CLOSE or verdict is Verdict.RESET:
            self._reset = verdict is Verdict.RESET
            self.end("the camera was told to close")
        else:
            self.muted = verdict is Verdict.MUTE

    def _send(self, data: bytes) -> None:
        if data and not self.closed:
            self._guarded(self.backlog.send, data)

    def _guarded(self, act: Callable[..., None], *given: bytes) -> None:
        before = self.backlog.empty
        try:
            act(*given)
        except SourceError as error:
            self.end(str(error))
        if before != self.backlog.empty:
            self._home.watch(self)
