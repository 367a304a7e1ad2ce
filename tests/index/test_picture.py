"""The timeline as a line of characters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from index.picture import FULL, GAP, NOTHING, PART, bar, scale
from vault.timebase import Interval, union


def test_a_cell_is_full_partly_covered_missing_or_unknown() -> None:
    runs, gaps = [Interval(0, 25)], [Interval(25, 30)]
    assert bar(Interval(0, 50), runs, gaps, 5) == FULL + FULL + PART + NOTHING + NOTHING
    assert bar(Interval(20, 40), runs, gaps, 4) == FULL + GAP + NOTHING + NOTHING


def test_many_runs_inside_one_cell_are_drawn_as_part() -> None:
    assert bar(Interval(0, 100), [Interval(n, n + 1) for n in range(0, 50, 2)], [], 2) == PART + NOTHING


def test_a_range_of_fewer_microseconds_than_cells_is_drawn() -> None:
    assert len(bar(Interval(0, 3), [Interval(0, 3)], [], 10)) == 10


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 20)), max_size=12), st.integers(1, 40))
def test_cells_agree_with_counting_microseconds(pairs: list[tuple[int, int]], width: int) -> None:
    whole = Interval(0, 100)
    runs = [part for item in union([Interval(a, a + b) for a, b in pairs]) if (part := item.intersection(whole))]
    covered = {us for run in runs for us in range(run.start_us, run.end_us)}
    for cell, drawn in enumerate(bar(whole, runs, [], width)):
        inside = range(100 * cell // width, 100 * (cell + 1) // width)
        hits = sum(us in covered for us in inside)
        assert drawn == (FULL if hits == len(inside) else PART if hits else NOTHING)


def test_the_scale_is_as_wide_as_the_bar() -> None:
    assert len(scale(Interval(0, 10**9), 60)) == 60
