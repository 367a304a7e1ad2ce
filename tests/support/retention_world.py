"""A node in which retention runs, with a clock and faults of ours, beside the model of what must be kept; see the machine that uses it.

`look` compares every row with the model, `run_for_a_day` says what must be gone. What a crash left open, a lost index and what must be
left at the end are `tests.support.retention_losses`'.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from index.alarms import Alarms
from index.cameras import NewCamera
from index.classdays import DUTY as CLASS_DAYS
from index.clockwatch import ClockWatch
from index.doom import Sentence
from index.duties import Duties
from index.environment import Table
from index.node import Node, init_node, open_node
from index.rows import SegmentRow, State, segment_key
from index.sites import Site, of_category
from ingest.lanes import Lanes
from ingest.uploader import Uploader
from retention.deleter import GRACE_US
from retention.service import Retention
from retention.sweep import OVERDUE, OVERDUE_US, Report
from tests.support.indexing import T0
from tests.support.retention_faults import Cut, Cuts, FaultyStore, Mount, StoreFaults
from tests.support.retention_model import DAY_US, HOUR_US, LEAST_DAYS, Demand, Eye, Footage, Rules, day_of, end_of
from tests.support.short_life import submit_here
from vault.clock import ManualClock
from vault.clockguard import Signs
from vault.config import Config, Index
from vault.config import Retention as Keeping
from vault.datafolder import DataFolder
from vault.errors import StoreFull, StreamvaultError
from vault.ids import CameraNumber, SegmentKey
from vault.ledger.entry import Kind
from vault.ledger.lists import read_list
from vault.timebase import US

CONFIG = Config(index=Index(map_bytes=32 * 1024 * 1024), retention=Keeping(deletes_per_second=0))
ROOM_BYTES = 1024**3
SMALL = {
    "index.catalog.MAX_ROWS": 2, "retention.deleter.MAX_ROWS": 3, "retention.expired.PIECE_ROWS": 3, "index.raising.MAX_ROWS": 2,
    "index.raising._PIECE_ROWS": 1, "retention.halt.MORE_SEGMENTS": 4, "index.holds.MAX_ROWS": 2, "retention.unknown.MAX_ROWS": 2,
}  # fmt: skip
"""Bounds so small that few segments cross them."""
CATEGORIES = {"key": "finance", "general": "other", "viewing": "viewing-room"}
SITES = {"bank": "key", "shop": "general", "room": "viewing"}


class World:
    """`true_us`: what time it really is, whatever the host's clock says."""

    def begin(self) -> None:
        # Where a sync costs nothing, if there is such a place: this is not about disks.
        shared = Path("/dev/shm")
        roomy = os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > ROOM_BYTES
        self.folder = Path(tempfile.mkdtemp(dir=shared if roomy else None))
        self.patch = pytest.MonkeyPatch()
        for name, value in SMALL.items():
            self.patch.setattr(name, value)
        self.patch.setattr(Lanes, "submit", submit_here)
        self.logged = logging.root.manager.disable
        logging.disable()
        self.config = CONFIG
        self.cuts = Cuts(self.patch)
        self.faults = StoreFaults(self.before_deletion)
        self.clock, self.true_us, self.boot = ManualClock(T0, 10 * DAY_US), T0, "boot-1"
        self.model, self.halted, self.heard = Rules(), False, 0
        self.announced: set[str] = set()
        init_node(self.folder / "data", lambda _: self.config, self.clock)
        self.mount = Mount(self.folder / "data" / "store")
        self.open()
        assert self.trusted()
        for site, site_class in SITES.items():
            category = CATEGORIES[site_class]
            self.node.sites.add(of_category(Site(site), category))
            self.model.sites[site] = Demand(site_class, LEAST_DAYS[site_class])
        for site in SITES:
            camera = self.node.cameras.add(NewCamera(f"cam-{site}", "rtsp://192.0.2.1/stream", site=site))
            self.node.cameras.begin_recording(camera.number, T0)
            self.node.catalog.raise_epoch(camera.number)
            self.model.eyes[camera.number] = Eye(site)

    def open(self) -> None:
        self.stack = ExitStack()
        opened = self.stack.enter_context(open_node(DataFolder(self.folder / "data"), self.config, self.clock))
        self.node: Node = dataclasses.replace(opened, store=FaultyStore(opened.store, self.faults))
        self.watch = ClockWatch(
            self.node.environment, self.clock, lambda: Signs(self.clock.now_us(), self.clock.mono_us(), self.boot)
        )
        self.service = Retention(self.node, threading.Event(), self.watch)

    def end(self) -> None:
        self.patch.undo()
        logging.disable(self.logged)
        self.stack.close()
        shutil.rmtree(self.folder)

    # What the machine knows.

    @property
    def offset_us(self) -> int:
        return self.clock.now_us() - self.true_us

    def go(self, us: int) -> None:
        self.clock.advance(us)
        self.true_us += us

    def trusted(self) -> bool:
        trusted = self.watch.trusted()
        assert not trusted or self.offset_us == 0, f"a clock that is off by {self.offset_us} µs is believed"
        return trusted

    @property
    def troubled(self) -> bool:
        return bool(self.faults.any or self.mount.is_away or self.cuts.ledger_full)

    def row_of(self, item: Footage) -> SegmentRow | None:
        return self.node.catalog.row(item.key)

    def items(self) -> list[Footage]:
        return [item for item in self.model.footage.values() if not item.gone]

    def put_into_the_store(self) -> None:
        uploader = Uploader(self.node.spool, self.node.store, self.node.catalog, self.node.registry, self.clock)
        try:
            while uploader.run_once():
                pass
        except StreamvaultError:
            if not self.mount.is_away:
                raise

    def put_clock_right(self) -> None:
        if self.offset_us:
            self.clock.step(-self.offset_us)
            self.new_epochs()

    def confirm_clock(self, who: str) -> None:
        try:
            self.service.confirm_clock(who)
        except StoreFull:
            if not self.cuts.ledger_full:
                raise
        self.fixed()
        assert self.trusted()

    def new_epochs(self) -> None:
        self.node.catalog.raise_epochs(list(self.model.eyes))

    def fixed(self) -> None:
        """What was recorded in doubt has its minimum now."""
        now_us = self.true_us
        for item in self.items():
            if item.until_us is None:
                self.model.fix(item, self.model.kept(item.camera, now_us)[1], now_us)

    def end_faults(self) -> None:
        self.faults.lift()
        self.mount.bring_back()
        self.cuts.ledger_full = False
        self.go(11 * US)

    def run_once(self, step: str = "", call: int = 1, *, after: bool = False) -> Report | None:
        """None when it ended in an error or in the process's end, at the n-th call of `step`."""
        trusted, report = self.trusted(), None
        self.cuts.arm(step, call, after=after)
        try:
            report = self.service.run_once()
        except Cut:
            self.stack.close()
            self.open()
        except StreamvaultError:
            if not self.troubled:
                raise
        finally:
            self.cuts.arm("", 0, after=False)
        if report is not None:
            assert bool(report.stopped) is not trusted
            if report.halt is not None:
                assert report.doomed == 0
        if trusted:
            self.fixed_where_it_is()
            self.follow()
        done = report is not None and not report.stopped
        self.look(settled=done)
        if done:
            self.compare_alarm()
        return report

    def follow(self) -> None:
        """A run that was cut short may have seen the configuration, or not."""
        if Duties(self.node.environment).get(CLASS_DAYS).get("days") == self.model.class_days:
            self.model.follow(self.true_us)

    def compare_alarm(self) -> None:
        """What should have been gone for so long is told, and nothing else is."""
        rows = [row for item in self.items() if (row := self.row_of(item)) is not None]
        late = [row for row in rows if 0 < row.min_until_us < self.true_us - OVERDUE_US]
        if any(row.state is not State.COMMITTED for row in late):
            assert self.alarmed(OVERDUE)
        if not late:
            assert not self.alarmed(OVERDUE)

    def fixed_where_it_is(self) -> None:
        """A run that was cut short may have given a minimum to some."""
        for item in self.items():
            row = self.row_of(item)
            if item.until_us is None and row is not None and row.min_until_us:
                self.model.fix(item, self.model.kept(item.camera, self.true_us)[1], self.true_us)

    def run_for_a_day(self) -> None:
        """What was due at its beginning is gone at its end, unless something stands against it."""
        # The first brings raises into the rows.
        self.run_once()
        now_us, mono_us = self.true_us, self.clock.mono_us()
        if self.troubled or not self.trusted():
            return
        due = [
            item
            for item in self.items()
            if (row := self.row_of(item)) is not None
            and 0 < row.min_until_us <= now_us
            and not self.model.must_stay(item, now_us)
            and not self.model.pinned(item, mono_us)
        ]
        for wait_us in (0, HOUR_US, 6 * HOUR_US + 60 * US, 6 * HOUR_US + 60 * US, HOUR_US):
            self.go(wait_us)
            report = self.run_once()
            assert report is not None
            if report.halt is not None:
                assert self.alarmed("retention halted")
                self.service.confirm(report.halt.plan, "first officer")
                report = self.run_once()
                assert report is not None
                assert report.halt is None
        assert self.true_us - now_us < DAY_US
        assert [item.key.object_key for item in due if not item.gone] == []
        assert not self.alarmed(OVERDUE)

    def alarmed(self, kind: str) -> bool:
        return any((alarm.kind, alarm.subject) == (kind, "") for alarm in Alarms(self.node.environment).lasting())

    # What must hold.

    def before_deletion(self, keys: list[str]) -> None:
        """The store is asked to delete: each is being deleted, is in the ledger's lists, and may go."""
        self.hear()
        for name in keys:
            item = self.model.footage[SegmentKey.parse(name)]
            row = self.row_of(item)
            assert row is not None, f"{name} is deleted twice"
            assert row.state is State.DELETING
            assert name in self.announced, f"{name} is deleted and not announced"
            if not item.deleting:
                self.may_go(item)

    def may_go(self, item: Footage) -> None:
        """It becomes `deleting` now."""
        name = item.key.object_key
        assert self.model.must_stay(item, self.true_us) == "", name
        least_us = end_of(day_of(item.true_end_us), item.most)
        assert self.true_us >= least_us, (
            f"{name}: {item.most} days were in force, which are over in {least_us - self.true_us} µs"
        )
        assert not self.model.pinned(item, self.clock.mono_us()), f"{name} is being read"
        with self.node.environment.read() as txn:
            raw = txn.get(Table.DOOMED, segment_key(item.key))
        if raw is not None:
            assert Sentence.unpack(raw).at_us + GRACE_US <= self.true_us, f"{name} was doomed too short ago"
        item.deleting = True

    def hear(self) -> None:
        """Entries of the ledger that are new."""
        for entry in self.node.ledger.entries(self.heard):
            self.heard = entry.sequence + 1
            if entry.kind == Kind.DELETION:
                named = entry.body["list"]
                assert isinstance(named, dict)
                self.announced.update(read_list(self.node.ledger.folder, str(named["sha256"])))

    def look(self, *, settled: bool = False) -> None:
        """Every row against the model. `settled`: raises are in the rows, and what is kept by one is no longer doomed."""
        self.model.watch(self.clock.now_us())
        sums: dict[CameraNumber, list[int]] = {camera: [0, 0, 0] for camera in self.model.eyes}
        for item in self.items():
            row, name = self.row_of(item), item.key.object_key
            if row is None:
                assert item.deleting, f"{name} is gone without ever being marked"
                assert not self.node.spool.path_of(item.key).exists()
                item.gone = True
                continue
            summed = sums[item.camera]
            summed[0] += 1
            summed[1] += item.size_bytes
            summed[2] += row.state is not State.COMMITTED
            if row.state is State.DELETING:
                if not item.deleting:
                    self.may_go(item)
                continue
            assert not item.deleting, f"{name} came back"
            if row.state is State.DOOMED:
                assert not self.model.held(item, self.true_us), f"{name} is held and doomed"
                assert not settled or not self.model.must_stay(item, self.true_us), f"{name} is to be kept and doomed"
            if settled:
                assert row.min_until_us == (item.until_us or 0), f"{name}: minimum {row.min_until_us}, not {item.until_us}"
        for camera, (count, size, doomed) in sums.items():
            usage = self.node.catalog.usage(camera)
            assert (usage.segments, usage.size_bytes, usage.doomed_segments) == (count, size, doomed)
