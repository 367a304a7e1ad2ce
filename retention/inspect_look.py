"""Gathering what an inspection is made of: gap rows, what is kept, registry, alarms, holds, clock offsets. Reads only.

It costs what is missing and what is overdue, not what is stored: no segment that is as it should be is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

import numpy as np

from index.alarms import Alarm, Alarms
from index.cameras import Camera
from index.gaps import expired_over, gaps_over
from index.growing import growing_intervals
from index.holds import HoldState, Order
from index.hours import HOUR_US, Hours
from index.minima import raises_of
from index.node import Node
from index.rows import GapRow
from index.sites import Site, kept
from index.texts import cleaned
from index.writes import usage_of
from retention.completeness import SETTLING_US, Completeness, LocalDay, completeness, known_gaps, local_days
from retention.expired import plans
from retention.inspection import (
    ALARMS,
    Finding,
    Inspected,
    Kind,
    Limits,
    Report,
    Traces,
    alarm_finding,
    findings,
    in_order,
    retained,
)
from retention.parquet import HOURLY, Part, read
from retention.policy import rules_of
from retention.sweep import OVERDUE_US
from retention.tally import DAY_US, day_of, stored_days
from vault.errors import Damaged, NotFound, StoreError, UsageError
from vault.ids import CameraNumber
from vault.timebase import Interval, format_local

_FIRST = Interval(0, 1)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which cameras and sites; empty is all."""

    sites: Collection[str] = ()
    site_class: str = ""

    def has(self, site_id: str, site_class: str) -> bool:
        return (not self.sites or site_id in self.sites) and self.site_class in ("", site_class)


