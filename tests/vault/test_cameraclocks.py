"""What cameras' clocks say together: each oddity of a fleet, and that no minority and no mixture sways anybody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.cameraclocks import ZONES_US, Votes, gathered, votes
from vault.clockguard import CAMERA_US, FLOOR_US
from vault.timebase import US

NOW_US = 1_795_305_600_000_000
MONO_US = 5_000 * US
HOUR_US = 3_600 * US
DAY_US = 24 * HOUR_US
ZONE = 8 * HOUR_US
"""What a camera in China is off by when it sends its local time as UTC."""
EPOCH = -NOW_US
"""Of a camera that begins at 1970 when it is switched on."""


def said(*offsets_us: int, step_us: int = 0) -> Votes:
    """Of cameras whose clocks are off by so much from the true time, when ours is off by `step_us`."""
    clocks = gathered((NOW_US + offset - MONO_US for offset in offsets_us), MONO_US)
    return votes(clocks, NOW_US + step_us, MONO_US)


@pytest.mark.parametrize(
    ("offsets", "step_us", "agreeing", "disagreeing"),
    [
        ([], 0, 0, 0),
        ([0, 1, -2], 0, 3, 0),
        ([CAMERA_US, -CAMERA_US, 0], 0, 3, 0),
        ([0, 0, 0], 400 * DAY_US, 0, 3),
        ([0, 0, 0], -400 * DAY_US, 0, 3),
        # A fleet that sends local time as UTC says nothing, and so does half of it.
        ([ZONE] * 5, 0, 0, 0),
        ([ZONE] * 3 + [0] * 3, 0, 0, 0),
        ([ZONE] * 3 + [0] * 4, 0, 4, 0),
        # But of a step by more than zones can make it they are all witnesses.
        ([ZONE] * 3 + [0] * 3, 400 * DAY_US, 0, 6),
        ([ZONE] * 5, 30 * HOUR_US, 0, 5),
        # Ours is off by what they are: in doubt nothing.
        ([0] * 5, ZONE, 0, 0),
        ([0] * 5, ZONES_US, 0, 0),
        ([0] * 5, ZONES_US + 1, 0, 5),
        # No battery: no vote.
        ([EPOCH] * 9 + [0] * 3, 0, 3, 0),
        ([EPOCH] * 9, 0, 0, 0),
        # Each wrong in its own way.
        ([day * DAY_US for day in (3, 9, 40, 200)] + [0], 0, 0, 0),
        # A group of another time is no majority of all.
        ([20 * DAY_US] * 4 + [0] * 4, 0, 0, 0),
        ([20 * DAY_US] * 5 + [0] * 4, 0, 0, 5),
        ([20 * DAY_US] * 5 + [ZONE] * 5, 0, 0, 0),
    ],
)
def test_a_fleet_says(offsets: list[int], step_us: int, agreeing: int, disagreeing: int) -> None:
    found = said(*offsets, step_us=step_us)
    assert (found.agreeing, found.disagreeing) == (agreeing, disagreeing)


def test_what_was_heard_before_a_step_says_the_same_after_it() -> None:
    clocks = gathered([NOW_US - MONO_US] * 3, MONO_US)
    assert votes(clocks, NOW_US, MONO_US).agreeing == 3
    assert votes(clocks, NOW_US + 60 * US, MONO_US + 60 * US).agreeing == 3
    assert votes(clocks, NOW_US + 60 * US + 400 * DAY_US, MONO_US + 60 * US).disagreeing == 3


def test_a_time_that_cannot_be_is_judged_at_the_moment_it_is_told() -> None:
    lead_us = FLOOR_US - MONO_US
    assert gathered([lead_us, lead_us - 1], MONO_US).voting == 1


OFFSETS = st.integers(-500 * DAY_US, 500 * DAY_US)


@given(st.lists(OFFSETS, max_size=12), st.lists(OFFSETS, max_size=12), st.integers(-400, 400))
def test_never_do_they_say_both_and_never_less_than_half_anything(one: list[int], other: list[int], days: int) -> None:
    found = said(*one, *other, step_us=days * DAY_US)
    assert not (found.agreeing and found.disagreeing)
    for count in (found.agreeing, found.disagreeing):
        assert not count or 2 * count > found.voting


@given(st.integers(1, 40), st.lists(st.integers(-CAMERA_US // 2, CAMERA_US // 2), min_size=1, max_size=30))
def test_a_majority_with_the_true_time_finds_every_step_beyond_the_zones(days: int, right: list[int]) -> None:
    wrong = [at * 17 * DAY_US for at in range(1, len(right))]
    assert said(*right, *wrong[: len(right) - 1]).agreeing == len(right)
    assert said(*right, *[day + 900 * DAY_US for day in wrong], step_us=-days * DAY_US).disagreeing >= len(right)
