"""A worker process: one sweep thread for all its cameras, a writer, a closer, and a link to the supervisor.

The sweep thread reads sockets and decides; it never writes a file, syncs, commits or resolves a name.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import queue
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from index.catalog import Catalog
from index.clockwatch import ClockWatch
from index.environment import Environment
from ingest.arenas import Arenas
from ingest.camera import CameraTask, Pace
from ingest.clockmap import StepDetector
from ingest.closer import Closer, Keep
from ingest.connect import Resolver
from ingest.jobs import Job
from ingest.mailbox import Mailbox
from ingest.messages import CameraSpec, Dropped, Ended, News, Order, Start, Status, Stop
from ingest.orphans import register
from ingest.reasons import Reason
from ingest.sources import Sources
from ingest.writer import Writer
from vault import logs
from vault.clock import Clock, SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.ids import CameraNumber
from vault.spool import Spool
from vault.timebase import US, use_zone

log = logs.Log("ingest.worker")

TICK_US = 250_000
"""Sweeps fall on a grid of this: a dozen cameras one after the other find the code in the processor's caches, where two or three
at a time do not. 50 cameras took 28.5 ms of a core a second on a grid of 50 ms, 21.5 on this one (benchmarks/compare_recorders.py,
2 cores of an Intel Xeon, 2026-11-25)."""

FINE_TICK_US = 50_000
"""The grid of what is due sooner: handshakes, datagrams with a small buffer, a cut that waits for its sound."""

MAX_BATCH = 16
"""So many cameras are handed to the writer at once: their buffers are out until it has written them."""

MAX_BACKLOG_BYTES = 512 << 20
"""When the writer lags by this much the sockets are left alone: TCP cameras wait, and what UDP loses is counted."""


LAST_NEWS_SECONDS = 5.0

IGNORED = frozenset({signal.SIGINT, signal.SIGTERM})
"""Signals of the terminal and the service manager are the supervisor's business; it tells its workers what to do."""


