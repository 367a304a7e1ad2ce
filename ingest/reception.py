"""What an `rtp://` address or an SDP file says to receive: where, from whom, and what is in the packets. Sans-IO.

Addresses are of the form

    rtp://HOST:PORT[?codec=h264|h265|alaw|ulaw|NAME/RATE][&pt=96][&source=ADDRESS|any][&interface=NAME][&rtcp=PORT|mux|off]

HOST is an address of this machine (0.0.0.0 and [::] are all of them) or a multicast group. Payload types with a fixed
meaning (RFC 3551 §6) need no query. `source` names the sender: for a group it is joined for this source only (RFC 4607), else
packets of others are dropped; `any` takes everybody's; without it the first sender is kept. `rtcp` is PORT + 1 otherwise.
Several tracks, and AAC, need an SDP file (RFC 8866), of which `a=source-filter` (RFC 4570), `a=rtcp` (RFC 3605) and
`a=rtcp-mux` (RFC 5761) are understood.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from ingest.rtsp.formats import wanted_media, why_not_recorded
from ingest.rtsp.sdp import STATIC_FORMATS, Description, Media, parse_sdp
from vault.errors import SourceRefused
from vault.secrets import redact

_NAMED = {
    "h264": "video H264/90000",
    "h265": "video H265/90000",
    "hevc": "video H265/90000",
    "alaw": "audio PCMA/8000",
    "pcma": "audio PCMA/8000",
    "ulaw": "audio PCMU/8000",
    "pcmu": "audio PCMU/8000",
}
_OTHER = re.compile(r"[A-Za-z0-9.+_-]{1,40}/[0-9]{1,9}(?:/[0-9]{1,2})?")
_KEYS = ("codec", "pt", "source", "interface", "rtcp")
ANY = "any"


@dataclass(frozen=True, slots=True)
class Reception:
    """One track to receive. `rtcp_port` 0: none. `source`: the sender, `any`, or empty for whoever is first.

    `media` None: the address does not say it all, and `media_of` completes it by the first packet's payload type; `coded`
    is then what the address says of the codec, maybe nothing. `from_sdp`: the address is what the file's writer took for ours.
    """

    host: str
    port: int
    rtcp_port: int
    muxed: bool = False
    source: str = ""
    interface: str = ""
    ttl: int = 1
    media: Media | None = None
    coded: str = ""
    payload_type: int = -1
    from_sdp: bool = False

    @property
    def is_multicast(self) -> bool:
        return _is_multicast(self.host)

    @property
    def payload_types(self) -> tuple[int, ...]:
        """Those that are expected; empty for any."""
        if self.media is not None:
            return tuple(item.payload_type for item in self.media.formats)
        return () if self.payload_type < 0 else (self.payload_type,)


def reception_of_url(url: str) -> Reception:
    """An `rtp://` address. Raises SourceRefused that says what is wrong with it."""
    shown = redact(url)[:200]
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise SourceRefused(f"{shown}: {error}") from error
    if not host or not port:
        raise SourceRefused(f"{shown}: write rtp://ADDRESS:PORT, where ADDRESS is this machine's or a multicast group")
    values = dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=20))
    unknown = [key for key in values if key not in _KEYS]
    if unknown:
        raise SourceRefused(f"{shown}: {unknown[0][:20]!r} is not known there; known are {', '.join(_KEYS)}")
    payload_type = _number(values.get("pt", ""), "pt", 127, shown)
    coded = _coded(values.get("codec", ""), shown)
    if payload_type >= 0 and not coded and payload_type not in STATIC_FORMATS:
        raise SourceRefused(f"{shown}: payload type {payload_type} has no fixed meaning: add codec=h264, or whatever is sent")
    rtcp = values.get("rtcp", "")
    muxed = rtcp == "mux"
    if muxed or rtcp == "off":
        rtcp_port = 0
    else:
        rtcp_port = _number(rtcp, "rtcp", 65535, shown) if rtcp else (port + 1 if port < 65535 else 0)
    source = _source(values.get("source", ""), host, shown)
    return Reception(
        host, port, rtcp_port, muxed, source, values.get("interface", "")[:64], 1, None, coded, payload_type
    )  # fmt: skip


def _coded(codec: str, shown: str) -> str:
    if not codec:
        return ""
    if codec.lower() in _NAMED:
        return _NAMED[codec.lower()]
    if codec.lower() in ("aac", "mpeg4-generic"):
        raise SourceRefused(f"{shown}: AAC cannot be taken apart without its configuration: add the camera by an SDP file")
    if not _OTHER.fullmatch(codec):
        raise SourceRefused(
            f"{shown}: codec {codec[:40]!r} is not known: it is one of {', '.join(_NAMED)}, or NAME/RATE as in an SDP"
        )
    return f"video {codec}"


def _number(text: str, name: str, limit: int, shown: str) -> int:
    """-1 for an empty text."""
    if not text:
        return -1
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= limit):
        raise SourceRefused(f"{shown}: {name} is a number up to {limit}, or leave it out")
    return int(text)


def _source(text: str, host: str, shown: str) -> str:
    if not text or text == ANY:
        return text
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise SourceRefused(f"{shown}: source is the sender's numeric address, or 'any'") from None
    if _is_multicast(host) and ipaddress.ip_address(host).version != address.version:
        raise SourceRefused(f"{shown}: group and source are of different IP versions")
    return str(address)


def media_of(reception: Reception, payload_type: int) -> Media:
    """The media that packets of this type are, by the address and RFC 3551 §6. Raises SourceRefused when neither says."""
    if reception.media is not None:
        return reception.media
    kind, _, coded = reception.coded.partition(" ")
    if not coded:
        if payload_type not in STATIC_FORMATS:
            raise SourceRefused(
                f"packets of payload type {payload_type} arrive at {reception.host}:{reception.port}, and that type has no fixed "
                f"meaning: add ?codec=h264&pt={payload_type}, or whatever the sender sends, to the address"
            )
        name, rate, channels = STATIC_FORMATS[payload_type]
        kind, coded = ("audio" if channels else "video"), f"{name}/{rate}"
    text = f"m={kind} {reception.port} RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {coded}\r\n"
    return parse_sdp(text.encode()).media[0]


def receptions_of_sdp(data: bytes) -> tuple[Reception, ...]:
    """The tracks of an SDP file that are recorded. Raises SourceError, SourceRefused when there is none to receive."""
    description = parse_sdp(data)
    usable = [media for media in description.media if media.port and _host_of(media)]
    found = tuple(_reception(description, usable[at]) for at in wanted_media(usable))
    if not found:
        raise SourceRefused(f"the SDP file has nothing to receive: {_why_nothing(description.media)}")
    return found


def _why_nothing(media: Sequence[Media]) -> str:
    if not media:
        return "it has no m= line (RFC 8866 §5.14)"
    item = media[0]
    return why_not_recorded(item) or ("its port is 0" if not item.port else "no c= line says where to (RFC 8866 §5.7)")


def _host_of(media: Media) -> str:
    return media.connection.address if media.connection is not None else ""


def _reception(description: Description, media: Media) -> Reception:
    host = _host_of(media)
    muxed = media.has("rtcp-mux")
    words = media.attribute("rtcp").split()
    rtcp_port = int(words[0]) if words and re.fullmatch(r"[0-9]{1,5}", words[0]) else media.port + 1
    ttl = media.connection.ttl if media.connection is not None else None
    return Reception(
        host,
        media.port,
        0 if muxed or rtcp_port > 65535 else rtcp_port,
        muxed,
        _filtered(media.attribute("source-filter") or description.attribute("source-filter"), host),
        ttl=ttl or 1,
        media=media,
        from_sdp=True,
    )


def _filtered(text: str, host: str) -> str:
    """The source of `incl IN IP4 232.3.4.5 192.0.2.10` for this destination (RFC 4570 §3), of several the first."""
    words = text.split()
    if len(words) < 5 or words[0].lower() != "incl" or words[3] not in ("*", host):
        return ""
    try:
        return str(ipaddress.ip_address(words[4]))
    except ValueError:
        return ""


def sdp_path(url: str) -> str | None:
    """The path of an SDP file in a `file:///….sdp` address, None when the address is another."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() != "file" or not rest.lower().endswith(".sdp"):
        return None
    return unquote(rest.removeprefix("localhost"))


def _is_multicast(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_multicast
    except ValueError:
        return False
