"""The worker's writer thread: jobs in, spool files out. The only thread that appends; it never reads sockets or the index."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from ingest.jobs import Appended, Finished, Job, Opened, Released
from vault.errors import StoreError, StreamvaultError
from vault.ids import CameraNumber
from vault.logs import Log
from vault.segment.build import SegmentBuilder
from vault.spool import Spool, append

log = Log("ingest.writer")


@dataclass(slots=True, eq=False)
class OpenFile:
    """A segment's file between `Opened` and its close. `whole` is False once a write failed: recovery closes it then."""

    opened: Opened
    builder: SegmentBuilder
    fd: int
    size_bytes: int
    whole: bool = True

    @property
    def camera(self) -> CameraNumber:
        return self.opened.head.key.camera

    def drop(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class Writer:
    """Takes jobs from the sweep thread in order. `failed` is told (on this thread) of a camera whose file cannot be written."""

    def __init__(
        self,
        spool: Spool,
        finished: Callable[[OpenFile, Finished], None],
        failed: Callable[[CameraNumber, StreamvaultError], None],
    ) -> None:
        self._spool = spool
        self._finished = finished
        self._failed = failed
        self._files: dict[int, OpenFile] = {}
        self._queue: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, jobs: list[Job]) -> None:
        """Queue jobs; never blocks."""
        self._queue.put(jobs)

    def stop(self) -> None:
        """Do what is queued, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (jobs := self._queue.get()) is not None:
            for job in jobs:
                try:
                    self._do(job)
                except Exception as error:  # the thread must go on for the other cameras
                    log.error("job not done", job=type(job).__name__, error=str(error), trace=error)
        for file in self._files.values():
            file.drop()

    def _do(self, job: Job) -> None:
        if isinstance(job, Appended):
            self._append(job)
        elif isinstance(job, Released):
            job.release()
        elif isinstance(job, Opened):
            self._open(job)
        else:
            file = self._files.pop(id(job.segment), None)
            if file is not None:
                self._finished(file, job)

    def _open(self, job: Opened) -> None:
        camera = job.head.key.camera
        fd = -1
        try:
            builder = SegmentBuilder(job.head, job.tracks)
            fd = self._spool.create(job.head.key)
            # Recovery leaves a file alone while whoever writes it lives; the kernel drops the lock with the process.
            fcntl.flock(fd, fcntl.LOCK_EX)
            size = append(fd, 0, [builder.opening()])
        except StreamvaultError as error:
            if fd >= 0:
                os.close(fd)
                with contextlib.suppress(StoreError):
                    self._spool.remove(job.head.key)
            self._failed(camera, error)
            return
        self._files[id(job)] = OpenFile(job, builder, fd, size)

    def _append(self, job: Appended) -> None:
        file = self._files.get(id(job.segment))
        if file is None or not file.whole:
            return
        try:
            header = file.builder.fragment(job.runs)
            file.size_bytes = append(file.fd, file.size_bytes, [header, *job.payload])
        except StreamvaultError as error:
            # The file still ends with its last whole fragment; the builder's tables know of one more.
            file.whole = False
            self._failed(file.camera, error)
