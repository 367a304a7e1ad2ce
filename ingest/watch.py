"""Cameras of which nothing is recorded, as alarms; what cameras lost, as figures; what their clocks say; and the thread that looks.

It is a thread of the supervisor and waits for the index like any other writer, which the watch loop must not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from index.alarm_sender import AlarmSender, receivers
from index.alarms import Alarms
from index.hours import HOUR_US, CameraHour, HourFigures, Hours
from index.node import Node
from ingest.cameraclocks import CameraClockWatch
from ingest.messages import CameraStatus
from vault.ids import CameraNumber
from vault.logs import Log
from vault.timebase import US

if TYPE_CHECKING:
    from ingest.keeper import Keeper

log = Log("ingest.watch")

LOOK_SECONDS = 2.0
FIGURES_US = 60 * US
SILENT = "camera silent"


class Watch:
    """Looks every two seconds while it runs."""

    def __init__(self, node: Node, keeper: Keeper, running: Callable[[], Mapping[CameraNumber, CameraStatus | None]]) -> None:
        """`running`: what each camera does at the moment."""
        self._node = node
        self._keeper = keeper
        self._catalog = node.catalog
        self._alarms = Alarms(node.environment, node.clock)
        self._silent_us = round(node.config.alarms.silent_seconds * US)
        self.sender = AlarmSender(self._alarms, receivers(node.config, node.folder.path))
        self._running = running
        self._hours = Hours(node.environment)
        self._clocks = CameraClockWatch(node.environment, node.clock)
        self._seen: dict[CameraNumber, int] = {}
        self._still: dict[CameraNumber, int] = {}
        """Since when, by the monotonic clock, no worker records the camera."""
        self._recorded: dict[CameraNumber, int] = {}
        """When, by the monotonic clock, a worker was last seen to record it."""
        self._lost: dict[CameraHour, HourFigures] = {}
        self._lost_due_us = 0
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
        now_us, mono_us = self._node.clock.now_us(), self._node.clock.mono_us()
        silent: dict[CameraNumber, str] = {}
        wanted, running = self._keeper.wanted, self._running()
        self._still = {
            number: self._still.get(number, mono_us)
            for number in wanted
            if (status := running.get(number)) is None or not status.recording
        }
        self._recorded = {number: at_us for number, at_us in self._recorded.items() if number in wanted}
        self._recorded |= dict.fromkeys((number for number in wanted if number not in self._still), mono_us)
        for number, want in wanted.items():
            gap = self._catalog.lasting_gap(number)
            # A camera that is begun anew has a gap from its last committed segment on, until the one that was open is committed too.
            lately = number in self._recorded and mono_us - self._recorded[number] < self._silent_us
            if gap is not None and now_us - gap.start_us >= self._silent_us and not lately:
                # No figure that grows: a message that changes is a row that is written.
                silent[number] = f"{want.camera.id}: {gap.reason}"
            elif mono_us - self._still.get(number, mono_us) >= self._silent_us:
                # Rows of a clock that was far ahead say that the gap is yet to come; the monotonic clock knows better.
                silent[number] = f"{want.camera.id}: {gap.reason if gap else 'no footage'}"
        self._tell(silent)

    def _tell(self, silent: Mapping[CameraNumber, str]) -> None:
        for number, why in silent.items():
            self._alarms.begin(SILENT, str(number), f"nothing is recorded of {why}")
        for alarm in self._alarms.lasting():
            if alarm.kind == SILENT and not (alarm.subject.isdecimal() and CameraNumber(int(alarm.subject)) in silent):
                self._alarms.end(SILENT, alarm.subject)

    def _count_losses(self) -> None:
        """What was lost since the last look goes to the hour that it is now; a worker that begins anew counts from 0."""
        hour = self._node.clock.now_us() // HOUR_US
        for number, status in self._running().items():
            if status is not None:
                seen = self._seen.get(number, 0)
                more = status.lost_packets - seen if status.lost_packets >= seen else status.lost_packets
                self._seen[number] = status.lost_packets
                if more > 0:
                    self._lost[number, hour] = self._lost.get((number, hour), HourFigures()).plus(HourFigures(0, more))
        if self._lost and (mono_us := self._node.clock.mono_us()) >= self._lost_due_us:
            lost, self._lost, self._lost_due_us = self._lost, {}, mono_us + FIGURES_US
            self._hours.add(lost)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self.run_once()
                self._count_losses()
                self._clocks.look(self._running())
            except Exception as error:  # the next look repeats it; a thread that is gone sees nothing
                log.warning("cameras not looked at", error=error)
