"""When the spool alarms, who stops first, and when each begins again."""

from __future__ import annotations

from ingest.spoolwatch import SpoolState, SpoolWatch
from vault.timebase import US

ALL = ("key", "general", "viewing")
FREE = 10**12


def look(watch: SpoolWatch, per_cent: float, classes: tuple[str, ...] = ALL, at_us: int = 0) -> SpoolState:
    return watch.look(round(per_cent * watch.size_bytes / 100), FREE, classes, at_us)


def test_the_alarm_begins_at_seventy_per_cent_and_ends_when_there_is_clearly_room() -> None:
    watch = SpoolWatch(10_000)
    seen = [look(watch, per_cent).alarm for per_cent in (0, 69.9, 70, 69, 60, 59.9, 65)]
    assert seen == [False, False, True, True, True, False, False]


def test_the_lowest_class_stops_first_and_the_highest_has_all_of_it() -> None:
    watch = SpoolWatch(10_000)
    found = [sorted(look(watch, per_cent).stopped) for per_cent in (89.9, 90, 95, 99.9, 100)]
    assert found == [[], ["general"], ["general", "viewing"], ["general", "viewing"], ["general", "key", "viewing"]]


def test_each_begins_again_only_when_there_is_clearly_room() -> None:
    watch = SpoolWatch(10_000)
    found = [sorted(look(watch, per_cent).stopped) for per_cent in (100, 91, 89.9, 85, 84.9, 80, 79.9)]
    assert found[0] == found[1] == ["general", "key", "viewing"]
    assert found[2] == found[3] == ["general", "viewing"]
    assert found[4] == found[5] == ["general"]
    assert found[6] == []


def test_where_all_are_of_one_class_it_may_fill_the_spool() -> None:
    watch = SpoolWatch(10_000)
    assert not look(watch, 99.9, ("general",)).stopped
    assert look(watch, 100, ("general",)).stopped == {"general"}


def test_a_class_that_nobody_knows_stops_last() -> None:
    assert look(SpoolWatch(100), 95, ("key", "secret")).stopped == {"key"}


def test_hours_left_follow_the_present_rate_and_what_the_disk_has() -> None:
    watch = SpoolWatch(1_000_000)
    assert watch.look(0, FREE, ALL, 0).hours_left is None
    # 100 kB in ten minutes.
    state = watch.look(100_000, FREE, ALL, 600 * US)
    assert state.hours_left == 1.5
    assert state.text == "the spool is 10% full, and full in 1.5 h at the present rate"
    assert watch.look(200_000, 100_000, ALL, 1200 * US).hours_left == 1 / 6
    state = watch.look(150_000, FREE, ALL, 1500 * US)
    assert state.hours_left is None
    assert "not growing" in state.text
