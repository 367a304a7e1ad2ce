"""An inspection of a real index: what its rows say of cameras, days, alarms, holds and clocks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from index.alarms import Alarms
from index.cameras import NewCamera
from index.hours import HourFigures, Hours
from index.sites import Site
from retention.completeness import day_start_us
from retention.deleter import GRACE_US
from retention.inspect_look import Scope, inspect
from retention.inspection import Inspected, Keeping, Kind, Limits, Report
from retention.tally import Tally
from tests.support.retaining import DAY_US, HOUR_US, Kept, open_kept
from vault.errors import NotFound, UsageError
from vault.ids import CameraNumber
from vault.timebase import US, Interval

ZONE = ZoneInfo("Asia/Shanghai")
MIDNIGHT_US = day_start_us(date(2026, 11, 1), ZONE)
GATE, VAULT = CameraNumber(1), CameraNumber(2)
EVERYTHING = Scope()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """Two cameras, each to record since a local midnight; the clock stands there."""
    with open_kept(tmp_path / "data", MIDNIGHT_US) as opened:
        node = opened.node
        node.sites.ensure_default()
        node.sites.add(Site("bank", "key", 90, "finance"))
        node.cameras.add(NewCamera("gate", "rtsp://127.0.0.1/1"))
        node.cameras.add(NewCamera("vault", "rtsp://127.0.0.1/2", site="bank"))
        for number in (GATE, VAULT):
            node.cameras.begin_recording(number, MIDNIGHT_US)
        yield opened


def report(kept: Kept, days: int = 30, scope: Scope = EVERYTHING) -> Report:
    now_us = kept.clock.now_us()
    return inspect(kept.node, Interval(now_us - days * DAY_US, now_us), scope, Limits())


def of(made: Report, id_: str) -> Inspected:
    return next(seen for seen in made.cameras if seen.camera.id == id_)


def kinds(made: Report, subject: str) -> set[Kind]:
    return {item.kind for item in made.findings if (item.camera or item.site) == subject}


def record(kept: Kept, camera: CameraNumber, first_us: int, hours: float, site_class: str = "general") -> None:
    """One segment an hour: how many there are is nothing to an inspection."""
    starts = [first_us + at * HOUR_US for at in range(int(hours))]
    kept.put(starts, camera, site_class=site_class, duration_us=HOUR_US)


def test_gap_rows_tell_what_is_missing_and_expired_time_was_recorded(kept: Kept) -> None:
    record(kept, GATE, MIDNIGHT_US, 6)
    kept.node.catalog.open_gap(GATE, MIDNIGHT_US + 6 * HOUR_US, "unreachable")
    record(kept, GATE, MIDNIGHT_US + 9 * HOUR_US, 39)
    kept.clock.advance(2 * DAY_US)
    before = of(report(kept), "gate").completeness
    assert [(day.missing_us, day.whole) for day in before.days] == [(3 * HOUR_US, True), (0, True)]
    assert before.by_reason() == {"unreachable": 3 * HOUR_US}
    assert before.share == 45 / 48
    # A month later the first day's footage is gone, by rights.
    record(kept, GATE, MIDNIGHT_US + 2 * DAY_US, 31 * 24)
    kept.clock.advance(31 * DAY_US)
    assert kept.run_through_grace().deleted.segments > 0
    after = of(report(kept, 40), "gate")
    assert after.completeness.days[0].missing_us == 3 * HOUR_US
    # The grace went by while nothing more was recorded.
    assert after.completeness.missing_us == 3 * HOUR_US + GRACE_US
    assert (after.retained.keeping, after.retained.days) == (Keeping.KEPT, 31)


def test_a_recorder_that_was_killed_and_never_came_back_is_a_gap_of_unknown_reason(kept: Kept) -> None:
    record(kept, GATE, MIDNIGHT_US, 24)
    kept.clock.advance(2 * DAY_US)
    seen = of(report(kept), "gate").completeness
    assert seen.by_reason() == {"unknown": DAY_US}
    assert seen.gaps[-1].lasting


def test_a_new_camera_reads_collecting_and_one_of_a_few_hours_has_no_percentage(kept: Kept) -> None:
    record(kept, GATE, MIDNIGHT_US, 30)
    kept.clock.advance(30 * HOUR_US)
    kept.node.cameras.add(NewCamera("door", "rtsp://127.0.0.1/3"))
    kept.node.cameras.begin_recording(CameraNumber(3), kept.clock.now_us() - 5 * HOUR_US)
    record(kept, CameraNumber(3), kept.clock.now_us() - 5 * HOUR_US, 5)
    made = report(kept)
    gate, door = of(made, "gate"), of(made, "door")
    assert (gate.retained.keeping, gate.retained.since_us) == (Keeping.COLLECTING, MIDNIGHT_US)
    assert gate.completeness.share == 1
    assert (door.completeness.share, door.completeness.due_us) == (None, 5 * HOUR_US)
    assert not {Kind.BELOW_DAYS, Kind.DELETED_EARLY, Kind.INCOMPLETE} & kinds(made, "gate")
    assert not {Kind.BELOW_DAYS, Kind.DELETED_EARLY, Kind.INCOMPLETE} & kinds(made, "door")


def test_switching_a_key_camera_off_is_a_finding_and_missing_time(kept: Kept) -> None:
    record(kept, VAULT, MIDNIGHT_US, 24, "key")
    kept.node.cameras.set("vault", enabled=False)
    kept.node.catalog.open_gap(VAULT, MIDNIGHT_US + DAY_US, "recording switched off")
    kept.clock.advance(2 * DAY_US)
    made = report(kept)
    assert of(made, "vault").completeness.share == 0.5
    assert {Kind.SWITCHED_OFF, Kind.NO_CAMERA} <= kinds(made, "vault") | kinds(made, "bank")


def test_a_removed_camera_was_due_until_it_was_removed_and_is_left_out_when_nothing_is_left(kept: Kept) -> None:
    record(kept, GATE, MIDNIGHT_US, 24)
    kept.clock.advance(DAY_US)
    kept.node.cameras.remove("gate")
    kept.node.catalog.open_gap(GATE, MIDNIGHT_US + DAY_US, "recording switched off")
    kept.clock.advance(DAY_US)
    seen = of(report(kept), "gate").completeness
    assert (seen.due_us, seen.missing_us) == (DAY_US, 0)
    kept.clock.advance(40 * DAY_US)
    kept.run_through_grace()
    assert "gate" not in [seen.camera.id for seen in report(kept, 10).cameras]
    assert "gate" in [seen.camera.id for seen in report(kept, 60).cameras]


def test_footage_that_stays_past_its_time_is_overdue_unless_a_hold_keeps_it(kept: Kept) -> None:
    record(kept, GATE, MIDNIGHT_US, 2)
    record(kept, VAULT, MIDNIGHT_US, 2, "general")
    span = Interval(MIDNIGHT_US, MIDNIGHT_US + 2 * HOUR_US)
    kept.node.holds.place(by="Li", case="2026-117", why="theft", cameras=[VAULT], interval=span)
    kept.clock.advance(31 * DAY_US + HOUR_US)
    assert Kind.OVERDUE not in kinds(report(kept), "gate")
    kept.clock.advance(DAY_US + HOUR_US)
    made = report(kept)
    assert Kind.OVERDUE in kinds(made, "gate")
    assert of(made, "gate").overdue[0] == 2
    assert Kind.OVERDUE not in kinds(made, "vault")
    assert [order.case for order in made.holds] == ["2026-117"]
    assert report(kept, scope=Scope(["default"])).holds == ()


def test_alarms_that_last_are_findings(kept: Kept) -> None:
    kept.clock.advance(DAY_US)
    alarms = Alarms(kept.node.environment, kept.clock)
    alarms.begin("camera silent", "2", "nothing is recorded of vault: unreachable")
    alarms.begin("retention halted", "", "somebody must look")
    alarms.begin("spool filling", "", "not an inspector's")
    made = report(kept)
    assert Kind.SILENT in kinds(made, "vault")
    assert {item.kind for item in made.findings if not item.site} == {Kind.HALTED}


def test_clock_offsets_come_from_the_store_and_for_the_newest_days_from_the_index(kept: Kept) -> None:
    hours = Hours(kept.node.environment)
    record(kept, GATE, MIDNIGHT_US, 24 * 6)
    first = MIDNIGHT_US // HOUR_US
    hours.add({(GATE, first + 9): HourFigures(1, 0, -9 * US), (GATE, first + 10): HourFigures(1, 0, 4 * US)})
    hours.add({(VAULT, first + 9): HourFigures(1, 0, 100)})
    kept.clock.advance(6 * DAY_US)
    Tally(kept.node).run_once()
    assert not hours.of(GATE, first, first + 24)
    hours.add({(GATE, first + 24 * 6 - 1): HourFigures(1, 0, 5 * US)})
    made = report(kept)
    assert of(made, "gate").clock_offset_us == -9 * US
    assert of(made, "vault").clock_offset_us == 100
    assert Kind.CLOCK in kinds(made, "gate")
    lately = inspect(
        kept.node, Interval(kept.clock.now_us() - DAY_US, kept.clock.now_us()), Scope(), Limits(clock_offset_us=6 * US)
    )
    assert of(lately, "gate").clock_offset_us == 5 * US
    assert Kind.CLOCK not in kinds(lately, "gate")


def test_figures_that_cannot_be_read_are_said_and_stop_nothing(kept: Kept) -> None:
    kept.node.store.put_bytes("capacity/hourly/day=2026-11-01/part-0001.parquet", b"no parquet")
    kept.clock.advance(DAY_US)
    [note] = report(kept).notes
    assert "day=2026-11-01" in note


def test_sites_and_classes_bound_what_is_inspected(kept: Kept) -> None:
    kept.clock.advance(HOUR_US)
    assert [seen.camera.id for seen in report(kept, scope=Scope(["bank"])).cameras] == ["vault"]
    made = report(kept, scope=Scope(site_class="general"))
    assert [seen.camera.id for seen in made.cameras] == ["gate"]
    assert "bank" not in {item.site for item in made.findings}
    with pytest.raises(NotFound, match="attic"):
        report(kept, scope=Scope(["attic"]))
    with pytest.raises(UsageError, match="to come"):
        inspect(kept.node, Interval(kept.clock.now_us(), kept.clock.now_us() + 1), Scope(), Limits())


def test_raising_a_site_reads_collecting_and_not_deleted_early(kept: Kept) -> None:
    record(kept, GATE, MIDNIGHT_US, 40 * 24)
    kept.clock.advance(40 * DAY_US)
    kept.run_through_grace()
    kept.node.sites.set(Site("default", "key", 90, "finance"))
    seen = of(report(kept), "gate")
    assert (seen.retained.keeping, seen.retained.required_days) == (Keeping.COLLECTING, 90)
    # The hour up to midnight ends in the next day, and so counts with it.
    assert seen.retained.since_us == MIDNIGHT_US + 10 * DAY_US - HOUR_US
