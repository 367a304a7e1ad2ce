"""The whole node: recording in this process, and retention in a child that is begun anew when it ends; each hour a process that
looks at unfinished exports.

Recording never waits for them, and a fault in deleting never touches it. Here because they know nothing of each other.
"""

from __future__ import annotations

import multiprocessing
import threading
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import click

from vault.clock import Clock, SystemClock
from vault.config import Config
from vault.console import Session, log_level_option, pass_session, stop_on_signals
from vault.datafolder import DataFolder
from vault.logs import Log
from vault.timebase import US

log = Log("access.serve")

FIRST_BACKOFF_US: Final = US
LAST_BACKOFF_US: Final = 60 * US
LOOK_SECONDS: Final = 0.5
END_SECONDS: Final = 30.0


TIDY_US: Final = 3_600 * US
"""So often exports that nobody finished are looked at (`access.export.tidying`)."""


class ExportTidier:
    """Begins a process each hour that closes exports which nobody came back for, until told to stop."""

    def __init__(self, folder: Path, config: Config, log_level: str, clock: Clock | None = None) -> None:
        self._told = folder.absolute(), config, log_level
        self._clock = clock or SystemClock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="exports", daemon=True)
        self.runs = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """A process that is at it is ended: each of its steps may be repeated."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        due_us = 0
        while not self._stop.wait(LOOK_SECONDS):
            if self._clock.mono_us() < due_us:
                continue
            due_us = self._clock.mono_us() + TIDY_US
            process = multiprocessing.get_context("spawn").Process(target=_tidy, args=self._told, name="exports", daemon=True)
            process.start()
            while process.is_alive() and not self._stop.is_set():
                process.join(LOOK_SECONDS)
            if process.is_alive():
                process.kill()
            process.join()
            if process.exitcode and not self._stop.is_set():
                log.error("looking at exports ended", code=process.exitcode)
            process.close()
            self.runs += 1


def _tidy(folder: Path, config: Config, log_level: str) -> None:
    """That process's main function."""
    from access.export.tidying import tidy_node
    from vault import logs

    logs.setup(log_level)
    tidy_node(folder, config)


class RetentionChild:
    """Keeps a process for retention until told to stop. Its end of a pipe that closes tells it that we are gone."""

    def __init__(
        self, folder: Path, config: Config, log_level: str, stopping: threading.Event, clock: Clock | None = None
    ) -> None:
        """`stopping`: the whole node ends, and a child that has ended is not begun anew."""
        self._folder = folder.absolute()
        self._config = config
        self._log_level = log_level
        self._clock = clock or SystemClock()
        self._stopping = stopping
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="retention", daemon=True)
        self.process: BaseProcess | None = None
        self._ours: Connection | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the child; one that does not end is killed: every step of it may be repeated."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        backoff_us = due_us = 0
        while not self._stop.wait(LOOK_SECONDS) and not self._stopping.is_set():
            mono_us = self._clock.mono_us()
            if self.process is not None and self.process.is_alive():
                continue
            if self.process is not None:
                log.error("retention ended, begun anew", pid=self.process.pid, code=self.process.exitcode)
                self._reap()
                backoff_us = min(LAST_BACKOFF_US, max(FIRST_BACKOFF_US, backoff_us * 2))
                due_us = mono_us + backoff_us
            if mono_us >= due_us:
                self._begin()
        if self.process is not None:
            if self._ours is not None:
                self._ours.close()
            self.process.join(END_SECONDS)
            if self.process.is_alive():
                self.process.kill()
                self.process.join()
            self._reap()

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_child, args=(self._folder, self._config, self._log_level, theirs), name="retention", daemon=True
        )
        process.start()
        theirs.close()
        self.process, self._ours = process, ours

    def _reap(self) -> None:
        if self._ours is not None:
            self._ours.close()
        if self.process is not None:
            self.process.close()
        self.process = self._ours = None


def _child(folder: Path, config: Config, log_level: str, pipe: Connection) -> None:
    """The child's main function."""
    from retention.service import run_retention
    from vault import logs

    logs.setup(log_level)

    def wait_for_parent(stop: threading.Event) -> None:
        with suppress(EOFError, OSError):
            pipe.recv()
        stop.set()

    # Signals to the whole group (Ctrl-C) end it by themselves.
    with stop_on_signals() as stop:
        threading.Thread(target=wait_for_parent, args=(stop,), name="parent", daemon=True).start()
        run_retention(DataFolder.open(folder), config, stop)


@click.command()
@click.option("--only", type=click.Choice(["ingest", "retention"]), help="Run one service of the node only.")
@log_level_option("info")
@pass_session
def serve(session: Session, only: str | None, log_level: str) -> None:
    """Record every camera of the data folder, and delete what has expired, until stopped.

    SIGTERM or Ctrl-C closes every segment properly. Cameras that are added, changed or removed meanwhile are taken up within
    seconds. `--only ingest` deletes nothing: then another process must, or the disk fills.
    """
    from ingest.supervisor import run_node
    from retention.service import run_retention
    from vault import logs

    logs.setup(log_level)
    folder = session.folder()
    config = session.config(folder)
    # Whoever deletes footage also sees to what was made of it.
    tidier = None if only == "ingest" else ExportTidier(folder.path, config, log_level)
    with stop_on_signals() as stop, ExitStack() as stack:
        if tidier is not None:
            tidier.start()
            stack.callback(tidier.stop)
        if only == "retention":
            run_retention(folder, config, stop, session.clock)
            return
        child = RetentionChild(folder.path, config, log_level, stop) if only is None else None
        if child is not None:
            child.start()
        try:
            run_node(folder, config, stop, session.clock)
        finally:
            if child is not None:
                child.stop()


COMMANDS: tuple[click.Command, ...] = (serve,)
