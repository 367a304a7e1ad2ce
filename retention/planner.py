"""Gathering what a report or a forecast is made of: figures in the store, today's from the index, the store's room."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from index.expiry import expiry_sums
from index.node import Node
from index.room import room_of
from retention.forecast import ClassLoad, State
from retention.hourly import REMOVED_SITE_CLASS, all_hours, site_classes
from retention.parquet import HOURLY, USAGE, Part, hourly_bytes, read, summed, within, written
from retention.tally import DAY_US, USAGE_PREFIX, day_of, stored_days, usage_bytes
from vault.errors import NotFound
from vault.files import store_error
from vault.timebase import US, Interval

RATE_DAYS: Final = 7
"""What came in over so many days is what comes in."""
SUMS: Final = ("bytes", "seconds_recorded", "seconds_missing")


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What a forecast rests on, for people: `rate_from` and `rate_to` bound the time whose intake is taken as usual."""

    rate_from_us: int
    rate_to_us: int
    capacity: str


def days(node: Node, first: date, stop: date) -> list[Part]:
    """Files of the hours of `[first, stop)`: from the store, and of the days it has not yet (today, yesterday at night) from the
    index. Raises StoreError, Damaged."""
    found = stored_days(node.store, first, stop)
    today = node.clock.now_us() // DAY_US
    for day in range(today - 2, today + 1):
        if first <= day_of(day) < stop and day_of(day) not in found:
            hours = all_hours(node, Interval(day * DAY_US, (day + 1) * DAY_US))
            found[day_of(day)] = "what the index tells of today", hourly_bytes(hours)
    return [found[day] for day in sorted(found)]


def hours_file(node: Node, first: date, stop: date) -> bytes:
    """All the hours of `[first, stop)` as one Parquet file."""
    return written(read(days(node, first, stop), HOURLY, HOURLY.names))


def report(node: Node, first: date, stop: date, by: list[str]) -> list[dict[str, Any]]:
    """Sums over `[first, stop)` by `site_class`, `site`, `camera_id` or `day`. Raises StoreError, Damaged."""
    return summed(days(node, first, stop), by, SUMS)


def usage(node: Node, first: date, stop: date) -> dict[str, list[tuple[date, int]]]:
    """Bytes kept by class at the end of each day of `[first, stop)` that was written, and of today now; a class that had none on
    a day has 0 then. Raises StoreError, Damaged."""
    found = stored_days(node.store, first, stop, USAGE_PREFIX)
    today = node.clock.now_us() // DAY_US
    if first <= day_of(today) < stop and day_of(today) not in found:
        found[day_of(today)] = "what the index tells of today", usage_bytes(node, today)
    sums: dict[str, dict[date, int]] = defaultdict(lambda: dict.fromkeys(sorted(found), 0))
    for day, part in found.items():
        for row in read([part], USAGE, ["site_class", "bytes"]).to_pylist():
            sums[row["site_class"]][day] += row["bytes"]
    return {name: list(days.items()) for name, days in sorted(sums.items())}


def state(node: Node) -> tuple[State, Assumptions]:
    """What a forecast begins with. Raises StoreError where the disk cannot be asked."""
    now_us = node.clock.now_us()
    span = _rate_span(node, now_us)
    classes = site_classes(node)
    cameras: dict[str, int] = defaultdict(int)
    stored = 0
    for camera in node.cameras.list(removed=True):
        cameras[classes.get(camera.site, REMOVED_SITE_CLASS)] += camera.records
        stored += node.catalog.usage(camera.number).size_bytes
    intake: dict[str, float] = defaultdict(float)
    first, stop = day_of(span.start_us // DAY_US), day_of(span.end_us // DAY_US + 1)
    lately = [within(part, span.start_us, span.end_us) for part in days(node, first, stop)]
    for row in summed(lately, ["site_class"], ["bytes"]):
        intake[row["site_class"]] = row["bytes"] * DAY_US / span.duration_us
    names = sorted({*cameras, *intake})
    loads = tuple(ClassLoad(name, cameras[name], intake[name], node.config.retention.days(name)) for name in names)
    capacity, how = _capacity(node, stored)
    room = room_of(node)
    leaving, expiring = _leaving(node, now_us)
    found = State(loads, stored, leaving, capacity, expiring, None if room is None else room.whole_bytes)
    return found, Assumptions(span.start_us, span.end_us, how)


def _rate_span(node: Node, now_us: int) -> Interval:
    """The last days, or since the first recording; whole hours, the one that is not over left out."""
    hour_us = 3_600 * US
    stop_us = now_us // hour_us * hour_us
    first_us = min((camera.first_record_us or stop_us for camera in node.cameras.list(removed=True)), default=stop_us)
    start_us = max(stop_us - RATE_DAYS * DAY_US, -(-first_us // hour_us) * hour_us)
    if start_us >= stop_us:
        raise NotFound("nothing was recorded for a whole hour yet: a forecast needs one; try again later")
    return Interval(start_us, stop_us)


def _leaving(node: Node, now_us: int) -> tuple[dict[int, int], tuple[tuple[int, int], ...]]:
    """Bytes by how many days from today their minimum is over, and by its moment; what is unknown stays."""
    leaving: dict[int, int] = defaultdict(int)
    expiring: list[tuple[int, int]] = []
    with node.environment.read() as txn:
        for item in expiry_sums(txn):
            if item.min_until_us:
                leaving[max(0, (item.min_until_us - now_us) // DAY_US)] += item.size_bytes
                expiring.append((item.min_until_us, item.size_bytes))
    return dict(leaving), tuple(expiring)


def _capacity(node: Node, stored: int) -> tuple[int | None, str]:
    configured = node.config.store.capacity_bytes
    if configured is not None:
        return configured, "store.capacity"
    if node.config.store.kind != "local":
        return None, "unknown: set store.capacity"
    path = node.folder.store(node.config)
    try:
        status = os.statvfs(path)
    except OSError as error:
        raise store_error(f"asking for the room of {path}", error) from error
    return stored + status.f_bavail * status.f_frsize, "what is stored and what is free on its disk"
