"""From OPTIONS to PLAY: which request follows which answer, URLs and transports tried in turn. No time, no sockets."""

from __future__ import annotations

from collections import deque
from typing import Literal

from ingest.rtsp.events import Described, Event, NeedUdpPorts, Playing, SetupDone, Track, TrackSkipped
from ingest.rtsp.exchange import Exchange, Purpose, Sent
from ingest.rtsp.formats import wanted_media, why_not_recorded
from ingest.rtsp.message import Response
from ingest.rtsp.sdp import parse_sdp
from ingest.rtsp.sessions import Sessions
from ingest.rtsp.transport import Transport, parse_transport
from ingest.rtsp.urls import base_url, control_urls, is_absolute, shown_url
from vault.errors import SourceDenied, SourceError, SourceRefused

TransportChoice = Literal["tcp", "udp", "auto"]

_HINTS = {
    403: "the user may not see this stream: give it the right to in the camera",
    404: "check the path of the URL, and whether the channel is connected",
    406: "the camera offers no SDP description",
    453: "the camera has no bandwidth left: close other viewers",
    454: "the session is gone and has to be set up anew",
    461: "the camera offers no transport that we may use: set this camera's transport to auto",
    503: "the camera is busy, often because too many viewers are connected",
}
_REFUSALS = {403, 406, 415, 461, 505, 551}


def refusal(sent: Sent, response: Response) -> SourceRefused:
    """The error for an answer that is not a success; SourceDenied where asking again may help."""
    reason = f" {response.reason}" if response.reason else ""
    hint = f": {_HINTS[response.status]}" if response.status in _HINTS else ""
    kind = SourceRefused if response.status in _REFUSALS else SourceDenied
    return kind(f"{sent.method} {shown_url(sent.url)} was answered {response.status}{reason}{hint}")


