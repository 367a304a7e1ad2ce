"""The least time a segment is kept: whole local days, counted from the later of its end and its close."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vault.errors import UsageError
from vault.media import SegmentFlag
from vault.retain import Fixed, counted_us, day_flags, fixed_at_close, min_until_us, raised_until_us
from vault.timebase import MAX_US, format_us

DAY_US = 86_400_000_000


def us(text: str, zone: str = "UTC") -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("zone", "end", "days", "until"),
    [
        ("UTC", "2026-11-22T10:00:00", 30, "2026-12-23T00:00:00.000000Z"),
        ("UTC", "2026-11-22T23:59:59.999999", 30, "2026-12-23T00:00:00.000000Z"),
        ("UTC", "2026-11-23T00:00:00", 30, "2026-12-24T00:00:00.000000Z"),
        ("UTC", "2028-02-28T12:00:00", 1, "2028-03-01T00:00:00.000000Z"),
        ("Asia/Shanghai", "2026-11-22T15:59:59", 90, "2027-02-20T16:00:00.000000Z"),
        ("Asia/Shanghai", "2026-11-22T16:00:00", 90, "2027-02-21T16:00:00.000000Z"),
        # Daylight saving ends within the 30 days: the offset of the end counts, not that of the beginning.
        ("Europe/Berlin", "2026-10-10T12:00:00", 30, "2026-11-09T23:00:00.000000Z"),
        ("Europe/Berlin", "2026-03-10T12:00:00", 30, "2026-04-09T22:00:00.000000Z"),
        # Days of 23 and 25 hours.
        ("Europe/Berlin", "2026-03-28T23:30:00", 1, "2026-03-30T22:00:00.000000Z"),
        ("Europe/Berlin", "2026-10-24T22:30:00", 1, "2026-10-26T23:00:00.000000Z"),
        # No midnight: clocks go from 23:59:59 to 01:00 on 2026-04-24 in Cairo; the day begins at 01:00 = 22:00 UTC.
        ("Africa/Cairo", "2026-04-22T12:00:00", 1, "2026-04-23T22:00:00.000000Z"),
        # Midnight twice: on 2026-11-01 clocks in Havana go from 01:00 back to 00:00; the later one counts.
        ("America/Havana", "2026-10-30T12:00:00", 1, "2026-11-01T05:00:00.000000Z"),
        # Half an hour, and a day that was left out of the calendar: Samoa had no 30 December 2011.
        ("Australia/Lord_Howe", "2026-06-01T00:00:00", 1, "2026-06-02T13:30:00.000000Z"),
        ("Pacific/Apia", "2011-12-29T09:00:00", 1, "2011-12-30T10:00:00.000000Z"),
    ],
)
def test_the_end_of_the_local_day_and_so_many_days_more(zone: str, end: str, days: int, until: str) -> None:
    assert format_us(min_until_us(us(end), 0, days, ZoneInfo(zone))) == until


def test_footage_closed_late_counts_from_its_close() -> None:
    ended, closed = us("2026-01-01T00:00:00"), us("2026-11-22T10:00:00")
    assert min_until_us(ended, closed, 30, UTC) == min_until_us(closed, ended, 30, UTC) == us("2026-12-23T00:00:00")


@given(
    end_us=st.integers(0, us("2200-01-01")),
    closed_us=st.integers(0, us("2200-01-01")),
    days=st.integers(1, 3650),
    zone=st.sampled_from(
        ["UTC", "Asia/Shanghai", "Europe/Berlin", "America/Havana", "Africa/Cairo", "Pacific/Apia", "Asia/Gaza"]
    ),
)
@example(end_us=0, closed_us=0, days=1, zone="Pacific/Apia")
def test_it_is_never_less_than_the_days_and_less_than_two_days_more(end_us: int, closed_us: int, days: int, zone: str) -> None:
    until_us = min_until_us(end_us, closed_us, days, ZoneInfo(zone))
    latest_us = max(end_us, closed_us)
    # A zone may move by up to a day over the date line, and by hours otherwise.
    assert latest_us + (days - 1) * DAY_US < until_us <= latest_us + (days + 2) * DAY_US
    assert until_us <= min_until_us(end_us, closed_us + DAY_US, days, ZoneInfo(zone))
    assert until_us < min_until_us(end_us, closed_us, days + 2, ZoneInfo(zone))


@pytest.mark.parametrize(("at_us", "days"), [(0, 0), (0, -1), (0, 36_501), (-1, 30), (MAX_US + 1, 30)])
def test_days_and_times_out_of_bounds_are_refused(at_us: int, days: int) -> None:
    with pytest.raises(UsageError):
        min_until_us(at_us, at_us, days, UTC)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/Havana"])
def test_the_end_of_the_calendar_is_kept_to_its_end(zone: str) -> None:
    assert min_until_us(MAX_US, 0, 36_500, ZoneInfo(zone)) == MAX_US


ZONES = st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Berlin", "Africa/Cairo", "America/Havana", "Australia/Lord_Howe"])


@given(
    end_us=st.integers(us("2000-01-01"), us("2200-01-01")),
    late_us=st.integers(0, 5 * DAY_US),
    had=st.integers(30, 400),
    days=st.integers(30, 400),
    zone=ZONES,
    recovered=st.booleans(),
)
def test_a_raised_minimum_is_exact_however_often_it_is_asked_and_where_nothing_tells_the_day_of_close_never_lower(
    end_us: int, late_us: int, had: int, days: int, zone: str, recovered: bool
) -> None:
    place = ZoneInfo(zone)
    closed_us = end_us + late_us
    was, exact = min_until_us(end_us, closed_us, had, place), min_until_us(end_us, closed_us, max(had, days), place)
    flags = day_flags(end_us, closed_us, place) | (SegmentFlag.RECOVERED if recovered else SegmentFlag.NONE)
    counted = counted_us(end_us, closed_us, was, flags)
    assert raised_until_us(end_us, counted, was, flags, 30, days, place) == exact
    assert raised_until_us(end_us, counted, exact, flags, 30, days, place) == exact
    assert raised_until_us(end_us, counted, exact, flags, 30, min(had, days), place) == exact
    # A row of before there was `counted_us`.
    raised = raised_until_us(end_us, None, was, flags, 30, days, place)
    told = not flags & (SegmentFlag.CLOSED_LATER | SegmentFlag.RECOVERED)
    assert (counted is None) == told
    if told or had == 30:
        assert raised == exact
    assert exact <= raised <= min_until_us(end_us, closed_us, max(had, days + had - 30), place)


def test_flags_tell_how_many_local_days_later_a_segment_was_closed() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    ended = us("2026-11-22T23:59:59.999999", "Asia/Shanghai")
    flags = [day_flags(ended, ended + late_us, zone) for late_us in (-5, 0, 1, DAY_US, DAY_US + 1, 400 * DAY_US)]
    assert flags == [
        SegmentFlag.NONE, SegmentFlag.NONE, SegmentFlag.CLOSED_NEXT_DAY, SegmentFlag.CLOSED_NEXT_DAY,
        SegmentFlag.CLOSED_LATER, SegmentFlag.CLOSED_LATER,
    ]  # fmt: skip


def test_what_was_closed_in_doubt_counts_from_the_day_that_its_minimum_tells() -> None:
    """Its own time may be weeks too early; the clock was confirmed on the day from which its thirty days were counted."""
    zone, confirmed = ZoneInfo("Asia/Shanghai"), us("2026-11-22T12:00", "Asia/Shanghai")
    was = min_until_us(confirmed, confirmed, 30, zone)
    exact = min_until_us(confirmed, confirmed, 90, zone)
    for ended_us in (confirmed - 20 * DAY_US, confirmed + 400 * DAY_US):
        for counted in (None, confirmed):
            assert raised_until_us(ended_us, counted, was, SegmentFlag.CLOCK_UNCONFIRMED, 30, 90, zone) == exact


def test_a_close_fixes_minimum_and_flags_by_one_rule() -> None:
    zone, closed_us = ZoneInfo("Asia/Shanghai"), us("2026-11-22T12:00", "Asia/Shanghai")
    doubt = SegmentFlag.CLOCK_UNCONFIRMED
    for end_us, believed, fixed, counted in [
        (closed_us - 5, True, Fixed(min_until_us(closed_us, closed_us, 30, zone), SegmentFlag.NONE), None),
        (closed_us - 5, False, Fixed(0, doubt), None),
        (
            closed_us - 9 * DAY_US,
            True,
            Fixed(min_until_us(closed_us, closed_us, 30, zone), SegmentFlag.CLOSED_LATER),
            closed_us,
        ),
        (closed_us - 9 * DAY_US, False, Fixed(0, doubt | SegmentFlag.CLOSED_LATER), None),
        (closed_us + DAY_US, True, Fixed(min_until_us(closed_us + DAY_US, 0, 30, zone), SegmentFlag.NONE), None),
        # It was recorded while the clock was ahead: when it was is not known, and no reason to keep it for years.
        (closed_us + DAY_US + 1, True, Fixed(min_until_us(closed_us, closed_us, 30, zone), doubt), closed_us),
    ]:
        found = fixed_at_close(end_us, closed_us, 30, zone, believed=believed)
        assert found == fixed
        assert counted_us(end_us, closed_us, found.min_until_us, found.flags) == counted
