"""Cameras of which nothing is recorded, as alarms; and the thread that looks for them and has them told.

It is a thread of the supervisor and waits for the index like any other writer, which the watch loop must not.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from index.alarm_sender import AlarmSender, receivers
from index.alarms import Alarms
from index.node import Node
from vault.errors import StreamvaultError
from vault.ids import CameraNumber
from vault.logs import Log
from vault.timebase import US

if TYPE_CHECKING:
    from ingest.keeper import Keeper

log = Log("ingest.watch")

LOOK_SECONDS = 2.0
SILENT = "camera silent"


class Watch:
    """Looks every two seconds while it runs."""

    def __init__(self, node: Node, keeper: Keeper) -> None:
        self._node = node
        self._keeper = keeper
        self._catalog = node.catalog
        self._alarms = Alarms(node.environment, node.clock)
        self._silent_us = round(node.config.alarms.silent_seconds * US)
        self.sender = AlarmSender(self._alarms, receivers(node.config, node.folder.path))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self.sender.start()
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, seconds: float) -> None:
        """A recorder that was stopped on purpose watches no camera: what is silent then is no alarm of any."""
        self._stop.set()
        self._thread.join(seconds)
        self.sender.stop(seconds)

    def run_once(self) -> None:
        """Begin and end the alarms of silent cameras. Raises what the index raises."""
        now_us = self._node.clock.now_us()
        silent: dict[CameraNumber, str] = {}
        wanted = self._keeper.wanted
        for number, want in wanted.items():
            gap = self._catalog.lasting_gap(number)
            if gap is not None and now_us - gap.start_us >= self._silent_us:
                # No figure that grows: a message that changes is a row that is written.
                silent[number] = f"{want.camera.id}: {gap.reason}"
        self._tell(silent)

    def _tell(self, silent: Mapping[CameraNumber, str]) -> None:
        for number, why in silent.items():
            self._alarms.begin(SILENT, str(number), f"nothing is recorded of {why}")
        for alarm in self._alarms.lasting():
            if alarm.kind == SILENT and not (alarm.subject.isdecimal() and CameraNumber(int(alarm.subject)) in silent):
                self._alarms.end(SILENT, alarm.subject)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self.run_once()
            except Exception as error:  # the next look repeats it; a thread that is gone sees nothing
                trace = None if isinstance(error, StreamvaultError) else error
                log.warning("cameras not looked at", error=str(error), trace=trace)
