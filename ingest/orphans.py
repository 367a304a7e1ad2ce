"""Worker processes that outlived their supervisor: who they are, and ending those that stand in everybody's way.

A worker whose supervisor dies closes its files and ends by itself. One that was stopped at that moment does not, and what it
holds (its files' locks, at worst the index's write lock) nobody gets. Only processes that hold a lock on a file of this data
folder are ever killed, and the kernel says who that is, so that a process id that was given anew cannot be meant.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import time
from pathlib import Path

from index.holder import HolderWatch, WriteHolder, lock_owner, process_of
from vault.clock import Clock
from vault.errors import StoreError
from vault.files import FILE_MODE, store_error
from vault.logs import Log
from vault.timebase import US

log = Log("ingest.orphans")

LOCK_HELD_US = 10 * US
"""A child that holds the index's write lock this long stops every other writer: it is killed."""

LINGER_US = 60 * US
"""Orphans end by themselves long before this."""

_FLOCK = struct.Struct("hhqqi4x")
_LOOK_SECONDS = 0.1


def register(run: Path) -> int:
    """Called by a worker when it starts: a locked file named for it. The descriptor is kept open until it ends.

    Raises StoreError.
    """
    path = run / f"worker-{os.getpid()}.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise store_error(f"locking {path}", error) from error
    return fd


def workers(run: Path) -> set[int]:
    """Process ids of all live workers of this data folder; files of dead ones are taken away. Raises StoreError."""
    found: set[int] = set()
    try:
        for path in run.glob("worker-*.lock"):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                asked = fcntl.fcntl(fd, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
                kind, _, _, _, pid = _FLOCK.unpack(asked)
            finally:
                os.close(fd)
            if kind != fcntl.F_UNLCK:
                found.add(pid)
            elif process_of(int(path.stem.removeprefix("worker-"))) is None:
                path.unlink(missing_ok=True)
    except (FileNotFoundError, ValueError):
        # It was taken away between our two looks; the next call sees the rest.
        return found
    except OSError as error:
        raise store_error(f"looking for workers in {run}", error) from error
    return found


def kill(pid: int, run: Path, why: str) -> None:
    """End a worker of this data folder, and no other process."""
    if pid in workers(run):
        log.error("worker of an earlier supervisor killed", pid=pid, why=why)
        os.kill(pid, signal.SIGKILL)


def free_index(index: Path, run: Path, clock: Clock) -> None:
    """Before the index is opened, which needs its write lock: wait for whoever holds it, and end an orphan that keeps it.

    Not to be called while this process has the index open: closing the lock's file would drop its other locks.
    """
    if not (index / "lock.mdb").exists():
        return
    watch = HolderWatch()
    fd = os.open(index / "lock.mdb", os.O_RDONLY | os.O_CLOEXEC)
    try:
        while (tid := lock_owner(fd)) is not None and (pid := process_of(tid)) is not None:
            if watch.held_us(WriteHolder(pid, tid, None, ""), clock.mono_us()) > LOCK_HELD_US:
                if pid not in workers(run):
                    raise StoreError(
                        f"process {pid} has held the index's write lock for {LOCK_HELD_US // US} s and is no recorder of ours: "
                        "let it go on, or end it"
                    )
                kill(pid, run, "it holds the index's write lock")
            time.sleep(_LOOK_SECONDS)
    finally:
        os.close(fd)
