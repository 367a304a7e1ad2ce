"""How much of the time in which a camera was to record was recorded, by local day. Pure: values in, figures out.

No official formula is known; this is ours: completeness 录像完整率 = seconds recorded ÷ seconds that should have been, of a camera and
a local day of `retention.time_zone`. Every second since a camera was first to record is in a segment, in a gap row, or expired
(I6), so what is missing is what the gap rows say, exactly, and no segment has to be looked at. What was recorded and has expired
since was recorded.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from index.rows import GapRow
from index.timeline import UNKNOWN, Gap
from vault.retain import local_day
from vault.timebase import US, Interval

SETTLING_US: Final = 180 * US
"""Footage is committed within this time; what is newer than the last commit is neither recorded nor missing yet."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LocalDay:
    """A calendar day of a zone: 24 hours long, or what a change of its clock makes of it."""

    day: date
    interval: Interval


@dataclass(frozen=True, slots=True)
class DayShare:
    """A camera's local day as far as it was to record in it and the report reaches. `whole`: that is all of the day."""

    day: date
    due_us: int
    missing_us: int
    whole: bool

    @property
    def recorded_us(self) -> int:
        return self.due_us - self.missing_us


@dataclass(frozen=True, slots=True)
class Completeness:
    """`days`: those in which the camera was to record. `gaps`: clipped to that time, in order."""

    days: tuple[DayShare, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def due_us(self) -> int:
        return sum(day.due_us for day in self.days)

    @property
    def missing_us(self) -> int:
        return sum(day.missing_us for day in self.days)

    @property
    def recorded_us(self) -> int:
        return self.due_us - self.missing_us

    @property
    def share(self) -> float | None:
        """None while there is no whole day to judge by: the camera is new, or the range short; it reads `collecting`."""
        return self.recorded_us / self.due_us if any(day.whole for day in self.days) else None

    @property
    def worst(self) -> DayShare | None:
        """The whole day with the least of it recorded."""
        return min(
            (day for day in self.days if day.whole), key=lambda day: (day.recorded_us / day.due_us, day.day), default=None
        )

    def by_reason(self) -> dict[str, int]:
        """µs missing for each reason, the most first."""
        sums: dict[str, int] = {}
        for gap in self.gaps:
            sums[gap.reason] = sums.get(gap.reason, 0) + gap.end_us - gap.start_us
        return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def day_start_us(day: date, zone: tzinfo) -> int:
    """The first instant of a local day: where midnight is skipped the instant after it, where it comes twice the earlier one."""
    midnights = [datetime(day.year, day.month, day.day, tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    instants = sorted((midnight - _EPOCH) // _MICROSECOND for midnight in midnights)
    return next((at_us for at_us in instants if at_us >= 0 and local_day(at_us, zone) == day), instants[-1])


def local_days(span: Interval, zone: tzinfo) -> list[LocalDay]:
    """The local days that share an instant with the span, each whole."""
    day, last = local_day(span.start_us, zone), local_day(span.end_us - 1, zone)
    days = []
    start_us = day_start_us(day, zone)
    while day <= last:
        day, before = day + timedelta(days=1), day
        end_us = day_start_us(day, zone)
        # A zone that moved over the date line left a day out.
        if end_us > start_us:
            days.append(LocalDay(before, Interval(start_us, end_us)))
            start_us = end_us
    return days


def known_gaps(
    rows: Sequence[GapRow], growing: Sequence[Interval], newest_us: int, now_us: int
) -> tuple[list[GapRow], int]:  # fmt: skip
    """The gaps as they are known at `now_us`, and up to when anything is known.

    `rows`: the gap rows in order; `growing`: what is being recorded and is in no row yet; `newest_us`: where the newest segment
    ends, or where the camera was first to record. A lasting gap ends where recording went on. Where nobody recorded and nobody
    said why (the recorder was killed and never came back), that is a gap too, of unknown reason.
    """
    gaps = list(rows)
    reach_us = max([newest_us, *(part.end_us for part in growing), *(row.end_us for row in rows if row.end_us is not None)])
    if gaps and gaps[-1].end_us is None:
        lasting = gaps[-1]
        resumed_us = min((part.start_us for part in growing if part.start_us >= lasting.start_us), default=None)
        if resumed_us is None:
            return gaps, now_us
        gaps[-1] = GapRow(lasting.start_us, resumed_us, lasting.reason)
    if now_us - reach_us > SETTLING_US:
        return [*gaps, GapRow(reach_us, None, UNKNOWN)], now_us
    return gaps, min(reach_us, now_us)


def completeness(days: Sequence[LocalDay], due: Interval | None, rows: Sequence[GapRow]) -> Completeness:
    """What of `due` (when the camera was to record, None for never) was recorded, over `days`, which are in order."""
    if due is None:
        return Completeness()
    gaps = []
    missing = [0] * len(days)
    starts = [day.interval.start_us for day in days]
    for row in rows:
        start_us, end_us = max(row.start_us, due.start_us), due.end_us if row.end_us is None else min(row.end_us, due.end_us)
        if start_us >= end_us:
            continue
        gaps.append(Gap(start_us, end_us, row.reason, row.end_us is None))
        at = max(0, bisect.bisect_right(starts, start_us) - 1)
        while at < len(days) and days[at].interval.start_us < end_us:
            whole = days[at].interval
            missing[at] += max(0, min(end_us, whole.end_us) - max(start_us, whole.start_us))
            at += 1
    shares = []
    for day, missing_us in zip(days, missing, strict=True):
        part = day.interval.intersection(due)
        if part is not None:
            shares.append(DayShare(day.day, part.duration_us, missing_us, part == day.interval))
    return Completeness(tuple(shares), tuple(gaps))
