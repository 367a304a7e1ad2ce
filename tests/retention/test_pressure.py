"""The order in which a store fills: what is due first, an alarm, then the lowest class, and nothing where all of it fits."""

from __future__ import annotations

import pytest

from retention.pressure import HOUR_US, Event, Load, Step, forecast

NOW_US = 1_795_305_600_000_000
DAYS = {"general": 30, "viewing": 92, "key": 90}
YEAR_US = 365 * 24 * HOUR_US


def load(capacity: int | None, used: int = 0, expiring: tuple[tuple[int, int], ...] = (), **rates: int) -> Load:
    return Load(capacity, used, rates, expiring, DAYS)


def test_an_unknown_capacity_is_no_forecast() -> None:
    assert forecast(load(None, general=1), NOW_US, YEAR_US) is None


def test_a_store_that_holds_every_class_for_its_time_never_fills() -> None:
    needed = 31 * 24 * 5 + 91 * 24 * 7
    assert forecast(load(needed * 100 // 85 + 10, general=5, key=7), NOW_US, YEAR_US) == []


def test_each_step_comes_at_the_moment_that_its_room_is_reached() -> None:
    assert forecast(load(1_000, general=5, viewing=1, key=4), NOW_US, YEAR_US) == [
        Event(NOW_US + 85 * HOUR_US, Step.RUN),
        Event(NOW_US + 90 * HOUR_US, Step.ALARM),
        Event(NOW_US + 95 * HOUR_US, Step.HASTE),
        Event(NOW_US + 98 * HOUR_US, Step.STOP, "general"),
        # 10 bytes more at 5 an hour, and the last 10 at 4.
        Event(NOW_US + 100 * HOUR_US, Step.STOP, "viewing"),
        Event(NOW_US + 102 * HOUR_US + HOUR_US // 2, Step.STOP, "key"),
        Event(NOW_US + 102 * HOUR_US + HOUR_US // 2, Step.FULL),
    ]


def test_a_store_that_fills_within_the_hour_gives_its_alarm_before_a_class_stops() -> None:
    found = forecast(load(1_000, general=500, key=3_500), NOW_US, HOUR_US)
    assert found is not None
    assert [(event.step, event.at_us - NOW_US) for event in found[:4]] == [
        (Step.RUN, HOUR_US * 85 // 400), (Step.ALARM, HOUR_US * 90 // 400), (Step.HASTE, HOUR_US * 95 // 400),
        (Step.STOP, HOUR_US * 99 // 400),
    ]  # fmt: skip


def test_a_stopped_class_leaves_room_for_the_others() -> None:
    found = forecast(load(92 * 24 * 4 * 100 // 90, general=5, key=4), NOW_US, YEAR_US)
    assert found is not None
    assert [event.site_class for event in found if event.step is Step.STOP] == ["general"]


@pytest.mark.parametrize(("due_us", "stops"), [(NOW_US, False), (NOW_US + HOUR_US, True)])
def test_what_is_due_goes_before_the_first_write_on_a_full_store(due_us: int, stops: bool) -> None:
    found = forecast(load(1_000, 1_000, ((due_us, 900),), general=5), NOW_US, 2 * HOUR_US)
    assert found is not None
    assert any(event.step is Step.STOP for event in found) is stops


def test_a_store_over_its_capacity_has_all_steps_behind_it() -> None:
    found = forecast(load(1_000, 1_200, general=5), NOW_US, HOUR_US)
    assert found is not None
    assert [event.step for event in found] == [Step.RUN, Step.ALARM, Step.HASTE, Step.STOP, Step.FULL]
    assert {event.at_us for event in found} == {NOW_US}


def test_a_store_that_nothing_is_recorded_into_only_gets_emptier() -> None:
    assert forecast(load(1_000, 100, ((NOW_US, 50),)), NOW_US, YEAR_US) == []
