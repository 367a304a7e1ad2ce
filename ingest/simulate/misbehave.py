"""What a simulated camera can do wrong, and when: values and the option text they are written in. Nothing is done here."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from vault.errors import UsageError


class Kind(StrEnum):
    """The ways of misbehaving."""

    DROP = "drop"
    """RTP packets are left out with probability `rate`; their sequence numbers are missing."""
    REORDER = "reorder"
    """With probability `rate` a packet trades places with the next one."""
    DUPLICATE = "duplicate"
    """With probability `rate` a packet is sent twice."""
    STALL = "stall"
    """From `after` on for `for` seconds no media; `late` true sends it all at the end, false leaves it out."""
    JUMP = "jump"
    """RTP timestamps jump by `by` seconds; sender reports stay with the new ones."""
    WRAP = "wrap"
    """RTP timestamps wrap round `after` seconds after the start."""
    PARAMS = "params"
    """The picture's parameters change: to a smaller picture and back at key frames, or, with `inside`, another PPS in a GOP."""
    CLOSE = "close"
    """The connection ends; `reset` true by RST."""
    HALFOPEN = "halfopen"
    """The camera neither sends nor answers any more, and does not close (`for` seconds, 0 for ever)."""
    GARBAGE = "garbage"
    """`bytes` random bytes between two packets of the stream."""
    SSRC = "ssrc"
    """SSRC, sequence numbers and timestamps begin anew, as after a restart of the camera."""
    GOP = "gop"
    """A key frame only every `every` seconds."""
    NOKEY = "nokey"
    """Key frames are left out."""
    UNAUTHORIZED = "unauthorized"
    """401 to everything from `after` seconds after the camera first played."""
    SETS = "sets"
    """Parameter sets only where `where` says: `sdp` or `band`."""
    LF = "lf"
    """Answers end their lines with LF alone."""
    CSEQ = "cseq"
    """Answers carry another CSeq than the request."""
    EARLY = "early"
    """Media comes before the answer to PLAY."""
    NOPARAMETER = "noparameter"
    """GET_PARAMETER is neither offered nor answered."""


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """One way of misbehaving. Seconds count from the PLAY of each connection (`unauthorized`: from the camera's first).

    `after_s`: the first time. `every_s`: again that long after, 0 only once. `for_s`: how long it lasts where that has a
    meaning, 0 to the end. `times`: in how many connections at most, 0 in each. `cameras`: numbers, empty for all.
    """

    kind: Kind
    after_s: float = 0.0
    for_s: float = 0.0
    every_s: float = 0.0
    rate: float = 0.01
    by_s: float = 0.0
    size_bytes: int = 200
    times: int = 0
    late: bool = False
    inside: bool = False
    reset: bool = False
    where: str = "sdp"
    cameras: frozenset[int] = frozenset()

    def concerns(self, camera: int) -> bool:
        return not self.cameras or camera in self.cameras

    def active(self, elapsed_us: int) -> bool:
        """Whether it is going on `elapsed_us` after its clock began."""
        since = elapsed_us / 1e6 - self.after_s
        if since < 0:
            return False
        if self.every_s:
            since %= self.every_s
        return since < self.for_s if self.for_s else True

    def count(self, elapsed_us: int) -> int:
        """How often it has begun by then."""
        since = elapsed_us / 1e6 - self.after_s
        if since < 0:
            return 0
        return 1 + (int(since / self.every_s) if self.every_s else 0)


_OPTION = {"after": "after_s", "for": "for_s", "every": "every_s", "by": "by_s", "bytes": "size_bytes"}
_FIELDS: dict[str, Any] = {item.name: item.type for item in fields(Misbehaviour)}
_NAMES = sorted(set(_FIELDS) - set(_OPTION.values()) - {"kind"} | set(_OPTION))


def parse_misbehaviour(text: str) -> Misbehaviour:
    """`KIND[:option=value,…]`, such as `stall:after=10,for=5,every=60` or `drop:rate=1%,cameras=1-3+7`. Raises UsageError."""
    name, _, rest = text.strip().partition(":")
    try:
        kind = Kind(name.strip().lower())
    except ValueError:
        raise UsageError(f"unknown misbehaviour '{name[:40]}': it is one of {', '.join(Kind)}") from None
    values: dict[str, Any] = {}
    for item in filter(None, rest.split(",")):
        option, _, value = item.partition("=")
        option, value = option.strip().lower(), value.strip()
        if option not in _NAMES:
            raise UsageError(f"unknown option '{option[:40]}' of misbehaviour {kind}: it is one of {', '.join(_NAMES)}")
        field = _OPTION.get(option, option)
        try:
            values[field] = _value(field, value)
        except ValueError:
            raise UsageError(f"misbehaviour {kind}: '{value[:40]}' is no value for {option}") from None
    return Misbehaviour(kind, **values)


def _value(field: str, text: str) -> object:
    kind = _FIELDS[field]
    if kind == "bool":
        if text.lower() not in ("", "1", "0", "yes", "no", "true", "false"):
            raise ValueError
        return text.lower() in ("", "1", "yes", "true")
    if kind == "int":
        number = int(text)
        if not 0 <= number <= 1_000_000:
            raise ValueError
        return number
    if kind == "float":
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        if not math.isfinite(value) or abs(value) > 1e6 or (value < 0 and field != "by_s"):
            raise ValueError
        return value
    if field == "where":
        if text not in ("sdp", "band"):
            raise ValueError
        return text
    numbers: set[int] = set()
    for part in text.split("+"):
        low, _, high = part.partition("-")
        first, last = int(low), int(high or low)
        if not 1 <= first <= last <= 1_000_000:
            raise ValueError
        numbers.update(range(first, last + 1))
    return frozenset(numbers)
