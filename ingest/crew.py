"""The supervisor's worker processes: started by `spawn`, watched, ended. What they record is decided in `ingest.supervisor`."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from ingest import worker
from ingest.messages import CameraSpec, CameraStatus, News, Order, Status
from vault.config import Config
from vault.ids import CameraNumber
from vault.logs import Log
from vault.timebase import US

log = Log("ingest.crew")

SILENT_US = 8 * US
"""A worker that says nothing for this long is stopped or stuck: it is killed, and its cameras go on in another."""

FIRST_BACKOFF_US = 200_000
LAST_BACKOFF_US = 30 * US
STEADY_US = 60 * US

_spawn = multiprocessing.get_context("spawn")


@dataclass(slots=True, eq=False)
class Crewman:
    """One slot for a worker; the process in it changes after a crash."""

    slot: int
    data: Path
    config: Config
    process: BaseProcess | None = None
    pipe: Connection | None = None
    heard_us: int = 0
    started_us: int = 0
    due_us: int = 0
    backoff_us: int = FIRST_BACKOFF_US
    cameras: dict[CameraNumber, CameraStatus] = field(default_factory=dict)
    assigned: dict[CameraNumber, CameraSpec] = field(default_factory=dict)
    ended: bool = False

    def start(self, mono_us: int) -> None:
        """Start the process. It gets no key and no secret but those of the cameras it is given, over the pipe."""
        ours, theirs = _spawn.Pipe()
        self.process = _spawn.Process(
            target=worker.main, args=(theirs, self.data, self.config), name=f"worker-{self.slot}", daemon=False
        )
        self.process.start()
        theirs.close()
        self.pipe = ours
        self.heard_us = self.started_us = mono_us
        self.cameras.clear()
        self.ended = False
        log.info("worker started", slot=self.slot, pid=self.process.pid)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def tell(self, order: Order) -> None:
        """Send an order; a worker that is gone is seen by the watch."""
        if self.pipe is not None:
            try:
                self.pipe.send(order)
            except OSError as error:
                log.warning("worker takes no orders", slot=self.slot, error=str(error))

    def hear(self, mono_us: int) -> list[News]:
        """Everything it has said since the last call."""
        out: list[News] = []
        try:
            while self.pipe is not None and self.pipe.poll():
                news: News = self.pipe.recv()
                self.heard_us = mono_us
                if isinstance(news, Status):
                    self.cameras = dict(news.cameras)
                out.append(news)
        except (EOFError, OSError):
            self._drop_pipe()
        return out

    def is_lost(self, mono_us: int) -> str | None:
        """Why the worker cannot be counted on any more, None while it can."""
        if self.process is None:
            return None
        if not self.process.is_alive():
            return f"it ended with code {self.process.exitcode}"
        if mono_us - self.heard_us > SILENT_US:
            return f"it has said nothing for {SILENT_US // US} s"
        return None

    def kill(self) -> None:
        """End the process at once, stopped or not, and wait for it."""
        if self.process is not None and self.process.pid is not None:
            if self.process.is_alive():
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.join(timeout=10)
            self.process.close()
        self.process = None
        self._drop_pipe()

    def back_off(self, mono_us: int) -> None:
        """Say when the next start is due: soon for one that ran well, later and later for one that keeps dying."""
        if mono_us - self.started_us > STEADY_US:
            self.backoff_us = FIRST_BACKOFF_US
        self.due_us = mono_us + self.backoff_us
        self.backoff_us = min(LAST_BACKOFF_US, self.backoff_us * 2)

    def _drop_pipe(self) -> None:
        if self.pipe is not None:
            self.pipe.close()
            self.pipe = None
