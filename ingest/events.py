"""What the recorder tells its worker besides jobs. Values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GapStarted:
    """Nothing has been recorded from `start_us` on, because of `reason`."""

    start_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class RecordingStarted:
    """Footage is being written from `start_us` on, after a silence."""

    start_us: int


@dataclass(frozen=True, slots=True)
class EpochNeeded:
    """The recorder holds its data until `grant_epoch`: its time went back, or the host's clock stepped."""


Event = GapStarted | RecordingStarted | EpochNeeded
