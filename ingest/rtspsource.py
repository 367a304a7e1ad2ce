"""An RTSP camera as a source: sockets around the sans-IO client and the loop over interleaved frames. It never blocks.

Tracks over UDP come through `ingest.udp`; where all do, the RTSP connection only carries the control. A camera may also send
one track by UDP and another interleaved.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

from ingest.connect import Connector, Resolver
from ingest.rtp.engine import RTCP, Channel, Track, walk
from ingest.rtp.tracks import make_track
from ingest.rtpsource import RtpSource
from ingest.rtsp.client import RtspClient
from ingest.rtsp.events import Closed, Described, Failed, NeedUdpPorts, Playing, Reconnect, SetupDone, TrackSkipped
from ingest.rtsp.handshake import TransportChoice
from ingest.source import Frame
from ingest.udp import UdpTrack, bind_pair
from vault.errors import SourceError, StreamvaultError
from vault.logs import Log

log = Log("ingest.rtsp")

BUFFER_BYTES = 1 << 20
EARLY_BYTES = 128 << 10
"""Media that comes before the PLAY answer is kept up to this much."""

STREAM_PACE_BYTES = 1 << 20
"""What may gather in the kernel between two sweeps of a TCP camera: well within its own tuning (`tcp_rmem`)."""

MIN_PACE_US = 50_000

_buffer = bytearray(BUFFER_BYTES)
_view = memoryview(_buffer)
"""One receive buffer for all cameras of the process: what is left of a sweep is copied out, a few hundred bytes."""


class RtspSource(RtpSource):
    """See `ingest.source.Source`. One session; after a failure the camera makes a new one."""

    def __init__(
        self,
        resolver: Resolver,
        tls: Callable[[], ssl.SSLContext],
        url: str,
        user: str | None,
        password: str | None,
        transport: TransportChoice,
        *,
        connect_us: int,
        mono_us: int,
    ) -> None:
        super().__init__(0)
        self._resolver = resolver
        self._tls = tls
        self._connect_us = connect_us
        self._socket: socket.socket | None = None
        self._connector: Connector | None = None
        self._rest = b""
        self._early = b""
        self._out = b""
        self._interleaved = False
        self._channels: list[Track | Channel | None] = [None] * 256
        self._control: list[tuple[int, bytes]] = []
        self._now_us = mono_us
        try:
            self._client = RtspClient(url, user, password, transport=transport, handshake_us=connect_us)
            self._dial(mono_us)
        except StreamvaultError as error:
            self.failure = error if isinstance(error, SourceError) else SourceError(str(error))

    def _dial(self, mono_us: int) -> None:
        address = self._client.address
        tls = self._tls() if address.tls else None
        self._connector = Connector(self._resolver, address.host, address.port, tls, mono_us + self._connect_us)

    # Handshake, keep-alive, RTCP: a few times a second at most.

    def service(self, mono_us: int) -> None:
        if self.failure is not None:
            return
        self._now_us = mono_us
        try:
            if self._connector is not None:
                self._socket = self._connector.poll(mono_us)
                if self._socket is None:
                    return
                self._connector = None
                self._client.start(mono_us)
            if not self._interleaved:
                self._read_control(mono_us)
            self._client.tick(mono_us)
            self._follow_events(mono_us)
            if self.playing:
                self._rtcp(mono_us)
            self._send()
        except SourceError as error:
            self.failure = self.failure or error
        except OSError as error:
            self.failure = self.failure or SourceError(f"the connection broke: {error.strerror or error}")

    def _read_control(self, mono_us: int) -> None:
        """RTSP text outside of sweeps; interleaved frames among it are kept for the first sweep."""
        while self.failure is None and self._socket is not None:
            count = self._receive(len(self._rest), BUFFER_BYTES)
            if count <= 0:
                return
            end = len(self._rest) + count
            _view[: len(self._rest)] = self._rest
            at = 0
            while at < end and not self._interleaved:
                if _buffer[at] == 0x24 and not self._client.mid_message:
                    size = 4 + int.from_bytes(_view[at + 2 : at + 4], "big")
                    if at + 4 > end or at + size > end:
                        break
                    if not self.playing and len(self._early) + size <= EARLY_BYTES:
                        self._early += bytes(_view[at : at + size])
                    at += size
                    continue
                used = self._client.receive(_view[at:end])
                self._follow_events(mono_us)
                if used == 0 or self._socket is None:
                    break
                at += used
            self._rest = bytes(_view[at:end]) if self._socket is not None else b""
            if self._interleaved:
                # What came behind the answer to PLAY is media, its first key frame among it: the first sweep's.
                self._rest, self._early = self._early + self._rest, b""
                return

    def _receive(self, offset: int, limit: int) -> int:
        """Bytes read behind `offset`; 0 when there are none or the connection ended."""
        assert self._socket is not None
        try:
            count = self._socket.recv_into(_view[offset : min(BUFFER_BYTES, offset + limit)])
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError, InterruptedError):
            return 0
        except OSError as error:
            self._client.eof()
            self._follow_events(self._now_us)
            self.failure = self.failure or SourceError(f"the connection broke: {error.strerror or error}")
            return 0
        if count == 0:
            self._client.eof()
            self._follow_events(self._now_us)
            self.failure = self.failure or SourceError("the camera closed the connection")
        return count

    def _send(self) -> None:
        if self._socket is None:
            return
        self._out += self._client.bytes_to_send()
        try:
            while self._out:
                self._out = self._out[self._socket.send(self._out) :]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError, InterruptedError):
            if len(self._out) > 1 << 20:
                self.failure = SourceError("the camera takes no data any more")
        except OSError as error:
            self.failure = SourceError(f"the connection broke: {error.strerror or error}")

    def _follow_events(self, mono_us: int) -> None:
        for event in self._client.events():
            if isinstance(event, Described):
                self._prepare(event)
            elif isinstance(event, NeedUdpPorts):
                assert self._socket is not None
                self._drop_udp(event.track.index)
                pair = bind_pair(self._socket)
                self._udp[event.track.index] = UdpTrack(
                    event.track.index, self._media[event.track.index], *pair, shown=self._client.shown
                )
                self._client.udp_ports(event.track, pair[0].getsockname()[1], pair[1].getsockname()[1])
            elif isinstance(event, SetupDone):
                if event.transport.interleaved is not None:
                    self._drop_udp(event.track.index)
                elif event.track.index in self._udp and self._socket is not None:
                    self._udp[event.track.index].aim(self._socket.getpeername(), event.transport.server_port)
            elif isinstance(event, TrackSkipped):
                self._drop_udp(event.track.index)
                log.warning("track not set up", camera=self._client.shown, track=event.track.index, reason=event.reason)
            elif isinstance(event, Playing):
                self._play()
            elif isinstance(event, Reconnect):
                if self.playing:
                    raise SourceError("the camera sent us to another address while it played: connecting anew")
                self._hang_up()
                self._dial(mono_us)
            elif isinstance(event, Failed):
                self.failure = event.error
            elif isinstance(event, Closed):
                self.failure = self.failure or SourceError(event.reason)

    def _drop_udp(self, index: int) -> None:
        udp = self._udp.pop(index, None)
        if udp is not None:
            udp.close()

    def _prepare(self, event: Described) -> None:
        """Tracks for what is about to be set up. Raises SourceRefused for a stream that cannot be taken apart."""
        for index in list(self._udp):
            self._drop_udp(index)
        made = [make_track(track.index, track.media) for track in event.tracks]
        self._media, self._recorded = [], []
        for one in made:
            self._add_track(one)

    def _play(self) -> None:
        for channel, (track, is_rtcp) in self._client.channels.items():
            self._channels[channel] = RTCP if is_rtcp else self._media[track]
        self._interleaved = bool(self._client.channels)
        self._duty.begin([track.rate for track in self._recorded], self._now_us)
        self.playing = True

    # Media.

    def _sweep_stream(self, frames: list[Frame], limit_bytes: int, mono_us: int) -> int:
        count = 0
        if not self._interleaved:
            return count
        # A TLS socket gives one record a call, and what it holds decrypted wakes nobody: it is read until it says no.
        one_by_one = isinstance(self._socket, ssl.SSLSocket)
        while count < limit_bytes and self._socket is not None and self.failure is None:
            have = len(self._rest)
            room = min(limit_bytes - count, BUFFER_BYTES - have)
            got = self._receive(have, room)
            if got == 0 and not have:
                break
            _view[:have] = self._rest
            count += got
            used = self._consume(have + got, frames, mono_us)
            self._rest = bytes(_view[used : have + got])
            if got < room and not (one_by_one and got):
                break
            if used == 0 and room == 0:
                raise SourceError("the camera sends a message without end")
        return count

    def _consume(self, end: int, frames: list[Frame], mono_us: int) -> int:
        at = 0
        client = self._client
        while at < end:
            if _buffer[at] == 0x24 and not client.mid_message:
                used = walk(_buffer, at, end, self._channels, frames, self._control)
            else:
                used = client.receive(_view[at:end])
                self._follow_events(mono_us)
            if used == 0 or self.failure is not None:
                break
            at += used
        return at

    def pace_us(self, wanted_us: int) -> int:
        """TCP waits for us, but a camera may not like it."""
        if self._rate_bytes > 0:
            wanted_us = min(wanted_us, max(MIN_PACE_US, int(STREAM_PACE_BYTES / self._rate_bytes * 1e6)))
        return super().pace_us(wanted_us) if self._udp else wanted_us

    def _take_control(self, mono_us: int) -> None:
        """Interleaved RTCP stands under its channel."""
        if self._control:
            control, self._control = self._control, []
            known = self._client.channels
            self._datagrams += [(known[channel][0], packet) for channel, packet in control if channel in known]
        super()._take_control(mono_us)

    def _rtcp(self, mono_us: int) -> None:
        for index, packet in self._duty.due(self._media, mono_us):
            if index in self._udp:
                self._udp[index].send_report(packet)
            else:
                channel = next((c for c, (t, is_rtcp) in self._client.channels.items() if t == index and is_rtcp), None)
                if channel is not None:
                    self._out += bytes((0x24, channel)) + len(packet).to_bytes(2, "big") + packet

    def _hang_up(self) -> None:
        self._interleaved = False
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._rest = self._early = self._out = b""

    def close(self) -> None:
        if self._socket is not None and self.failure is None:
            self._client.teardown()
            self._send()
        if self._connector is not None:
            self._connector.close()
        for index in list(self._udp):
            self._drop_udp(index)
        self._hang_up()