class Handshake:
    """One connection's way to PLAY. Puts its events into the list it is given; raises SourceError when there is no way on."""

    def __init__(
        self,
        exchange: Exchange,
        url: str,
        transport: TransportChoice,
        events: list[Event],
    ) -> None:
        self.tracks: tuple[Track, ...] = ()
        self.channels: dict[int, tuple[int, bool]] = {}
        self.public: frozenset[str] = frozenset()
        self.sessions = Sessions()
        self.aggregate = url
        self.done = False
        self._exchange = exchange
        self._url = url
        self._transport: TransportChoice = transport
        self._events = events
        self._tries: deque[tuple[str, str]] = deque()
        self._at_track = 0
        self._set_up: dict[int, str] = {}
        self._plays_due = 0

    def begin(self) -> None:
        self._exchange.send(Purpose.OPTIONS, "OPTIONS", self._url)

    def udp_ports(self, track: Track, rtp_port: int, rtcp_port: int) -> None:
        """The ports for a track that NeedUdpPorts asked for."""
        if self._tries and self._tries[0][0] == "udp" and track.index == self._at_track:
            self._send_setup(f"RTP/AVP;unicast;client_port={rtp_port}-{rtcp_port}")

    def answered(self, sent: Sent, response: Response) -> None:
        """One of the requests of this handshake was answered. Redirects never get here."""
        ok = 200 <= response.status < 300
        if sent.purpose is Purpose.OPTIONS:
            # A server that does not know OPTIONS is none the worse for it; it is asked for what it offers only.
            offered = ",".join((*response.headers.all("public"), *response.headers.all("allow"))) if ok else ""
            self.public = frozenset(word.strip().upper() for word in offered[:1024].split(",") if word.strip())
            self._exchange.send(Purpose.DESCRIBE, "DESCRIBE", self._url, [("Accept", "application/sdp")])
        elif sent.purpose is Purpose.SETUP:
            self._setup_answered(sent, response, ok)
        elif sent.purpose is Purpose.PLAY:
            self._play_answered(sent, response, ok)
        elif ok:
            self._described(response)
        else:
            raise refusal(sent, response)

    def _described(self, response: Response) -> None:
        description = parse_sdp(response.body)
        headers = response.headers
        base = base_url(self._url, headers.get("content-base"), headers.get("content-location"))
        self.aggregate = control_urls(base, description.control)[0]
        media = [description.media[at] for at in wanted_media(description.media)]
        if not media:
            reasons = "; ".join(why_not_recorded(item) or "not wanted" for item in description.media[:4])
            raise SourceRefused(f"it offers nothing that can be recorded ({reasons or 'no media at all'})")
        # Tracks hang on the session's own control when that is a URL (RFC 2326 §C.1.1); a relative one names the aggregate only.
        under = self.aggregate if is_absolute(description.control) else base
        self.tracks = tuple(Track(at, item, control_urls(under, item.control)) for at, item in enumerate(media))
        self._events.append(Described(description, self.tracks))
        self._set_up_from(0)

    def _set_up_from(self, index: int) -> None:
        self._at_track = index
        if index < len(self.tracks):
            kinds = ("tcp", "udp") if self._transport == "auto" else (self._transport,)
            self._tries = deque((kind, url) for kind in kinds for url in self.tracks[index].urls)
            self._try_setup()
            return
        self._tries.clear()
        self._send_plays(aggregate=len(self.sessions.distinct) == 1)

    def _try_setup(self) -> None:
        track = self.tracks[self._at_track]
        if self._tries[0][0] == "udp":
            self._events.append(NeedUdpPorts(track))
            return
        free = (number for number in range(2 * track.index, 255, 2) if not {number, number + 1} & self.channels.keys())
        first = next(free, 0)
        self._send_setup(f"RTP/AVP/TCP;unicast;interleaved={first}-{first + 1}")

    def _send_setup(self, transport: str) -> None:
        headers = [("Transport", transport)]
        session = self.sessions.latest
        self._exchange.send(Purpose.SETUP, "SETUP", self._tries[0][1], headers, session=session, track=self._at_track)

    def _setup_answered(self, sent: Sent, response: Response, ok: bool) -> None:
        if not self._tries or sent.track != self._at_track:
            return
        track = self.tracks[self._at_track]
        kind, url = self._tries[0]
        agreed = self._agree(kind, sent, response) if ok else refusal(sent, response)
        if isinstance(agreed, Transport):
            self.sessions.learn(url, response.headers.get("session"))
            self._set_up[track.index] = url
            self._events.append(SetupDone(track, agreed))
            self._set_up_from(track.index + 1)
            return
        # 461 speaks against the transport, 404 against the URL, anything else against this pair.
        against_kind, against_url = ok or response.status == 461, response.status == 404
        rest = list(self._tries)[1:]
        self._tries = deque(
            one for one in rest if not (against_kind and one[0] == kind) and not (against_url and one[1] == url)
        )
        if self._tries:
            self._try_setup()
        elif track.media.kind == "video" or (not self._set_up and track.index == len(self.tracks) - 1):
            raise agreed
        else:
            self._events.append(TrackSkipped(track, str(agreed)))
            self._set_up_from(track.index + 1)

    def _agree(self, kind: str, sent: Sent, response: Response) -> Transport | SourceError:
        """The transport both sides use now, or why it cannot be used. Channels are the server's, not the ones asked for."""
        transport = parse_transport(response.headers.get("transport"))
        asked = parse_transport(dict(sent.headers)["Transport"])
        if transport.multicast:
            return SourceRefused(
                "it answers SETUP with multicast where unicast was asked for: switch multicast off in the camera, "
                "or record the group itself by an rtp:// address"
            )
        if transport.interleaved is None and kind == "tcp":
            if transport.server_port is not None and not transport.says_tcp:
                return SourceRefused(
                    "it answers SETUP with UDP where TCP was asked for: set this camera's transport to udp or auto"
                )
            transport = asked
        if transport.interleaved is None:
            return transport
        if set(transport.interleaved) & self.channels.keys():
            # Two tracks on one channel could not be told apart; what was asked for is free, and the likelier truth.
            transport = asked
        for at, channel in enumerate(transport.interleaved or ()):
            self.channels[channel] = (self._at_track, at == 1)
        self._exchange.parser.channels = frozenset(self.channels)
        return transport

    def _send_plays(self, *, aggregate: bool, from_start: bool = True) -> None:
        """PLAY once for all, or once a track where the server gave each a session or refuses aggregate control (459)."""
        headers = [("Range", "npt=0.000-")] if from_start else []
        plays = [(self.aggregate, self.sessions.distinct[0])] if aggregate else self.sessions.per_url
        self._plays_due = len(plays)
        for url, session in plays:
            self._exchange.send(Purpose.PLAY, "PLAY", url, headers, session=session, track=-1 if aggregate else 0)

    def _play_answered(self, sent: Sent, response: Response, ok: bool) -> None:
        if response.status == 459 and sent.track == -1:
            self._send_plays(aggregate=False)
            return
        if response.status == 457 and sent.headers and sent.headers[0][0] == "Range":
            # The server knows no ranges at all; every PLAY that is under way is asked again without.
            self._exchange.drop(Purpose.PLAY)
            self._send_plays(aggregate=sent.track == -1, from_start=False)
            return
        if not ok:
            raise refusal(sent, response)
        self._plays_due -= 1
        if self._plays_due == 0:
            self.done = True
            self._events.append(Playing())
