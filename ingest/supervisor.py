"""The supervisor: every second it compares what should record with what does, and puts the difference right.

It owns the worker processes, opens gap rows for what is missed, adopts what a lost worker left in the spool, uploads, writes
manifests. The watch loop itself never touches index or store: those may block, and then somebody has to be awake.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Protocol

from index.guard import LONG_WRITE_US
from index.holder import HolderWatch
from index.manifests import Manifests
from index.node import Node, open_node
from index.status import STATUS_FILE
from ingest.adopter import Adopter
from ingest.adoption import Adoption
from ingest.bookkeeper import Bookkeeper
from ingest.catchup import CatchUp
from ingest.crew import Crewman
from ingest.keeper import Keeper, Wanted
from ingest.lister import Lister
from ingest.messages import Dropped, GapNews, News, RecordingNews, Shutdown, Start, Stop
from ingest.metrics import Figures, Running, serving
from ingest.orphans import LINGER_US, LOCK_HELD_US, free_index, kill, workers
from ingest.reasons import Reason
from ingest.relocker import Relocker
from ingest.statusfile import write_status
from ingest.uploader import Uploader
from ingest.watch import Watch
from vault.clock import Clock, SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import StreamvaultError
from vault.ids import CameraNumber
from vault.logs import Log
from vault.store.choose import refuse_pretended_lock
from vault.timebase import US

log = Log("ingest.supervisor")

LOOK_SECONDS = 0.5
SHUTDOWN_US = 30 * US
LAST_SECONDS = 30.0
RETAKE_US = 5 * US
"""A camera that its worker let go of is assigned again after this long."""

REFUSED_US = 60 * US
"""A camera whose credentials cannot be opened is tried again after this long."""


class _Part(Protocol):
    """A thread of the supervisor; each is ended in its own way."""

    def start(self) -> None: ...

    @property
    def alive(self) -> bool: ...


class Supervisor:
    """`run` until `stop` is set."""

    def __init__(self, node: Node, stop: threading.Event) -> None:
        self._node = node
        self._clock: Clock = node.clock
        self._stop = stop
        count = node.config.recording.workers or os.cpu_count() or 1
        self._crew = [Crewman(slot, node.folder.path.absolute(), node.config) for slot in range(count)]
        self._keeper = Keeper(node, node.folder.credentials())
        lock = node.config.store.object_lock != "off"
        self._uploader = Uploader(node.spool, node.store, node.catalog, node.registry, node.clock, lock=lock)
        self._relocker = Relocker(node.store, node.catalog, node.clock, on=lock)
        self._lister = Lister(Manifests(node.environment, node.store, node.clock))
        adopter = Adopter(node.spool, node.catalog, node.clock, node.config, self._keeper.keep_of)
        self._adoption = Adoption(adopter, node.clock)
        self._watching = Watch(node, self._keeper, lambda: self.running().cameras)
        self._catchup = CatchUp(node)
        self._bookkeeper = Bookkeeper(node)
        # Epochs are raised by the keeper's first takes; what an earlier run left is adopted after them.
        self._parts: tuple[_Part, ...] = (
            self._keeper, self._uploader, self._relocker, self._lister, self._bookkeeper, self._watching, self._adoption,
        )  # fmt: skip
        self._slots: dict[CameraNumber, Crewman] = {}
        self._taking: dict[CameraNumber, Wanted] = {}
        self._current: dict[CameraNumber, Wanted] = {}
        self._compared_us = 0
        self._not_before: dict[CameraNumber, int] = {}
        self._why_not: dict[CameraNumber, str] = {}
        self._recorded: set[CameraNumber] = set()
        self._explained: set[CameraNumber] = set()
        """Of the cameras that the keeper has halted: those whose gap row says so, or will."""
        self._holder = HolderWatch()
        self._since_us = self._clock.mono_us()

    def run(self) -> None:
        """Record until told to stop; then close and commit everything, and say in the gap rows that it was on purpose.

        Raises RuntimeError when one of its threads has died: whoever started it starts it again.
        """
        self._catchup.start()
        for part in self._parts:
            part.start()
        while not self._stop.wait(LOOK_SECONDS):
            mono_us = self._clock.mono_us()
            self._watch(mono_us)
            self._hand_out()
            if mono_us - self._compared_us >= US:
                self._compare(mono_us)
                self._break_stuck_lock(mono_us)
                self._end_orphans(mono_us)
                self._write_status()
                if not all(part.alive for part in self._parts):
                    raise RuntimeError("a thread of the supervisor has died")
        self._shut_down()

    # Workers.

    def _watch(self, mono_us: int) -> None:
        for man in self._crew:
            for news in man.hear(mono_us):
                self._take_in(man, news, mono_us)
            why = man.is_lost(mono_us)
            if why is not None:
                log.error("worker lost", slot=man.slot, pid=man.pid, why=why, cameras=len(man.assigned))
                self._lose(man, mono_us)
            if man.process is None and mono_us >= man.due_us and not self._stop.is_set():
                man.start(mono_us)
                self._compared_us = 0
            man.reap()

    def _lose(self, man: Crewman, mono_us: int) -> None:
        """Whatever it recorded stays in the spool; its cameras go on elsewhere under new epochs."""
        man.kill()
        for number in man.stopping - self._slots.keys():
            self._keeper.lost(number, self._why_stopped(number))
        for number in list(man.assigned):
            self._keeper.lost(number, str(Reason.CRASH))
            self._unassign(number)
        man.stopping.clear()
        man.cameras.clear()
        man.back_off(mono_us)
        self._adoption.soon()

    def _take_in(self, man: Crewman, news: News, mono_us: int) -> None:
        if isinstance(news, GapNews | RecordingNews | Dropped) and self._slots.get(news.number, man) is not man:
            # Another worker has the camera by now, and what counts is what that one says.
            return
        if isinstance(news, GapNews):
            man.stopping.discard(news.number)
            self._keeper.gap(news.number, news.start_us, news.reason)
        elif isinstance(news, RecordingNews):
            self._keeper.gap_ended(news.number, news.start_us)
            if news.number not in self._recorded:
                self._recorded.add(news.number)
                log.info("camera records", camera=self._name(news.number))
        elif isinstance(news, Dropped):
            log.warning("camera let go", camera=self._name(news.number), reason=news.reason)
            self._keeper.lost(news.number, news.reason)
            self._unassign(news.number)
            self._not_before[news.number] = mono_us + RETAKE_US
            self._why_not[news.number] = news.reason

    def _name(self, number: CameraNumber) -> str:
        """The camera's id as people know it, as long as we do."""
        return str(want.camera.id if (want := self._current.get(number)) else number)

    def _why_stopped(self, number: CameraNumber) -> str:
        return self._keeper.halted.get(number, str(Reason.DISABLED))

    # What should record against what does.

    def _compare(self, mono_us: int) -> None:
        self._compared_us = mono_us
        wanted = self._keeper.wanted
        for number, man in list(self._slots.items()):
            if number not in wanted:
                man.tell(Stop(number, self._why_stopped(number)))
                man.stopping.add(number)
                self._unassign(number)
                # Its worker says since when.
                self._explained.add(number)
        halted = self._keeper.halted
        self._explained &= halted.keys()
        for number in halted.keys() - self._explained:
            self._keeper.halt(number, halted[number])
            self._explained.add(number)
        if all(man.process is None for man in self._crew):
            return
        for number, want in wanted.items():
            if number in self._taking or self._not_before.get(number, 0) > mono_us:
                continue
            # A camera whose address, transport or site changed is begun anew by its worker.
            # Most are the very object of the last time, which needs no comparing field by field.
            current = self._current.get(number)
            if number not in self._slots or (current is not want and current != want):
                self._taking[number] = want
                # Where no gap is known and we never had it, whoever had it died without a word.
                self._keeper.take(want, str(Reason.CONNECTING if number in self._current else Reason.CRASH))

    def _hand_out(self) -> None:
        """Cameras whose epoch was raised go to the worker that has the fewest."""
        while not self._keeper.taken.empty():
            spec = self._keeper.taken.get()
            want = self._taking.pop(spec.number)
            self._adoption.soon()
            alive = [man for man in self._crew if man.process is not None]
            if spec.number not in self._keeper.wanted or not alive:
                if spec.number not in self._keeper.wanted:
                    self._keeper.gap(spec.number, self._clock.now_us(), self._why_stopped(spec.number))
                continue
            man = self._slots.get(spec.number) or min(alive, key=lambda one: len(one.assigned))
            man.assigned[spec.number] = spec
            man.stopping.discard(spec.number)
            self._slots[spec.number], self._current[spec.number] = man, want
            self._why_not.pop(spec.number, None)
            man.tell(Start(spec))
        while not self._keeper.refused.empty():
            number, why = self._keeper.refused.get()
            self._why_not[number] = why
            self._taking.pop(number, None)
            self._not_before[number] = self._clock.mono_us() + REFUSED_US

    def _unassign(self, number: CameraNumber) -> None:
        man = self._slots.pop(number, None)
        if man is not None:
            man.assigned.pop(number, None)

    def _break_stuck_lock(self, mono_us: int) -> None:
        """A stopped process that holds LMDB's write lock stops every writer; a killed one does not."""
        holder = self._node.environment.holder()
        held_us = self._holder.held_us(holder, mono_us)
        if holder is None or held_us <= LONG_WRITE_US:
            return
        self._keeper.guard.wrote_long(holder)
        if held_us <= LOCK_HELD_US:
            return
        for man in self._crew:
            if man.pid == holder.pid:
                log.error("worker holds the index's lock, killed", slot=man.slot, pid=man.pid, work=holder.label)
                self._lose(man, mono_us)
                return
        log.error("another process holds the index's lock", pid=holder.pid, work=holder.label)
        kill(holder.pid, self._node.folder.run, "it holds the index's write lock")

    def _end_orphans(self, mono_us: int) -> None:
        """Workers of an earlier supervisor that have not ended: they keep the locks of their files."""
        if not self._since_us or mono_us - self._since_us < LINGER_US:
            return
        self._since_us = 0
        for pid in workers(self._node.folder.run) - {man.pid for man in self._crew}:
            kill(pid, self._node.folder.run, f"it has not ended for {LINGER_US // US} s")

    # What people see, and the end.

    def figures(self) -> Figures:
        """What `/metrics` tells."""
        return Figures(self._node, self.running, self._watching.sender.waiting)

    def running(self) -> Running:
        """For figures, asked by another thread."""
        slots, wanted = self._slots.copy(), self._keeper.wanted
        cameras = {number: slots[number].cameras.get(number) if number in slots else None for number in wanted}
        workers = {man.slot: (man.cpu_us, man.backlog_bytes) for man in self._crew}
        return Running({number: str(want.camera.id) for number, want in wanted.items()}, cameras, workers)

    def _write_status(self) -> None:
        refused = (self._keeper.wanted.keys() & self._why_not.keys()) - self._slots.keys()
        waiting = {**{number: self._why_not[number] for number in refused}, **self._keeper.halted}
        write_status(self._node.folder.run, self._clock.now_us(), self._slots, waiting)

    def _clear_run(self) -> None:
        """Nobody runs any more: no status that looks like news, and no lock files of workers that have ended."""
        try:
            (self._node.folder.run / STATUS_FILE).unlink(missing_ok=True)
            workers(self._node.folder.run)
        except (OSError, StreamvaultError) as error:
            log.warning("the folder run is not cleared", error=str(error))

    def _shut_down(self) -> None:
        self._watching.stop(1.0)
        deadline_us = self._clock.mono_us() + SHUTDOWN_US
        for man in self._crew:
            man.tell(Shutdown(str(Reason.STOPPED)))
        while any(man.process is not None for man in self._crew) and (mono_us := self._clock.mono_us()) < deadline_us:
            for man in self._crew:
                ended = man.process is not None and not man.process.is_alive() and (man.mailbox is None or man.mailbox.gone)
                for news in man.hear(mono_us):
                    self._take_in(man, news, mono_us)
                if ended:
                    self._say_goodbye(man)
            self._break_stuck_lock(mono_us)
            time.sleep(0.02)
        for man in self._crew:
            if man.process is not None:
                log.error("worker did not end in time, killed", slot=man.slot, pid=man.pid)
                self._lose(man, self._clock.mono_us())
        self._catchup.stop()
        self._adoption.stop(LAST_SECONDS)
        deadline_us = self._clock.mono_us() + SHUTDOWN_US
        while not self._keeper.stop(0.1) and (mono_us := self._clock.mono_us()) < deadline_us:
            self._break_stuck_lock(mono_us)
        self._adoption.finish(SHUTDOWN_US)
        self._uploader.stop(LAST_SECONDS)
        # A store that does not answer is waited for once.
        self._relocker.stop(0 if self._uploader.alive else LAST_SECONDS)
        self._lister.stop(0 if self._uploader.alive else LAST_SECONDS)
        self._bookkeeper.stop(LAST_SECONDS)
        self._clear_run()

    def _say_goodbye(self, man: Crewman) -> None:
        """A worker has ended: what it had not accounted for it has lost."""
        code = man.process.exitcode if man.process is not None else None
        if code != 0:
            log.error("worker ended badly", slot=man.slot, pid=man.pid, code=code)
            self._lose(man, self._clock.mono_us())
        man.kill()


def run_node(folder: DataFolder, config: Config, stop: threading.Event, clock: Clock | None = None) -> None:
    """Record into a data folder until `stop` is set. Raises Busy when another supervisor does, Refused for an object lock that
    the bucket only pretends to keep."""
    clock = clock or SystemClock()
    with folder.supervisor_lock():
        refuse_pretended_lock(folder.path, config.store, clock)
        free_index(folder.index, folder.run, clock)
        with open_node(folder, config, clock, role="recorder") as node:
            supervisor = Supervisor(node, stop)
            log.info("recorder started", path=str(folder.path), cameras=sum(camera.records for camera in node.cameras.list()))
            with serving(config.metrics.address, supervisor.figures()):
                supervisor.run()
            log.info("recorder stopped", path=str(folder.path))
