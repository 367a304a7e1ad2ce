"""The header fields of SETUP and PLAY as values: Transport and Session. Pure parsing of what a server wrote."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_SESSION_SECONDS = 60
"""RFC 2326 §12.37."""

MAX_SESSION_CHARS = 256

_PAIR = re.compile(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5}))?")
_TIMEOUT = re.compile(r"(?i)\btimeout\s*=\s*\"?(\d{1,6})")


@dataclass(frozen=True, slots=True)
class Transport:
    """What a server answered to SETUP (RFC 2326 §12.39). Port and channel pairs are (RTP, RTCP).

    `interleaved` is None over UDP. Another host it may name as the source, and an SSRC, are passed over: packets are taken from
    the host that we are connected to, and many servers do not keep to the SSRC they announce.
    """

    interleaved: tuple[int, int] | None = None
    server_port: tuple[int, int] | None = None
    multicast: bool = False
    says_tcp: bool = False


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
    return Transport(
        interleaved=_pair(named.get("interleaved", ""), 255),
        server_port=_pair(named.get("server_port", ""), 65535),
        multicast="multicast" in flags,
        says_tcp=spec.strip().upper().endswith("/TCP"),
    )


def _pair(text: str, largest: int) -> tuple[int, int] | None:
    found = _PAIR.match(text)
    if found is None:
        return None
    first = int(found[1])
    second = int(found[2]) if found[2] else first + 1
    return (first, second) if first <= largest and second <= largest and first != second else None


def parse_session(value: str) -> tuple[str, int]:
    """Session id and timeout in seconds (RFC 2326 §12.37), the timeout kept within 5 s and 24 h."""
    identifier, _, params = value.partition(";")
    found = _TIMEOUT.search(params)
    seconds = int(found[1]) if found and int(found[1]) else DEFAULT_SESSION_SECONDS
    return identifier.strip()[:MAX_SESSION_CHARS], min(max(seconds, 5), 86_400)
