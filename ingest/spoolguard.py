"""Looks at the spool for the keeper: measures it, raises and ends its alarms, and says which classes of site are to stop.

What follows from how full it is: `ingest.spoolwatch`.
"""

from __future__ import annotations

from collections.abc import Collection

from index.alarms import Alarms
from index.node import Node
from ingest.spoolwatch import SpoolWatch
from vault.timebase import US

EVERY_US = 5 * US
SHARE = 100
"""A look at the spool is a look at each of its files; it takes at most one part in so many of the time."""


class SpoolGuard:
    """Of one thread."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._alarms = Alarms(node.environment, node.clock)
        self._watch: SpoolWatch | None = None
        self._due_us = 0
        self.stopped: frozenset[str] = frozenset()
        """The classes that are not to be recorded now."""

    def look(self, classes: Collection[str]) -> bool:
        """When it is time: see how full it is. True when `stopped` changed. Raises StoreError, what the index raises."""
        began_us = self._node.clock.mono_us()
        if began_us < self._due_us:
            return False
        used_bytes, free_bytes = self._node.spool.size_bytes(), self._node.spool.free_bytes()
        took_us = self._node.clock.mono_us() - began_us
        self._due_us = began_us + max(EVERY_US, SHARE * took_us)
        if self._watch is None:
            given = self._node.config.recording.spool_bytes
            self._watch = SpoolWatch(given or (used_bytes + free_bytes) * 9 // 10)
        state = self._watch.look(used_bytes, free_bytes, classes, began_us)
        changed, self.stopped = state.stopped != self.stopped, state.stopped
        stopped = ", ".join(sorted(state.stopped))
        self._alarms.say("spool filling", state.text if state.alarm else "")
        self._alarms.say("spool full", f"sites of class {stopped} are not recorded: {state.text}" if stopped else "")
        return changed
