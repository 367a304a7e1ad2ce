"""Segments that were closed while the clock was not believed: they get their minimum once it is.

When they were recorded is not known for sure, so their days count from now, the latest it can have been: in doubt, keep. The file
goes on saying that it is not known, so after a rebuild of the index they are counted anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from index.catalog import MAX_ROWS
from index.classdays import days_in_force
from index.environment import Environment
from index.expiry import expiry_hours, rows_of_hour
from index.minima import raised_at_entry
from index.node import Node
from index.sites import kept
from index.writes import SegmentWriter
from vault.config import Retention
from vault.errors import ConfigError
from vault.ids import CameraNumber, SegmentKey
from vault.retain import min_until_us

Days = Callable[[CameraNumber, str], int | None]
"""Least days of a camera's footage of a class; None where nothing says, which means keep."""


def days_of(node: Node, now_us: int) -> Days:
    """By the registry as it is now: the class's days, or more where site or camera say so."""
    retention = days_in_force(node.environment, node.config.retention)
    sites = {site.id: site for site in node.sites.list()}
    cameras = [camera.at(now_us) for camera in node.cameras.list(removed=True)]
    more = {camera.number: kept(camera.days, sites.get(camera.site), retention, now_us)[1] for camera in cameras}

    def days(camera: CameraNumber, site_class: str) -> int | None:
        try:
            return max(retention.days(site_class), more.get(camera, 0))
        except ConfigError:
            return None

    return days


def fix_unknown(environment: Environment, days: Days, retention: Retention, now_us: int) -> int:
    """Give every committed segment without a minimum the one that counts from `now_us`; how many. Repeatable."""
    segments, after, fixed = SegmentWriter(), b"", 0
    while True:
        keys: list[SegmentKey] = []
        with environment.read() as txn:
            for hour in expiry_hours(txn, 0, 0, after):
                after = hour.key
                keys += [segments.row(txn, *item).key for item in rows_of_hour(txn, hour)]
                if len(keys) >= MAX_ROWS:
                    break
        if not keys:
            return fixed
        for at in range(0, len(keys), MAX_ROWS):
            with environment.write("fix minima", frees=True) as txn:
                for key in keys[at : at + MAX_ROWS]:
                    row = segments.get(txn, key)
                    least = None if row is None else days(key.camera, row.site_class)
                    if row is not None and least is not None and row.min_until_us == 0:
                        until_us = min_until_us(now_us, now_us, least, retention.zone)
                        # A raise may have been asked for meanwhile, and taken back for what comes.
                        until_us = raised_at_entry(txn, replace(row, min_until_us=until_us, counted_us=now_us))
                        segments.change(txn, row, min_until_us=until_us, counted_us=now_us)
                        fixed += 1
