"""What follows at which room: the order of sacrifice, and that nobody goes on and off."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vault.room import MAX_STEP_BYTES, Room, stop_levels, stopping

ALL = ("key", "general", "viewing")


def test_the_lowest_class_stops_first_and_the_highest_never() -> None:
    assert list(stop_levels(ALL, 1_000).items()) == [("general", 20), ("viewing", 10), ("key", 0)]
    assert stopping(Room(1_000, 21), ALL, ()) == frozenset()
    assert stopping(Room(1_000, 20), ALL, ()) == {"general"}
    assert stopping(Room(1_000, 10), ALL, ()) == {"general", "viewing"}
    assert stopping(Room(1_000, 0), ALL, ()) == {"general", "viewing"}
    assert stopping(Room(1_000, 0), ("general",), ()) == frozenset()


def test_a_class_that_nobody_knows_counts_as_the_highest() -> None:
    assert list(stop_levels(("general", "other"), 1_000).items()) == [("general", 10), ("other", 0)]


def test_a_class_that_stopped_begins_again_when_there_is_clearly_room() -> None:
    assert stopping(Room(1_000, 30), ("key", "general"), {"general"}) == {"general"}
    assert stopping(Room(1_000, 31), ("key", "general"), {"general"}) == frozenset()


def test_the_step_of_a_huge_store_is_no_share_of_it() -> None:
    assert stop_levels(("key", "general"), 10**15)["general"] == MAX_STEP_BYTES


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.sets(st.sampled_from(ALL)), st.sets(st.sampled_from(ALL)))
def test_whoever_is_stopped_leaves_nobody_lower_recording(
    capacity: int, free: int, classes: set[str], before: set[str]
) -> None:
    stopped = stopping(Room(capacity, min(free, capacity)), classes, set())
    again = stopping(Room(capacity, min(free, capacity)), classes, before)
    assert stopped <= again
    assert again <= classes
    ordered = [name for name in ("general", "viewing", "key") if name in classes]
    assert stopped == set(ordered[: len(stopped)])
    assert not ordered or ordered[-1] not in again


def test_a_part_is_told_exactly() -> None:
    assert not Room(1_000, 100).below(10)
    assert Room(1_000, 99).below(10)
    assert not Room(0, 0).below(10), "of nothing there is no part"
    assert (Room(1_000, 99).filled_percent, Room(0, 0).filled_percent) == (91, 100)
