"""SDP (RFC 8866) into values, bounded and tolerant: cameras' descriptions, SDP files, GB/T 28181 bodies. No choice of tracks here."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from vault.errors import SourceError

MAX_SDP_BYTES = 1 << 20
MAX_LINES = 8192
MAX_MEDIA = 32
MAX_ATTRIBUTES = 512
MAX_FORMATS = 32
MAX_FMTP_ITEMS = 64
MAX_CLOCK = 1_000_000_000

STATIC_FORMATS: dict[int, tuple[str, int, int]] = {
    0: ("PCMU", 8000, 1),
    3: ("GSM", 8000, 1),
    4: ("G723", 8000, 1),
    5: ("DVI4", 8000, 1),
    6: ("DVI4", 16000, 1),
    7: ("LPC", 8000, 1),
    8: ("PCMA", 8000, 1),
    9: ("G722", 8000, 1),
    10: ("L16", 44100, 2),
    11: ("L16", 44100, 1),
    12: ("QCELP", 8000, 1),
    13: ("CN", 8000, 1),
    14: ("MPA", 90000, 0),
    15: ("G728", 8000, 1),
    16: ("DVI4", 11025, 1),
    17: ("DVI4", 22050, 1),
    18: ("G729", 8000, 1),
    25: ("CELB", 90000, 0),
    26: ("JPEG", 90000, 0),
    28: ("NV", 90000, 0),
    31: ("H261", 90000, 0),
    32: ("MPV", 90000, 0),
    33: ("MP2T", 90000, 0),
    34: ("H263", 90000, 0),
}
"""Payload type to encoding name, clock rate and channels (RFC 3551 §6)."""

_LINE = re.compile(r"\s*([A-Za-z])\s*=(.*)", re.DOTALL)
_NUMBER = re.compile(r"\d{1,9}")


@dataclass(frozen=True, slots=True)
class Connection:
    """A `c=` line (RFC 8866 §5.7). `ttl` is None where none is written; `count` addresses follow each other."""

    address: str
    ttl: int | None = None
    count: int = 1

    @property
    def is_multicast(self) -> bool:
        try:
            return ipaddress.ip_address(self.address).is_multicast
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Format:
    """One payload type of a media: encoding name in upper case (empty when unknown), clock in Hz (0 unknown), channels, fmtp.

    `fmtp` has parameter names in lower case; a parameter without a value has an empty one. `fmtp_text` is the line as written.
    """

    payload_type: int
    encoding: str = ""
    clock_rate: int = 0
    channels: int = 0
    fmtp: tuple[tuple[str, str], ...] = ()
    fmtp_text: str = ""

    def parameter(self, name: str) -> str:
        """An fmtp parameter's value by its lower-case name, or an empty string."""
        return next((value for key, value in self.fmtp if key == name), "")


@dataclass(frozen=True, slots=True)
class Media:
    """One `m=` section. `formats` is in the order of the line and never empty; `attributes` are `(name, value)` in order."""

    index: int
    kind: str
    port: int
    proto: str
    formats: tuple[Format, ...]
    connection: Connection | None
    attributes: tuple[tuple[str, str], ...]
    extra: tuple[tuple[str, str], ...]

    @property
    def format(self) -> Format:
        """The first format: the one the server prefers."""
        return self.formats[0]

    @property
    def control(self) -> str:
        return self.attribute("control")

    @property
    def framerate(self) -> float:
        """Frames a second as `a=framerate` says, 0 when it does not."""
        try:
            rate = float(self.attribute("framerate")[:20])
        except ValueError:
            return 0.0
        return rate if 0 < rate <= 1000 else 0.0

    def attribute(self, name: str) -> str:
        """The first value of an attribute by its lower-case name, or an empty string."""
        return next((value for key, value in self.attributes if key == name), "")

    def has(self, name: str) -> bool:
        return any(key == name for key, _ in self.attributes)


@dataclass(frozen=True, slots=True)
class Description:
    """A session description. `extra` are lines of types without a field here (`o`, `t`, and `y`, `f` of GB/T 28181)."""

    name: str
    connection: Connection | None
    attributes: tuple[tuple[str, str], ...]
    extra: tuple[tuple[str, str], ...]
    media: tuple[Media, ...]

    @property
    def control(self) -> str:
        return self.attribute("control")

    @property
    def range(self) -> str:
        return self.attribute("range")

    def attribute(self, name: str) -> str:
        return next((value for key, value in self.attributes if key == name), "")


class _Section:
    """What is collected between one `m=` line and the next."""

    def __init__(self, media_line: str = "") -> None:
        self.media_line = media_line
        self.name = ""
        self.connection: Connection | None = None
        self.attributes: list[tuple[str, str]] = []
        self.extra: list[tuple[str, str]] = []

    def line(self, kind: str, value: str) -> None:
        if kind == "a":
            name, _, text = value.partition(":")
            if len(self.attributes) < MAX_ATTRIBUTES and name.strip():
                self.attributes.append((name.strip().lower(), text.strip()))
        elif kind == "c":
            self.connection = self.connection or _connection(value)
        elif kind == "s" and not self.media_line:
            self.name = value[:200]
        elif len(self.extra) < MAX_ATTRIBUTES:
            self.extra.append((kind, value))


