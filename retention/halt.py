"""When a run is stopped because it would doom more than was foretold. Pure; who writes the forecast down is `retention.sweep`, and
who reads it back from the ledger `retention.foretold`.

Minima are known a month ahead, so what will expire is no surprise. A run that finds far more has met a fault (a lowered rule, a
clock that was wrong and believed, rows that somebody changed), and asks a person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MORE_SEGMENTS: Final = 1_000
MORE_PERCENT: Final = 20
MAX_MINIMA: Final = 1_000
"""So many are foretold, the nearest, each the end of a day: an entry of the ledger holds no more. Years, so a node that was off
for months finds what it foretold."""

Sums = Sequence[tuple[int, int]]
"""Minimum, and how many committed segments have it."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What an earlier run foretold, and how many were doomed since then."""

    at_us: int
    sums: tuple[tuple[int, int], ...]
    doomed: int = 0

    def foretold(self, now_us: int) -> int:
        """How many should have been due by now, the doomed included."""
        return sum(segments for min_until_us, segments in self.sums if min_until_us <= now_us)


NOTHING: Final = Forecast(0, ())


@dataclass(frozen=True, slots=True)
class Halt:
    """A run that asks first. `plan` names what it found, so that a confirmation means this and nothing else."""

    plan: str
    at_us: int
    due: int
    foretold: int


def forecast(sums: Sums, now_us: int) -> Forecast:
    """What the next runs should find; what is due already and was kept is among it."""
    due = sum(count for min_until_us, count in sums if min_until_us <= now_us)
    later = sorted(item for item in sums if item[0] > now_us)
    return Forecast(now_us, ((now_us, due), *later[:MAX_MINIMA]))


def halt(before: Forecast, expired: Sums, now_us: int) -> Halt | None:
    """None when what has expired is no more than was foretold, give or take."""
    foretold = before.foretold(now_us)
    due = sum(segments for _, segments in expired) + before.doomed
    if due <= foretold + MORE_SEGMENTS or due * 100 <= foretold * (100 + MORE_PERCENT):
        return None
    return Halt(plan_id(expired), now_us, due, foretold)


def plan_id(expired: Sums) -> str:
    """Names what has expired: another count or another minimum is another plan."""
    return hashlib.sha256(repr([(int(at), int(count)) for at, count in expired]).encode()).hexdigest()[:12]


def confirmed(before: Forecast, expired: Sums, at_us: int) -> Forecast:
    """The forecast after a person has confirmed the plan of `at_us`: that much is due, and beyond it nothing has changed."""
    later = [item for item in before.sums if item[0] > at_us]
    return Forecast(before.at_us, (*((at, count) for at, count in expired), *later))
