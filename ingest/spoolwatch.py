"""How full the spool is, for how long it will still do, and which classes of site stop recording when it is full. Decides only.

The size is what all classes together may fill. The class that matters most may use all of it; each class below stops a step
earlier, so that the lowest makes room for the others. One that was stopped begins again when there is clearly room, so that it does
not go on and off with every object that leaves. What is in the spool is never dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from vault.room import in_order
from vault.timebase import US

ALARM_AT = 0.70
ALARM_ENDS = 0.60
STEP = 0.05
ROOM = 0.10
"""So far below its limit a class that was stopped begins again."""

RATE_US = 600 * US
LEAST_RATE_US = 10 * US


@dataclass(frozen=True, slots=True)
class SpoolState:
    """`filled`: of its size, 1.0 is all. `hours_left`: at the present rate; None while it does not grow, or not known yet."""

    filled: float
    hours_left: float | None
    alarm: bool
    stopped: frozenset[str]

    @property
    def text(self) -> str:
        """For people."""
        if self.hours_left is None:
            return f"the spool is {self.filled:.0%} full and not growing"
        hours = f"{self.hours_left:,.0f}" if self.hours_left >= 10 else f"{self.hours_left:.1f}"
        return f"the spool is {self.filled:.0%} full, and full in {hours} h at the present rate"


class SpoolWatch:
    """Asked at each look. Times are monotonic."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = max(1, size_bytes)
        self._seen: deque[tuple[int, int]] = deque()
        self._alarm = False
        self._stopped: frozenset[str] = frozenset()

    def look(self, used_bytes: int, free_bytes: int, classes: Collection[str], mono_us: int) -> SpoolState:
        """`free_bytes`: what its file system has left; `classes`: those of all cameras that are to record."""
        filled = used_bytes / self.size_bytes
        self._alarm = filled >= (ALARM_ENDS if self._alarm else ALARM_AT)
        self._stopped = frozenset(
            name for name, limit in _limits(classes).items() if filled >= (limit - ROOM if name in self._stopped else limit)
        )
        left_bytes = max(0, min(self.size_bytes - used_bytes, free_bytes))
        rate = self._bytes_per_us(used_bytes, mono_us)
        hours = left_bytes / rate / (3600 * US) if rate > 0 else None
        return SpoolState(filled, hours, self._alarm, self._stopped)

    def _bytes_per_us(self, used_bytes: int, mono_us: int) -> float:
        self._seen.append((mono_us, used_bytes))
        while self._seen[0][0] < mono_us - RATE_US:
            self._seen.popleft()
        began_us, began_bytes = self._seen[0]
        return (used_bytes - began_bytes) / (mono_us - began_us) if mono_us - began_us >= LEAST_RATE_US else 0.0


def _limits(classes: Collection[str]) -> dict[str, float]:
    """At which filling each class stops."""
    return {name: 1.0 - STEP * above for above, name in enumerate(reversed(in_order(classes)))}