def parse_sdp(data: bytes) -> Description:
    """Parses a description. Lines that are not `x=…` and sections that make no sense are passed over.

    Raises SourceError when it is larger than the bounds above or when no line of it is SDP.
    """
    if len(data) > MAX_SDP_BYTES:
        raise SourceError(f"the description has {len(data)} bytes; at most {MAX_SDP_BYTES}")
    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(lines) > MAX_LINES:
        raise SourceError(f"the description has {len(lines)} lines; at most {MAX_LINES}")
    session = _Section()
    sections: list[_Section] = []
    current, seen = session, False
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        seen = True
        kind, value = found[1].lower(), found[2].strip(" \t\0")
        if kind == "m":
            if len(sections) == MAX_MEDIA:
                raise SourceError(f"the description has more than {MAX_MEDIA} media sections")
            current = _Section(value)
            sections.append(current)
        else:
            current.line(kind, value)
    if not seen:
        raise SourceError("the description is not SDP: no line of it is of the form 'x=…' (RFC 8866 §5)")
    media = (_media(index, section, session.connection) for index, section in enumerate(sections))
    return Description(
        session.name,
        session.connection,
        tuple(session.attributes),
        tuple(session.extra),
        tuple(item for item in media if item is not None),
    )


def _connection(value: str) -> Connection | None:
    """`IN IP4 224.2.36.42/127/3`; in IPv6 the number behind the slash is the count, there is no TTL (RFC 8866 §5.7)."""
    words = value.split()
    if len(words) < 3 or len(words[2]) > 255:
        return None
    address, *numbers = words[2].split("/")
    values = [int(item) for item in numbers if _NUMBER.fullmatch(item)][:2]
    if words[1].upper() == "IP6":
        return Connection(address, None, min(values[0], 64) if values and values[0] else 1)
    ttl = min(values[0], 255) if values else None
    return Connection(address, ttl, min(max(values[1], 1), 64) if len(values) > 1 else 1)


def _media(index: int, section: _Section, inherited: Connection | None) -> Media | None:
    """`video 49170/2 RTP/AVP 96 97` (RFC 8866 §5.14). None when it has not even a kind."""
    words = section.media_line.split()
    if not words:
        return None
    port_text, _, _ = (words[1] if len(words) > 1 else "0").partition("/")
    port = int(port_text) if _NUMBER.fullmatch(port_text) and int(port_text) <= 65535 else 0
    types = [int(word) for word in words[3 : 3 + MAX_FORMATS] if _NUMBER.fullmatch(word) and int(word) <= 127]
    if not types:
        # An m= line without a usable type is still worth keeping when an rtpmap names one.
        types = [number for number, _ in _numbered(section, "rtpmap")][:1]
    formats = tuple(_format(number, section) for number in dict.fromkeys(types)) or (Format(127),)
    return Media(
        index=index,
        kind=words[0].lower()[:32],
        port=port,
        proto=words[2].upper()[:64] if len(words) > 2 else "",
        formats=formats,
        connection=section.connection or inherited,
        attributes=tuple(section.attributes),
        extra=tuple(section.extra),
    )


def _numbered(section: _Section, name: str) -> list[tuple[int, str]]:
    """Attributes of the form `name:96 text` as (96, text); the blank is missing at some cameras, a tab at others."""
    out: list[tuple[int, str]] = []
    for key, value in section.attributes:
        if key == name and (number := re.match(r"\s*(\d{1,3})(?!\d)\s*(.*)", value, re.DOTALL)) and int(number[1]) <= 127:
            out.append((int(number[1]), number[2].strip()))
    return out


def _format(number: int, section: _Section) -> Format:
    encoding, clock_rate, channels = STATIC_FORMATS.get(number, ("", 0, 0))
    mapped = next((text for key, text in _numbered(section, "rtpmap") if key == number), "")
    if mapped:
        name, *rest = (part.strip() for part in mapped.split("/"))
        numbers = [int(part) if _NUMBER.fullmatch(part) else 0 for part in rest]
        encoding = name.upper()[:64]
        clock_rate = numbers[0] if numbers and 0 < numbers[0] <= MAX_CLOCK else clock_rate
        channels = numbers[1] if len(numbers) > 1 and 0 < numbers[1] <= 255 else channels
    text = next((text for key, text in _numbered(section, "fmtp") if key == number), "")
    return Format(number, encoding, clock_rate, channels, _fmtp(text), text)


def _fmtp(text: str) -> tuple[tuple[str, str], ...]:
    """`packetization-mode=1; sprop-parameter-sets=Z0I…==,aM4…` into pairs; a value may hold `=` itself."""
    out: list[tuple[str, str]] = []
    for item in text.split(";")[:MAX_FMTP_ITEMS]:
        name, _, value = item.partition("=")
        if name.strip():
            out.append((name.strip().lower()[:64], value.strip().strip('"')))
    return tuple(out)
