"""A process of this test that is killed at a chosen step of the file system, and one that says by its end whether all was well.

By fork and not by spawn: hundreds of them are made, and none uses what a fork breaks (LMDB, threads, a PKCS#11 library).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any
from unittest import mock

STEPS = ("pwritev", "fsync", "fdatasync", "rename", "link", "unlink", "ftruncate", "truncate")


def killed_at(count: int, work: Callable[[], object]) -> bool:
    """Run `work` in a process that is killed before its step `count`; whether it came so far. Else it must have ended well."""
    left = [count]

    def stepped(name: str) -> Any:
        real = getattr(os, name)

        def step(*arguments: Any, **named: Any) -> Any:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return real(*arguments, **named)

        return mock.patch.object(os, name, step)

    def watched() -> None:
        with contextlib.ExitStack() as stack:
            for name in STEPS:
                stack.enter_context(stepped(name))
            work()

    status = _forked(watched)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def elsewhere(work: Callable[[], object]) -> None:
    """Run `work`, assertions and all, in a process of its own."""
    assert _forked(work) == 0


def _forked(work: Callable[[], object]) -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns where another test left a thread.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]
