"""The supervisor's hand in the index: which cameras are to record, who has which epoch, and since when there is a gap.

A thread of its own: the watch loop must never wait for LMDB's write lock, since it is the one who breaks it when it is stuck.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from index.cameras import Camera
from index.classdays import days_in_force
from index.credentials import camera_url
from index.guard import IndexGuard
from index.node import Node
from index.sites import kept
from ingest.closer import Keep
from ingest.messages import CameraSpec
from ingest.reasons import Reason
from ingest.spoolguard import SpoolGuard
from ingest.storeguard import StoreGuard
from vault.errors import StreamvaultError
from vault.ids import CameraNumber
from vault.logs import Log
from vault.media import GapBefore
from vault.secrets import CredentialBox, SplitUrl
from vault.timebase import MAX_US

log = Log("ingest.keeper")

REFRESH_SECONDS = 1.0
MAX_BATCH = 500
LAST_TRIES = 5
"""At the end: how often what fails is tried again, with a pause of `REFRESH_SECONDS`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A camera that should record, as the registry has it now, and what its site demands."""

    camera: Camera
    keep: Keep


@dataclass(frozen=True, slots=True)
class _Gap:
    """`at_us`: when it was told."""

    number: CameraNumber
    start_us: int
    reason: str
    at_us: int


@dataclass(frozen=True, slots=True)
class _Lost:
    number: CameraNumber
    reason: str


@dataclass(frozen=True, slots=True)
class _GapEnd:
    number: CameraNumber
    end_us: int


@dataclass(frozen=True, slots=True)
class _Take:
    wanted: Wanted
    reason: str


@dataclass(frozen=True, slots=True)
class _Halt:
    number: CameraNumber
    reason: str


_Task = _Gap | _GapEnd | _Take | _Lost | _Halt


class Keeper:
    """Tasks are queued from the watch loop; specs of cameras that were taken come back by `taken`."""

    def __init__(self, node: Node, box: CredentialBox) -> None:
        self._node = node
        self._catalog = node.catalog
        self._cameras = node.cameras
        self._sites = node.sites
        self._box = box
        self.guard = IndexGuard(node.environment, node.clock)
        self._changes = -1
        self._lowered_us = 0
        self._tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._keeps: dict[CameraNumber, Keep] = {}
        self._spool_guard = SpoolGuard(node)
        self._store_guard = StoreGuard(node)
        self._enabled: dict[CameraNumber, Wanted] = {}
        self.wanted: Mapping[CameraNumber, Wanted] = {}
        self.halted: Mapping[CameraNumber, str] = {}
        """Cameras that are switched on and not to be recorded now, with the reason for their gap rows."""
        self.taken: queue.SimpleQueue[CameraSpec] = queue.SimpleQueue()
        self.refused: queue.SimpleQueue[tuple[CameraNumber, str]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Read the registry, then do duties on a thread. Raises what the index raises."""
        self.refresh()
        try:
            self._watch_room()
        except StreamvaultError as error:
            log.warning("room not looked at", error=str(error))
        self._explain_absent()
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, seconds: float) -> bool:
        """Do what is queued, then end. False when that took longer than this; it may be called again."""
        self._stop.set()
        self._thread.join(timeout=seconds)
        return not self._thread.is_alive()

    def take(self, wanted: Wanted, reason: str) -> None:
        """A camera is to be recorded by a worker: raise its epoch, and let its gap row begin where its footage ends."""
        self._tasks.put(_Take(wanted, reason))

    def lost(self, number: CameraNumber, reason: str) -> None:
        """Whoever recorded the camera is gone, and nobody knows how far its files reach."""
        self._tasks.put(_Lost(number, reason))

    def gap(self, number: CameraNumber, start_us: int, reason: str) -> None:
        self._tasks.put(_Gap(number, start_us, reason, self._node.clock.now_us()))

    def halt(self, number: CameraNumber, reason: str) -> None:
        """The camera is switched on, nobody records it, and nobody shall for now."""
        self._tasks.put(_Halt(number, reason))

    def gap_ended(self, number: CameraNumber, end_us: int) -> None:
        self._tasks.put(_GapEnd(number, end_us))

    def keep_of(self, number: CameraNumber) -> Keep:
        """The class and days of a camera, removed ones too; the longest there is for one that nobody knows."""
        return self._keeps.get(number) or Keep("key", self._node.config.retention.key_days)

    def refresh(self) -> None:
        """Read the registry again if it changed."""
        changes, now_us = self._cameras.changes(), self._node.clock.now_us()
        if changes == self._changes and now_us < self._lowered_us:
            return
        sites = {site.id: site for site in self._sites.list()}
        cameras = self._cameras.list(removed=True)
        retention = days_in_force(self._node.environment, self._node.config.retention)
        wanted: dict[CameraNumber, Wanted] = {}
        for camera in (camera.at(now_us) for camera in cameras):
            keep = Keep(*kept(camera.days, sites.get(camera.site), retention, now_us))
            self._keeps[camera.number] = keep
            if camera.records:
                wanted[camera.number] = Wanted(_recorded_part(camera), keep)
        # What was announced takes effect without a change of the registry.
        announced = [item.lowering for item in sites.values()] + [item.lowering for item in cameras]
        self._lowered_us = min((low.from_us for low in announced if low and low.from_us > now_us), default=MAX_US)
        self._enabled, self._changes = wanted, changes
        self._choose_wanted()

    def _choose_wanted(self) -> None:
        """All that are switched on but for classes that spool or store have no room for."""
        why = dict.fromkeys(self._store_guard.stopped, str(Reason.STORE)) | dict.fromkeys(
            self._spool_guard.stopped, str(Reason.SPOOL)
        )
        enabled = self._enabled.items()
        self.halted = {number: why[kept] for number, want in enabled if (kept := want.keep.site_class) in why}
        self.wanted = {number: want for number, want in self._enabled.items() if number not in self.halted}

    def _watch_room(self) -> None:
        classes = {want.keep.site_class for want in self._enabled.values()}
        if self._spool_guard.look(classes) | self._store_guard.look(classes):
            self._choose_wanted()

    def _run(self) -> None:
        tasks: deque[_Task] = deque()
        last_tries = LAST_TRIES
        while not (self._stop.is_set() and not tasks and self._tasks.empty()) and last_tries:
            try:
                self._gather(tasks)
                self._work(tasks)
                self.refresh()
                self._watch_room()
                self.guard.look()
            except Exception as error:  # what is left of the tasks is repeated; a thread that is gone repeats nothing
                log.error("index duty not done yet", tasks=len(tasks), error=error)
                last_tries -= self._stop.wait(REFRESH_SECONDS)

    def _gather(self, tasks: deque[_Task]) -> None:
        """What is queued, behind what was not done yet; waits a little for the first."""
        try:
            if not tasks:
                tasks.append(self._tasks.get(timeout=0.05 if self._stop.is_set() else REFRESH_SECONDS / 2))
            while len(tasks) < MAX_BATCH:
                tasks.append(self._tasks.get_nowait())
        except queue.Empty:
            pass

    def _work(self, tasks: deque[_Task]) -> None:
        """In order; neighbours of a kind in one transaction. What is done leaves `tasks`.

        Raises retryable errors. One task that can never be done is given up, and the others go on.
        """
        singly = 0
        while tasks:
            group = _neighbours(tasks, 1 if singly else MAX_BATCH)
            singly = max(0, singly - 1)
            try:
                self._do(group)
            except Exception as error:
                if isinstance(error, StreamvaultError) and error.retryable:
                    raise
                if len(group) > 1:
                    # Repeating is harmless, so each by itself shows which one it is.
                    singly = len(group)
                    continue
                self._give_up(group[0], error)
            for _ in group:
                tasks.popleft()

    def _give_up(self, task: _Task, error: Exception) -> None:
        log.error("index duty given up", duty=type(task).__name__.strip("_").lower(), error=error)
        if isinstance(task, _Take):
            self.refused.put((task.wanted.camera.number, str(error)))

    def _do(self, group: Sequence[_Task]) -> None:
        """Tasks of one kind."""
        takes = [task for task in group if isinstance(task, _Take)]
        if takes:
            self._take_all(takes)
        losses = [task for task in group if isinstance(task, _Lost)]
        if losses:
            self._lose_all(losses)
        halts = [task for task in group if isinstance(task, _Halt)]
        if halts:
            self._halt_all(halts)
        gaps = [self._split(task) for task in group if isinstance(task, _Gap)]
        if gaps:
            self._catalog.open_gaps(gaps)
        ends = [(task.number, task.end_us) for task in group if isinstance(task, _GapEnd)]
        if ends:
            self._catalog.close_gaps(ends)

    def _split(self, task: _Gap) -> tuple[CameraNumber, int, str]:
        """Another reason for a silence that lasts already: what was noted before stays true until now."""
        lasting = self._catalog.lasting_gap(task.number)
        if lasting is not None and lasting.reason != task.reason and lasting.start_us >= task.start_us:
            return task.number, task.at_us, task.reason
        return task.number, task.start_us, task.reason

    def _lose_all(self, losses: Sequence[_Lost]) -> None:
        now_us = self._node.clock.now_us()
        # A new epoch tells their files to be nobody's. It comes first: what their worker, if it lives, committed later would
        # count as recorded after the gap began, and end it.
        self._catalog.raise_epochs([loss.number for loss in losses])
        lasting = {loss.number for loss in losses if self._catalog.lasting_gap(loss.number) is not None}
        gaps = [(loss.number, self._end_of(loss.number, now_us), loss.reason) for loss in losses if loss.number not in lasting]
        if gaps:
            self._catalog.open_gaps(gaps)

    def _halt_all(self, halts: Sequence[_Halt]) -> None:
        now_us = self._node.clock.now_us()
        for halt in halts:
            self._cameras.begin_recording(halt.number, now_us)
        # What an earlier recorder left of them becomes nobody's, and its silence a crash's where it did not say why.
        self._lose_all([_Lost(halt.number, str(Reason.CRASH)) for halt in halts])
        now_us = self._node.clock.now_us()
        self._catalog.open_gaps([(halt.number, now_us, halt.reason) for halt in halts])

    def _take_all(self, takes: Sequence[_Take]) -> None:
        now_us = self._node.clock.now_us()
        for take in takes:
            self._cameras.begin_recording(take.wanted.camera.number, now_us)
        epochs = self._catalog.raise_epochs([take.wanted.camera.number for take in takes])
        addresses = self._addresses(takes)
        new: list[tuple[CameraNumber, int, str]] = []
        for take in takes:
            number = take.wanted.camera.number
            lasting = self._catalog.lasting_gap(number)
            if number not in addresses:
                start_us = self._end_of(number, now_us) if lasting is None else now_us
                if lasting is None or lasting.reason != Reason.CREDENTIALS:
                    new.append((number, start_us, str(Reason.CREDENTIALS)))
            elif lasting is None:
                # Nobody has said why nothing is recorded: it is a new camera, or whoever recorded it could not say.
                reason = str(Reason.CONNECTING) if epochs[number] == 1 else take.reason
                new.append((number, self._end_of(number, now_us), reason))
        if new:
            self._catalog.open_gaps(new)
        for take in takes:
            camera = take.wanted.camera
            if camera.number not in addresses:
                continue
            address = addresses[camera.number]
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

    def _addresses(self, takes: Sequence[_Take]) -> dict[CameraNumber, SplitUrl]:
        """Where the cameras are, with their credentials. One whose credentials do not open is refused and left out."""
        found: dict[CameraNumber, SplitUrl] = {}
        for take in takes:
            camera = take.wanted.camera
            try:
                found[camera.number] = camera_url(camera, self._box)
            except StreamvaultError as error:
                log.error("camera cannot be recorded", camera=camera.id, error=str(error))
                self.refused.put((camera.number, str(error)))
        return found

    def _end_of(self, number: CameraNumber, now_us: int) -> int:
        """Where the camera's committed footage ends, or its recording was to begin; never after now.

        Files that are found later take their time out of the gap that begins there.
        """
        end_us = self._node.timeline.last_end_us(number)
        if end_us is None:
            end_us = self._catalog.usage(number).first_us
        return now_us if end_us is None else min(end_us, now_us)

    def _explain_absent(self) -> None:
        """Cameras that were switched off or removed while nobody recorded: their files become nobody's, their silence gets its
        reason."""
        in_spool = {key.camera for key in self._node.spool.list_keys()}
        now_us = self._node.clock.now_us()
        absent = [
            camera.number
            for camera in self._cameras.list(removed=True)
            if not camera.records and camera.first_record_us is not None
        ]
        left = [number for number in absent if number in in_spool]
        if left:
            self._catalog.raise_epochs(left)
        gaps: list[tuple[CameraNumber, int, str]] = []
        for number in absent:
            lasting = self._catalog.lasting_gap(number)
            if lasting is None:
                gaps.append((number, self._end_of(number, now_us), str(Reason.DISABLED)))
            elif lasting.reason != Reason.DISABLED:
                gaps.append((number, now_us, str(Reason.DISABLED)))
        if gaps:
            self._catalog.open_gaps(gaps)


def _recorded_part(camera: Camera) -> Camera:
    """The camera without what recording does not depend on: a change of that must not begin it anew. What its site and its days
    demand is in `Wanted.keep`; when it first recorded and where it stood are our own notes, and what is announced is no change yet."""
    return replace(
        camera,
        site="",
        name="",
        gb_code="",
        interconnect="",
        approval_ref="",
        days=0,
        first_record_us=None,
        lowering=None,
        stays=(),
    )


def _neighbours(tasks: Sequence[_Task], limit: int) -> list[_Task]:
    """The first tasks, as many as are of one kind."""
    group: list[_Task] = []
    for task in tasks:
        if len(group) == limit or (group and type(task) is not type(group[0])):
            break
        group.append(task)
    return group
