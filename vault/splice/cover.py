"""Which segment is shown at each instant, where several hold footage of the same time. Intervals only; samples are elsewhere.

Two recordings of one time exist where the host clock stepped back, or where a process that had lost its camera went on. Time in
a clip never runs backwards: at each instant the newest epoch that has footage is shown, within one epoch the later segment.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from vault.splice.part import Part


@dataclass(frozen=True, slots=True)
class Cover:
    """`[start_us, end_us)` is shown from `parts[index]`; empty only where the segment itself is."""

    index: int
    start_us: int
    end_us: int


def order(parts: Sequence[Part]) -> list[Part]:
    """By start, epoch and sequence; the order that every index of this package counts in. A segment given twice is taken once."""
    keyed = {part.table.info.head.key: part for part in parts}
    return [keyed[key] for key in sorted(keyed)]


def cover(parts: Sequence[Part]) -> list[Cover]:
    """Disjoint covers in order of time, for parts in the order of `order`."""
    plain = [Cover(index, part.start_us, part.end_us) for index, part in enumerate(parts) if part.end_us > part.start_us]
    if all(left.end_us <= right.start_us for left, right in itertools.pairwise(plain)):
        return plain
    return _skyline(parts, plain)


def _skyline(parts: Sequence[Part], plain: list[Cover]) -> list[Cover]:
    """Sweep over all borders; of the segments open between two of them, the one with the highest rank is seen."""
    borders = sorted({at for item in plain for at in (item.start_us, item.end_us)})
    waiting = iter(plain)
    following = next(waiting, None)
    open_now: list[tuple[int, int, int, int]] = []
    out: list[Cover] = []
    for start_us, end_us in itertools.pairwise(borders):
        while following is not None and following.start_us <= start_us:
            key = parts[following.index].table.info.head.key
            heapq.heappush(open_now, (-key.epoch, -key.start_us, -key.sequence, following.index))
            following = next(waiting, None)
        while open_now and parts[open_now[0][3]].end_us <= start_us:
            heapq.heappop(open_now)
        if not open_now:
            continue
        index = open_now[0][3]
        if out and out[-1].index == index and out[-1].end_us == start_us:
            out[-1] = Cover(index, out[-1].start_us, end_us)
        else:
            out.append(Cover(index, start_us, end_us))
    return out
