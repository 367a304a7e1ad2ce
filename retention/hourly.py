"""A camera's hours as figures: bytes, seconds recorded, seconds missing and why. What capacity and inspection count with.

An hour is a whole hour of UTC. A segment that crosses into the next hour gives each its share of seconds and bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from index.cameras import Camera
from index.growing import growing_intervals
from index.hours import HOUR_US, Hours
from index.node import Node
from vault.timebase import US, Interval

REMOVED_SITE_CLASS = "key"
"""Of a camera whose site is not there: the longest that is demanded, as everywhere in doubt."""


@dataclass(slots=True)
class CameraHour:
    """`missing_us` by reason. `frames` and `lost_packets` are None where the recorder's figures are not there (after a rebuild)."""

    camera: Camera
    site_class: str
    hour_us: int
    size_bytes: int = 0
    recorded_us: int = 0
    missing_us: dict[str, int] = field(default_factory=dict)
    frames: int | None = None
    lost_packets: int | None = None
    clock_offset_us: int | None = None

    @property
    def bit_rate(self) -> float | None:
        """Bits a second while it was recorded."""
        return self.size_bytes * 8 * US / self.recorded_us if self.recorded_us else None

    @property
    def is_empty(self) -> bool:
        """The camera was not to record in this hour."""
        return not (self.recorded_us or self.missing_us or self.size_bytes)


def hours_of(node: Node, camera: Camera, site_class: str, span: Interval) -> list[CameraHour]:
    """The hours of `span`, whose ends are whole hours, in which the camera was to record or was recorded."""
    first, stop = span.start_us // HOUR_US, span.end_us // HOUR_US
    hours = [CameraHour(camera, site_class, number * HOUR_US) for number in range(first, stop)]
    now_us = node.clock.now_us()
    # What is being recorded is not in the index yet, and nothing is missing that is to come.
    growing = growing_intervals(node.environment, node.spool, camera.number, now_us) if span.end_us > now_us - HOUR_US else []
    view = node.timeline.view(camera.number, span, growing, now_us)
    for number, duration_us in _by_hour(view.runs, first):
        hours[number].recorded_us += duration_us
    for gap in view.gaps:
        for number, duration_us in _by_hour([Interval(gap.start_us, gap.end_us)], first):
            missing = hours[number].missing_us
            missing[gap.reason] = missing.get(gap.reason, 0) + duration_us
    starts, ends, sizes = node.timeline.weights(camera.number, span)
    for number, size_bytes in zip(*_bytes_by_hour(starts, ends, sizes), strict=True):
        if 0 <= number - first < len(hours):
            hours[number - first].size_bytes += int(size_bytes)
    for number, figures in Hours(node.environment).of(camera.number, first, stop).items():
        hour = hours[number - first]
        hour.frames, hour.lost_packets, hour.clock_offset_us = figures.frames, figures.lost_packets, figures.clock_offset_us
    return [hour for hour in hours if not hour.is_empty]


def all_hours(node: Node, span: Interval) -> Iterator[CameraHour]:
    """Of every camera, removed ones too, by number."""
    classes = site_classes(node)
    for camera in node.cameras.list(removed=True):
        if camera.first_record_us is not None and camera.first_record_us < span.end_us:
            yield from hours_of(node, camera, classes.get(camera.site, REMOVED_SITE_CLASS), span)


def site_classes(node: Node) -> Mapping[str, str]:
    """The class of each site, as the registry has it now."""
    return {site.id: site.site_class for site in node.sites.list()}


def _by_hour(spans: Iterable[Interval], first: int) -> Iterator[tuple[int, int]]:
    """Number of an hour from `first` on, and µs of it that are in a span."""
    for span in spans:
        at_us = span.start_us
        while at_us < span.end_us:
            number = at_us // HOUR_US
            next_us = min((number + 1) * HOUR_US, span.end_us)
            yield number - first, next_us - at_us
            at_us = next_us


def _bytes_by_hour(
    starts: np.ndarray, ends: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Hours and their bytes. No segment is longer than an hour, so each touches two hours at most."""
    if not len(starts):
        return starts, sizes
    hours = starts // HOUR_US
    inside = np.minimum(ends, (hours + 1) * HOUR_US) - starts
    early = np.rint(sizes * (inside / (ends - starts))).astype(np.int64)
    sums: dict[int, int] = defaultdict(int)
    for numbers, parts in ((hours, early), (hours + 1, sizes - early)):
        found, where = np.unique(numbers, return_inverse=True)
        for number, size_bytes in zip(found, np.bincount(where, weights=parts), strict=True):
            sums[int(number)] += round(size_bytes)
    return np.array(list(sums)), np.array(list(sums.values()))
