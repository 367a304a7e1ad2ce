"""One run of an export in a process of its own, told what to do by the variable EXPORT_TEST (JSON), and killed where that says.

The same wrapping of functions as `tests.support.node_main`; the product itself has no hooks.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.node_main import _find


def kill_at(at: str, when: str, call: int = 1) -> None:
    """SIGKILL before or after the n-th call of `package.module:Class.method`."""
    holder, name = _find(at)
    whole: Callable[..., Any] = getattr(holder, name)
    calls = 0

    @functools.wraps(whole)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = whole(*args, **kwargs)
        if calls == call and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(holder, name, wrapped)


def run_apart(told: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """The process; its return code is -9 where it was killed."""
    environment = {**os.environ, "EXPORT_TEST": json.dumps(told)}
    return subprocess.run(
        [sys.executable, "-m", "tests.support.export_main"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip


def start_apart(told: dict[str, Any]) -> subprocess.Popen[bytes]:
    """The process, going on by itself."""
    environment = {**os.environ, "EXPORT_TEST": json.dumps(told)}
    return subprocess.Popen([sys.executable, "-m", "tests.support.export_main"], env=environment)


def main() -> None:
    from access.export import run
    from tests.support.exporting import OPERATOR, SAID, exporting, wish
    from vault.clock import ManualClock, SystemClock
    from vault.timebase import Interval

    told = json.loads(os.environ["EXPORT_TEST"])
    run.PICTURES = 1
    if told.get("kill"):
        kill_at(**told["kill"])
    clock = SystemClock() if told.get("clock") else ManualClock(told["now_us"], told["mono_us"])
    with exporting(Path(told["data"]), clock) as (_, exports):
        # One of several at once asks for its own; one that follows a killed one takes that up.
        found = [] if told.get("clock") else exports.unfinished(OPERATOR)
        span = Interval(told["start_us"], told["end_us"])
        job = found[0] if found else exports.ask(OPERATOR, wish(Path(told["target"]), span, *told.get("cameras", [])), SAID)
        exports.run(job.id, OPERATOR)


if __name__ == "__main__":
    main()
