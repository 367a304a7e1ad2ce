"""The only module that reads a clock. Everything else takes `now_us` as an argument or a `Clock`."""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class KernelTime:
    """The kernel's word for the time, and whether a time daemon keeps it synchronised."""

    now_us: int
    synchronised: bool


class _Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2), as far as it is read; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("constant", ctypes.c_long), ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long), ("seconds", ctypes.c_long), ("fraction", ctypes.c_long), ("room", ctypes.c_byte * 256),
    )  # fmt: skip


_UNSYNCHRONISED = 0x0040
_NANOSECONDS = 0x2000


def kernel_time() -> KernelTime | None:
    """By adjtimex(2), which only reads here; None where it may not be asked."""
    try:
        call = ctypes.CDLL(None, use_errno=True).adjtimex
    except (AttributeError, OSError):
        return None
    timex = _Timex()
    if call(ctypes.byref(timex)) < 0:
        return None
    fraction_us = timex.fraction // 1_000 if timex.status & _NANOSECONDS else timex.fraction
    return KernelTime(timex.seconds * 1_000_000 + fraction_us, not timex.status & _UNSYNCHRONISED)


def boot_id() -> str:
    """Another one after each start of the host: then the monotonic clock began anew. Empty where it is not known."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read(64).strip()
    except OSError:
        return ""
