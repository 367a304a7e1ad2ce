"""Where one segment ends and the next begins. Pure: what an access unit is and when, in; a verdict, out."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from vault.ids import CameraNumber

MIN_PARAMETER_SEGMENT_US = 1_000_000
"""A camera that changes its parameter sets at every key frame gets at most one segment a second for it."""

MAX_SEGMENT_BYTES = 2 << 30
MAX_SEGMENT_SAMPLES = 500_000

_STAGGER = 2_654_435_761
"""Knuth's multiplicative hash constant: neighbouring camera numbers spread over the whole nominal length."""


class Verdict(enum.Enum):
    """What to do before this access unit is stored."""

    GO_ON = enum.auto()
    CUT = enum.auto()
    CUT_CONTINUES = enum.auto()
    """No random access point came for twice the nominal length: cut anyway and say so."""


@dataclass(frozen=True, slots=True)
class Cutter:
    """Segments end at the camera's own wall-clock boundary, at the next random access point, never past twice the length."""

    camera: CameraNumber
    nominal_us: int

    def boundary_us(self, start_us: int) -> int:
        """The first boundary after `start_us`. Cameras are staggered so that not all close at once."""
        phase = self.camera * _STAGGER % self.nominal_us
        return (start_us - phase) // self.nominal_us * self.nominal_us + phase + self.nominal_us

    def verdict(self, *, start_us: int, at_us: int, key: bool, params_changed: bool, size_bytes: int, samples: int) -> Verdict:
        """`start_us` of the open segment, `at_us` of this unit, and how large the segment is already."""
        age_us = at_us - start_us
        if key and (at_us >= self.boundary_us(start_us) or (params_changed and age_us >= MIN_PARAMETER_SEGMENT_US)):
            return Verdict.CUT
        if age_us >= 2 * self.nominal_us or size_bytes > MAX_SEGMENT_BYTES or samples > MAX_SEGMENT_SAMPLES:
            return Verdict.CUT if key else Verdict.CUT_CONTINUES
        return Verdict.GO_ON
