"""Whether a run of retention is due because room runs out, and not because its time has come. Looks; deletes nothing itself.

It asks the store's room and, where the spool has a file system of its own, that one's: what is past its minimum may wait in either.
But only the store's takes the grace away, since what goes is mostly there. What follows at which room: `vault.room`. A store that says
itself that it is full is believed before any figure. A run is asked for when there is something that could go; what a hold keeps could not, and
looks the same from here, so while room is low there is a run a minute and not one a look.
"""

from __future__ import annotations

import os
from typing import Final

from index.filesystem import disk_space
from index.node import Node
from index.room import room_of, takes_nothing
from retention.expired import expired_sums
from vault.errors import StoreError
from vault.room import HASTE_PERCENT, RUN_PERCENT, Room
from vault.timebase import US

AGAIN_US: Final = 60 * US
LOOK_US: Final = 2 * US


class Haste:
    """Of one thread."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._look_us = 0
        self._again_us = 0
        self._pressed = False

    def pressed(self) -> bool:
        """Whether what is doomed is to go without its grace."""
        room = room_of(self._node)
        return (room is not None and room.below(HASTE_PERCENT)) or takes_nothing(self._node.environment)

    def due(self, mono_us: int, trusted_us: int | None) -> bool:
        """Whether a run is to begin now. `trusted_us`: the time, None while it is not confirmed. Raises what the index raises."""
        if mono_us < self._look_us or trusted_us is None:
            return False
        self._look_us = mono_us + LOOK_US
        was, self._pressed = self._pressed, self.pressed()
        if not self._pressed and not any(room.below(RUN_PERCENT) for room in self._rooms()):
            return False
        # That the grace is over all at once is news; otherwise the last run has done what it could.
        if (mono_us < self._again_us and (was or not self._pressed)) or not self._has_work(trusted_us):
            return False
        self._again_us = mono_us + AGAIN_US
        return True

    def _has_work(self, now_us: int) -> bool:
        return any(count for _, count in expired_sums(self._node.environment, now_us)) or bool(self._node.catalog.doomed(1))

    def _rooms(self) -> list[Room]:
        room = room_of(self._node)
        found = [] if room is None else [room]
        try:
            own = self._node.config.store.kind != "local" or (
                os.stat(self._node.folder.spool).st_dev != os.stat(self._node.folder.store(self._node.config)).st_dev
            )
            if own:
                free_bytes, size_bytes = disk_space(self._node.folder.spool)
                found.append(Room(size_bytes, free_bytes))
        except (OSError, StoreError):
            # One of them is not there now. A run would say so; nothing here does.
            pass
        return found
