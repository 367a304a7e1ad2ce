"""The header fields of SETUP and PLAY as values: Transport, Session, RTP-Info. Pure parsing of what a server wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ingest.rtsp.urls import without_userinfo

DEFAULT_SESSION_SECONDS = 60
"""RFC 2326 §12.37."""

MAX_SESSION_CHARS = 256
MAX_TRACKS = 32

_PAIR = re.compile(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5}))?")
_TIMEOUT = re.compile(r"(?i)\btimeout\s*=\s*\"?(\d{1,6})")
_RTP_INFO = re.compile(r"(?i)(?:^|[,;\s])\s*url\s*=")


@dataclass(frozen=True, slots=True)
class Transport:
    """What a server answered to SETUP (RFC 2326 §12.39). Port and channel pairs are (RTP, RTCP).

    `interleaved` is None over UDP. `source` and `destination` are as written, unverified. `ssrc` is what the server
    announced, which many do not keep to: a hint only.
    """

    interleaved: tuple[int, int] | None = None
    client_port: tuple[int, int] | None = None
    server_port: tuple[int, int] | None = None
    multicast: bool = False
    multicast_port: tuple[int, int] | None = None
    ttl: int | None = None
    source: str = ""
    destination: str = ""
    ssrc: int | None = None
    says_tcp: bool = False


@dataclass(frozen=True, slots=True)
class TrackStart:
    """One track's entry of RTP-Info (RFC 2326 §12.33): first sequence number and RTP time, each None when absent."""

    seq: int | None = None
    rtptime: int | None = None


def parse_transport(value: str) -> Transport:
    """The first transport of the field; parameters that make no sense are passed over."""
    spec, *params = value[:4096].partition(",")[0].split(";")
    named: dict[str, str] = {}
    flags: set[str] = set()
    for item in params[:64]:
        name, equals, text = item.partition("=")
        if equals:
            named.setdefault(name.strip().lower(), text.strip().strip('"'))
        else:
            flags.add(name.strip().lower())
    ttl = named.get("ttl", "")
    return Transport(
        interleaved=_pair(named.get("interleaved", ""), 255),
        client_port=_pair(named.get("client_port", ""), 65535),
        server_port=_pair(named.get("server_port", ""), 65535),
        multicast="multicast" in flags,
        multicast_port=_pair(named.get("port", ""), 65535),
        ttl=int(ttl) if re.fullmatch(r"\d{1,3}", ttl) and int(ttl) <= 255 else None,
        source=named.get("source", "")[:255],
        destination=named.get("destination", "")[:255],
        ssrc=_ssrc(named.get("ssrc", "")),
        says_tcp=spec.strip().upper().endswith("/TCP"),
    )


def _pair(text: str, largest: int) -> tuple[int, int] | None:
    found = _PAIR.match(text)
    if found is None:
        return None
    first = int(found[1])
    second = int(found[2]) if found[2] else first + 1
    return (first, second) if first <= largest and second <= largest and first != second else None


def _ssrc(text: str) -> int | None:
    text = text.strip().removeprefix("0x").removeprefix("0X")
    return int(text, 16) if re.fullmatch(r"[0-9A-Fa-f]{1,8}", text) else None


def parse_session(value: str) -> tuple[str, int]:
    """Session id and timeout in seconds (RFC 2326 §12.37), the timeout kept within 5 s and 24 h."""
    identifier, _, params = value.partition(";")
    found = _TIMEOUT.search(params)
    seconds = int(found[1]) if found and int(found[1]) else DEFAULT_SESSION_SECONDS
    return identifier.strip()[:MAX_SESSION_CHARS], min(max(seconds, 5), 86_400)


def parse_rtp_info(values: Sequence[str], urls: Sequence[str]) -> tuple[TrackStart, ...]:
    """One TrackStart for each of the tracks' control `urls`, in their order.

    An entry belongs to the track whose URL is its own, else to the one whose URL ends with it (servers write relative
    and truncated URLs); where none fits but the counts agree, entries are taken in order.
    """
    entries = _rtp_info_entries(",".join(values)[:16_384])
    starts = [TrackStart()] * len(urls)
    taken: set[int] = set()
    for position, url in enumerate(urls):
        at = _entry_for(url, entries, taken)
        if at is None and len(entries) == len(urls) and position not in taken:
            at = position
        if at is not None:
            taken.add(at)
            starts[position] = entries[at][1]
    return tuple(starts)


def _entry_for(url: str, entries: Sequence[tuple[str, TrackStart]], taken: set[int]) -> int | None:
    names = [(at, without_userinfo(name).rstrip("/")) for at, (name, _) in enumerate(entries) if at not in taken]
    wanted = url.rstrip("/")
    for at, name in names:
        if name == wanted:
            return at
    last = wanted.rpartition("/")[2]
    return next((at for at, name in names if name and last and name.rpartition("/")[2] == last), None)


def _rtp_info_entries(text: str) -> list[tuple[str, TrackStart]]:
    starts = [(found.start(), found.end()) for found in _RTP_INFO.finditer(text)][:MAX_TRACKS]
    out: list[tuple[str, TrackStart]] = []
    for number, (_, begin) in enumerate(starts):
        part = text[begin : starts[number + 1][0] if number + 1 < len(starts) else len(text)]
        url, *params = part.split(";")
        named = {name.strip().lower(): value.strip(' ,"') for name, _, value in (item.partition("=") for item in params[:16])}
        out.append((url.strip(' ,"'), TrackStart(_number(named.get("seq", ""), 16), _number(named.get("rtptime", ""), 32))))
    return out


def _number(text: str, bits: int) -> int | None:
    """An unsigned number; one beyond its field's width is taken modulo, as some servers never wrap."""
    return int(text) % (1 << bits) if re.fullmatch(r"\d{1,20}", text) else None
