"""Watches over the index and its disk while a node records, and says by alarms what would stop it later: no room, or
transactions that stay.

Called by the supervisor's keeper, whose thread may wait for the index. Whoever holds the write lock too long is ended
elsewhere (`ingest.supervisor`), because that has to happen while this thread waits for the very lock.
"""

from __future__ import annotations

import queue

from index.alarms import Alarms
from index.environment import Environment
from index.filesystem import disk_space
from index.holder import WriteHolder, name_of
from index.readers import ReaderWatch
from vault.clock import Clock
from vault.timebase import US

DISK = "disk low"
HEADROOM = "index headroom"
LONG = "long transaction"

LOOK_US = 5 * US
CHECK_US = 60 * US
LONG_READ_US = 60 * US
LONG_WRITE_US = 2 * US
"""A commit of a thousand rows takes milliseconds; what takes this long sits on a dying disk, or is stopped."""

TOLD_US = 60 * US
"""A write that was too long is over before its alarm can be written; it lasts this long, so that somebody sees it."""

LOW_PART = 20
"""The disk is low when less than one part in so many is free."""

_MIB = 1 << 20


class IndexGuard:
    """One thread calls `look`; `wrote_long` is for any other."""

    def __init__(self, environment: Environment, clock: Clock) -> None:
        self._env = environment
        self._clock = clock
        self._alarms = Alarms(environment, clock)
        self._readers = ReaderWatch()
        self._writers: dict[str, tuple[str, int]] = {}
        self._noticed: queue.SimpleQueue[WriteHolder] = queue.SimpleQueue()
        self._look_us = self._check_us = 0

    def wrote_long(self, holder: WriteHolder) -> None:
        """Somebody has held the write lock longer than `LONG_WRITE_US`. Waits for nothing."""
        self._noticed.put(holder)

    def look(self) -> None:
        """What is due. Raises what the index raises."""
        mono_us = self._clock.mono_us()
        if mono_us >= self._check_us:
            self._check_us = mono_us + CHECK_US
            # Readers that were killed hold on to old pages until somebody looks, and the index grows meanwhile.
            self._env.reader_check()
            self._look_at_room()
        if mono_us >= self._look_us:
            self._look_us = mono_us + LOOK_US
            self._look_at_disk()
            self._look_at_transactions(mono_us)

    def _look_at_disk(self) -> None:
        free_bytes, size_bytes = disk_space(self._env.path)
        if free_bytes >= size_bytes // LOW_PART:
            self._alarms.end(DISK, "")
        else:
            message = (
                f"less than {100 // LOW_PART} % of the disk of {self._env.path.parent} is free: recording stops when it is full"
            )
            self._alarms.begin(DISK, "", message)

    def _look_at_room(self) -> None:
        space = self._env.space()
        if not space.is_tight:
            self._alarms.end(HEADROOM, "")
            return
        # Whole steps, so that the row is not written anew at every look.
        left = space.headroom_bytes // (4 * _MIB) * 4
        what = "set a larger map size" if space.limit_bytes == space.map_bytes else "free space on its disk"
        self._alarms.begin(HEADROOM, "", f"the index {self._env.path} has room for less than {left + 4} MiB more: {what}")

    def _look_at_transactions(self, mono_us: int) -> None:
        long: dict[str, str] = {}
        for reader, held_us in self._readers.held_us(self._env.readers(), mono_us):
            if held_us > LONG_READ_US:
                subject = f"read {reader.pid}"
                long[subject] = (
                    f"process {reader.pid} ({name_of(reader.pid)}) keeps reading an old state of the index, which grows "
                    f"meanwhile: let it finish, or end it"
                )
        while not self._noticed.empty():
            holder = self._noticed.get()
            work = f" for {holder.label!r}" if holder.label else ""
            message = (
                f"process {holder.pid} ({name_of(holder.pid)}) held the index's write lock too long{work}: nobody could commit"
            )
            self._writers[f"write {holder.pid}"] = message, mono_us + TOLD_US
        self._writers = {subject: told for subject, told in self._writers.items() if told[1] > mono_us}
        long |= {subject: message for subject, (message, _) in self._writers.items()}
        for alarm in self._alarms.lasting():
            if alarm.kind == LONG and alarm.subject not in long:
                self._alarms.end(LONG, alarm.subject)
        for subject, message in long.items():
            self._alarms.begin(LONG, subject, message)
