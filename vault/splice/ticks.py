"""From exact instants to the integer ticks of a clip's tables, so that they pack well and stay within one tick of the truth.

Arithmetic on arrays; which samples they belong to is not known here.
"""

from __future__ import annotations

import numpy as np

from vault.media import Int64s
from vault.splice.part import Floats


def on_grid(exact: Floats, floor: int) -> Int64s:
    """Strictly rising integers of at least `floor`, each within one tick of its value in `exact`, which rises.

    `stts` is run-length coded, so times are kept on a grid of the nominal frame duration as long as that is off by at most one
    tick: a camera whose clock runs 100 ppm fast needs a correction every fifth frame instead of two entries every third.
    """
    count = len(exact)
    if count > 2:
        origin = round(float(exact[0]))
        step = round(float(exact[-1] - exact[0]) / (count - 1))
        if abs(float(exact[1] - exact[0]) - step) > 0.02 * step:
            # A hole or a stumble: the mean says nothing about the frame duration.
            step = round(float(np.median(exact[1:] - exact[:-1])))
        ramp = np.arange(origin, origin + count * step, step) if step > 0 else np.full(count, origin)
        # Half of how far each is off the grid, rounded, and doubled again: off by one tick at most.
        drift: Floats = exact - ramp
        drift *= 0.5
        np.rint(drift, out=drift)
        out = drift.astype(np.int64)
        out *= 2
        out += ramp
    else:
        out = np.rint(exact).astype(np.int64)
    if count and (int(out[0]) < floor or not (out[1:] > out[:-1]).all()):
        spread = np.arange(count)
        out = np.maximum(np.maximum.accumulate(out - spread), floor) + spread
    return out


def steps(times: Int64s, end: int) -> Int64s:
    """From each time to the next one, from the last one to `end`. (`np.diff` with `append` copies its input first.)"""
    out = np.empty(len(times), np.int64)
    np.subtract(times[1:], times[:-1], out=out[:-1])
    if len(times):
        out[-1] = end - int(times[-1])
    return out


def run_lengths(values: Int64s) -> tuple[Int64s, Int64s]:
    """(counts, values) of the runs of equal values."""
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    first = np.flatnonzero(values[1:] != values[:-1])
    first += 1
    first = np.concatenate(([0], first))
    return steps(first, len(values)), values[first]
