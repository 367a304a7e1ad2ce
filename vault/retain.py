"""Until when a segment must be kept at least: one pure rule for whoever closes it, recovers it, raises it or puts its row back. Which
class has how many days is configuration.

A minimum is the end of one local day, that of the segment's close, and days more. A raise changes the days and never that day, so it is
told with the row wherever the segment's end does not tell it: a row that is written late equals one that was written at once.
Deleting what is past it belongs to the retention package. 0 is unknown, which means keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from vault.errors import UsageError
from vault.media import SegmentFlag
from vault.timebase import MAX_US, US

MAX_DAYS: Final = 36_500

_AHEAD_US: Final = 86_400 * US
"""No segment ends so long after its close, unless the clock was wrong when it was recorded."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def min_until_us(end_us: int, closed_us: int, days: int, zone: tzinfo) -> int:
    """The instant before which the segment may not go: the end of the local day of `max(end_us, closed_us)`, and `days` more.

    The end of a local day is the first instant of the next one in `zone`, daylight saving or not; where midnight comes twice
    it is the later one: in doubt, keep. Footage closed late (a backfill) counts from its close.
    Raises UsageError for days outside 1 to 36,500 or times outside the years 1970 to 9999.
    """
    if not 1 <= days <= MAX_DAYS:
        raise UsageError(f"days to keep must be 1 to {MAX_DAYS:,}, not {days}")
    return _after(local_day(max(end_us, closed_us), zone), days, zone)


@dataclass(frozen=True, slots=True)
class Fixed:
    """What the close of a segment fixes. `flags` are to be added to its own."""

    min_until_us: int
    flags: SegmentFlag


def fixed_at_close(end_us: int, closed_us: int, days: int, zone: tzinfo, *, believed: bool) -> Fixed:
    """For the recorder's close and for recovery. `believed`: whether the clock is, at the close.

    Footage of the future was recorded under a clock that was ahead: when it was is not known, so its days count from its close, the
    latest that it can have been.
    """
    flags = day_flags(end_us, closed_us, zone)
    if not believed:
        return Fixed(0, flags | SegmentFlag.CLOCK_UNCONFIRMED)
    if end_us - closed_us > _AHEAD_US:
        return Fixed(min_until_us(closed_us, closed_us, days, zone), flags | SegmentFlag.CLOCK_UNCONFIRMED)
    return Fixed(min_until_us(end_us, closed_us, days, zone), flags)


def counted_us(end_us: int, closed_us: int, min_until_us: int, flags: SegmentFlag) -> int | None:
    """From which instant the days of a closed segment count, for its row. None where the row tells it, or nobody knows it yet."""
    if not min_until_us or tells_day(flags):
        return None
    return closed_us if flags & SegmentFlag.CLOCK_UNCONFIRMED else max(end_us, closed_us)


def day_flags(end_us: int, closed_us: int, zone: tzinfo) -> SegmentFlag:
    """How many local days after its end a segment was closed, as far as flags tell."""
    late = (local_day(max(end_us, closed_us), zone) - local_day(end_us, zone)).days
    return (SegmentFlag.NONE, SegmentFlag.CLOSED_NEXT_DAY)[late] if late < 2 else SegmentFlag.CLOSED_LATER


def raised_until_us(
    end_us: int, counted_us: int | None, min_until_us: int, flags: SegmentFlag, least_days: int, days: int, zone: tzinfo
) -> int:
    """The minimum of a closed segment whose minimum is `min_until_us`, when `days` are demanded now. Never lower than it was, and the
    same however often it is asked.

    `counted_us` or, where that is None, end and flags tell the local day of its close. A row of before there was `counted_us` may tell
    neither: its old minimum was that day and at least `least_days`, so what comes out is exact when those were its days, and later when
    it had more.
    """
    day = counted_day(end_us, counted_us, flags, zone)
    if day is None:
        day = local_day(min_until_us, zone) - timedelta(days=least_days + 1)
    return max(min_until_us, _after(day, days, zone))


def counted_day(end_us: int, counted_us: int | None, flags: SegmentFlag, zone: tzinfo) -> date | None:
    """The local day after which a closed segment's days count; None where a row of before there was `counted_us` does not tell it."""
    if counted_us is not None:
        return local_day(counted_us, zone)
    if tells_day(flags):
        return local_day(end_us, zone) + timedelta(days=bool(flags & SegmentFlag.CLOSED_NEXT_DAY))
    return None


def tells_day(flags: SegmentFlag) -> bool:
    """Whether a segment's end and flags tell the local day that its days count from."""
    return not flags & (SegmentFlag.CLOSED_LATER | SegmentFlag.RECOVERED | SegmentFlag.CLOCK_UNCONFIRMED)


def local_day(at_us: int, zone: tzinfo) -> date:
    """The date that a calendar in `zone` shows. Raises UsageError outside the years 1970 to 9999."""
    if not 0 <= at_us <= MAX_US:
        raise UsageError(f"{at_us} µs is outside the years 1970 to 9999")
    try:
        return (_EPOCH + at_us * _MICROSECOND).astimezone(zone).date()
    except OverflowError:
        return date.max


def _after(day: date, days: int, zone: tzinfo) -> int:
    """The end of the local day that is `days` after `day`."""
    try:
        end = day + timedelta(days=days + 1)
        midnights = [datetime(end.year, end.month, end.day, tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    except OverflowError:
        # Past the year 9999: as late as can be said.
        return MAX_US
    return (max(midnights) - _EPOCH) // _MICROSECOND
