"""What a splice is made of: one segment's table with its bytes, and how the instants of its media lie in UTC.

Which samples are taken is decided in `vault.splice.pieces`; nothing here reads bytes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vault.media import Int64s, SegmentTable, TrackTable
from vault.source import ByteSource
from vault.timebase import US

Floats = npt.NDArray[np.float64]


class Gaps(enum.StrEnum):
    """What becomes of time without footage inside a clip."""

    KEEP = "keep"
    """It lasts: the last picture before it stands still, audio is silent."""
    SQUEEZE = "squeeze"
    """It is left out: what comes after follows at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One segment: its table, and where its bytes are read from when the clip is read (not when it is planned)."""

    table: SegmentTable
    source: ByteSource

    @property
    def start_us(self) -> int:
        return self.table.info.head.key.start_us

    @property
    def end_us(self) -> int:
        return self.table.info.end_us

    @property
    def us_per_second(self) -> float:
        """Microseconds of UTC in one second of media time: 1e6 + rate_ppm (`SegmentHead`)."""
        return US + self.table.info.head.rate_ppm

    def continues(self, before: Part) -> bool:
        """Whether this segment is the very next of `before`, so that its decoding may lean on the samples there."""
        mine, theirs = self.table.info.head.key, before.table.info.head.key
        return (
            mine.camera == theirs.camera
            and mine.epoch == theirs.epoch
            and mine.sequence == theirs.sequence + 1
            and abs(self.start_us - before.end_us) < US
        )

    def instants_us(self, track: TrackTable) -> Int64s:
        """UTC of each sample's presentation, in decode order, rounded to the microsecond."""
        ticks = track.dts if track.cts is None else track.dts + track.cts
        scale = self.us_per_second / track.params.timescale
        instants: Int64s = np.rint(ticks * scale).astype(np.int64) + self.start_us
        return instants

    def tick_of(self, track: TrackTable, at_us: int) -> float:
        """Where a UTC instant lies in the track's own ticks; the inverse of the mapping of `SegmentHead`."""
        return (at_us - self.start_us) * track.params.timescale / self.us_per_second
