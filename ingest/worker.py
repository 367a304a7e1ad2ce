"""A worker process: one sweep thread for all its cameras, a writer, a closer, and a link to the supervisor.

The sweep thread reads sockets and decides; it never writes a file, syncs, commits or resolves a name.
"""

from __future__ import annotations

import heapq
import os
import queue
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

from index.catalog import Catalog
from index.environment import Environment
from ingest.arenas import Arenas
from ingest.camera import CameraTask, Pace
from ingest.clockmap import StepDetector
from ingest.closer import Closer, Keep
from ingest.connect import Resolver
from ingest.jobs import Job
from ingest.messages import CameraSpec, Dropped, Ended, News, Order, Shutdown, Start, Status, Stop
from ingest.reasons import Reason
from ingest.sources import Sources
from ingest.writer import Writer
from vault import logs
from vault.clock import Clock, SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import StreamvaultError
from vault.ids import CameraNumber
from vault.spool import Spool
from vault.timebase import US

log = logs.Log("ingest.worker")

TICK_US = 50_000
"""Sweeps fall on a grid of this: cameras due at about the same time share one wake-up."""

MAX_BACKLOG_BYTES = 512 << 20
"""When the writer lags by this much the sockets are left alone: TCP cameras wait, and what UDP loses is counted."""


class Link:
    """The pipe to the supervisor: one thread waits for orders, another sends, so that the sweep never waits for either."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[News | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send, name="link-send", daemon=True)
        threading.Thread(target=self._receive, name="link-receive", daemon=True).start()
        self._sender.start()

    def tell(self, news: News) -> None:
        self._news.put(news)

    def close(self) -> None:
        """Send what is left."""
        self._news.put(None)
        self._sender.join(timeout=5)

    def _receive(self) -> None:
        try:
            while True:
                self.orders.put(self._pipe.recv())
        except (EOFError, OSError):
            # The supervisor is gone: close everything properly; the next one takes over.
            self.orders.put(Shutdown(str(Reason.CRASH)))

    def _send(self) -> None:
        while (news := self._news.get()) is not None:
            try:
                self._pipe.send(news)
            except OSError:
                return


class Worker:
    """The sweep loop over its cameras."""

    def __init__(self, link: Link, spool: Spool, catalog: Catalog, config: Config, clock: Clock) -> None:
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
        self._due: list[tuple[int, CameraNumber]] = []
        self._keeps: dict[CameraNumber, Keep] = {}
        self._dropped: queue.SimpleQueue[tuple[CameraNumber, str]] = queue.SimpleQueue()
        self._closer = Closer(
            spool,
            catalog,
            clock,
            config.retention,
            lambda camera: self._keeps[camera],
            sync_us=int(recording.sync_seconds * US),
            fenced=lambda camera: self._dropped.put((camera, str(Reason.TAKEN_OVER))),
        )
        self._writer = Writer(spool, self._closer.finish, self._write_failed)
        self._ending: str | None = None
        self._jobs: list[Job] = []

    def run(self) -> None:
        """Until Shutdown; then everything is closed and committed before it returns."""
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
                if camera in self._tasks:
                    self._tasks[camera].grant_epoch(epoch)
            if mono_us >= status_us:
                status_us = mono_us + US
                self._tell_status()
            self._sleep()
        for number in list(self._tasks):
            self._end(number, self._ending)
        self._submit()
        self._writer.stop()
        self._closer.stop()
        self._sources.close()
        self._link.tell(Ended())

    def _sweep(self, mono_us: int) -> None:
        """Step every camera that is due. The clock is read anew for each: its frames' arrival is that moment."""
        due = self._due
        if self._arenas.out_bytes > MAX_BACKLOG_BYTES:
            return
        while due and due[0][0] <= mono_us:
            _, number = heapq.heappop(due)
            task = self._tasks.get(number)
            if task is None:
                continue
            try:
                task.step(self._clock.now_us(), self._clock.mono_us())
            except Exception as error:  # one camera's surprise must not end the others'
                log.error("camera stopped by an error of ours", camera=task.spec.id, error=str(error), trace=error)
                self._dropped.put((number, f"{Reason.CRASH}: {type(error).__name__}"))
                continue
            self._hand_on(task)
            at = -(-task.due_us // TICK_US) * TICK_US
            heapq.heappush(due, (max(at, mono_us + 1), number))

    def _hand_on(self, task: CameraTask) -> None:
        self._jobs.extend(task.take_jobs())
        news, needs_epoch = task.take_news()
        for item in news:
            self._link.tell(item)
        if needs_epoch:
            self._closer.ask_epoch(task.spec.number)

    def _submit(self) -> None:
        """Everything of one tick at once: the writer then works while this thread sleeps, and they do not fight for the GIL."""
        if self._jobs:
            self._writer.submit(self._jobs)
            self._jobs = []

    def _sleep(self) -> None:
        mono_us = self._clock.mono_us()
        wait_us = min(TICK_US, self._due[0][0] - mono_us if self._due else TICK_US)
        if wait_us > 0:
            time.sleep(wait_us / 1e6)

    def _follow_orders(self, mono_us: int) -> None:
        while not self._link.orders.empty():
            order = self._link.orders.get()
            if isinstance(order, Start):
                self._start(order.spec, mono_us)
            elif isinstance(order, Stop):
                self._end(order.number, order.reason)
            else:
                self._ending = order.reason
        while not self._dropped.empty():
            number, reason = self._dropped.get()
            if number in self._tasks:
                self._end(number, reason)
                self._link.tell(Dropped(number, reason))

    def _start(self, spec: CameraSpec, mono_us: int) -> None:
        if spec.number in self._tasks:
            self._end(spec.number, str(Reason.CONNECTING))
        self._keeps[spec.number] = spec.keep
        self._tasks[spec.number] = CameraTask(spec, self._pace, self._arenas, self._sources.connect, mono_us)
        heapq.heappush(self._due, (mono_us, spec.number))

    def _end(self, number: CameraNumber, reason: str) -> None:
        task = self._tasks.pop(number, None)
        if task is not None:
            task.end(reason)
            self._hand_on(task)

    def _write_failed(self, camera: CameraNumber, error: StreamvaultError) -> None:
        """From the writer thread: this camera's file cannot be written."""
        log.error("cannot write", camera=camera, error=str(error))
        self._dropped.put((camera, str(Reason.DISK)))

    def _tell_status(self) -> None:
        cameras = {number: task.status() for number, task in self._tasks.items()}
        self._link.tell(Status(cameras, time.process_time_ns() // 1000, self._arenas.out_bytes))


def main(pipe: Connection, data: Path, config: Config) -> None:
    """A worker process's entry, for `spawn`. Signals of the terminal are the supervisor's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logs.setup()
    clock = SystemClock()
    folder = DataFolder.open(data)
    link = Link(pipe)
    with Environment(folder.index, config.index.map_bytes, clock) as environment, Spool(folder.spool) as spool:
        Worker(link, spool, Catalog(environment, clock), config, clock).run()
    link.close()
    # Threads that still look up a name must not keep the process.
    os._exit(0)
