"""The only module that reads a clock. Everything else takes `now_us` as an argument or a `Clock`."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: the wall clock may step, the monotonic one never does. Both in microseconds."""

    def now_us(self) -> int:
        """UTC, microseconds since 1970-01-01T00:00:00Z."""
        ...

    def mono_us(self) -> int:
        """Monotonic microseconds; only differences mean anything."""
        ...


class SystemClock:
    """The host's clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def mono_us(self) -> int:
        return time.monotonic_ns() // 1000


class ManualClock:
    """A clock that a test or a replay moves by hand."""

    def __init__(self, now_us: int, mono_us: int = 0) -> None:
        self._now_us = now_us
        self._mono_us = mono_us

    def now_us(self) -> int:
        return self._now_us

    def mono_us(self) -> int:
        return self._mono_us

    def advance(self, delta_us: int) -> None:
        """Both clocks move on together, as time does."""
        self._now_us += delta_us
        self._mono_us += delta_us

    def step(self, delta_us: int) -> None:
        """Only the wall clock jumps: an administrator or NTP set it."""
        self._now_us += delta_us
