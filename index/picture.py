"""A timeline as one line of characters, for people. Drawing only: what is drawn comes from `index.timeline`."""

from __future__ import annotations

from collections.abc import Sequence

from vault.timebase import Interval, format_local

FULL, PART, GAP, NOTHING = "█", "▒", "░", "·"
LEGEND = f"{FULL} recorded  {PART} in part  {GAP} gap  {NOTHING} nothing known"


def bar(whole: Interval, runs: Sequence[Interval], gaps: Sequence[Interval], width: int) -> str:
    """`width` cells over `whole`: recorded throughout, in part, in a gap, or neither. `runs` and `gaps` in order, disjoint each."""
    edges = [whole.start_us + whole.duration_us * cell // width for cell in range(width + 1)]
    covered, missing = _cover(edges, runs), _cover(edges, gaps)
    cells = []
    for cell in range(width):
        # A cell narrower than a microsecond has nothing in it to be short of.
        length = max(1, edges[cell + 1] - edges[cell])
        if covered[cell] >= length:
            cells.append(FULL)
        elif covered[cell]:
            cells.append(PART)
        else:
            cells.append(GAP if missing[cell] else NOTHING)
    return "".join(cells)


def scale(whole: Interval, width: int) -> str:
    """The two ends below the bar, in local time; the end alone where there is no room for both."""
    start, end = format_local(whole.start_us), format_local(whole.end_us)
    return start + end.rjust(width - len(start)) if width > len(start) + len(end) else end.rjust(width)


def _cover(edges: Sequence[int], intervals: Sequence[Interval]) -> list[int]:
    """Microseconds of each cell that the intervals cover; linear in cells and intervals together."""
    covered = [0] * (len(edges) - 1)
    cell = 0
    for interval in intervals:
        while cell < len(covered) and edges[cell + 1] <= interval.start_us:
            cell += 1
        at = cell
        while at < len(covered) and edges[at] < interval.end_us:
            covered[at] += max(0, min(edges[at + 1], interval.end_us) - max(edges[at], interval.start_us))
            at += 1
        # The next interval may begin in the cell where this one ends.
        cell = max(cell, at - 1)
    return covered
