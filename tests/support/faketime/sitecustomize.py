"""Loaded by every Python that has this folder in PYTHONPATH: `time.sleep` waits for an event instead.

libfaketime shifts the absolute time that `time.sleep` hands to clock_nanosleep(2), the monotonic clock's too, though it is told to
leave that alone; under a clock that is far off the call fails. What waits otherwise is not touched by it.
"""

from __future__ import annotations

import threading
import time


def _sleep(seconds: float) -> None:
    threading.Event().wait(seconds)


time.sleep = _sleep
