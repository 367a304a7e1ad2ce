"""Until when a segment must be kept at least: one pure rule, fixed at close. Which class has how many days is configuration.

Deleting what is past it belongs to the retention package. 0 is unknown, which means keep; whoever closes a segment under an
unconfirmed clock writes 0 and does not ask here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from vault.errors import UsageError
from vault.timebase import MAX_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def min_until_us(end_us: int, closed_us: int, days: int, zone: tzinfo) -> int:
    """The instant before which the segment may not go: the end of the local day of `max(end_us, closed_us)`, and `days` more.

    The end of a local day is the first instant of the next one in `zone`, daylight saving or not; where midnight comes twice
    it is the later one: in doubt, keep. Footage closed late (a backfill) counts from its close.
    Raises UsageError for days outside 1 to 36,500 or times outside the years 1970 to 9999.
    """
    if not 1 <= days <= 36_500:
        raise UsageError(f"days to keep must be 1 to 36,500, not {days}")
    latest_us = max(end_us, closed_us)
    if not 0 <= latest_us <= MAX_US:
        raise UsageError(f"{latest_us} µs is outside the years 1970 to 9999")
    try:
        local = (_EPOCH + latest_us * _MICROSECOND).astimezone(zone)
        day = local.date() + timedelta(days=days + 1)
        midnights = [datetime(day.year, day.month, day.day, tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    except OverflowError:
        # Past the year 9999: as late as can be said.
        return MAX_US
    return (max(midnights) - _EPOCH) // _MICROSECOND
