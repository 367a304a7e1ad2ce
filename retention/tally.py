"""Keeping the figures: a day's hours and its usage go into the store once the day is over, each as one Parquet file.

Late footage of a day that was written (a backfill) is in the rows and not in that day's file; the next days are right again.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from index.duties import Duties
from index.hours import HOUR_US, Hours
from index.node import Node
from retention.hourly import REMOVED_SITE_CLASS, all_hours, site_classes
from retention.parquet import MAX_FILE_BYTES, USAGE, Part, hourly_bytes, table_of, written
from vault.errors import Damaged, NotFound
from vault.store.interface import ObjectStore
from vault.timebase import US, Interval

DUTY: Final = "capacity"
DAY_US: Final = 24 * HOUR_US
SETTLE_US: Final = 2 * HOUR_US
"""After a day: files that a crash left are adopted by then."""
MAX_BACK_DAYS: Final = 40
"""So many days are made up for when nobody was there to write them."""

HOURLY_PREFIX, USAGE_PREFIX = "capacity/hourly/", "capacity/usage/"
_KEY = re.compile(r"capacity/(?:hourly|usage)/day=(\d{4}-\d{2}-\d{2})/part-\d{4}\.parquet")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Tally:
    """Over one node. `run_once` may be called as often as one likes."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._duties = Duties(node.environment)

    def run_once(self, stop: Callable[[], bool] = lambda: False) -> int:
        """Write the days that are over and not written yet; how many. Raises StoreError when the store is away."""
        now_us = self._node.clock.now_us()
        first_us = min((camera.first_record_us or now_us for camera in self._node.cameras.list(removed=True)), default=now_us)
        last = (now_us - SETTLE_US) // DAY_US
        day = max(int(self._duties.get(DUTY).get("next_day", 0)), first_us // DAY_US, last - MAX_BACK_DAYS)
        count = 0
        while day < last and not stop():
            self._write(day)
            day, count = day + 1, count + 1
            self._duties.put(DUTY, {"next_day": day})
        if count:
            # Kept a little longer, so that a report over today and yesterday sees them in either place.
            Hours(self._node.environment).drop_before(
                [camera.number for camera in self._node.cameras.list(removed=True)], (day - 2) * 24
            )
        return count

    def _write(self, day: int) -> None:
        """Repeatable: a file that is there already is left as it is."""
        span = Interval(day * DAY_US, (day + 1) * DAY_US)
        self._put(f"{HOURLY_PREFIX}day={day_of(day)}/part-0001.parquet", lambda: hourly_bytes(all_hours(self._node, span)))
        self._put(f"{USAGE_PREFIX}day={day_of(day)}/part-0001.parquet", lambda: usage_bytes(self._node, day))

    def _put(self, key: str, make: Callable[[], bytes]) -> None:
        if self._node.store.stat(key) is None:
            self._node.store.put_bytes(key, make())


def usage_bytes(node: Node, day: int) -> bytes:
    """What is kept at the moment, by site."""
    return written(table_of(usage_columns(node, day), USAGE))


def usage_columns(node: Node, day: int) -> dict[str, list[Any]]:
    """One row a site."""
    classes, sums = site_classes(node), dict[str, list[int]]()
    for camera in node.cameras.list(removed=True):
        usage = node.catalog.usage(camera.number)
        of_site = sums.setdefault(camera.site, [0, 0, 0, 0])
        parts = (int(camera.records), usage.segments, usage.size_bytes, usage.duration_us)
        sums[camera.site] = [before + part for before, part in zip(of_site, parts, strict=True)]
    columns: dict[str, list[Any]] = defaultdict(list)
    for site, (cameras, segments, size_bytes, duration_us) in sorted(sums.items()):
        values = (day_of(day), site, classes.get(site, REMOVED_SITE_CLASS), cameras, segments, size_bytes, duration_us / US)
        for name, value in zip(USAGE.names, values, strict=True):
            columns[name].append(value)
    return {name: columns[name] for name in USAGE.names}


def day_of(day: int) -> date:
    """Whole days since 1970 as a date, UTC."""
    return (_EPOCH + timedelta(days=day)).date()


def stored_days(store: ObjectStore, first: date, stop: date, prefix: str = HOURLY_PREFIX) -> dict[date, Part]:
    """The files that the store has of the days in `[first, stop)`, by day; of hours, or of usage. Raises StoreError, Damaged."""
    keys: dict[date, str] = {}
    for stat in store.list(prefix):
        match = _KEY.fullmatch(stat.key)
        if match is not None:
            with suppress(ValueError):
                day = date.fromisoformat(match[1])
                if first <= day < stop:
                    keys[day] = stat.key
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda key: _object(store, key), keys.values())
    return {day: (key, data) for (day, key), data in zip(keys.items(), found, strict=True) if data is not None}


def _object(store: ObjectStore, key: str) -> bytes | None:
    try:
        with store.open(key) as source:
            if source.size > MAX_FILE_BYTES:
                raise Damaged(f"{key}: {source.size} bytes are too many for a day's figures; move it away")
            return bytes(source.read(0, source.size))
    except NotFound:
        return None
