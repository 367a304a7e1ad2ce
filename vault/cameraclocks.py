"""What the cameras' clocks, taken together, say of the host's. Pure; who hears them is the recorder, who asks is `index.clockwatch`.

Cameras' clocks are often wrong, and each in its own way, so none is believed and many only where they agree:

* A camera's clock is told as its lead before the host's monotonic clock, which no step of the wall clock moves. So what was heard
  before a step says just what it said, and a camera counts the same whenever it is asked.
* A camera whose time cannot be (1970, 2000: its battery is empty) has no vote.
* One that is off by less than a time zone can make it (it sends local time as UTC, or summer time) says neither that our time is
  right nor that it is wrong; but it is one of those that the others must outnumber.
* The others disagree only where more than half of all that vote have the same other time, give or take a zone. Clocks that are wrong
  each for itself say nothing of ours.
* Cameras agree only where more than half of all that vote are within an hour.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from vault.clockguard import CAMERA_US, CEILING_US, FLOOR_US
from vault.timebase import US

ZONES_US: Final = 15 * 3_600 * US
"""Zones reach from UTC-12 to UTC+14; an hour more for clocks that are off besides."""
MAX_GROUPS: Final = 16
"""So many groups are told; who is in none of them counts among those who vote."""


@dataclass(frozen=True, slots=True)
class CameraGroup:
    """So many cameras whose clocks are within an hour of each other, `lead_us` before the monotonic clock."""

    lead_us: int
    cameras: int


@dataclass(frozen=True, slots=True)
class CameraClocks:
    """The largest groups, and how many cameras vote in all."""

    groups: tuple[CameraGroup, ...] = ()
    voting: int = 0


@dataclass(frozen=True, slots=True)
class Votes:
    """Cameras with our time and with one other; both 0 where they are no majority."""

    agreeing: int = 0
    disagreeing: int = 0
    voting: int = 0


def gathered(leads_us: Iterable[int], mono_us: int) -> CameraClocks:
    """Each camera's clock minus the monotonic clock, in groups, the largest first. `mono_us`: of now."""
    left = sorted(lead for lead in leads_us if FLOOR_US <= lead + mono_us < CEILING_US)
    voting = len(left)
    groups: list[CameraGroup] = []
    while left and len(groups) < MAX_GROUPS:
        first, stop = _densest(left, [1] * len(left), 2 * CAMERA_US)
        groups.append(CameraGroup(int(statistics.median_low(left[first:stop])), stop - first))
        del left[first:stop]
    return CameraClocks(tuple(groups), voting)


def votes(clocks: CameraClocks, now_us: int, mono_us: int) -> Votes:
    """What they say of the wall clock, which reads `now_us` while the monotonic one reads `mono_us`."""
    off = sorted((group.lead_us + mono_us - now_us, group.cameras) for group in clocks.groups)
    agreeing = sum(cameras for off_us, cameras in off if abs(off_us) <= CAMERA_US)
    far = [(off_us, cameras) for off_us, cameras in off if abs(off_us) > ZONES_US]
    disagreeing = 0
    if far:
        weights = [cameras for _, cameras in far]
        first, stop = _densest([off_us for off_us, _ in far], weights, ZONES_US)
        disagreeing = sum(weights[first:stop])
    return Votes(
        agreeing if 2 * agreeing > clocks.voting else 0, disagreeing if 2 * disagreeing > clocks.voting else 0, clocks.voting
    )


def _densest(values: Sequence[int], weights: Sequence[int], width: int) -> tuple[int, int]:
    """The slice of sorted `values` that lies within `width` and weighs most; the first of equals."""
    best, best_weight = (0, 0), -1
    first, weight = 0, 0
    for stop, value in enumerate(values, 1):
        weight += weights[stop - 1]
        while values[first] < value - width:
            weight -= weights[first]
            first += 1
        if weight > best_weight:
            best, best_weight = (first, stop), weight
    return best