def inspect(
    node: Node, span: Interval, scope: Scope, limits: Limits, advance: Callable[[], None] = lambda: None
) -> Report:  # fmt: skip
    """The report over `span`, as of now. Raises UsageError, NotFound for a site that is not there, what the index raises."""
    now_us, zone = node.clock.now_us(), node.config.retention.zone
    if span.start_us >= now_us:
        raise UsageError(f"nothing is to be inspected yet: {format_local(span.start_us)} is to come")
    span = Interval(span.start_us, min(span.end_us, now_us))
    every = {site.id: _inert(site.at(now_us)) for site in node.sites.list()}
    if unknown := sorted(set(scope.sites) - set(every)):
        raise NotFound(f"there is no site {unknown[0][:80]!r}; `site list` shows those there are")
    look = _Look(node, span, local_days(span, zone), zone, now_us)
    alarms = Alarms(node.environment, node.clock).lasting()
    silent = {alarm.subject: cleaned(alarm.message) for alarm in alarms if alarm.kind == Kind.SILENT}
    overdue = _overdue(node, now_us)
    offsets, notes = _clock_offsets(node, span)
    seen = []
    for camera in node.cameras.list(removed=True):
        camera = camera.at(now_us)
        site_class, days = kept(camera.days, every.get(camera.site), node.config.retention, now_us)
        if scope.has(camera.site, site_class) and (found := look.at(camera, every.get(camera.site), site_class, days)):
            found = replace(
                found, clock_offset_us=offsets.get(camera.number), silent=silent.get(str(camera.number), ""),
                overdue=overdue.get(camera.number, (0, 0)),
            )  # fmt: skip
            seen.append(found)
        advance()
    sites = [site for site in every.values() if scope.has(site.id, site.site_class)]
    return Report(
        now_us, span, node.config.retention.time_zone, _scope_text(scope), limits, tuple(seen),
        tuple(in_order([*findings(seen, sites, limits, zone), *_of_node(alarms)])),
        _holds(node, [item.camera.number for item in seen], now_us), tuple(notes),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Look:
    node: Node
    span: Interval
    days: list[LocalDay]
    zone: tzinfo
    now_us: int

    def at(self, camera: Camera, site: Site | None, site_class: str, days: int) -> Inspected | None:
        """None for a removed camera of which nothing is left and nothing was due in the range."""
        number, environment, retention = camera.number, self.node.environment, self.node.config.retention
        oldest_us = self.node.timeline.nearest(number, _FIRST)[1]
        with environment.read() as txn:
            first_us = usage_of(txn, number).first_us
            rows = [
                GapRow(row.start_us, row.end_us, cleaned(row.reason))
                for row in gaps_over(txn, number, self.span.start_us, self.span.end_us)
            ]
            erased = tuple(expired_over(txn, number, 0, self.now_us))
            raised_us = max((item.asked_us for item in raises_of(txn, number) if not item.lowered), default=None)
        if camera.is_removed and oldest_us is None and (camera.removed_us or 0) <= self.span.start_us:
            return None
        kept_now = retained(
            camera, site_class, days, retention.days(site_class), Traces(first_us, oldest_us, erased, raised_us), self.now_us,
            self.zone,
        )  # fmt: skip
        whole = Completeness() if first_us is None else self._completeness(camera, first_us, rows)
        shown = replace(camera, name=cleaned(camera.name), approval_ref=cleaned(camera.approval_ref))
        return Inspected(shown, site, site_class, kept_now, whole)

    def _completeness(self, camera: Camera, first_us: int, rows: Sequence[GapRow]) -> Completeness:
        until_us = self.span.end_us
        # Whether the newest of it is known matters only where the range reaches that far.
        if not camera.is_removed:
            newest_us = max(self.node.timeline.last_end_us(camera.number) or first_us, first_us)
            lasts = bool(rows) and rows[-1].end_us is None
            growing: list[Interval] = []
            if lasts or newest_us < until_us - SETTLING_US:
                growing = growing_intervals(self.node.environment, self.node.spool, camera.number, self.now_us)
            known, known_us = known_gaps(rows, growing, newest_us, self.now_us)
            rows, until_us = known, min(until_us, known_us)
        else:
            until_us = min(until_us, camera.removed_us or until_us)
        start_us = max(first_us, self.span.start_us)
        return completeness(self.days, Interval(start_us, until_us) if start_us < until_us else None, rows)


def _overdue(node: Node, now_us: int) -> dict[CameraNumber, tuple[int, int]]:
    """By camera: how many segments should be gone for longer than a run may take, and the minimum of the first."""
    found: dict[CameraNumber, tuple[int, int]] = {}
    rules = rules_of(node.config.retention)
    for plan in plans(node.environment, rules, max(0, now_us - OVERDUE_US), node.clock.mono_us()):
        for item in plan.due:
            count, until_us = found.get(item.row.key.camera, (0, item.row.min_until_us))
            found[item.row.key.camera] = count + 1, min(until_us, item.row.min_until_us)
    return found


def _clock_offsets(node: Node, span: Interval) -> tuple[dict[CameraNumber, int], list[str]]:
    """By camera, the largest of the range's hours: days that are over from the figures in the store, the newest from the index.
    And what of it could not be read."""
    first, stop = span.start_us // HOUR_US, -(-span.end_us // HOUR_US)
    found: dict[CameraNumber, int] = {}
    notes: list[str] = []

    def note(camera: int, offset_us: int) -> None:
        number = CameraNumber(camera)
        if number not in found or abs(offset_us) > abs(found[number]):
            found[number] = offset_us

    try:
        parts = stored_days(node.store, day_of(span.start_us // DAY_US), day_of(-(-span.end_us // DAY_US)))
    except StoreError as error:
        parts = {}
        notes.append(f"clock offsets of the last days only, as the store cannot be read: {error}")
    for part in parts.values():
        try:
            largest = _largest_offsets(part, first, stop)
        except Damaged as error:
            notes.append(f"clock offsets of one day are missing: {error}")
            continue
        for number, offset_us in largest:
            note(number, offset_us)
    # Longer the index keeps none.
    first = max(first, node.clock.now_us() // HOUR_US - 4 * 24)
    for camera in node.cameras.list(removed=True) if first < stop else ():
        for figures in Hours(node.environment).of(camera.number, first, stop).values():
            if figures.clock_offset_us is not None:
                note(camera.number, figures.clock_offset_us)
    return found, [cleaned(text) for text in notes]


def _largest_offsets(part: Part, first: int, stop: int) -> list[tuple[int, int]]:
    """Camera, and the largest offset in its hours of `[first, stop)`, of one day's file. Raises Damaged."""
    table = read([part], HOURLY, ["camera", "hour", "clock_offset_us"])
    hours = table.column("hour").cast("int64").to_numpy() // HOUR_US
    offsets = table.column("clock_offset_us").to_numpy().astype(np.float64)
    inside = (hours >= first) & (hours < stop) & ~np.isnan(offsets)
    cameras, offsets = table.column("camera").to_numpy()[inside].astype(np.int64), offsets[inside]
    order = np.lexsort((np.abs(offsets), cameras))
    cameras, offsets = cameras[order], offsets[order]
    last_of_each = np.flatnonzero(np.diff(cameras, append=-1))
    return list(zip(cameras[last_of_each].tolist(), offsets[last_of_each].astype(np.int64).tolist(), strict=True))


def _holds(node: Node, cameras: Sequence[CameraNumber], now_us: int) -> tuple[Order, ...]:
    """Those that keep footage of these cameras now."""
    wanted = set(cameras)
    return tuple(
        order for order in node.holds.list()
        if order.state(now_us) in (HoldState.IN_FORCE, HoldState.RELEASE_ASKED) and wanted.intersection(order.cameras)
    )  # fmt: skip


def _of_node(alarms: Sequence[Alarm]) -> list[Finding]:
    return [alarm_finding(Kind(alarm.kind), cleaned(alarm.message)) for alarm in alarms if alarm.kind in ALARMS]


def _inert(site: Site) -> Site:
    """What is shown of it. Texts are cleaned when they are given, but a document may have come from elsewhere."""
    return replace(site, name=cleaned(site.name), approval_ref=cleaned(site.approval_ref))


def _scope_text(scope: Scope) -> str:
    return ", ".join([*sorted(scope.sites), *filter(None, [scope.site_class])])
