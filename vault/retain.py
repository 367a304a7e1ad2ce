"""Until when a segment must be kept at least: one pure rule, fixed at close, and how it is raised. Which class has how many days
is configuration.

Deleting what is past it belongs to the retention package. 0 is unknown, which means keep; whoever closes a segment under an
unconfirmed clock writes 0 and does not ask here.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from vault.errors import UsageError
from vault.media import SegmentFlag
from vault.timebase import MAX_US

MAX_DAYS: Final = 36_500

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


def day_flags(end_us: int, closed_us: int, zone: tzinfo) -> SegmentFlag:
    """How many local days after its end a segment was closed, as far as flags tell; for `raised_until_us`."""
    late = (local_day(max(end_us, closed_us), zone) - local_day(end_us, zone)).days
    return (SegmentFlag.NONE, SegmentFlag.CLOSED_NEXT_DAY)[late] if late < 2 else SegmentFlag.CLOSED_LATER


def raised_until_us(end_us: int, min_until_us: int, flags: SegmentFlag, least_days: int, days: int, zone: tzinfo) -> int:
    """The minimum of a closed segment whose minimum is `min_until_us`, when `days` are demanded now. Never lower than it was.

    `flags` tell on which local day it was closed. Where they do not (closed days later, by recovery, or under a clock that was not
    believed), the old minimum does: it was that day and at least `least_days`, so what comes out is exact when those were its days,
    and later when it had more.
    """
    if tells_day(flags):
        day = local_day(end_us, zone) + timedelta(days=bool(flags & SegmentFlag.CLOSED_NEXT_DAY))
    else:
        day = local_day(min_until_us, zone) - timedelta(days=least_days + 1)
    return max(min_until_us, _after(day, days, zone))


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
