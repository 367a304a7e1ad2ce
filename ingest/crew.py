"""The supervisor's worker processes: started by `spawn`, watched, ended. What they record is decided in `ingest.supervisor`.

Nothing here blocks on a worker, whatever state it is in.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from ingest import worker
from ingest.mailbox import Mailbox
from ingest.messages import CameraSpec, CameraStatus, News, Order, RecordingNews, Status
from vault.config import Config
from vault.ids import CameraNumber
from vault.logs import Log
from vault.timebase import US

log = Log("ingest.crew")

SILENT_US = 8 * US
"""A worker that says nothing for this long is stopped or stuck: it is killed, and its cameras go on in another."""

FIRST_BACKOFF_US = 200_000
LAST_BACKOFF_US = 30 * US

_REAP_SECONDS = 0.2
"""A killed process is waited for this long; one that the kernel cannot end yet is reaped later."""

_spawn = multiprocessing.get_context("spawn")


@dataclass(slots=True, eq=False)
class Crewman:
    """One slot for a worker; the process in it changes after a crash.

    `stopping`: cameras that it was told to stop and has not yet accounted for. `useful`: it has recorded something.
    """

    slot: int
    data: Path
    config: Config
    process: BaseProcess | None = None
    mailbox: Mailbox[Order, News] | None = None
    heard_us: int = 0
    looked_us: int = 0
    due_us: int = 0
    backoff_us: int = FIRST_BACKOFF_US
    useful: bool = False
    cameras: dict[CameraNumber, CameraStatus] = field(default_factory=dict)
    cpu_us: int = 0
    backlog_bytes: int = 0
    assigned: dict[CameraNumber, CameraSpec] = field(default_factory=dict)
    stopping: set[CameraNumber] = field(default_factory=set)
    dying: list[BaseProcess] = field(default_factory=list)

    def start(self, mono_us: int) -> None:
        """Start the process. It gets no key and no secret but those of the cameras it is given, over the pipe."""
        self.cameras.clear()
        self.useful = False
        try:
            ours, theirs = _spawn.Pipe()
            process = _spawn.Process(
                target=worker.main, args=(theirs, self.data, self.config), name=f"worker-{self.slot}", daemon=False
            )
            # A signal of the terminal or the service manager that comes before the worker ignores it waits until then.
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, worker.IGNORED)
            try:
                process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
                theirs.close()
        except OSError as error:
            log.error("worker not started", slot=self.slot, error=str(error))
            self.back_off(mono_us)
            return
        self.process = process
        self.mailbox = Mailbox(ours, f"worker-{self.slot}")
        self.heard_us = self.looked_us = mono_us
        log.info("worker started", slot=self.slot, pid=process.pid)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def tell(self, order: Order) -> None:
        """Queue an order; a worker that is gone is seen by the watch."""
        if self.mailbox is not None:
            self.mailbox.tell(order)

    def hear(self, mono_us: int) -> list[News]:
        """Everything it has said since the last call."""
        out = self.mailbox.take() if self.mailbox is not None else []
        # While we ourselves were stopped or late nobody took anything in: that is no silence of the worker's.
        self.heard_us += max(0, mono_us - self.looked_us - US)
        self.looked_us = mono_us
        if out:
            self.heard_us = mono_us
        for news in out:
            if isinstance(news, Status):
                self.cameras = dict(news.cameras)
                self.cpu_us, self.backlog_bytes = news.cpu_us, news.backlog_bytes
            self.useful = self.useful or isinstance(news, RecordingNews)
        return out

    def is_lost(self, mono_us: int) -> str | None:
        """Why the worker cannot be counted on any more, None while it can."""
        if self.process is None:
            return None
        if not self.process.is_alive():
            return f"it ended with code {self.process.exitcode}"
        if mono_us - self.heard_us > SILENT_US:
            return f"it has said nothing for {(mono_us - self.heard_us) / US:.0f} s"
        return None

    def kill(self) -> None:
        """End the process at once, stopped or not."""
        process, self.process, self.mailbox = self.process, None, None
        if process is not None and process.pid is not None:
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
            process.join(timeout=_REAP_SECONDS)
            self.dying.append(process)
        self.reap()

    def reap(self) -> None:
        """Let go of killed processes that have ended meanwhile."""
        for process in list(self.dying):
            if not process.is_alive():
                process.close()
                self.dying.remove(process)

    def back_off(self, mono_us: int) -> None:
        """Say when the next start is due: at once for one that has recorded, later and later for one that never gets there."""
        if self.useful:
            self.due_us, self.backoff_us = mono_us, FIRST_BACKOFF_US
        else:
            self.due_us = mono_us + self.backoff_us
            self.backoff_us = min(LAST_BACKOFF_US, self.backoff_us * 2)
