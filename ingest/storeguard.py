"""Looks at the store's room for the keeper: raises and ends its alarms, and says which classes of site are to stop.

What follows from how much is left, and in which order: `vault.room`. The spool has its own (`ingest.spoolguard`).
"""

from __future__ import annotations

from collections.abc import Collection

from index.alarms import Alarms
from index.node import Node
from index.room import room_of
from vault.room import ALARM_PERCENT, Room, stopping
from vault.timebase import US

EVERY_US = 5 * US
SHARE = 100
"""A look is a sum over all cameras; it takes at most one part in so many of the time."""
ENDS_PERCENT = 12
"""The alarm ends when so much is free again."""

FILLING, FULL = "store filling", "store full"


class StoreGuard:
    """Of one thread."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._alarms = Alarms(node.environment, node.clock)
        self._filling = False
        self._due_us = 0
        self.stopped: frozenset[str] = frozenset()
        """The classes that are not to be recorded now."""

    def look(self, classes: Collection[str]) -> bool:
        """When it is time: see how much room there is. True when `stopped` changed. Raises what the index raises.

        A store that is not there says nothing about its room; whatever was decided stays until it is back.
        """
        began_us = self._node.clock.mono_us()
        if began_us < self._due_us:
            return False
        room = room_of(self._node)
        self._due_us = began_us + max(EVERY_US, SHARE * (self._node.clock.mono_us() - began_us))
        if room is None:
            return False
        before, self.stopped = self.stopped, stopping(room, classes, self.stopped)
        self._filling = room.below(ENDS_PERCENT if self._filling else ALARM_PERCENT)
        self._say(room)
        return before != self.stopped

    def _say(self, room: Room) -> None:
        full = f"the store is {room.filled_percent} % full"
        more = "see `capacity forecast`, and give it more room"
        self._alarms.say(FILLING, f"{full}: {more}" if self._filling else "")
        stopped = ", ".join(sorted(self.stopped))
        self._alarms.say(FULL, f"sites of class {stopped} are not recorded: {full}" if stopped else "")
