"""What the RTSP client tells its caller, as values. What to do about each stands at the class; nothing here acts."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.rtsp.sdp import Description, Media
from ingest.rtsp.transport import Transport
from ingest.rtsp.urls import RtspUrl
from vault.errors import SourceError


@dataclass(frozen=True, slots=True)
class Track:
    """A media that is set up. `index` counts the chosen media from 0; `urls` are where SETUP may be sent, likeliest first."""

    index: int
    media: Media
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Described:
    """The description arrived and tracks were chosen from it; SETUP follows by itself."""

    description: Description
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class NeedUdpPorts:
    """The caller binds an even RTP port and the odd one above it and answers with `udp_ports`; the client waits for it."""

    track: Track


@dataclass(frozen=True, slots=True)
class SetupDone:
    """A track is set up. Over UDP packets come from `transport.server_port` of the host we are connected to."""

    track: Track
    transport: Transport


@dataclass(frozen=True, slots=True)
class TrackSkipped:
    """The server would not set up this track; the others go on without it."""

    track: Track
    reason: str


@dataclass(frozen=True, slots=True)
class Playing:
    """Media flows from now on (it may have begun before)."""


@dataclass(frozen=True, slots=True)
class Announced:
    """The server sent a new description while playing (ANNOUNCE); the tracks stay as they were set up."""

    description: Description


@dataclass(frozen=True, slots=True)
class Reconnect:
    """The caller closes this connection, connects to `address` (TLS when `address.tls`) and calls `start` again.

    It is a redirect, or the same address for a server that hangs up behind a 401.
    """

    address: RtspUrl


@dataclass(frozen=True, slots=True)
class Failed:
    """The end: the connection is of no more use. The error is for a log and for a gap row as it is."""

    error: SourceError


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a session that had been playing, or of our own TEARDOWN."""

    reason: str


Event = Described | NeedUdpPorts | SetupDone | TrackSkipped | Playing | Announced | Reconnect | Failed | Closed
