"""Decode times: the sorted presentation times, whatever the depth is, and never a step back."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decodetime import LEARN_DEPTH, LEARN_UNITS, MAX_DEPTH, RELEARN_UNITS, DecodeTimes

PYRAMID = [0, 4, 2, 1, 3, 8, 6, 5, 7]
"""Presentation order in decode order; two pictures wait at most."""


def run(times: DecodeTimes[int], presentation: list[int]) -> list[tuple[int, int, int]]:
    out = []
    for number, pts in enumerate(presentation):
        out += [(pts, pts, number)] if times.passes(pts) else times.push(pts, number)
    return out + times.flush()


def test_without_reordering_nothing_waits_and_the_time_is_the_presentation_time() -> None:
    times: DecodeTimes[int] = DecodeTimes(0)
    assert all(times.passes(pts) for pts in range(0, 1000, 40))
    assert times.flush() == []


@pytest.mark.parametrize("depth", [2, 3, MAX_DEPTH, 99])
def test_with_enough_depth_decode_times_are_the_sorted_presentation_times(depth: int) -> None:
    out = run(DecodeTimes(depth), PYRAMID)
    assert [dts for dts, _, _ in out] == sorted(PYRAMID)
    assert [pts for _, pts, _ in out] == PYRAMID
    assert [number for _, _, number in out] == list(range(9))


@given(st.lists(st.integers(0, 10_000), max_size=200), st.one_of(st.none(), st.integers(0, 20)))
def test_whatever_comes_every_unit_leaves_once_in_order_with_a_time_that_rises(pts: list[int], depth: int | None) -> None:
    out = run(DecodeTimes(depth), pts)
    assert [number for _, _, number in out] == list(range(len(pts)))
    assert [shown for _, shown, _ in out] == pts
    assert all(a < b for (a, _, _), (b, _, _) in itertools.pairwise(out))


@given(st.integers(0, 8), st.integers(0, 1_000_000))
def test_a_depth_that_is_known_gives_the_sorted_times_for_any_order_within_it(depth: int, seed: int) -> None:
    chance = random.Random(seed)
    left = list(range(0, 300, 3))
    order: list[int] = []
    # At most `depth` pictures may go before one that is shown earlier.
    ahead: dict[int, int] = {}
    while left:
        allowed = [pts for pts in left[: depth + 1] if all(ahead.get(other, 0) < depth for other in left if other < pts)]
        pick = chance.choice(allowed or left[:1])
        for other in left:
            if other < pick:
                ahead[other] = ahead.get(other, 0) + 1
        left.remove(pick)
        order.append(pick)
    assert [dts for dts, _, _ in run(DecodeTimes(depth), order)] == sorted(order)


def test_an_unknown_depth_is_learnt_to_be_none_and_then_nothing_waits() -> None:
    times: DecodeTimes[int] = DecodeTimes(None)
    assert times.depth == LEARN_DEPTH
    for pts in range(LEARN_UNITS):
        times.push(pts, pts)
    assert times.depth == 0
    assert not times.waiting
    assert times.passes(LEARN_UNITS)


def test_an_unknown_depth_of_two_is_kept() -> None:
    times: DecodeTimes[int] = DecodeTimes(None)
    presentation = [0, *(4 * group + at for group in range(100) for at in (4, 2, 1, 3))]
    out = run(times, presentation)
    assert [dts for dts, _, _ in out] == sorted(presentation)
    assert times.depth == 2


def test_one_odd_timestamp_does_not_make_pictures_wait_for_good() -> None:
    times: DecodeTimes[int] = DecodeTimes(0)
    run(times, [*range(100), 90, *range(101, 105)])
    assert times.depth > 0
    out = run(times, list(range(105, 105 + 3 * RELEARN_UNITS)))
    assert times.depth == 0
    assert [number for _, _, number in out] == list(range(3 * RELEARN_UNITS))


def test_a_depth_below_the_true_one_grows_when_it_is_seen() -> None:
    times: DecodeTimes[int] = DecodeTimes(1)
    presentation = [0, *(400 * group + at for group in range(20) for at in (400, 200, 100, 300))]
    out = run(times, presentation)
    assert times.depth == 2
    assert [dts for dts, _, _ in out[-40:]] == sorted(presentation)[-40:]


def test_other_parameters_raise_the_depth_before_the_first_picture_that_needs_it() -> None:
    times: DecodeTimes[int] = DecodeTimes(0)
    assert times.passes(0)
    times.expect(2)
    out = run(times, [pts + 1 for pts in PYRAMID])
    assert [dts for dts, _, _ in out] == [pts + 1 for pts in sorted(PYRAMID)]


def test_after_repeated_timestamps_the_next_one_does_not_get_a_time_that_was_given_already() -> None:
    out = run(DecodeTimes(0), [100, 100, 100, 101, 102, 103])
    assert [dts for dts, _, _ in out] == [100, 101, 102, 103, 104, 105]