class Worker:
    """The sweep loop over its cameras."""

    def __init__(self, link: Mailbox[News, Order], spool: Spool, catalog: Catalog, config: Config, clock: Clock) -> None:
        recording = config.recording
        self._link = link
        self._clock = clock
        self._pace = Pace(
            nominal_us=recording.segment_seconds * US,
            audio_wait_us=recording.audio_wait_ms * 1000,
            sweep_us=int(min(recording.sweep_seconds, recording.fragment_seconds) * US),
            connect_us=int(recording.connect_timeout_seconds * US),
            silence_us=int(recording.silence_timeout_seconds * US),
        )
        self._arenas = Arenas()
        self._sources = Sources(Resolver(), recording)
        self._tasks: dict[CameraNumber, CameraTask] = {}
        self._due: list[tuple[int, int, CameraTask]] = []
        self._pushed = 0
        self._keeps: dict[CameraNumber, Keep] = {}
        self._epochs: dict[CameraNumber, int] = {}
        self._dropped: queue.SimpleQueue[tuple[CameraNumber, int, str]] = queue.SimpleQueue()
        self._closer = Closer(
            spool,
            catalog,
            clock,
            config.retention,
            lambda camera: self._keeps[camera],
            sync_us=int(recording.sync_seconds * US),
            fenced=lambda camera, epoch: self._dropped.put((camera, epoch, str(Reason.TAKEN_OVER))),
            failed=self._write_failed,
            trusted=ClockWatch(catalog.environment, clock).trusted,
        )
        self._writer = Writer(spool, self._closer.finish, self._write_failed)
        self._ending: str | None = None
        self._jobs: list[Job] = []

    def run(self) -> None:
        """Until Shutdown; then everything is closed and committed before it returns.

        Raises RuntimeError when one of its threads has died: the process is of no use then, and the supervisor starts another.
        """
        self._writer.start()
        self._closer.start()
        detector = StepDetector(self._clock.now_us(), self._clock.mono_us())
        status_us = 0
        while self._ending is None:
            now_us, mono_us = self._clock.now_us(), self._clock.mono_us()
            if detector.check(now_us, mono_us):
                for task in self._tasks.values():
                    task.clock_stepped()
            self._follow_orders(mono_us)
            self._sweep(mono_us)
            self._submit()
            for camera, epoch in self._closer.granted().items():
                # A grant that comes after a new start of the camera is of an epoch that is over.
                if camera in self._tasks and epoch > self._epochs[camera]:
                    self._epochs[camera] = epoch
                    self._tasks[camera].grant_epoch(epoch)
            if mono_us >= status_us:
                # Each second, on a tick that may come a little early.
                status_us = mono_us + US - FINE_TICK_US
                self._tell_status()
                self._check_threads()
            self._rest()
        for number in list(self._tasks):
            self._end(number, self._ending)
        self._submit()
        self._writer.stop()
        self._closer.stop()
        self._sources.close()
        self._link.tell(Ended())

    def _sweep(self, mono_us: int) -> None:
        """Step every camera that is due, a batch at a time: all are read, then all are decided upon, with the code in the cache.

        The clock is read anew for each: its frames' arrival is that moment.
        """
        due = self._due
        if self._arenas.out_bytes > MAX_BACKLOG_BYTES:
            return
        while due and due[0][0] <= mono_us:
            batch: list[tuple[CameraTask, int, int]] = []
            while due and due[0][0] <= mono_us and len(batch) < MAX_BATCH:
                _, _, task = heapq.heappop(due)
                now_us, at_us = self._clock.now_us(), self._clock.mono_us()
                if self._tasks.get(task.spec.number) is task and self._guarded(task, task.receive, now_us, at_us):
                    batch.append((task, now_us, at_us))
            for task, now_us, at_us in batch:
                if self._guarded(task, task.step, now_us, at_us):
                    self._hand_on(task)
                    self._push(max(_on_grid(task.due_us, at_us), at_us + 1), task)
            self._submit()

    def _guarded(self, task: CameraTask, duty: Callable[[int, int], None], now_us: int, mono_us: int) -> bool:
        """False when the camera cannot go on: one camera's surprise must not end the others'."""
        try:
            duty(now_us, mono_us)
            return True
        except Exception as error:  # it costs this camera a new start
            log.error("camera stopped by an error of ours", camera=task.spec.id, error=error)
            number = task.spec.number
            self._dropped.put((number, self._epochs[number], f"{Reason.CRASH}: {type(error).__name__}"))
            return False

    def _push(self, at_us: int, task: CameraTask) -> None:
        self._pushed += 1
        heapq.heappush(self._due, (at_us, self._pushed, task))

    def _hand_on(self, task: CameraTask) -> None:
        self._jobs.extend(task.take_jobs())
        news, needs_epoch = task.take_news()
        for item in news:
            self._link.tell(item)
        if needs_epoch:
            self._closer.ask_epoch(task.spec.number)

    def _submit(self) -> None:
        """Much at once: the writer then works while this thread sleeps, and they do not fight for the GIL."""
        if self._jobs:
            self._writer.submit(self._jobs)
            self._jobs = []

    def _rest(self) -> None:
        """Until a camera is due or an order comes."""
        wait_us = TICK_US
        if self._arenas.out_bytes > MAX_BACKLOG_BYTES:
            wait_us = FINE_TICK_US
        elif self._due:
            wait_us = min(TICK_US, self._due[0][0] - self._clock.mono_us())
        if wait_us > 0:
            self._link.wait(wait_us / 1e6)

    def _follow_orders(self, mono_us: int) -> None:
        # Asked first: what was said before the end of the pipe is still to be taken.
        gone = self._link.gone
        for order in self._link.take():
            if isinstance(order, Start):
                self._start(order.spec, mono_us)
            elif isinstance(order, Stop):
                self._end(order.number, order.reason)
            else:
                self._ending = order.reason
        if gone and self._ending is None:
            # The supervisor is gone: close everything properly; the next one takes over.
            self._ending = str(Reason.CRASH)
        while not self._dropped.empty():
            number, epoch, reason = self._dropped.get()
            if number in self._tasks and self._epochs[number] == epoch:
                # First, because it says more of the gap than the end of the recording does.
                self._link.tell(Dropped(number, reason))
                self._end(number, reason, sweep=False)

    def _start(self, spec: CameraSpec, mono_us: int) -> None:
        if spec.number in self._tasks:
            self._end(spec.number, str(Reason.CONNECTING))
        self._keeps[spec.number] = spec.keep
        self._epochs[spec.number] = spec.epoch
        self._closer.took(spec.number, spec.epoch)
        task = self._tasks[spec.number] = CameraTask(spec, self._pace, self._arenas, self._sources.connect, mono_us)
        self._push(mono_us, task)

    def _end(self, number: CameraNumber, reason: str, *, sweep: bool = True) -> None:
        """Let go of the camera, with what its socket holds if `sweep`."""
        task = self._tasks.get(number)
        if task is None:
            return
        if sweep and task.status().recording and self._guarded(task, task.step, self._clock.now_us(), self._clock.mono_us()):
            self._hand_on(task)
        del self._tasks[number]
        try:
            task.end(reason)
        except Exception as error:  # what it held is lost; its file is closed by recovery
            log.error("camera not ended properly", camera=task.spec.id, error=error)
        self._hand_on(task)

    def _write_failed(self, camera: CameraNumber, epoch: int, error: Exception) -> None:
        """From the writer or the closer: this camera's file cannot be written."""
        task = self._tasks.get(camera)
        log.error("cannot write", camera=task.spec.id if task else camera, error=str(error))
        self._dropped.put((camera, epoch, str(Reason.DISK)))

    def _tell_status(self) -> None:
        cameras = {number: task.status() for number, task in self._tasks.items()}
        self._link.tell(Status(cameras, time.process_time_ns() // 1000, self._arenas.out_bytes), only_newest=True)

    def _check_threads(self) -> None:
        if not (self._writer.alive and self._closer.alive):
            raise RuntimeError("the writer or the closer thread has died")


def _on_grid(due_us: int, mono_us: int) -> int:
    """When a camera that is due then gets its turn: long waits end on the tick before, so that a pace of a second stays one."""
    if due_us - mono_us >= 3 * TICK_US:
        return due_us // TICK_US * TICK_US
    return -(-due_us // FINE_TICK_US) * FINE_TICK_US


def main(pipe: Connection, data: Path, config: Config) -> None:
    """A worker process's entry, for `spawn`."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
    logs.setup()
    code = 1
    try:
        _work(pipe, data, config)
        code = 0
    except Exception as error:  # the outermost place: the supervisor sees the exit code only
        log.error("worker ends by an error", error=error)
    # Threads that still look up a name must not keep the process.
    os._exit(code)


def _work(pipe: Connection, data: Path, config: Config) -> None:
    use_zone(config.retention.zone)
    clock = SystemClock()
    folder = DataFolder.open(data)
    registered = register(folder.run)
    _allow_many_files()
    link: Mailbox[News, Order] = Mailbox(pipe, "supervisor")
    index = Environment(folder.index, config.index.map_bytes, clock, create=False)
    with index as environment, Spool(folder.spool) as spool:
        Worker(link, spool, Catalog(environment, clock), config, clock).run()
    link.finish(LAST_NEWS_SECONDS)
    os.close(registered)


def _allow_many_files() -> None:
    """A camera needs two to six descriptors; the usual soft limit of 1,024 is made for select(), which is not used here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
