"""How long a store lasts, on figures that can be worked out by hand."""

from __future__ import annotations

import pytest

from retention.forecast import ClassLoad, State, forecast, what_if
from vault.errors import UsageError

GENERAL = ClassLoad("general", 10, 100.0, 30)
KEY = ClassLoad("key", 5, 50.0, 90)
DAYS = {"key": 90, "general": 30, "viewing": 92}


def test_a_class_needs_its_days_and_the_day_that_is_not_over() -> None:
    assert forecast(State((GENERAL, KEY), 0, {}, None), 1).need_bytes == 31 * 100 + 91 * 50


def test_a_store_that_is_large_enough_never_fills_and_stays_level() -> None:
    seen = forecast(State((GENERAL,), 0, {}, 3_100), 100)
    assert seen.full_day is None
    assert max(seen.stored) == 3_100
    assert seen.stored[99] == 3_100
    assert (seen.shortfall_bytes, seen.held_days) == (0, {"general": 30})


def test_one_that_is_too_small_fills_on_the_day_its_bytes_say() -> None:
    seen = forecast(State((GENERAL, KEY), 0, {}, 1_500), 100)
    # 150 a day: full after ten days, and the eleventh finds no room.
    assert seen.full_day == 10
    assert seen.shortfall_bytes == 7_650 - 1_500
    assert seen.held_days == {"general": pytest.approx(30 * 1_500 / 7_650), "key": pytest.approx(90 * 1_500 / 7_650)}


def test_what_is_kept_now_leaves_when_its_minimum_says() -> None:
    seen = forecast(State((), 500, {0: 200, 2: 300}, 1_000), 3)
    assert seen.stored == (300, 300, 0)


def test_an_unknown_capacity_gives_no_answer_that_looks_like_one() -> None:
    seen = forecast(State((GENERAL,), 0, {}, None), 10)
    assert (seen.full_day, seen.shortfall_bytes, seen.held_days) == (None, None, None)


def test_what_if_adds_cameras_and_changes_the_store() -> None:
    state = what_if(State((GENERAL,), 0, {}, 10**12), ["500@key:4M", "2@general:1M"], "+200T", DAYS)
    general, key = state.loads
    assert (key.cameras, key.days, key.bytes_a_day) == (500, 90, 500 * 500_000 * 86_400)
    assert (general.cameras, general.bytes_a_day) == (12, 100 + 2 * 125_000 * 86_400)
    assert state.capacity_bytes == 201 * 10**12
    assert what_if(state, [], "-201T", DAYS).capacity_bytes == 0
    assert what_if(state, [], "5P", DAYS).capacity_bytes == 5 * 10**15


@pytest.mark.parametrize("text", ["", "T", "1X", "-5T", "1e9", "nan", "99999999999T", "1.T"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a size"):
        what_if(State((), 0, {}, 10**12), [], f"+{text}", DAYS)


def test_a_store_of_no_size_is_refused() -> None:
    with pytest.raises(UsageError, match="not a size"):
        what_if(State((), 0, {}, 10**12), [], "", DAYS)


def test_more_of_an_unknown_store_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown"):
        what_if(State((), 0, {}, None), [], "+1T", DAYS)
