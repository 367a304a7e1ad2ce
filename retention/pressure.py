"""What happens when the store fills, in order, and when each step would come. Pure: a simulation, before it bites.

The order is `vault.room`'s: what is past its minimum goes, an alarm comes, then classes stop being recorded, the lowest first, with
gap rows. Never is anything deleted inside its minimum. Stopping is the recorder's to do; what is measured comes from capacity.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vault.room import ALARM_PERCENT, HASTE_PERCENT, RUN_PERCENT, stop_levels
from vault.timebase import US

HOUR_US: Final = 3_600 * US


class Step(enum.StrEnum):
    """What comes, in this order."""

    RUN = "retention run at once"
    ALARM = "alarm"
    HASTE = "no grace"
    STOP = "stop recording"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Load:
    """`capacity_bytes` None: not configured. `whole_bytes`: what the steps are parts of, more than that where a disk holds other
    things too; None: the same. `rates`: bytes an hour by class. `expiring`: when footage that is there goes, and
    how many bytes. `days`: how long each class is kept, for what is recorded from now on."""

    capacity_bytes: int | None
    used_bytes: int
    rates: Mapping[str, float]
    expiring: Sequence[tuple[int, int]]
    days: Mapping[str, int]
    whole_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """`site_class`: what stops, empty for the other steps."""

    at_us: int
    step: Step
    site_class: str = ""


def steps(classes: Sequence[str], whole_bytes: int) -> list[tuple[int, Step, str]]:
    """What comes at how many free bytes, with the class that stops, in order. The highest class stops when nothing is left."""
    stops = stop_levels(classes, whole_bytes)
    return [
        (whole_bytes * RUN_PERCENT // 100, Step.RUN, ""),
        (whole_bytes * ALARM_PERCENT // 100, Step.ALARM, ""),
        (whole_bytes * HASTE_PERCENT // 100, Step.HASTE, ""),
        *((level, Step.STOP, name) for name, level in stops.items()),
        *([(0, Step.FULL, "")] if stops else []),
    ]


def forecast(load: Load, now_us: int, horizon_us: int) -> list[Event] | None:
    """The first time that each step would come, until `now_us + horizon_us`; None where the capacity is not known.

    What is written grows evenly within an hour, and what is due goes at its beginning, before the hour's first write. A class that
    has stopped stays stopped; its footage goes when its time is over, and the next class stops later for it.
    """
    if load.capacity_bytes is None:
        return None
    recorded = {name: float(rate) for name, rate in load.rates.items() if rate > 0}
    pending = steps(list(recorded), load.capacity_bytes if load.whole_bytes is None else load.whole_bytes)
    leaving = sorted(load.expiring)
    written: dict[str, list[float]] = {name: [] for name in recorded}
    events: list[Event] = []
    used, gone = float(load.used_bytes), 0
    for hour in range(-(-horizon_us // HOUR_US) + 1):
        at_us = now_us + hour * HOUR_US
        while gone < len(leaving) and leaving[gone][0] <= at_us:
            used -= leaving[gone][1]
            gone += 1
        for name, history in written.items():
            # A kept day is the day it was recorded in and so many more.
            first = hour - (load.days[name] + 1) * 24
            if 0 <= first < len(history):
                used -= history[first]
            history.append(0.0)
        part = 0.0
        while part < 1.0:
            rate = sum(recorded.values())
            short = load.capacity_bytes - pending[0][0] - used if pending else math.inf
            reached = short <= 0 or rate * (1.0 - part) > short
            grows = max(0.0, short) / rate if reached and rate else 0.0 if reached else 1.0 - part
            for name, one in recorded.items():
                written[name][-1] += one * grows
            used += rate * grows
            part += grows
            if reached:
                _, step, name = pending.pop(0)
                events.append(Event(at_us + int(part * HOUR_US), step, name))
                recorded.pop(name, None)
    return events
