"""Whether the wall clock may be believed: a verdict from what is known and what is seen. Pure; looking is in `index.clockwatch`.

A wrong clock that is believed deletes footage too early, so in doubt it is not believed: segments then have no minimum, which
means keep, and nothing is doomed. Recording does not ask.

* A time outside of what can be (before this program was written, or a generation later) is never believed.
* While the host runs, the monotonic clock tells: a wall clock that goes on as it does is what it was.
* After a reboot, a time within a day of the latest confirmed one is believed: the battery's clock went on.
* Otherwise NTP has to say that the kernel's clock is synchronised (the kernel takes that back when somebody sets the clock), or
  most cameras have to have the same time, or a person confirms.
* Where most cameras have another time, none of this counts but the person.
* The very first time of a data folder is believed when it can be: there is nothing to delete yet.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from vault.timebase import US, format_us

FLOOR_US: Final = 1_793_491_200_000_000
"""2026-11-01: when this program was written."""
CEILING_US: Final = FLOOR_US + 30 * 365 * 86_400 * US

STEP_US: Final = 2 * US
DRIFT_PPM: Final = 500
"""A wall clock may be slewed by this much (adjtimex), and is off by no more than a leap second and a rounding otherwise."""
REBOOT_US: Final = 86_400 * US
CAMERA_US: Final = 3_600 * US
"""A camera whose clock is off by more has another time; many are minutes off."""
MIN_CAMERAS: Final = 3
BY_PERSON: Final = "a person said so"


class Ntp(enum.StrEnum):
    """What the kernel says of its clock."""

    SYNCHRONISED = "synchronised"
    NOT = "not synchronised"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Known:
    """The latest confirmed time, and where the monotonic clock of that boot stood then. `by_person`: a person's word stands
    against the cameras and the kernel, as long as the clock goes on."""

    confirmed_us: int
    mono_us: int
    boot: str
    by_person: bool = False


@dataclass(frozen=True, slots=True)
class Signs:
    """What is seen now. `kernel_us`: the kernel's own word for the time, None where it cannot be asked. `agreeing` and
    `disagreeing`: cameras whose clock is near ours, and not."""

    now_us: int
    mono_us: int
    boot: str
    ntp: Ntp = Ntp.UNKNOWN
    kernel_us: int | None = None
    agreeing: int = 0
    disagreeing: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why`: what speaks for it, or against it."""

    confirmed: bool
    why: str


def judge(known: Known | None, signs: Signs) -> Verdict:
    """Whether `signs.now_us` may be believed."""
    doubt = _doubt(known, signs) if known is not None else ""
    if known is not None and known.by_person and not doubt:
        return Verdict(True, BY_PERSON)
    against = impossible(signs) or _contradicted(signs)
    if against:
        return Verdict(False, against)
    if known is None:
        return Verdict(True, "it is the first time that is seen here")
    if not doubt:
        return Verdict(True, "it goes on as before")
    if signs.ntp is Ntp.SYNCHRONISED:
        return Verdict(True, "NTP has it synchronised")
    if signs.agreeing >= MIN_CAMERAS:
        return Verdict(True, f"{signs.agreeing} cameras have the same time")
    return Verdict(False, doubt)


def impossible(signs: Signs) -> str:
    """Why nobody can mean this time, empty when it can be."""
    return "" if FLOOR_US <= signs.now_us < CEILING_US else f"it says {format_us(signs.now_us)}, which cannot be"


def _contradicted(signs: Signs) -> str:
    if signs.kernel_us is not None and abs(signs.now_us - signs.kernel_us) > STEP_US:
        return f"it says {format_us(signs.now_us)} and the kernel {format_us(signs.kernel_us)}"
    if signs.disagreeing >= MIN_CAMERAS and signs.disagreeing > signs.agreeing:
        return f"{signs.disagreeing} of {signs.agreeing + signs.disagreeing} cameras have another time"
    return ""


def _doubt(known: Known, signs: Signs) -> str:
    # Where the host does not name its boots, a monotonic clock that went back is another one's.
    if signs.boot == known.boot and (signs.boot or signs.mono_us >= known.mono_us):
        passed_us = signs.mono_us - known.mono_us
        step_us = signs.now_us - known.confirmed_us - passed_us
        if abs(step_us) <= STEP_US + abs(passed_us) * DRIFT_PPM // 1_000_000:
            return ""
        return f"it was set {'on' if step_us > 0 else 'back'} by {abs(step_us) / US:.0f} s"
    if signs.now_us < known.confirmed_us:
        return f"it is before the latest confirmed time, {format_us(known.confirmed_us)}"
    if signs.now_us - known.confirmed_us > REBOOT_US:
        return f"since the latest confirmed time, {format_us(known.confirmed_us)}, the host was started and nothing says what time it is"
    return ""
