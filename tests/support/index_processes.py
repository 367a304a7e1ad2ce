"""What other processes do to an index in tests. Each is the target of a spawned process; `told` is where it says how far it is."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from index.catalog import Catalog
from index.environment import Environment, Table
from tests.support.indexing import MINUTE_US, T0, new_row
from vault.ids import CameraNumber

MAP_BYTES = 256 * 1024 * 1024
SPAWN = multiprocessing.get_context("spawn")
PATIENCE_SECONDS = 60


@contextlib.contextmanager
def process(target: Callable[..., None], path: Path, *args: Any) -> Iterator[tuple[Any, Connection]]:
    """A spawned process that has said its first word by the time the block begins; killed at its end."""
    ours, theirs = SPAWN.Pipe(duplex=False)
    child = SPAWN.Process(target=target, args=(path, theirs, *args))
    child.start()
    theirs.close()
    try:
        assert ours.poll(PATIENCE_SECONDS), "the other process said nothing"
        yield child, ours
    finally:
        child.kill()
        child.join(PATIENCE_SECONDS)
        child.close()
        ours.close()


def commit_many(path: Path, camera: int, count: int) -> None:
    """A recorder: its own camera, one commit a row."""
    with Environment(path, MAP_BYTES) as environment:
        catalog = Catalog(environment)
        epoch = catalog.raise_epoch(CameraNumber(camera))
        catalog.open_gap(CameraNumber(camera), T0, "starting")
        for at in range(count):
            catalog.commit([new_row(CameraNumber(camera), T0 + at * MINUTE_US, epoch=epoch, sequence=at)])


def commit_without_end(path: Path, told: Connection) -> None:
    """A recorder that only a kill ends: commits, settles, opens and closes gaps, always from where the index stands."""
    environment = Environment(path, MAP_BYTES)
    catalog = Catalog(environment)
    epoch = catalog.raise_epoch(CameraNumber(9901))
    at = catalog.usage(CameraNumber(9901)).segments
    told.send("working")
    while True:
        row = new_row(CameraNumber(9901), T0 + at * MINUTE_US, duration_us=MINUTE_US - 1_000_000, epoch=epoch, sequence=at)
        catalog.commit([row])
        catalog.open_gap(CameraNumber(9901), row.end_us, "between")
        catalog.settle([row.key])
        at += 1


def hold_the_lock(path: Path, told: Connection, stamped: bool) -> None:
    """Take the write lock, write something, say so, and stop as SIGSTOP does."""
    environment = Environment(path, MAP_BYTES)
    with environment.write("stuck") as txn:
        txn.put(Table.META, b"half-done", b"x")
        if not stamped:
            environment.write_ended(os.getpid())
        told.send("holding")
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def read_and_stop(path: Path, told: Connection) -> None:
    """Open a read transaction, say so, and stop."""
    environment = Environment(path, MAP_BYTES)
    with environment.read() as txn:
        txn.get(Table.META, b"x")
        told.send("reading")
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def clear_dead_readers(path: Path, told: Connection) -> None:
    """As the supervisor does each minute; says how many there were."""
    with Environment(path, MAP_BYTES) as environment:
        told.send(environment.reader_check())


def use_after_fork(environment: Environment) -> str:
    """What a forked child is told when it touches the parent's index. Runs in the child, answers in the parent."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            environment.read()
            answer = "it worked"
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(write_end, answer.encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(child, 0)
    return text
