"""From exact instants to the integer ticks of a clip's tables, so that they pack well and stay within one tick of the truth.

Arithmetic on arrays; which samples they belong to is not known here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vault.media import Int64s
from vault.splice.part import Floats


def on_grid(exact: Floats, floor: int) -> Int64s:
    """Strictly rising integers of at least `floor`, each within one tick of its value in `exact`, which rises.

    `stts` is run-length coded, so times are kept on a grid of the nominal frame duration as long as that is off by at most one
    tick: a camera whose clock runs 100 ppm fast needs a correction every fifth frame instead of two entries every third.
    """
    count = len(exact)
    out = np.rint(exact).astype(np.int64)
    if count > 2:
        step = round(float(exact[-1] - exact[0]) / (count - 1))
        if abs(float(exact[1] - exact[0]) - step) > 0.02 * step:
            # A hole or a stumble: the mean says nothing about the frame duration.
            step = round(float(np.median(np.diff(exact))))
        ramp = np.arange(count) * step
        drift = exact - ramp
        drift -= out[0]
        gridded = ramp + (2 * np.rint(drift / 2)).astype(np.int64) + out[0]
        if step > 4 or (gridded[1:] > gridded[:-1]).all():
            out = gridded
    if count and (int(out[0]) < floor or not (out[1:] > out[:-1]).all()):
        spread = np.arange(count)
        out = np.maximum(np.maximum.accumulate(out - spread), floor) + spread
    return out


def run_lengths(values: npt.NDArray[np.int64]) -> tuple[Int64s, Int64s]:
    """(counts, values) of the runs of equal values."""
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    first = np.concatenate(([0], np.flatnonzero(values[1:] != values[:-1]) + 1, [len(values)]))
    return np.diff(first), values[first[:-1]]
