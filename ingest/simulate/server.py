"""The simulator's one thread: accepts connections, wakes stages on time, moves bytes. Decisions are in the modules it calls."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
from collections.abc import Callable, Sequence

from ingest.simulate.describe import sdp_of
from ingest.simulate.gate import Gate
from ingest.simulate.listener import Listener
from ingest.simulate.misbehave import Kind
from ingest.simulate.outlet import DatagramPair
from ingest.simulate.session import Quirks
from ingest.simulate.stage import Camera, Stage
from vault.clock import Clock
from vault.errors import NotFound, SourceError

_log = logging.getLogger(__name__)

_IDLE_CHECK_US = 1_000_000
_LONGEST_WAIT_S = 0.5
_MAX_LISTENERS = 4_096


class Server:
    """An RTSP server for these cameras on one address. `run` serves until `stop`; all else happens in that thread."""

    def __init__(
        self,
        cameras: Sequence[Camera],
        private_stage: Callable[[Camera, int], Stage],
        clock: Clock,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        gate: Gate | None = None,
        timeout_s: int = 60,
        tcp_offered: bool = True,
        udp_offered: bool = True,
        backlog_bytes: int = 4 << 20,
    ) -> None:
        self.clock = clock
        self.gate = gate
        self.timeout_s = timeout_s
        self.tcp_offered = tcp_offered
        self._cameras = {camera.number: camera for camera in cameras}
        self._private_stage = private_stage
        self._backlog_bytes = backlog_bytes
        self._stages: list[Stage] = []
        for camera in cameras:
            if camera.stage is not None and camera.stage not in self._stages:
                self._stages.append(camera.stage)
        self._listeners: dict[int, Listener] = {}
        self._ended: list[Listener] = []
        self._stopping = threading.Event()
        self._socket = _listen(host, port)
        self.host, self.port = self._socket.getsockname()[:2]
        try:
            self.datagrams = DatagramPair(host) if udp_offered else None
        except (SourceError, OSError):
            self._socket.close()
            raise
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Serve until `stop` is called, then close everything."""
        selector = self._selector
        selector.register(self._socket, selectors.EVENT_READ, self._accept)
        selector.register(self._wake_out, selectors.EVENT_READ, self._woken)
        if self.datagrams is not None:
            for sock in (self.datagrams.rtp, self.datagrams.rtcp):
                selector.register(sock, selectors.EVENT_READ, lambda mask, sock=sock: self._hear(sock))
        checked_us = 0
        try:
            while not self._stopping.is_set():
                now_us = self.clock.mono_us()
                wait_us = self._tick(now_us)
                if now_us - checked_us > _IDLE_CHECK_US:
                    checked_us = now_us
                    self._check_idle(now_us)
                self._sweep_closed()
                for key, mask in selector.select(min(max(wait_us / 1e6, 0.0), _LONGEST_WAIT_S)):
                    key.data(mask)
        finally:
            self._close()

    def stop(self) -> None:
        """From any thread: end `run`."""
        self._stopping.set()
        # The loop may have ended by itself and closed its end already.
        with contextlib.suppress(OSError):
            self._wake_in.send(b"\0")

    def listening(self) -> int:
        """How many connections are open; from any thread."""
        return len(self._listeners)

    def camera(self, number: int) -> Camera:
        """Raises NotFound."""
        try:
            return self._cameras[number]
        except KeyError:
            raise NotFound(f"there is no simulated camera {number}") from None

    def describe(self, camera: int, base_url: str) -> str | None:
        """The camera's SDP, None for an unknown one."""
        shown = self._cameras.get(camera)
        return None if shown is None else sdp_of(shown.tracks, shown.name, base_url, shown.sets_in_sdp)

    def track_count(self, camera: int) -> int:
        """How many tracks the camera has, 0 for an unknown one."""
        shown = self._cameras.get(camera)
        return 0 if shown is None else len(shown.tracks)

    def quirks(self, camera: int) -> Quirks:
        """How odd the camera's answers are at this moment."""
        shown = self._cameras.get(camera)
        if shown is None or not shown.misbehaviours:
            return Quirks()
        since_us = -1 if shown.first_play_us is None else self.clock.mono_us() - shown.first_play_us
        refuses = any(item.kind is Kind.UNAUTHORIZED and item.active(since_us) for item in shown.misbehaviours)
        return Quirks(shown.has(Kind.LF), shown.has(Kind.CSEQ), refuses, shown.has(Kind.NOPARAMETER))

    def server_ports(self) -> tuple[int, int] | None:
        """The UDP ports of RTP and RTCP."""
        return self.datagrams.ports if self.datagrams else None

    def private_stage(self, camera: Camera, connection: int) -> Stage:
        """A stage for one connection, ticked like the others while somebody listens."""
        stage = self._private_stage(camera, connection)
        stage.timed = True
        self._stages.append(stage)
        return stage

    def watch(self, listener: Listener) -> None:
        """Wait for writability only while something is left to write."""
        if not listener.closed:
            events = selectors.EVENT_READ if listener.backlog.empty else selectors.EVENT_READ | selectors.EVENT_WRITE
            self._selector.modify(listener.sock, events, self._handler(listener))

    def ended(self, listener: Listener) -> None:
        """The connection is over: close its socket before the next wait."""
        self._ended.append(listener)

    def _tick(self, now_us: int) -> int:
        """Wake who is due; µs until the next one is."""
        next_us = now_us + int(_LONGEST_WAIT_S * 1e6)
        for stage in self._stages:
            if stage.listeners:
                if stage.wake_us <= now_us:
                    stage.tick(now_us, self.clock.now_us())
                next_us = min(next_us, stage.wake_us)
                for listener in tuple(stage.listeners) if stage.timed else ():
                    next_us = min(next_us, listener.on_time(now_us) or next_us)
        return next_us - self.clock.mono_us()

    def _accept(self, mask: int) -> None:
        try:
            sock, peer = self._socket.accept()
        except OSError:
            return
        if len(self._listeners) >= _MAX_LISTENERS:
            sock.close()
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener = Listener(self, sock, (peer[0], peer[1]), self._backlog_bytes)
        self._listeners[sock.fileno()] = listener
        self._selector.register(sock, selectors.EVENT_READ, self._handler(listener))

    def _handler(self, listener: Listener) -> Callable[[int], None]:
        def handle(mask: int) -> None:
            if mask & selectors.EVENT_WRITE and not listener.closed:
                listener.on_writable()
            if mask & selectors.EVENT_READ and not listener.closed:
                listener.on_readable()

        return handle

    def _hear(self, sock: socket.socket) -> None:
        """Whatever comes by UDP says that its sender is there; RTCP of a client is a sign of life (RFC 2326 §A)."""
        for _ in range(64):
            try:
                _, peer = sock.recvfrom(2048)
            except OSError:
                return
            for listener in self._listeners.values():
                if listener.peer[0] == peer[0] and any(
                    route.ports and peer[1] in route.ports for route in listener.session.routes.values()
                ):
                    listener.heard_us = self.clock.mono_us()

    def _woken(self, mask: int) -> None:
        self._wake_out.recv(64)

    def _check_idle(self, now_us: int) -> None:
        for listener in self._listeners.values():
            # A half-open camera does not close, whatever it hears.
            if not listener.muted and now_us - listener.heard_us > self.timeout_s * 1_000_000:
                listener.end(f"nothing heard for {self.timeout_s} s")

    def _sweep_closed(self) -> None:
        closed, self._ended = self._ended, []
        for listener in closed:
            self._selector.unregister(listener.sock)
            del self._listeners[listener.sock.fileno()]
            listener.close()
            if listener.why:
                _log.info("simulated connection ended", extra={"camera": listener.session.camera, "why": listener.why})
        if closed:
            shared = {id(camera.stage) for camera in self._cameras.values()}
            self._stages = [stage for stage in self._stages if stage.listeners or id(stage) in shared]

    def _close(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        self._selector.close()
        for sock in (self._socket, self._wake_in, self._wake_out):
            sock.close()
        if self.datagrams is not None:
            self.datagrams.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise SourceError(
            f"listening for RTSP on {host}:{port}: {error.strerror}; choose another port, or 0 for a free one"
        ) from error
