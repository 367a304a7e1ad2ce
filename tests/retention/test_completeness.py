"""What of a camera's local days was recorded, as gap rows tell it."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from index.rows import GapRow
from retention.completeness import SETTLING_US, completeness, day_start_us, known_gaps, local_days
from vault.retain import local_day
from vault.timebase import US, Interval

HOUR_US = 3_600 * US


def at(text: str, zone: str = "UTC") -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * US


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        pytest.param("Asia/Shanghai", "2026-11-22", 24, id="an ordinary day"),
        pytest.param("Europe/Berlin", "2026-03-29", 23, id="the clock goes forward"),
        pytest.param("Europe/Berlin", "2026-10-25", 25, id="the clock goes back"),
        pytest.param("Asia/Kolkata", "2026-11-22", 24, id="half an hour beside the others"),
        pytest.param("Australia/Lord_Howe", "2026-10-04", 23.5, id="the clock goes forward half an hour"),
        pytest.param("America/Havana", "2026-11-01", 25, id="midnight comes twice"),
        pytest.param("America/Havana", "2026-03-08", 23, id="midnight never comes"),
        pytest.param("America/Sao_Paulo", "2018-02-17", 25, id="the hour before midnight comes twice"),
    ],
)
def test_a_local_day_is_as_long_as_its_zone_makes_it_and_nothing_of_it_is_missing(zone: str, day: str, hours: float) -> None:
    info = ZoneInfo(zone)
    start_us = day_start_us(date.fromisoformat(day), info)
    assert local_day(start_us, info) == date.fromisoformat(day)
    assert local_day(start_us - 1, info) < date.fromisoformat(day)
    [found] = local_days(Interval(start_us, start_us + HOUR_US), info)
    assert found.interval.duration_us == hours * HOUR_US
    whole = completeness([found], found.interval, [GapRow(start_us + HOUR_US, start_us + 2 * HOUR_US, "crash")])
    assert whole.days[0].whole
    assert whole.share == pytest.approx((hours - 1) / hours, abs=1e-12)


def test_days_follow_each_other_without_a_hole_where_a_zone_leaves_one_out() -> None:
    zone = ZoneInfo("Pacific/Apia")
    days = local_days(Interval(at("2011-12-28", "Pacific/Apia"), at("2012-01-02", "Pacific/Apia")), zone)
    assert [str(day.day) for day in days] == ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]
    assert all(before.interval.end_us == after.interval.start_us for before, after in itertools.pairwise(days))


ZONE = ZoneInfo("Asia/Shanghai")
START_US = at("2026-11-20", "Asia/Shanghai")
DAY_US = 24 * HOUR_US
DAYS = local_days(Interval(START_US, START_US + 3 * DAY_US), ZONE)


def test_a_gap_over_midnight_is_counted_in_both_days_and_by_its_reason() -> None:
    rows = [
        GapRow(START_US - HOUR_US, START_US + 30 * US, "unreachable"),
        GapRow(START_US + DAY_US - 10 * US, START_US + DAY_US + 20 * US, "crash"),
        GapRow(START_US + 3 * DAY_US - US, None, "unreachable"),
    ]
    whole = completeness(DAYS, Interval(START_US, START_US + 3 * DAY_US), rows)
    assert [day.missing_us for day in whole.days] == [40 * US, 20 * US, US]
    assert whole.missing_us == 61 * US
    assert whole.by_reason() == {"unreachable": 31 * US, "crash": 30 * US}
    assert [(gap.start_us - START_US, gap.lasting) for gap in whole.gaps] == [
        (0, False),
        (DAY_US - 10 * US, False),
        (3 * DAY_US - US, True),
    ]
    assert whole.worst is not None
    assert whole.worst.day == date(2026, 11, 20)


def test_a_camera_that_began_in_the_midst_is_judged_by_what_was_due_of_it() -> None:
    due = Interval(START_US + 36 * HOUR_US, START_US + 3 * DAY_US)
    whole = completeness(DAYS, due, [GapRow(START_US, START_US + 48 * HOUR_US + 6 * HOUR_US, "connecting")])
    assert [(str(day.day), day.due_us // HOUR_US, day.whole) for day in whole.days] == [
        ("2026-11-21", 12, False),
        ("2026-11-22", 24, True),
    ]
    assert whole.share == (36 - 12 - 6) / 36
    assert whole.worst is not None
    assert (whole.worst.day, whole.worst.missing_us) == (date(2026, 11, 22), 6 * HOUR_US)


@pytest.mark.parametrize(
    ("due", "collecting"),
    [
        pytest.param(Interval(START_US + 1, START_US + 2 * DAY_US - 1), True, id="two days less a microsecond at each end"),
        pytest.param(Interval(START_US + 1, START_US + 2 * DAY_US), False, id="one whole day"),
        pytest.param(None, True, id="never to record"),
    ],
)
def test_without_a_whole_day_a_camera_is_collecting(due: Interval | None, collecting: bool) -> None:
    whole = completeness(DAYS, due, [])
    assert (whole.share is None) == collecting
    assert (whole.worst is None) == collecting


NOW_US = START_US + DAY_US


@pytest.mark.parametrize(
    ("rows", "growing", "newest_us", "gaps", "until_us"),
    [
        pytest.param([], [], NOW_US - 50 * US, [], NOW_US - 50 * US, id="the newest footage is not committed yet"),
        pytest.param(
            [], [], NOW_US - SETTLING_US - 1, [GapRow(NOW_US - SETTLING_US - 1, None, "unknown")], NOW_US,
            id="nobody records and nobody said why",
        ),
        pytest.param(
            [], [Interval(NOW_US - HOUR_US, NOW_US - 2 * US)], NOW_US - HOUR_US, [], NOW_US - 2 * US, id="a long open segment"
        ),
        pytest.param(
            [GapRow(START_US, None, "unreachable")], [], START_US, [GapRow(START_US, None, "unreachable")], NOW_US,
            id="a gap that lasts",
        ),
        pytest.param(
            [GapRow(START_US, None, "unreachable")], [Interval(NOW_US - 9 * US, NOW_US - 2 * US)], START_US,
            [GapRow(START_US, NOW_US - 9 * US, "unreachable")], NOW_US - 2 * US, id="it is being recorded again",
        ),
        pytest.param(
            [GapRow(START_US, None, "unreachable")], [Interval(START_US - 9 * US, START_US)], START_US,
            [GapRow(START_US, None, "unreachable")], NOW_US, id="what waits for its commit is from before the gap",
        ),
    ],
)  # fmt: skip
def test_what_is_known_of_the_newest_time(
    rows: list[GapRow], growing: list[Interval], newest_us: int, gaps: list[GapRow], until_us: int
) -> None:
    assert known_gaps(rows, growing, newest_us, NOW_US) == (gaps, until_us)
