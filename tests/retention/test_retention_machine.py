"""Retention as it runs in a node, against a plain model of what must be kept: classes, raises, holds, pins, clocks, crashes, faults.

Index, store, spool, uploader, ledger and the service of retention are the real ones; only clock and faults are ours. The model
(`tests.support.retention_model`) says at every step what may go, and after a day of undisturbed runs what must be gone. The store
asks it before each deletion. A failing run prints its steps and how to repeat them. `make machine` runs it for longer.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from index.bond import IndexBond
from index.closed import closed_row
from index.pins import LEASE_US, Pins
from index.raising import Raising
from index.rows import NewRow
from index.sites import of_category
from retention.deleter import GRACE_US
from tests.support.retention_faults import STEPS
from tests.support.retention_footage import closed_bytes, leave_open
from tests.support.retention_losses import LosingWorld
from tests.support.retention_model import DAY_US, HOUR_US, LEAST_DAYS, Footage, Order, day_of
from tests.support.retention_world import CATEGORIES, SITES
from vault.clock import ManualClock
from vault.errors import Refused
from vault.ids import CameraNumber, SegmentKey
from vault.retain import fixed_at_close
from vault.source import BytesSource
from vault.spool import append
from vault.timebase import US, Interval

PEOPLE = st.sampled_from(["first officer", "second officer"])
AGES = st.sampled_from([0, 1, 28, 29, 30, 45, 88, 89, 90, 91, 230])
WAITS = st.sampled_from([0, 5 * 60 * US, HOUR_US, DAY_US, DAY_US, 2 * DAY_US, 31 * DAY_US, 95 * DAY_US])
CALLS = st.sampled_from([1, 1, 1, 2, 3])
CUT_AT = st.sampled_from([*STEPS, "commit", "ledger"])
EYES = st.integers(1, 3).map(CameraNumber)


class Machine(LosingWorld, RuleBasedStateMachine):
    @initialize(known=st.lists(st.tuples(EYES, AGES, st.integers(1, 5)), min_size=3, max_size=6))
    def start(self, known: list[tuple[CameraNumber, int, int]]) -> None:
        """With some footage, or most runs would meet none."""
        self.begin()
        for camera, age_days, count in known:
            self.record(camera, count, 10, 0, 60, age_days, True)

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            try:
                if sys.exc_info()[0] is None:
                    self.put_right_and_audit()
            finally:
                self.end()

    # What is done.

    @rule(
        camera=EYES, count=st.integers(1, 6), size=st.integers(1, 400), late_days=st.sampled_from([0, 0, 0, 1, 3]),
        seconds=st.sampled_from([10, 60, 120]), age_days=AGES, put=st.booleans(),
    )  # fmt: skip
    def record(
        self, camera: CameraNumber, count: int, size: int, late_days: int, seconds: int, age_days: int, put: bool
    ) -> None:
        """Segments one after the other, of now or of days ago, when all was as it is now. `put`: and into the store."""
        epoch = self.node.catalog.raise_epoch(camera)
        self.go(count * seconds * US)
        now_us, believed, zone = self.clock.now_us(), self.trusted(), self.config.retention.zone
        site_class, days = self.model.kept(camera, now_us)
        rows: list[NewRow] = []
        self.model.watch(now_us)
        for at in range(count):
            start_us = now_us - age_days * DAY_US - (count - at) * seconds * US
            end_us = start_us + seconds * US
            closed_us = min(now_us, end_us + late_days * DAY_US)
            key, fixed = (
                SegmentKey(camera, start_us, epoch, 0),
                fixed_at_close(end_us, closed_us, days, zone, believed=believed),
            )
            data = closed_bytes(
                key, 8 * size, end_us=end_us, closed_us=closed_us, site_class=site_class, until_us=fixed.min_until_us,
                flags=fixed.flags,
            )  # fmt: skip
            rows.append(closed_row(key, BytesSource(data)))
            fd = self.node.spool.create(key)
            append(fd, 0, [data])
            os.close(fd)
            day = day_of(closed_us) if believed else None
            item = Footage(key, Interval(start_us, end_us), len(data), site_class, day, None, doubt=not believed)
            item.true_end_us, item.most = end_us - self.offset_us, days
            self.model.record(item, days if believed else None)
        self.node.catalog.commit(rows)
        if put:
            self.put_into_the_store()

    @rule(camera=EYES, count=st.integers(1, 3))
    def a_recorder_is_killed(self, camera: CameraNumber, count: int) -> None:
        """What it recorded lies open in the spool until somebody adopts it."""
        epoch = self.node.catalog.raise_epoch(camera)
        self.go(count * 60 * US)
        for at in range(count):
            start_us = self.clock.now_us() - (count - at) * 60 * US
            key = SegmentKey(camera, start_us, epoch, 0)
            leave_open(self.node.spool, key, 8 * 60)
            item = Footage(
                key, Interval(start_us, start_us + US), 0, "", None, None, true_end_us=self.true_us - (count - at) * 60 * US
            )
            self.model.left[key] = item
        self.model.watch(self.clock.now_us())

    @rule()
    def what_was_left_is_adopted(self) -> None:
        self.adopt()

    @rule(camera=EYES, what=st.sampled_from(["camera", "site", "class"]), more=st.sampled_from([20, 60]), wait_us=WAITS)
    def a_lowering_takes_effect_while_footage_lies_open(self, camera: CameraNumber, what: str, more: int, wait_us: int) -> None:
        site, _ = self.model.eyes[camera].at(self.clock.now_us())
        site_class, _ = self.model.sites[site].at(self.clock.now_us())
        for extra in (more, 0):
            if what == "camera":
                self.change_a_camera(camera, site, extra)
            elif what == "site":
                self.change_a_site(site, site_class, extra)
            else:
                self.change_the_configuration(site_class, extra)
                self.run_once()
            if extra:
                # A raise covers a day of what comes after it.
                self.go(2 * DAY_US)
                self.a_recorder_is_killed(camera, 1)
        self.go(wait_us)
        self.adopt()

    @precondition(lambda self: self.offset_us == 0 and not self.troubled)
    @rule(told=st.booleans())
    def the_index_is_lost(self, told: bool) -> None:
        self.lose_the_index(told=told)

    @rule(
        site=st.sampled_from(sorted(SITES)),
        site_class=st.sampled_from(sorted(CATEGORIES)),
        more=st.sampled_from([0, 0, 20, 60]),
    )
    def change_a_site(self, site: str, site_class: str, more: int) -> None:
        days = LEAST_DAYS[site_class] + more
        self.node.sites.set(of_category(self.node.sites.get(site), CATEGORIES[site_class], days), by="first officer")
        self.model.set_site(site, site_class, days, self.clock.now_us())

    @rule(camera=EYES, site=st.sampled_from(sorted(SITES)), more=st.sampled_from([0, 0, 10, 70]))
    def change_a_camera(self, camera: CameraNumber, site: str, more: int) -> None:
        now_us = self.clock.now_us()
        days = more and self.model.site_days(site, now_us)[1] + more
        self.node.cameras.set(f"#{camera}", site=site, days=days, by="first officer")
        self.model.set_camera(camera, site, days, now_us)

    @rule(site_class=st.sampled_from(sorted(CATEGORIES)), more=st.sampled_from([0, 5, 50]))
    def change_the_configuration(self, site_class: str, more: int) -> None:
        """And begin anew."""
        days = LEAST_DAYS[site_class] + more
        changed = replace(self.config.retention, **{f"{site_class}_days": days})  # type: ignore[arg-type]
        self.stack.close()
        self.config = replace(self.config, retention=changed)
        self.open()
        self.model.class_days[site_class] = days

    @rule()
    def bring_raises_into_the_rows(self) -> None:
        Raising(self.node.environment, self.clock).run()
        self.look(settled=True)

    @rule(
        who=PEOPLE, where=st.sets(EYES, min_size=1), back=st.integers(0, 100), span=st.integers(1, 60),
        days=st.none() | st.integers(1, 120),
    )  # fmt: skip
    def place_a_hold(self, who: str, where: set[CameraNumber], back: int, span: int, days: int | None) -> None:
        first_us = self.clock.now_us() - back * DAY_US
        interval, until_us = (
            Interval(first_us, first_us + span * DAY_US),
            None if days is None else self.true_us + days * DAY_US,
        )
        if until_us is not None and until_us <= self.clock.now_us():
            return
        order, outcome = self.node.holds.place(
            by=who, case="9901", why="theft", cameras=sorted(where), interval=interval, until_us=until_us
        )
        self.model.holds[order.number] = Order(set(where), interval, until_us)
        assert all(self.model.footage[key].deleting for key, _ in outcome.refused)
        self.look()

    @rule(number=st.integers(1, 4), who=PEOPLE, days=st.none() | st.integers(1, 200), camera=EYES)
    def extend_a_hold(self, number: int, who: str, days: int | None, camera: CameraNumber) -> None:
        if (order := self.model.holds.get(number)) is None:
            return
        until_us = None if days is None else self.true_us + days * DAY_US
        with suppress(Refused):
            self.node.holds.extend(number, by=who, until_us=until_us, cameras=[camera])
            order.until_us, order.asked_by = until_us, None
            order.cameras.add(camera)
        self.look()

    @rule(number=st.integers(1, 4), who=PEOPLE, other=PEOPLE)
    def release_a_hold(self, number: int, who: str, other: str) -> None:
        order = self.model.holds.get(number)
        if order is None or order.released:
            return
        if order.asked_by is None:
            self.node.holds.release(number, by=who)
            order.asked_by = who
        if order.asked_by == other:
            with pytest.raises(Refused):
                self.node.holds.confirm(number, by=other)
        else:
            self.node.holds.confirm(number, by=other)
            order.released = True

    @rule(camera=EYES, back=st.integers(0, 95), span=st.integers(1, 40))
    def read(self, camera: CameraNumber, back: int, span: int) -> None:
        pins, first_us = Pins(self.node.environment, self.clock), self.clock.now_us() - back * DAY_US
        interval = Interval(first_us, first_us + span * DAY_US)
        pins.put(pins.made(camera, interval, "clip"))
        self.model.pins.append((camera, interval, self.clock.mono_us() + LEASE_US))

    @rule(hours=st.sampled_from([3, -3, 400 * 24, -400 * 24, -20 * 24, 95 * 24]))
    def somebody_sets_the_clock(self, hours: int) -> None:
        self.clock.step(hours * HOUR_US)
        self.trusted()
        self.new_epochs()

    @rule(off_us=st.sampled_from([60 * US, 3 * DAY_US, 60 * DAY_US]))
    def the_host_starts_again(self, off_us: int) -> None:
        """The battery's clock may be as wrong as it was; one that is off by less than a day is set right by it."""
        now_us, self.true_us = self.clock.now_us() + off_us, self.true_us + off_us
        if abs(now_us - self.true_us) < 2 * DAY_US:
            now_us = self.true_us
        self.stack.close()
        self.clock, self.boot = ManualClock(now_us, 400 * US), f"{self.boot}-again"
        self.model.pins.clear()
        self.open()
        # Whoever starts looks at the clock first.
        self.trusted()
        self.new_epochs()

    # Store and ledger.

    @rule(instead=st.sampled_from(["nothing", "empty", "foreign"]))
    def the_mount_goes(self, instead: str) -> None:
        """An empty folder in the place of a store that nothing is known of would be taken for a new one."""
        if IndexBond(self.node.environment).expects_objects():
            self.mount.take_away(instead)
            self.go(11 * US)

    @rule(what=st.sampled_from(["refuses", "lies", "stuck", "ledger"]), data=st.data())
    def a_fault_begins(self, what: str, data: st.DataObject) -> None:
        if what == "ledger":
            self.cuts.ledger_full = True
        elif what == "stuck":
            self.faults.stuck |= {item.key.object_key for item in self.items() if data.draw(st.booleans())}
        else:
            setattr(self.faults, what, True)

    # Runs.

    @rule(wait_us=WAITS)
    def run(self, wait_us: int) -> None:
        self.go(wait_us)
        self.run_once()

    @rule(wait_us=WAITS, step=CUT_AT, call=CALLS, after=st.booleans())
    def run_cut_short(self, wait_us: int, step: str, call: int, after: bool) -> None:
        self.go(wait_us)
        self.run_once(step, call, after=after)

    @rule(wait_us=WAITS, step=CUT_AT, call=CALLS, after=st.booleans(), camera=EYES, count=st.integers(0, 5), put=st.booleans())
    def run_cut_short_after_the_grace(
        self, wait_us: int, step: str, call: int, after: bool, camera: CameraNumber, count: int, put: bool
    ) -> None:
        """With some footage of so long ago that it is due whatever was asked for."""
        self.record(camera, count, 20, 0, 10, 230, put)
        self.go(wait_us)
        self.run_once()
        self.go(GRACE_US)
        self.run_once(step, call, after=after)

    @rule(
        wait_us=WAITS, camera=EYES, what=st.sampled_from(["read", "hold", "raise", "raise of the site"]), step=CUT_AT,
        after=st.booleans(), age_days=st.sampled_from([30, 93, 230]),
    )  # fmt: skip
    def something_comes_between_doom_and_deletion(
        self, wait_us: int, camera: CameraNumber, what: str, step: str, after: bool, age_days: int
    ) -> None:
        self.record(camera, 4, 20, 0, 10, age_days, True)
        self.go(wait_us)
        self.run_once()
        self.go(GRACE_US - 60 * US)
        back = age_days + wait_us // DAY_US + 1
        site, _ = self.model.eyes[camera].at(self.clock.now_us())
        if what == "read":
            self.read(camera, back, 2)
        elif what == "hold":
            self.place_a_hold("first officer", {camera}, back, 2, None)
        elif what == "raise":
            self.change_a_camera(camera, site, 70)
        else:
            self.change_a_site(site, "key", 60)
        self.go(60 * US)
        self.run_once(step, after=after)
        self.run_once()

    @rule(wait_us=WAITS)
    def run_cut_short_between_two_objects(self, wait_us: int) -> None:
        self.go(wait_us)
        self.run_once()
        self.go(GRACE_US)
        self.faults.cut_half = True
        self.run_once()
        self.faults.cut_half = False

    @rule()
    def upload(self) -> None:
        self.put_into_the_store()

    @rule()
    def the_clock_is_right_again(self) -> None:
        self.put_clock_right()

    @precondition(lambda self: self.offset_us == 0)
    @rule(who=PEOPLE)
    def a_person_sets_the_clock_right_and_confirms_it(self, who: str) -> None:
        self.put_clock_right()
        self.confirm_clock(who)

    @rule()
    def the_faults_end(self) -> None:
        self.end_faults()

    @rule()
    def a_day_of_runs(self) -> None:
        self.run_for_a_day()

    @rule()
    def audit(self) -> None:
        self.put_right_and_audit()


TestRetention = pytest.mark.slow(Machine.TestCase)
TestRetention.settings = settings(
    stateful_step_count=30, max_examples=max(1, (settings.default or settings()).max_examples // 2)
)
