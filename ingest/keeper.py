"""The supervisor's hand in the index: which cameras are to record, who has which epoch, and since when there is a gap.

A thread of its own: the watch loop must never wait for LMDB's write lock, since it is the one who breaks it when it is stuck.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from index.cameras import Camera
from index.credentials import camera_url
from index.node import Node
from ingest.closer import Keep
from ingest.messages import CameraSpec
from ingest.reasons import Reason
from vault.errors import StreamvaultError
from vault.ids import CameraNumber
from vault.logs import Log
from vault.media import GapBefore
from vault.secrets import CredentialBox

log = Log("ingest.keeper")

REFRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A camera that should record, as the registry has it now, and what its site demands."""

    camera: Camera
    keep: Keep


@dataclass(frozen=True, slots=True)
class _Gap:
    number: CameraNumber
    start_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class _GapEnd:
    number: CameraNumber
    end_us: int


@dataclass(frozen=True, slots=True)
class _Take:
    wanted: Wanted
    reason: str


class Keeper:
    """Tasks are queued from the watch loop; specs of cameras that were taken come back by `taken`."""

    def __init__(self, node: Node, box: CredentialBox) -> None:
        self._node = node
        self._catalog = node.catalog
        self._cameras = node.cameras
        self._sites = node.sites
        self._box = box
        self._changes = -1
        self._tasks: queue.SimpleQueue[_Gap | _GapEnd | _Take | Callable[[], None]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._keeps: dict[CameraNumber, Keep] = {}
        self.wanted: Mapping[CameraNumber, Wanted] = {}
        self.taken: queue.SimpleQueue[CameraSpec] = queue.SimpleQueue()
        self.refused: queue.SimpleQueue[tuple[CameraNumber, str]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        self.refresh()
        self._thread.start()

    def stop(self) -> None:
        """Do what is queued, then end."""
        self._stop.set()
        self._thread.join()

    def take(self, wanted: Wanted, reason: str) -> None:
        """A camera is to be recorded by a worker: raise its epoch, and let its gap row begin where its footage ends."""
        self._tasks.put(_Take(wanted, reason))

    def gap(self, number: CameraNumber, start_us: int, reason: str) -> None:
        self._tasks.put(_Gap(number, start_us, reason))

    def gap_ended(self, number: CameraNumber, end_us: int) -> None:
        self._tasks.put(_GapEnd(number, end_us))

    def keep_of(self, number: CameraNumber) -> Keep:
        """The class and days of a camera, removed ones too; the longest there is for one that nobody knows."""
        return self._keeps.get(number) or Keep("key", self._node.config.retention.key_days)

    def refresh(self) -> None:
        """Read the registry again if it changed."""
        changes = self._cameras.changes()
        if changes == self._changes:
            return
        sites = {site.id: site for site in self._sites.list()}
        days = self._node.config.retention.days
        wanted: dict[CameraNumber, Wanted] = {}
        for camera in self._cameras.list(removed=True):
            site = sites[camera.site]
            keep = Keep(site.site_class, max(site.retain_days, days(site.site_class)))
            self._keeps[camera.number] = keep
            if camera.records:
                # When it first recorded is our own note, not a change that somebody made.
                wanted[camera.number] = Wanted(replace(camera, first_record_us=None), keep)
        self.wanted, self._changes = wanted, changes

    def _run(self) -> None:
        while not (self._stop.is_set() and self._tasks.empty()):
            tasks = self._batch()
            try:
                self._do(tasks)
                self.refresh()
            except StreamvaultError as error:
                log.error("index duty not done", tasks=len(tasks), error=str(error))
                if not error.retryable:
                    continue
                for task in tasks:
                    self._tasks.put(task)
                self._stop.wait(REFRESH_SECONDS)
                if self._stop.is_set():
                    return

    def _batch(self) -> list[_Gap | _GapEnd | _Take | Callable[[], None]]:
        tasks: list[_Gap | _GapEnd | _Take | Callable[[], None]] = []
        try:
            tasks.append(self._tasks.get(timeout=0.05 if self._stop.is_set() else REFRESH_SECONDS / 2))
            while len(tasks) < 500:
                tasks.append(self._tasks.get_nowait())
        except queue.Empty:
            pass
        return tasks

    def _do(self, tasks: list[_Gap | _GapEnd | _Take | Callable[[], None]]) -> None:
        """In order, but neighbouring gaps and neighbouring takes in one transaction each."""
        gaps: list[tuple[CameraNumber, int, str]] = []
        takes: list[_Take] = []
        for task in tasks:
            if isinstance(task, _Gap):
                gaps.append((task.number, task.start_us, task.reason))
                continue
            if gaps:
                self._catalog.open_gaps(gaps)
                gaps = []
            if isinstance(task, _Take):
                takes.append(task)
            elif isinstance(task, _GapEnd):
                self._catalog.close_gap(task.number, task.end_us)
            else:
                task()
        if gaps:
            self._catalog.open_gaps(gaps)
        if takes:
            self._take_all(takes)

    def _take_all(self, takes: list[_Take]) -> None:
        now_us = self._node.clock.now_us()
        for take in takes:
            self._cameras.begin_recording(take.wanted.camera.number, now_us)
        epochs = self._catalog.raise_epochs([take.wanted.camera.number for take in takes])
        gaps = [(take.wanted.camera.number, self._end_of(take.wanted.camera.number, now_us), take.reason) for take in takes]
        new = [gap for gap in gaps if self._catalog.lasting_gap(gap[0]) is None]
        if new:
            self._catalog.open_gaps(new)
        for take in takes:
            camera = take.wanted.camera
            try:
                address = camera_url(camera, self._box)
            except StreamvaultError as error:
                log.error("camera cannot be recorded", camera=camera.id, error=str(error))
                self.refused.put((camera.number, str(error)))
                continue
            lasting = self._catalog.lasting_gap(camera.number)
            gap = None if lasting is None else GapBefore(lasting.start_us, lasting.reason)
            spec = CameraSpec(
                camera.number,
                camera.id,
                address.url,
                camera.transport,
                epochs[camera.number],
                gap,
                take.wanted.keep,
                address.user,
                address.password,
            )
            self.taken.put(spec)

    def _end_of(self, number: CameraNumber, now_us: int) -> int:
        """Where the camera's known footage ends: the newest row's end, else now."""
        end_us = self._node.timeline.last_end_us(number)
        return now_us if end_us is None or end_us > now_us else end_us

    def stopped(self, ends: Mapping[CameraNumber, int]) -> None:
        """At the end of a clean stop: a gap from where each camera's footage ends."""
        for number, end_us in ends.items():
            self.gap(number, end_us, str(Reason.STOPPED))
