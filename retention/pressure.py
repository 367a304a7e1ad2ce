"""What happens when the store fills, in order, and when each step would come. Pure: a simulation, before it bites.

The order is fixed: what is past its minimum has gone already, by the clock and not by pressure; then an alarm; then classes stop
being recorded, the lowest first, with gap rows. Never is anything deleted inside its minimum. Stopping is the recorder's to do;
what is measured comes from capacity.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vault.timebase import US

SACRIFICE: Final = ("general", "viewing", "key")
"""In what order classes stop: the one whose footage the rules want least first."""
ALARM_PERCENT: Final = 10
"""Less free than this part of the store is an alarm."""
HOUR_US: Final = 3_600 * US


class Step(enum.StrEnum):
    """What comes, in this order."""

    ALARM = "alarm"
    STOP = "stop recording"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Load:
    """`capacity_bytes` None: not configured. `rates`: bytes an hour by class. `expiring`: when footage that is there goes, and
    how many bytes. `days`: how long each class is kept, for what is recorded from now on."""

    capacity_bytes: int | None
    used_bytes: int
    rates: Mapping[str, int]
    expiring: Sequence[tuple[int, int]]
    days: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Event:
    """`site_class`: what stops, empty for the other steps."""

    at_us: int
    step: Step
    site_class: str = ""


def forecast(load: Load, now_us: int, horizon_us: int) -> list[Event] | None:
    """The steps that would come until `now_us + horizon_us`, hour by hour; None where the capacity is not known.

    A class that has stopped stays stopped; its footage goes when its time is over, and the next class stops later for it.
    """
    if load.capacity_bytes is None:
        return None
    recorded = {name: rate for name, rate in load.rates.items() if rate > 0}
    leaving = sorted(load.expiring)
    written: dict[str, list[int]] = {name: [] for name in recorded}
    events: list[Event] = []
    used, gone = load.used_bytes, 0
    hours = -(-horizon_us // HOUR_US)
    for hour in range(hours + 1):
        at_us = now_us + hour * HOUR_US
        # What is due goes before the hour's first write.
        while gone < len(leaving) and leaving[gone][0] <= at_us:
            used -= leaving[gone][1]
            gone += 1
        for name, history in written.items():
            # A kept day is the day it was recorded in and so many more.
            first = hour - (load.days[name] + 1) * 24
            if 0 <= first < len(history):
                used -= history[first]
        if load.capacity_bytes - used < load.capacity_bytes * ALARM_PERCENT // 100 and not events:
            events.append(Event(at_us, Step.ALARM))
        for name in [name for name in (*SACRIFICE, *sorted(recorded.keys() - set(SACRIFICE))) if name in recorded]:
            if used + sum(recorded.values()) <= load.capacity_bytes:
                break
            del recorded[name]
            events.append(Event(at_us, Step.STOP, name))
            if not recorded:
                events.append(Event(at_us, Step.FULL))
        used += sum(recorded.values())
        for name, history in written.items():
            history.append(recorded.get(name, 0))
    return events
