"""Stopping another process (SIGSTOP). What is done with it afterwards belongs to the tests."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

SECONDS = 20


def stop(pid: int) -> None:
    """Return when none of its threads runs any more: the signal itself only asks for that, and a busy machine takes its time."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + SECONDS
    while not all(_state(task) in "TtZX" for task in Path(f"/proc/{pid}/task").iterdir()):
        if time.monotonic() > deadline:
            raise AssertionError(f"process {pid} does not stop")
        time.sleep(0.001)


def _state(task: Path) -> str:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
