"""The order in which a store fills: alarm first, then the lowest class, and nothing where all of it fits."""

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
    assert forecast(load(needed * 100 // 90 + 1, general=5, key=7), NOW_US, YEAR_US) == []


def test_the_alarm_comes_first_then_the_lowest_class_and_the_rest_last() -> None:
    found = forecast(load(1_000, general=5, viewing=1, key=4), NOW_US, YEAR_US)
    assert found is not None
    assert [(event.step, event.site_class) for event in found] == [
        (Step.ALARM, ""), (Step.STOP, "general"), (Step.STOP, "viewing"), (Step.STOP, "key"), (Step.FULL, ""),
    ]  # fmt: skip
    assert [event.at_us for event in found] == sorted(event.at_us for event in found)
    assert found[0] == Event(NOW_US + 91 * HOUR_US, Step.ALARM)
    assert found[1].at_us == NOW_US + 100 * HOUR_US


def test_a_stopped_class_leaves_room_for_the_others() -> None:
    found = forecast(load(92 * 24 * 4 * 100 // 90, general=5, key=4), NOW_US, YEAR_US)
    assert found is not None
    assert [event.site_class for event in found if event.step is Step.STOP] == ["general"]


@pytest.mark.parametrize(("due_us", "stops"), [(NOW_US, False), (NOW_US + HOUR_US, True)])
def test_what_is_due_goes_before_the_first_write_on_a_full_store(due_us: int, stops: bool) -> None:
    found = forecast(load(1_000, 1_000, ((due_us, 900),), general=5), NOW_US, 2 * HOUR_US)
    assert found is not None
    assert any(event.step is Step.STOP for event in found) is stops
