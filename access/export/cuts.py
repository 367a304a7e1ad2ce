"""Which files an export becomes: a camera's range cut at whole hours where it is long, and at each change of codec. Intervals only."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from typing import Final

from vault.splice.part import Part
from vault.timebase import US, Interval

LONGEST_US: Final = 2 * 3_600 * US
"""A longer range becomes several files: players' tables stay small, and so does what a kill costs."""
EACH_US: Final = 3_600 * US


def pieces(wanted: Interval) -> list[Interval]:
    """The range itself, or its whole hours (UTC) and what is before and behind them."""
    if wanted.duration_us <= LONGEST_US:
        return [wanted]
    borders = [wanted.start_us, *range((wanted.start_us // EACH_US + 1) * EACH_US, wanted.end_us, EACH_US), wanted.end_us]
    return [Interval(start_us, end_us) for start_us, end_us in itertools.pairwise(borders)]


def one_codec_each(parts: Sequence[Part], wanted: Interval) -> list[Interval]:
    """The range cut where the video's codec or clock changes, since no player follows that within one file. `parts` in order."""
    borders, last = [wanted.start_us], None
    for part in parts:
        video = part.table.video
        if video is None:
            continue
        kind = video.params.codec, video.params.timescale
        if last is not None and kind != last and borders[-1] < part.start_us < wanted.end_us:
            borders.append(part.start_us)
        last = kind
    return [Interval(start_us, end_us) for start_us, end_us in zip(borders, [*borders[1:], wanted.end_us], strict=True)]


def moments(runs: Sequence[Interval], count: int) -> list[int]:
    """Instants for the report's pictures: evenly over what was recorded, the first at its beginning. `runs`: disjoint, in order."""
    total_us = sum(run.duration_us for run in runs)
    ends_us = list(itertools.accumulate(run.duration_us for run in runs))
    found = []
    for number in range(count if total_us else 0):
        passed_us = total_us * number // count
        at = bisect.bisect_right(ends_us, passed_us)
        found.append(runs[at].end_us - (ends_us[at] - passed_us))
    return found
