"""Whether the wall clock may be believed: a verdict from what is known and what is seen. Pure; looking is in `index.clockwatch`.

A wrong clock that is believed deletes footage too early, so in doubt it is not believed: segments then have no minimum, which
means keep, and nothing is doomed. Recording does not ask.

* A time outside of what can be (before this program was written, or a generation later) is never believed.
* While the host runs, the monotonic clock tells: a wall clock that goes on as it does is what it was.
* After a reboot, a time within a day of the latest confirmed one is believed: the battery's clock went on.
* Otherwise NTP has to say that the kernel's clock is synchronised (the kernel takes that back when somebody sets the clock), or
  most cameras have to have the same time, or a person confirms.
* Where most cameras have another time, none of this counts but the person.
* The very first time of an index is believed when it is likely: there is nothing to delete yet. It is not where it is years after
  this program was made, or where footage that is there already (the index was made anew) is of after it or of long before.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from vault.timebase import US, format_local

FLOOR_US: Final = 1_793_491_200_000_000
"""2026-11-01: when this program was written."""
CEILING_US: Final = FLOOR_US + 30 * 365 * 86_400 * US

FIRST_US: Final = 3 * 365 * 86_400 * US
"""A program this old has been replaced; a first clock that says so needs a witness."""
LATE_US: Final = 45 * 86_400 * US
"""All footage of most sites would be over, and an index that was just made anew knows no better."""

STEP_US: Final = 2 * US
DRIFT_PPM: Final = 500
"""A wall clock may be slewed by this much (adjtimex), and is off by no more than a leap second and a rounding otherwise."""
DRIFT_MOST_US: Final = 60 * US
"""And by no more than this in all: a clock that was set by hours must not be believed because nobody said so for months."""
REBOOT_US: Final = 86_400 * US
CAMERA_US: Final = 3_600 * US
"""A camera whose clock is off by less has our time; many are minutes off."""
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
    `disagreeing`: as `vault.cameraclocks` counts them, 0 where there is no majority. `newest_us`: where the newest footage ends, None where there is
    none; only the first time is held against it."""

    now_us: int
    mono_us: int
    boot: str
    ntp: Ntp = Ntp.UNKNOWN
    kernel_us: int | None = None
    agreeing: int = 0
    disagreeing: int = 0
    newest_us: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why`: what speaks for it, or against it."""

    confirmed: bool
    why: str


def judge(known: Known | None, signs: Signs) -> Verdict:
    """Whether `signs.now_us` may be believed."""
    doubt = _first_doubt(signs) if known is None else _doubt(known, signs)
    if known is not None and known.by_person and not doubt:
        return Verdict(True, BY_PERSON)
    against = impossible(signs) or _contradicted(signs)
    if against:
        return Verdict(False, against)
    if not doubt:
        return Verdict(True, "it is the first time that is seen here" if known is None else "it goes on as before")
    if signs.ntp is Ntp.SYNCHRONISED:
        return Verdict(True, "NTP has it synchronised")
    if signs.agreeing >= MIN_CAMERAS:
        return Verdict(True, f"{signs.agreeing} cameras have the same time")
    return Verdict(False, doubt)


def impossible(signs: Signs) -> str:
    """Why nobody can mean this time, empty when it can be."""
    return "" if FLOOR_US <= signs.now_us < CEILING_US else f"it says {format_local(signs.now_us)}, which cannot be"


def _contradicted(signs: Signs) -> str:
    if signs.kernel_us is not None and abs(signs.now_us - signs.kernel_us) > STEP_US:
        return f"it says {format_local(signs.now_us)} and the kernel {format_local(signs.kernel_us)}"
    if signs.disagreeing >= MIN_CAMERAS and signs.disagreeing > signs.agreeing:
        return f"{signs.disagreeing} cameras, more than half of them, have another time"
    return ""


def _first_doubt(signs: Signs) -> str:
    if signs.now_us >= FLOOR_US + FIRST_US:
        return f"it says {format_local(signs.now_us)}, years after this program was made, and nothing says that it is so late"
    newest_us = signs.newest_us
    if newest_us is not None and FLOOR_US <= newest_us < CEILING_US:
        if signs.now_us < newest_us - CAMERA_US:
            return f"it is before the newest footage, of {format_local(newest_us)}"
        if signs.now_us > newest_us + LATE_US:
            return f"it is long after the newest footage, of {format_local(newest_us)}, and nothing says that it is so late"
    return ""


def _doubt(known: Known, signs: Signs) -> str:
    # Where the host does not name its boots, a monotonic clock that went back is another one's.
    if signs.boot == known.boot and (signs.boot or signs.mono_us >= known.mono_us):
        passed_us = signs.mono_us - known.mono_us
        step_us = signs.now_us - known.confirmed_us - passed_us
        if abs(step_us) <= STEP_US + min(abs(passed_us) * DRIFT_PPM // 1_000_000, DRIFT_MOST_US):
            return ""
        return f"it was set {'on' if step_us > 0 else 'back'} by {abs(step_us) / US:.0f} s"
    if signs.now_us < known.confirmed_us:
        return f"it is before the latest confirmed time, {format_local(known.confirmed_us)}"
    if signs.now_us - known.confirmed_us > REBOOT_US:
        return f"since the latest confirmed time, {format_local(known.confirmed_us)}, the host was started and nothing says what time it is"
    return ""
