"""What an RTSP camera offers: server, authentication, transports, every media and why it is or is not recorded.

One short visit a transport, blocking: handshake up to PLAY, then good-bye. Listening to the media is `ingest.probe`'s.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from dataclasses import dataclass, replace

from ingest.connect import Connector, Resolver, client_tls
from ingest.rtp.tracks import make_track
from ingest.rtsp.client import Phase, RtspClient
from ingest.rtsp.events import Closed, Described, Event, Failed, NeedUdpPorts, Reconnect, SetupDone, TrackSkipped
from ingest.rtsp.formats import codec_of, why_not_recorded
from ingest.rtsp.handshake import TransportChoice
from ingest.rtsp.message import DOLLAR
from ingest.rtsp.sdp import Media
from ingest.udp import bind_pair
from vault.clock import Clock
from vault.config import Recording
from vault.errors import SourceError, SourceRefused
from vault.media import Codec
from vault.secrets import SplitUrl
from vault.timebase import US

WAIT_SECONDS = 0.05
READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class OfferedMedia:
    """One media of the description. `codec` is how it would be recorded; OPAQUE is kept byte for byte, not understood.

    `width`, `height`, `framerate` are what the description says, 0 where it does not. `note`: why it is not recorded, or
    what to know of it.
    """

    kind: str
    encoding: str
    payload_type: int
    clock_rate: int
    channels: int
    codec: Codec
    recorded: bool
    width: int = 0
    height: int = 0
    framerate: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """`url` is fit to be shown. `auth` is such as `Digest MD5`, empty where none is asked for.

    `transports` are those of `tcp` and `udp` that the whole handshake went through with. `problem` is empty when the
    camera can be recorded with the transport it was asked for.
    """

    url: str
    server: str
    auth: str
    methods: tuple[str, ...]
    session_timeout_us: int
    transports: tuple[str, ...]
    media: tuple[OfferedMedia, ...]
    problem: str


def offer(url: SplitUrl, transport: TransportChoice, recording: Recording, clock: Clock) -> Offer:
    """Visits an RTSP address with `transport`, and with `auto` once more for the other one.

    Raises UsageError for what is no RTSP address, SourceError and SourceRefused when there is not even a description; a
    camera that describes itself and cannot be recorded is an Offer with a `problem`.
    """
    timeout_us = int(recording.connect_timeout_seconds * US)
    visit = _Visit(url, transport, timeout_us, recording.tls_ca_file, clock)
    visit.run()
    described = next((event for event in reversed(visit.events) if isinstance(event, Described)), None)
    if described is None and visit.error is not None:
        raise visit.error
    granted = _granted(visit)
    if transport == "auto" and len(granted) == 1:
        other: TransportChoice = "udp" if "tcp" in granted else "tcp"
        second = _Visit(url, other, timeout_us, recording.tls_ca_file, clock)
        second.run()
        if second.error is None:
            granted |= _granted(second)
    media = _media(visit, described) if described else ()
    problem = str(visit.error) if visit.error else ""
    if not problem and not any(item.recorded for item in media):
        problem = "no media of it can be recorded"
    client = visit.client
    return Offer(
        url=client.shown,
        server=client.server,
        auth=client.auth_scheme,
        methods=tuple(sorted(client.public)),
        session_timeout_us=client.session_timeout_us,
        transports=tuple(sorted(granted)),
        media=media,
        problem=problem,
    )


def _granted(visit: _Visit) -> set[str]:
    done = [event.transport for event in visit.events if isinstance(event, SetupDone)]
    return {"udp" if transport.interleaved is None else "tcp" for transport in done}


def _media(visit: _Visit, described: Described) -> tuple[OfferedMedia, ...]:
    skipped = {event.track.index: event.reason for event in visit.events if isinstance(event, TrackSkipped)}
    chosen = {track.media.index: track.index for track in described.tracks}
    out: list[OfferedMedia] = []
    for media in described.description.media:
        track = chosen.get(media.index)
        if track is None:
            out.append(replace(_judged(media), recorded=False, note=why_not_recorded(media) or _why_unwanted(media)))
        elif track in skipped:
            out.append(replace(_judged(media), recorded=False, note=skipped[track]))
        else:
            out.append(_judged(media))
    return tuple(out)


def _why_unwanted(media: Media) -> str:
    if media.has("sendonly"):
        return "a back channel toward the camera"
    return f"a recording holds one {media.kind} track, and another one was chosen"


def _judged(media: Media) -> OfferedMedia:
    item = media.format
    plain = OfferedMedia(
        media.kind,
        item.encoding,
        item.payload_type,
        item.clock_rate,
        item.channels,
        codec_of(media),
        True,
        framerate=media.framerate,
    )
    try:
        made = make_track(0, media)
    except SourceRefused as error:
        return replace(plain, recorded=False, note=str(error))
    note = "kept byte for byte, players do not show it" if made.codec is Codec.OPAQUE else ""
    known = replace(plain, codec=made.codec, clock_rate=made.clock_rate, note=note)
    if made.params is None:
        return replace(known, note="parameter sets come in the stream only")
    return replace(known, width=made.params.width, height=made.params.height, channels=made.params.channels or item.channels)


class _Visit:
    """One handshake over a real connection. `run` never raises for the camera: `error` is what came of it."""

    def __init__(self, url: SplitUrl, transport: TransportChoice, timeout_us: int, tls_ca_file: str, clock: Clock) -> None:
        self.client = RtspClient(url.url, url.user, url.password, transport=transport, handshake_us=timeout_us)
        self.events: list[Event] = []
        self.error: SourceError | None = None
        self._tls_ca_file = tls_ca_file
        self._clock = clock
        self._deadline_us = clock.mono_us() + timeout_us
        self._rest = b""
        self._sockets = contextlib.ExitStack()
        self._moved = True

    def run(self) -> None:
        resolver = Resolver(1)
        try:
            with self._sockets:
                made: socket.socket | None = None
                while self.client.phase is not Phase.PLAYING:
                    if self._moved or made is None:
                        self._moved, self._rest = False, b""
                        made = self._connect(resolver)
                    self._step(made)
                if made is not None:
                    self.client.teardown()
                    self._send(made)
        except SourceError as error:
            self.error = error
        finally:
            resolver.close()

    def _connect(self, resolver: Resolver) -> socket.socket:
        address = self.client.address
        tls = client_tls(self._tls_ca_file) if address.tls else None
        with contextlib.closing(Connector(resolver, address.host, address.port, tls, self._deadline_us)) as connector:
            while (made := connector.poll(self._clock.mono_us())) is None:
                select.select([], [], [], WAIT_SECONDS / 5)
        self.client.start(self._clock.mono_us())
        return self._sockets.enter_context(made)

    def _step(self, made: socket.socket) -> None:
        if self._clock.mono_us() >= self._deadline_us + US:
            raise SourceError(f"rtsp: {self.client.shown}: the handshake was not finished in time: is the camera overloaded?")
        self._send(made)
        select.select([made], [], [], WAIT_SECONDS)
        try:
            data = made.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            raise self._broken(error) from error
        else:
            self._receive(data)
        self.client.tick(self._clock.mono_us())
        for event in self.client.events():
            self.events.append(event)
            self._follow(event, made)

    def _send(self, made: socket.socket) -> None:
        data = self.client.bytes_to_send()
        while data:
            try:
                data = data[made.send(data) :]
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if self._clock.mono_us() >= self._deadline_us:
                    raise SourceError(f"rtsp: {self.client.shown}: the camera takes no data any more") from None
                select.select([], [made], [], WAIT_SECONDS)
            except OSError as error:
                raise self._broken(error) from error

    def _broken(self, error: OSError) -> SourceError:
        return SourceError(f"rtsp: {self.client.shown}: the connection broke: {error.strerror or error}")

    def _receive(self, data: bytes) -> None:
        """Text goes to the client; media that comes early is passed over."""
        if not data:
            self.client.eof()
            return
        data = self._rest + data
        while data:
            if data[0] == DOLLAR and not self.client.mid_message:
                used = 4 + int.from_bytes(data[2:4], "big") if len(data) >= 4 else 4
                if used > len(data):
                    break
            else:
                used = self.client.receive(data)
                if not used:
                    break
            data = data[used:]
        self._rest = data

    def _follow(self, event: Event, made: socket.socket) -> None:
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Closed):
            raise SourceError(f"rtsp: {self.client.shown}: {event.reason}")
        if isinstance(event, Reconnect):
            self._moved = True
        elif isinstance(event, NeedUdpPorts):
            pair = bind_pair(made)
            for one in pair:
                self._sockets.enter_context(one)
            self.client.udp_ports(event.track, pair[0].getsockname()[1], pair[1].getsockname()[1])
