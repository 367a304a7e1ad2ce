"""Dooms, holds, pins and raises interleaved, with steps cut short and the index lost, against a plain model of who may go when."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from index.catalog import Catalog
from index.check import check_removal, check_usage
from index.environment import Environment
from index.holds import Holds, Order
from index.minima import NOTICE_US, put_raise
from index.pins import LEASE_US, Pins
from index.raising import Raising
from index.rebuild import rebuild
from index.registry import Registry
from index.rows import NewRow, State
from tests.support.indexing import CAMERA, DAY_US, MINUTE_US, OTHER, T0, new_row
from vault.clock import ManualClock
from vault.errors import Refused
from vault.ids import CameraNumber, SegmentKey
from vault.retain import min_until_us
from vault.spool import Spool
from vault.store.local import LocalStore
from vault.timebase import Interval

ZONE = "Asia/Shanghai"
HOUR_US = 60 * MINUTE_US
MAP_BYTES = 32 * 1024 * 1024

cameras = st.sampled_from([CAMERA, OTHER])
hours = st.integers(0, 8)
people = st.sampled_from(["Li", "Wang"])


def exact(end_us: int, days: int) -> int:
    return min_until_us(end_us, end_us, days, ZoneInfo(ZONE))


@dataclass
class Kept:
    """What the model knows of a segment. `doomed_us`: the moment of its doom."""

    row: NewRow
    until_us: int
    state: State = State.COMMITTED
    doomed_us: int = 0


class Machine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        for name in ("spool", "store"):
            (self.folder / name).mkdir()
        self.clock = ManualClock(T0 + 33 * DAY_US)
        self.generation = 0
        self.waiting = LocalStore(self.folder / "spool")
        self.open()
        self.kept: dict[SegmentKey, Kept] = {}
        self.raises: list[tuple[CameraNumber, int, int]] = []
        self.pinned: list[tuple[CameraNumber, Interval, int]] = []

    def open(self) -> None:
        self.env = Environment(self.folder / f"index-{self.generation}", MAP_BYTES)
        self.registry = Registry(self.env, self.waiting)
        self.catalog, self.holds = Catalog(self.env, self.clock), Holds(self.registry, self.clock)

    def teardown(self) -> None:
        if hasattr(self, "env"):
            self.env.close()
            self.waiting.close()
            shutil.rmtree(self.folder)

    # The model.

    def held(self, item: Kept, at_us: int) -> bool:
        return any(
            order.released is None and (order.until_us is None or at_us < order.until_us)
            for order in self.holds.list()
            if item.row.key.camera in order.cameras and order.interval.overlaps(item.row.interval)
        )

    def read(self, item: Kept) -> bool:
        return any(
            camera == item.row.key.camera and span.overlaps(item.row.interval) and self.clock.mono_us() < until_us
            for camera, span, until_us in self.pinned
        )

    def must_stay(self, item: Kept, at_us: int) -> bool:
        return at_us < item.until_us or self.held(item, at_us)

    def spared(self, order: Order) -> None:
        for item in self.kept.values():
            row = item.row
            if item.state is State.DOOMED and row.key.camera in order.cameras and order.interval.overlaps(row.interval):
                item.state = State.COMMITTED

    # What is done to both.

    @rule(camera=cameras, hour=hours, days=st.sampled_from([30, 30, 45]))
    def commit(self, camera: CameraNumber, hour: int, days: int) -> None:
        start_us = T0 + hour * HOUR_US
        row = new_row(camera, start_us, epoch=0)
        if row.key in self.kept:
            return
        row = replace(row, min_until_us=exact(row.end_us, days))
        self.catalog.commit([row])
        covering = [asked for who, asked_us, asked in self.raises if who == camera and start_us < asked_us + NOTICE_US]
        self.kept[row.key] = Kept(row, exact(row.end_us, max([days, *covering])))

    @rule(camera=cameras, days=st.sampled_from([60, 90]))
    def ask_for_a_raise(self, camera: CameraNumber, days: int) -> None:
        now_us = self.clock.now_us()
        with self.env.write("test") as txn:
            put_raise(txn, self.registry, [camera], days, ZONE, by="Li", why="test", at_us=now_us)
        self.raises.append((camera, now_us, days))
        for item in self.kept.values():
            if (
                item.row.key.camera == camera
                and item.row.key.start_us < now_us + NOTICE_US
                and item.state is not State.DELETING
            ):
                item.until_us = max(item.until_us, exact(item.row.end_us, days))

    @rule()
    def bring_raises_into_the_rows(self) -> None:
        Raising(self.env, self.clock).run()
        for item in self.kept.values():
            if item.state is State.DOOMED and item.doomed_us < item.until_us:
                item.state = State.COMMITTED
            row = self.catalog.row(item.row.key)
            assert row is not None
            assert row.min_until_us == item.until_us
        assert list(check_removal(self.env)) == []

    @rule(
        who=people,
        where=st.sets(cameras, min_size=1),
        first=hours,
        hour_count=st.integers(1, 9),
        days=st.none() | st.integers(1, 40),
    )
    def place(self, who: str, where: set[CameraNumber], first: int, hour_count: int, days: int | None) -> None:
        span = Interval(T0 + first * HOUR_US, T0 + (first + hour_count) * HOUR_US)
        until_us = None if days is None else self.clock.now_us() + days * DAY_US
        order, _ = self.holds.place(by=who, case="1", why="x", cameras=sorted(where), interval=span, until_us=until_us)
        self.spared(order)

    @rule(number=st.integers(1, 4), who=people, days=st.none() | st.integers(1, 60))
    def extend(self, number: int, who: str, days: int | None) -> None:
        until_us = None if days is None else self.clock.now_us() + days * DAY_US
        if number <= len(self.holds.list()):
            with suppress(Refused):
                self.spared(self.holds.extend(number, by=who, until_us=until_us)[0])

    @rule(number=st.integers(1, 4), who=people, other=people)
    def release(self, number: int, who: str, other: str) -> None:
        if number > len(self.holds.list()) or self.holds.get(number).released is not None:
            return
        if self.holds.get(number).asked is None:
            self.holds.release(number, by=who)
        asked = self.holds.get(number).asked
        assert asked is not None
        if asked.by == other:
            with pytest.raises(Refused):
                self.holds.confirm(number, by=other)
        else:
            self.holds.confirm(number, by=other)

    @rule(camera=cameras, first=hours, hour_count=st.integers(4, 9))
    def pin(self, camera: CameraNumber, first: int, hour_count: int) -> None:
        pins, span = Pins(self.env, self.clock), Interval(T0 + first * HOUR_US, T0 + (first + hour_count) * HOUR_US)
        pins.put(pins.made(camera, span, "test"))
        self.pinned.append((camera, span, self.clock.mono_us() + LEASE_US))

    @rule(late=st.booleans())
    def doom(self, late: bool) -> None:
        now_us = self.clock.now_us() + late * 20 * DAY_US
        outcome = self.catalog.doom(self.kept, at_us=now_us, reason="past its minimum")
        refused = {key for key, item in self.kept.items() if item.state is State.COMMITTED and self.must_stay(item, now_us)}
        assert {key for key, _ in outcome.refused} == refused
        for key in outcome.done:
            if self.kept[key].state is State.COMMITTED:
                self.kept[key].state, self.kept[key].doomed_us = State.DOOMED, now_us

    @rule()
    def delete(self) -> None:
        due = {key for key, item in self.kept.items() if item.state is State.DOOMED}
        going = {
            key for key in due if not self.must_stay(self.kept[key], self.kept[key].doomed_us) and not self.read(self.kept[key])
        }
        outcome = self.catalog.mark_deleting(due, "batch-1")
        assert set(outcome.done) == going
        for key in due - going:
            if self.must_stay(self.kept[key], self.kept[key].doomed_us):
                self.kept[key].state = State.COMMITTED
        for key in going:
            self.kept[key].state = State.DELETING

    @rule()
    def erase(self) -> None:
        gone = [key for key, item in self.kept.items() if item.state is State.DELETING]
        assert set(self.catalog.erase(gone).done) == set(gone)
        for key in gone:
            del self.kept[key]

    @rule(us=st.sampled_from([LEASE_US, DAY_US, 15 * DAY_US]))
    def time_goes_by(self, us: int) -> None:
        self.clock.advance(us)

    @rule()
    def lose_the_index(self) -> None:
        """Only documents come back, out of what waits for the store, and then the footage with the minimum that it was closed with."""
        self.env.close()
        self.generation += 1
        with Spool(self.folder / "spool") as spool, closing(LocalStore(self.folder / "store")) as store:
            rebuild(store, spool, self.folder / f"index-{self.generation}", map_bytes=MAP_BYTES, clock=self.clock)
        self.open()
        self.pinned = []
        self.catalog.commit([item.row for item in self.kept.values()], adopt=True)
        for item in self.kept.values():
            item.state = State.COMMITTED
            covering = [
                days
                for who, at_us, days in self.raises
                if who == item.row.key.camera and item.row.key.start_us < at_us + NOTICE_US
            ]
            item.until_us = max(item.row.min_until_us, *(exact(item.row.end_us, days) for days in covering), 0)
            row = self.catalog.row(item.row.key)
            assert row is not None
            assert row.min_until_us == item.until_us

    # What must always hold.

    @invariant()
    def states_and_sums_are_those_of_the_model(self) -> None:
        if not hasattr(self, "env"):
            return
        assert {key: row.state for key in self.kept if (row := self.catalog.row(key)) is not None} == {
            key: item.state for key, item in self.kept.items()
        }
        assert list(check_usage(self.env)) == []


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=40, stateful_step_count=40)
