"""The RTSP/1.0 client as a sans-IO state machine (RFC 2326): bytes and time in, bytes and events out.

The caller owns the socket, TLS, UDP ports and the interleaved frames; `receive` says how the two share a buffer.
A client lasts for one session and, over redirects, a few connections; to connect anew, make a new one.
"""

from __future__ import annotations

import enum

from ingest.rtsp.auth import Authenticator, Credentials
from ingest.rtsp.events import Announced, Closed, Event, Failed, Reconnect, Track
from ingest.rtsp.exchange import Exchange, Purpose, Sent
from ingest.rtsp.handshake import Handshake, TransportChoice, refusal
from ingest.rtsp.message import Request, Response
from ingest.rtsp.sdp import parse_sdp
from ingest.rtsp.urls import redirect, shown_url, split_rtsp_url
from vault.errors import SourceError, SourceRefused, UsageError
from vault.timebase import US

MAX_REDIRECTS = 3
QUIET_US = US // 2
"""So long without a byte ends a description that came without Content-Length."""

_REDIRECTS = (301, 302, 303, 305, 307, 308)


class Phase(enum.Enum):
    """Where a session stands. MOVED waits for the caller to connect to the new address."""

    NEW = enum.auto()
    HANDSHAKE = enum.auto()
    PLAYING = enum.auto()
    CLOSING = enum.auto()
    MOVED = enum.auto()
    DONE = enum.auto()


