"""The worker's writer thread: jobs in, spool files out. The only thread that appends; it never reads sockets or the index.

A file that cannot be written is left as its last whole fragment is: its camera is given up, and recovery closes the file.
"""

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
from vault.files import store_error
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
    """Takes jobs from the sweep thread in order.

    `failed` is told (on this thread) of a camera whose file cannot be written, and of which epoch the file is.
    """

    def __init__(
        self,
        spool: Spool,
        finished: Callable[[OpenFile, Finished], None],
        failed: Callable[[CameraNumber, int, Exception], None],
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

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Do what is queued, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (jobs := self._queue.get()) is not None:
            self._prepare(jobs)
            for job in jobs:
                try:
                    self._do(job)
                except StreamvaultError as error:
                    self._give_up(job, error)
                except Exception as error:  # what nobody foresaw costs one camera a new start, and the others nothing
                    log.error("job not done", job=type(job).__name__, error=error)
                    self._give_up(job, error)
        for file in self._files.values():
            file.drop()

    def _prepare(self, jobs: list[Job]) -> None:
        """Build the fragments' headers of files that are open already before anything is written: the writes that follow empty
        the processor's caches."""
        for job in jobs:
            if isinstance(job, Appended) and (file := self._files.get(id(job.segment))) is not None and file.whole:
                # What cannot be built raises the same error again when its turn comes, and is told then.
                with contextlib.suppress(Exception):
                    job.header = file.builder.fragment(job.runs)

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
        fd = -1
        try:
            builder = SegmentBuilder(job.head, job.tracks)
            fd = self._spool.create(job.head.key)
            try:
                # Recovery leaves a file alone while whoever writes it lives; the kernel drops the lock with the process.
                fcntl.flock(fd, fcntl.LOCK_EX)
            except OSError as error:
                raise store_error(f"locking the spool file {job.head.key.file_name}", error) from error
            size = append(fd, 0, [builder.opening()])
        except Exception:
            if fd >= 0:
                with contextlib.suppress(StoreError):
                    self._spool.remove(job.head.key)
                os.close(fd)
            raise
        self._files[id(job)] = OpenFile(job, builder, fd, size)

    def _append(self, job: Appended) -> None:
        file = self._files.get(id(job.segment))
        if file is None or not file.whole:
            return
        header = job.header or file.builder.fragment(job.runs)
        file.size_bytes = append(file.fd, file.size_bytes, [header, *job.payload])

    def _give_up(self, job: Job, error: Exception) -> None:
        """The job's file is not to be trusted: the builder's tables know of more than is written."""
        if isinstance(job, Released):
            return
        opened = job if isinstance(job, Opened) else job.segment
        file = self._files.get(id(opened))
        if file is not None:
            file.whole = False
        self._failed(opened.head.key.camera, opened.head.key.epoch, error)
