"""When a run asks first: both bounds, the horizon, and what a confirmation means."""

from __future__ import annotations

import pytest

from retention.halt import MAX_MINIMA, NOTHING, Forecast, confirmed, forecast, halt, plan_id

NOW_US = 1_795_000_000_000_000


@pytest.mark.parametrize(
    ("foretold", "due", "halts"),
    [
        (0, 1_000, False),
        (0, 1_001, True),
        (10_000, 12_000, False),
        (10_000, 12_001, True),
        (2_000, 3_000, False),
        (2_000, 3_001, True),
        (100_000, 101_001, False),
        (5_000, 0, False),
    ],
)
def test_a_run_is_halted_when_it_is_a_fifth_and_a_thousand_above_what_was_foretold(
    foretold: int, due: int, halts: bool
) -> None:
    before = Forecast(NOW_US, ((NOW_US + 1, foretold),))
    assert (halt(before, [(NOW_US, due)], NOW_US + 1) is not None) is halts


def test_what_was_doomed_since_counts_as_due() -> None:
    before = Forecast(NOW_US, ((NOW_US + 1, 1_000),), doomed=1_000)
    assert halt(before, [(NOW_US, 1_000)], NOW_US + 1) is None
    assert halt(before, [(NOW_US, 1_001)], NOW_US + 1) is not None


def test_the_nearest_minima_are_foretold_whenever_they_are() -> None:
    years_us = NOW_US + 2 * 365 * 86_400_000_000
    told = forecast([(NOW_US - 5, 3), (NOW_US, 4), (NOW_US + 1, 5), (years_us, 6)], NOW_US)
    assert told.sums == ((NOW_US, 7), (NOW_US + 1, 5), (years_us, 6))
    assert told.foretold(NOW_US) == 7
    many = forecast([(NOW_US + at, 1) for at in range(1, MAX_MINIMA + 2)], NOW_US)
    assert many.sums[-1] == (NOW_US + MAX_MINIMA, 1)
    assert NOTHING.foretold(NOW_US) == 0


def test_a_confirmation_means_what_was_found_then_and_no_more() -> None:
    expired = [(NOW_US - 2, 5_000)]
    found = halt(NOTHING, expired, NOW_US)
    assert found is not None
    assert found.plan == plan_id(expired) != plan_id([(NOW_US - 2, 5_001)])
    after = confirmed(Forecast(NOW_US - 9, ((NOW_US + 1, 10),)), expired, NOW_US)
    assert halt(after, expired, NOW_US) is None
    assert halt(after, [*expired, (NOW_US + 1, 1_012)], NOW_US + 1) is None
    assert halt(after, [*expired, (NOW_US + 1, 1_013)], NOW_US + 1) is not None
