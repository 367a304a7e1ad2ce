"""A mailbox: whoever tells never waits, whatever the other side does, and nothing is lost that was sent."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from typing import Any

from ingest.mailbox import Mailbox
from tests.support.node import wait_until
from tests.support.stopping import stop

_spawn = multiprocessing.get_context("spawn")


def _echo(pipe: Connection) -> None:
    """A process that sends back what it gets until the pipe ends."""
    try:
        while True:
            pipe.send(pipe.recv())
    except (EOFError, OSError):
        return


def pair() -> tuple[Mailbox[Any, Any], multiprocessing.process.BaseProcess]:
    ours, theirs = _spawn.Pipe()
    process = _spawn.Process(target=_echo, args=(theirs,))
    process.start()
    theirs.close()
    return Mailbox(ours, "test"), process


def collect(box: Mailbox[Any, Any], count: int) -> list[Any]:
    found: list[Any] = []

    def enough() -> bool:
        found.extend(box.take())
        return len(found) >= count

    wait_until(enough, 30, "messages")
    return found


def test_a_process_that_reads_nothing_keeps_nobody_waiting_and_gets_everything_later() -> None:
    box, process = pair()
    assert process.pid is not None
    box.tell("first")
    assert collect(box, 1) == ["first"]
    stop(process.pid)
    # Far more than a pipe takes.
    large = [bytes([number]) * 200_000 for number in range(20)]
    for message in large:
        box.tell(message)
    for number in range(100_000):
        box.tell(number, only_newest=True)
    os.kill(process.pid, signal.SIGCONT)
    found = collect(box, 21)
    assert [message for message in found if isinstance(message, bytes)] == large
    # Of what only the newest counts, it got the newest, and no pile of old ones.
    numbers = [message for message in found if isinstance(message, int)]
    assert numbers[-1] == 99_999
    assert len(numbers) <= 3
    box.tell("last")
    box.finish(10)
    assert collect(box, 1) == ["last"]
    process.kill()
    process.join()
    wait_until(lambda: box.gone, 10, "the end of the pipe")
    process.close()


def test_the_end_of_a_process_is_seen_also_while_it_is_being_told_something() -> None:
    box, process = pair()
    assert process.pid is not None
    stop(process.pid)
    for _ in range(20):
        box.tell(bytes(200_000))
    process.kill()
    process.join()
    wait_until(lambda: box.gone, 10, "the end of the pipe")
    # Telling a process that is gone is no error; the watch sees it.
    box.tell("too late")
    box.finish(10)
    assert box.take() == []
    process.close()