class RtspClient:
    """One camera's session. `now_us` is monotonic microseconds throughout; only differences count.

    `transport` `auto` asks for TCP, which loses nothing, and for UDP from a server that does not do TCP.
    `user` and `password` go before those in `url`. Neither shows in any event, error or `repr`.
    Nothing that a server sends raises: it ends in a `Failed` event. The constructor raises UsageError for the URL.
    """

    def __init__(
        self,
        url: str,
        user: str | None = None,
        password: str | None = None,
        *,
        transport: TransportChoice = "auto",
        handshake_us: int = 15 * US,
    ) -> None:
        self.address, url_user, url_password = split_rtsp_url(url)
        if user is None:
            user, password = url_user, url_password
        self.phase = Phase.NEW
        self._authenticator = Authenticator(None if user is None else Credentials(user, password or ""))
        self._transport: TransportChoice = transport
        self._handshake_us = handshake_us
        self._events: list[Event] = []
        self._redirects = 0
        self._withheld = False
        self._reopened = False
        self._deadline_us = 0
        self._heard_us = 0
        self._heard = False
        self._renew()

    def _renew(self) -> None:
        self._exchange = Exchange(self._authenticator)
        self._handshake = Handshake(self._exchange, self.address.request, self._transport, self._events)

    def __repr__(self) -> str:
        return f"RtspClient({self.shown}, {self.phase.name})"

    @property
    def shown(self) -> str:
        """The address fit for a message: no userinfo, no password."""
        return shown_url(self.address.request)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The chosen tracks, once described."""
        return self._handshake.tracks

    @property
    def channels(self) -> dict[int, tuple[int, bool]]:
        """Interleaved channels as the server answered: channel to (track index, whether it is RTCP)."""
        return self._handshake.channels

    @property
    def public(self) -> frozenset[str]:
        """Methods that the server offers, in upper case; empty when it would not say."""
        return self._handshake.public

    @property
    def server(self) -> str:
        """What the server calls itself."""
        return self._exchange.server

    @property
    def auth_scheme(self) -> str:
        """Such as `Digest MD5`; empty when the server asks for none."""
        return self._authenticator.scheme

    @property
    def session_timeout_us(self) -> int:
        return self._handshake.sessions.timeout_us

    @property
    def mid_message(self) -> bool:
        """Whether the next byte is RTSP text even if it is a `$`: then `receive` goes before the walk over frames."""
        return self._exchange.parser.mid_message

    def start(self, now_us: int) -> None:
        """The connection to `address` stands: begins the handshake, at first and after each Reconnect."""
        self._renew()
        self.phase = Phase.HANDSHAKE
        self._deadline_us = now_us + self._handshake_us
        self._heard_us = now_us
        self._handshake.begin()

    def bytes_to_send(self) -> bytes:
        """What to write to the connection; handed out once, empty when there is nothing."""
        return self._exchange.output()

    def events(self) -> list[Event]:
        """What happened since the last call, in order."""
        out = self._events[:]
        self._events.clear()
        return out

    def receive(self, data: bytes | memoryview) -> int:
        """Consumes RTSP text from the front of `data`; returns how many bytes.

        It stops at a `$` between two messages, where an interleaved frame begins, and leaves up to 23 bytes that do not
        yet tell what they are. So, over one buffer: while it is not empty, call the walk over frames if it begins with
        `$` and not `mid_message`, else `receive`; stop when that consumes nothing, and keep the rest in front of what
        arrives next. Frames may come before the PLAY answer: `channels` knows each channel from its SETUP on.
        Once the session is over it consumes everything.
        """
        if self._over or self.phase is Phase.NEW:
            return len(data)
        self._heard = True
        consumed, broken = 0, None
        try:
            consumed = self._exchange.parser.feed(data)
        except SourceError as error:
            broken = error
        try:
            # What was whole before the bytes went wrong counts, however they were split.
            self._process()
        except SourceError as error:
            broken = error
        if broken is not None and not self._over:
            self._fail(broken)
        return len(data) if self._over else consumed

    def tick(self, now_us: int) -> None:
        """Time passes: the handshake's deadline, keep-alives at half the session's timeout. Call it about once a second."""
        if self._over or self.phase is Phase.NEW:
            return
        if self._heard:
            self._heard, self._heard_us = False, now_us
        try:
            if self.mid_message and now_us - self._heard_us >= QUIET_US:
                self._exchange.parser.flush()
                self._process()
            if self.phase is Phase.HANDSHAKE and now_us >= self._deadline_us:
                due = self._exchange.waiting_for
                raise SourceError(
                    f"{'no whole answer to ' + due if due else 'the handshake was not finished'} within {self._handshake_us / US:g} s: "
                    "look whether the camera is overloaded, or the port belongs to something else"
                )
            if self.phase is Phase.PLAYING:
                self._keep_alive(now_us)
        except SourceError as error:
            self._fail(error)

    def eof(self) -> None:
        """The peer closed the connection, or it broke."""
        if self._over or self.phase is Phase.NEW:
            return
        try:
            self._exchange.parser.flush()
            self._process()
            if self.phase is Phase.HANDSHAKE:
                if self._exchange.challenged and not self._reopened:
                    # Some cameras close the connection behind a 401; the challenge holds for the next one.
                    self._reopened = True
                    self.phase = Phase.MOVED
                    self._events.append(Reconnect(self.address))
                    return
                due = self._exchange.waiting_for
                raise SourceError(
                    "the server closed the connection " + (f"without answering {due}" if due else "in the handshake")
                )
        except SourceError as error:
            self._fail(error)
        if not self._over:
            self._close("the server closed the connection" if self.phase is Phase.PLAYING else "ended by us")

    def udp_ports(self, track: Track, rtp_port: int, rtcp_port: int) -> None:
        """Answers NeedUdpPorts with the ports that the caller has bound: an even one and the odd one above it."""
        if self.phase is Phase.HANDSHAKE:
            self._handshake.udp_ports(track, rtp_port, rtcp_port)

    def teardown(self) -> None:
        """Ends the session politely: TEARDOWN is to be sent; Closed follows its answer, but nobody need wait for it."""
        if self.phase not in (Phase.HANDSHAKE, Phase.PLAYING):
            return
        if not self._handshake.sessions.distinct:
            self._close("ended by us")
            return
        self.phase = Phase.CLOSING
        try:
            for session in self._handshake.sessions.distinct:
                self._exchange.send(Purpose.TEARDOWN, "TEARDOWN", self._handshake.aggregate, session=session)
        except SourceError as error:
            self._fail(error)

    @property
    def _over(self) -> bool:
        return self.phase in (Phase.DONE, Phase.MOVED)

    def _process(self) -> None:
        for item in self._exchange.take():
            if isinstance(item, Request):
                self._requested(item)
            else:
                self._answered(*item)
            if self._over:
                return
        if self.phase is Phase.HANDSHAKE and self._handshake.done:
            self.phase = Phase.PLAYING

    def _answered(self, sent: Sent, response: Response) -> None:
        if sent.purpose is Purpose.KEEP_ALIVE:
            if response.status == 454:
                raise refusal(sent, response)
            self._handshake.sessions.keep_alive_answered(sent.method, response.status)
        elif sent.purpose is Purpose.TEARDOWN:
            self._close("ended by us")
        elif self.phase is Phase.HANDSHAKE:
            if sent.purpose is Purpose.DESCRIBE and response.status in _REDIRECTS:
                self._follow(response.headers.get("location"))
            else:
                self._handshake.answered(sent, response)

    def _requested(self, request: Request) -> None:
        """The server asks: RFC 2326 §10.1 OPTIONS, §10.3 ANNOUNCE, §10.8 GET_PARAMETER (as a ping), §10.10 REDIRECT."""
        known = request.method in ("OPTIONS", "ANNOUNCE", "GET_PARAMETER", "SET_PARAMETER", "REDIRECT", "TEARDOWN", "PING")
        self._exchange.answer(
            request, *((200, "OK") if known else (501, "Not Implemented")), public=request.method == "OPTIONS"
        )
        if request.method == "ANNOUNCE" and request.body:
            try:
                self._events.append(Announced(parse_sdp(request.body)))
            except SourceError:
                # An ANNOUNCE that is no description tells nothing that the stream would not; it must not end a recording.
                return
        elif request.method == "REDIRECT" and request.headers.get("location"):
            self._follow(request.headers.get("location"))
        elif request.method in ("REDIRECT", "TEARDOWN"):
            self._close(f"the server ended the session ({request.method})")

    def _follow(self, location: str) -> None:
        self._redirects += 1
        if self._redirects > MAX_REDIRECTS:
            raise SourceError(f"it redirects more than {MAX_REDIRECTS} times: set the camera's final address")
        try:
            self.address, same_host = redirect(self.address, location)
        except UsageError as error:
            raise SourceRefused(f"it redirects to where we do not follow: {error}") from error
        if not same_host:
            self._authenticator.forget()
            self._withheld = True
        self.phase = Phase.MOVED
        self._events.append(Reconnect(self.address))

    def _keep_alive(self, now_us: int) -> None:
        method = self._handshake.sessions.keep_alive_due(now_us, self._handshake.public)
        if not method:
            return
        # A camera that never answers keep-alives still counts them; only one round is ever waited for.
        self._exchange.drop(Purpose.KEEP_ALIVE)
        for session in self._handshake.sessions.distinct:
            self._exchange.send(Purpose.KEEP_ALIVE, method, self._handshake.aggregate, session=session)

    def _close(self, reason: str) -> None:
        self.phase = Phase.DONE
        self._events.append(Closed(reason))

    def _fail(self, error: SourceError) -> None:
        self.phase = Phase.DONE
        text = str(error)
        if self._withheld and isinstance(error, SourceRefused):
            text += "; the camera redirected us to another host, which does not get its password: set that address as the camera's own"
        self._events.append(Failed(type(error)(self._authenticator.scrub(f"rtsp: {self.shown}: {text}"))))
