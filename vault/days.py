"""Ends of terms as people write and read them: a day of the configured zone, whole, or an instant. An open end is an empty text.
What is kept for how many days is decided in `vault.retain`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from vault.errors import UsageError
from vault.timebase import MAX_US, US, Interval, format_local, local_zone, parse_time

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_CHARS: Final = len("2026-11-22")


def begin_us(text: str, zone: tzinfo, now_us: int) -> int:
    """UTC µs of where it begins: the day's first instant, or the instant. Raises UsageError."""
    day = _day(text)
    return _midnight_us(day, zone) if day is not None else parse_time(text, now_us, zone)


def end_us(text: str, zone: tzinfo, now_us: int) -> int:
    """UTC µs of where it ends, not included: behind the day's last instant, or the instant. Raises UsageError."""
    day = _day(text)
    if day is None:
        return parse_time(text, now_us, zone)
    return MAX_US if day == date.max else _midnight_us(day + timedelta(days=1), zone)


def interval(begin: str, end: str, zone: tzinfo, now_us: int) -> Interval:
    """Empty texts are open ends. Raises UsageError."""
    return Interval(begin_us(begin, zone, now_us) if begin else 0, end_us(end, zone, now_us) if end else MAX_US)


def begin_text(us: int, zone: tzinfo) -> str:
    """What `begin_us` reads as `us`, a day where it is one's first instant; empty for the beginning of time."""
    if us <= 0:
        return ""
    moment = _local(us, zone)
    return moment.date().isoformat() if _begins_us(moment.date(), zone) == us else moment.isoformat()


def end_text(us: int | None, zone: tzinfo) -> str:
    """What `end_us` reads as `us`, a day where it ends with one; empty for an open end."""
    if us is None or us >= MAX_US:
        return ""
    moment = _local(us, zone)
    ends = _begins_us(moment.date(), zone) == us and us > 0
    return (moment.date() - timedelta(days=1)).isoformat() if ends else moment.isoformat()


def begin_shown(us: int) -> str:
    """As `begin_text` for people: an instant that is no day's first is one to the second."""
    text = begin_text(us, local_zone())
    return format_local(us) if len(text) > _DAY_CHARS else text


def end_shown(us: int | None) -> str:
    """As `end_text` for people."""
    text = end_text(us, local_zone())
    return format_local(us) if us is not None and len(text) > _DAY_CHARS else text


def span_shown(span: Interval) -> str:
    """A term or a window for people, from a day or an instant to one, a last day with all of it."""
    first, last = begin_shown(span.start_us), end_shown(span.end_us)
    if first:
        return f"from {first} to {last}" if last else f"from {first} on"
    return f"to {last}" if last else "any time"


def _day(text: str) -> date | None:
    text = text.strip()
    try:
        return date.fromisoformat(text) if len(text) == _DAY_CHARS and text[4] == "-" else None
    except ValueError:
        raise UsageError(f"{text[:20]!r} is not a date; write it as 2026-11-22") from None


def _midnight_us(day: date, zone: tzinfo) -> int:
    us = _begins_us(day, zone)
    if not 0 <= us <= MAX_US:
        raise UsageError(f"{day.isoformat()} is outside the years 1970 to 9999")
    return us


def _begins_us(day: date, zone: tzinfo) -> int:
    """Below 0 for a day that begins before 1970, or that this zone has no calendar for."""
    try:
        return (datetime.combine(day, time.min, zone) - _EPOCH) // timedelta(microseconds=1)
    except (OverflowError, ValueError):
        return -1


def _local(us: int, zone: tzinfo) -> datetime:
    moment = _EPOCH + timedelta(seconds=us // US, microseconds=us % US)
    try:
        return moment.astimezone(zone)
    except OverflowError:
        # The last hours of the year 9999 where the clocks are ahead.
        return moment
