"""What follows at which room that a store has left, in order. Pure; measuring is in `index.room`. Shared by those who delete, who
stop recording and who foretell, so that what is foretold is what happens.

1. Below `RUN_PERCENT` of the store, a run of retention is due at once, whenever something is past its minimum.
2. Below `ALARM_PERCENT` somebody is told.
3. Below `HASTE_PERCENT` what is past its minimum goes without the hour's grace. Holds and running reads keep it all the same.
4. Near the end classes stop being recorded, the lowest first, a step apart. The highest that is recorded is never stopped: it goes
   on until the store takes no more, and then waits in the spool or says that the disk is full.

Nothing is ever deleted inside its minimum.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

SACRIFICE: Final = ("general", "viewing", "key")
"""Who stops first. A viewing room's recording is evidence about those who look; key sites are what the rules protect most."""

RUN_PERCENT: Final = 15
ALARM_PERCENT: Final = 10
HASTE_PERCENT: Final = 5
STEP_PERCENT: Final = 1
MAX_STEP_BYTES: Final = 64 << 30
"""Between two classes. A look every few seconds needs no more, however large the store is."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much of a store is left. `whole_bytes`: the size of the local store's file system, or what was configured."""

    whole_bytes: int
    free_bytes: int

    def below(self, percent: int) -> bool:
        return self.free_bytes * 100 < self.whole_bytes * percent

    @property
    def filled_percent(self) -> int:
        return 100 - 100 * self.free_bytes // self.whole_bytes if self.whole_bytes > 0 else 100


def in_order(classes: Collection[str]) -> list[str]:
    """The classes as they stop, the lowest first; one that nobody knows counts as the highest."""
    return sorted(set(classes), key=lambda name: (SACRIFICE.index(name) if name in SACRIFICE else len(SACRIFICE), name))


def step_bytes(whole_bytes: int) -> int:
    """How far apart classes stop."""
    return min(whole_bytes * STEP_PERCENT // 100, MAX_STEP_BYTES)


def stop_levels(classes: Collection[str], whole_bytes: int) -> dict[str, int]:
    """At how many free bytes each class stops, the lowest class first; the highest at none."""
    step = step_bytes(whole_bytes)
    return {name: above * step for above, name in reversed(list(enumerate(reversed(in_order(classes)))))}


def stopping(room: Room, classes: Collection[str], stopped: Collection[str]) -> frozenset[str]:
    """Which classes are not to be recorded now. One that was stopped begins again when two steps more are free."""
    more = 2 * step_bytes(room.whole_bytes)
    levels = {name: level for name, level in stop_levels(classes, room.whole_bytes).items() if level > 0}
    return frozenset(name for name, level in levels.items() if room.free_bytes <= (level + more if name in stopped else level))
