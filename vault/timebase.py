"""UTC microseconds, media ticks and half-open intervals, and how a time is written for people and programs. The clock itself is in
`vault.clock`; whole days that people type are in `vault.days`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from vault.errors import UsageError

US = 1_000_000
"""Microseconds in a second."""

VIDEO_RATE = 90_000
"""Ticks a second of every video RTP clock (RFC 6184 §8.2.1, RFC 7798 §7.1)."""

MAX_US = 253_402_300_799_999_999
"""The last microsecond of the year 9999: the open end of a range that has none."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RELATIVE = re.compile(r"now(?:-(\d{1,9})([smhd]))?")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_zone: tzinfo = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """`[start_us, end_us)` in UTC microseconds. An empty or turned-round interval cannot be made."""

    start_us: int
    end_us: int

    def __post_init__(self) -> None:
        if self.end_us <= self.start_us:
            # What is beyond the calendar has no words.
            is_shown = 0 <= self.end_us <= self.start_us <= MAX_US
            raise UsageError(
                f"a range must end after it starts, not {self if is_shown else f'{self.start_us} µs to {self.end_us} µs'}"
            )

    def __str__(self) -> str:
        """For people, as exact as a cut is."""
        return f"{format_local(self.start_us, exact=True)} to {format_local(self.end_us, exact=True)}"

    @property
    def duration_us(self) -> int:
        return self.end_us - self.start_us

    def overlaps(self, other: Interval) -> bool:
        return self.start_us < other.end_us and other.start_us < self.end_us

    def intersection(self, other: Interval) -> Interval | None:
        start, end = max(self.start_us, other.start_us), min(self.end_us, other.end_us)
        return Interval(start, end) if start < end else None


def union(intervals: list[Interval]) -> list[Interval]:
    """The same instants as disjoint intervals in order; touching ones become one."""
    out: list[Interval] = []
    for item in sorted(intervals):
        if out and item.start_us <= out[-1].end_us:
            if item.end_us > out[-1].end_us:
                out[-1] = Interval(out[-1].start_us, item.end_us)
        else:
            out.append(item)
    return out


def subtract(whole: Interval, holes: list[Interval]) -> list[Interval]:
    """What of `whole` no hole covers, in order."""
    out: list[Interval] = []
    at = whole.start_us
    for hole in union(holes):
        if hole.end_us <= at or hole.start_us >= whole.end_us:
            continue
        if hole.start_us > at:
            out.append(Interval(at, hole.start_us))
        at = max(at, hole.end_us)
    if at < whole.end_us:
        out.append(Interval(at, whole.end_us))
    return out


def ticks_to_us(ticks: int, rate: int) -> int:
    """Media ticks at `rate` a second to microseconds, rounded to the nearest."""
    return (ticks * US + rate // 2) // rate


def us_to_ticks(us: int, rate: int) -> int:
    """Microseconds to media ticks at `rate` a second, rounded to the nearest."""
    return (us * rate + US // 2) // US


def format_us(us: int) -> str:
    """ISO 8601 in UTC with microseconds and a `Z`; the form of every `--json`."""
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def use_zone(zone: tzinfo) -> None:
    """From here on people's times are those of `zone`, in this process: the configuration's `retention.time_zone`. China's before.

    One for the process, as a host has one: a refusal or a plan's reason is worded where no configuration is.
    """
    global _zone
    _zone = zone


def local_zone() -> tzinfo:
    """The zone of people's times."""
    return _zone


def format_local(us: int, *, exact: bool = False, zone: tzinfo | None = None) -> str:
    """For people, with its offset: `2026-11-22 10:30:00+08:00`. `exact`: with milliseconds, where a cut or a gap needs them.
    `zone`: that of a document which names its own.
    """
    moment = _EPOCH + timedelta(microseconds=us)
    # The last hours of the year 9999 are beyond the calendar in zones east of Greenwich: in UTC, then.
    with suppress(OverflowError, ValueError):
        moment = moment.astimezone(zone or _zone)
    return moment.isoformat(sep=" ", timespec="milliseconds" if exact else "seconds")


def parse_time(text: str, now_us: int, zone: tzinfo | None = None) -> int:
    """`now`, `now-5m` (units s, m, h, d) or ISO 8601; one without an offset is of `zone`, else of people's times. Raises UsageError."""
    text = text.strip()
    if relative := _RELATIVE.fullmatch(text):
        amount, unit = relative.groups()
        return now_us - (int(amount) * _UNIT_SECONDS[unit] * US if amount else 0)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone or _zone)
        us = (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"'{text[:60]}' is not a time: write ISO 8601 such as 2026-11-22T10:30:00+08:00, or now-5m") from error
    if not 0 <= us <= MAX_US:
        raise UsageError(f"'{text[:60]}' is outside the years 1970 to 9999")
    return us
