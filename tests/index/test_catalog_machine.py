"""The catalog and the timeline against a plain model: for each tick of time, what it is. Ticks are longer than the tolerance."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from index.catalog import Catalog, RowsFencedOut, RowsRefused
from index.doom import Hold
from index.environment import Environment
from index.rows import NewRow, Place, State
from index.timeline import UNKNOWN, Timeline
from tests.support.indexing import CAMERA, OTHER, T0, lift_hold, new_row, place_hold
from vault.media import GapBefore
from vault.timebase import Interval

TICK_US = 10_000
LAST = 80
FOREVER = 120
"""The model's last tick stands for all time to come; no operation reaches it."""
MINIMUM = T0 + 1_000 * TICK_US

ticks = st.integers(0, LAST)
reasons = st.sampled_from(["stalled", "unreachable", "crash"])


def at(tick: int) -> int:
    return T0 + tick * TICK_US


@dataclass
class Footage:
    row: NewRow
    ticks: range
    state: State = State.COMMITTED
    place: Place = Place.SPOOL


class Machine(RuleBasedStateMachine):
    rows = Bundle("rows")

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.open()
        self.epoch = self.catalog.raise_epoch(CAMERA)
        self.footage: dict[tuple[int, int], Footage] = {}
        self.gaps: dict[int, str] = {}
        self.lasting: int | None = None
        self.expired: set[int] = set()
        self.first: int | None = None
        self.holds: dict[str, range] = {}

    def open(self) -> None:
        self.env = Environment(self.folder / "index", 64 * 1024 * 1024)
        self.catalog, self.timeline = Catalog(self.env), Timeline(self.env)

    def teardown(self) -> None:
        if hasattr(self, "env"):
            self.env.close()
            shutil.rmtree(self.folder)

    # The model.

    def explained(self, tick: int) -> bool:
        return tick in self.gaps or tick in self.expired or any(tick in item.ticks for item in self.footage.values())

    def note_first(self, tick: int) -> None:
        self.first = tick if self.first is None else min(self.first, tick)

    def model_footage(self, taken: range, live: bool) -> None:
        self.note_first(taken.start)
        for tick in taken:
            self.gaps.pop(tick, None)
        if self.lasting is None:
            return
        if live and taken.start >= self.lasting:
            self.model_close(taken.start)
        elif taken.stop > self.lasting:
            self.lasting = taken.stop

    def model_close(self, tick: int) -> None:
        assert self.lasting is not None
        for later in range(max(tick, self.lasting), FOREVER):
            self.gaps.pop(later, None)
        self.lasting = None

    def model_explain(self, first: int, stop: int, reason: str) -> None:
        for tick in range(first, stop):
            if not self.explained(tick):
                self.gaps[tick] = reason

    # What is done to both.

    @rule(
        target=rows,
        start=ticks,
        length=st.integers(1, 12),
        before=st.none() | st.tuples(ticks, reasons),
        back=st.integers(0, 2),
    )
    def commit(self, start: int, length: int, before: tuple[int, str] | None, back: int) -> object:
        epoch = max(0, self.epoch - back)
        gap_before = GapBefore(at(before[0]), before[1]) if before and before[0] < start else None
        row = new_row(
            start_us=at(start), duration_us=length * TICK_US, epoch=epoch, min_until_us=MINIMUM, gap_before=gap_before
        )
        taken = range(start, start + length)
        known = self.footage.get((start, epoch))
        repeat = known is not None and known.ticks == taken
        overlap = any(
            key[1] == epoch and item.ticks.start < taken.stop and taken.start < item.ticks.stop
            for key, item in self.footage.items()
        )
        adopt = epoch != self.epoch
        if adopt:
            with pytest.raises(RowsFencedOut) as fenced:
                self.catalog.commit([row])
            assert fenced.value.keys == (row.key,)
        if overlap and not repeat:
            with pytest.raises(RowsRefused):
                self.catalog.commit([row], adopt=adopt)
            return multiple()
        self.catalog.commit([row], adopt=adopt)
        if not repeat:
            self.footage[start, epoch] = Footage(row, taken)
            self.model_footage(taken, live=not adopt)
        if gap_before is not None and before is not None:
            self.note_first(before[0])
            self.model_explain(before[0], start, before[1])
        return multiple() if repeat else (start, epoch)

    @rule()
    def take_the_camera(self) -> None:
        self.epoch += 1
        assert self.catalog.raise_epoch(CAMERA) == self.epoch

    @rule(tick=ticks, reason=reasons)
    def open_gap(self, tick: int, reason: str) -> None:
        self.catalog.open_gap(CAMERA, at(tick), reason)
        self.note_first(tick)
        if self.lasting is not None:
            if self.gaps[self.lasting] == reason:
                return
            tick = max(tick, self.lasting)
            self.model_close(tick)
        after = max((later for later in range(tick, FOREVER) if self.explained(later)), default=tick - 1)
        self.model_explain(tick, FOREVER, reason)
        self.lasting = after + 1

    @rule(tick=ticks)
    def close_gap(self, tick: int) -> None:
        closed = self.catalog.close_gap(CAMERA, at(tick))
        assert (closed is None) == (self.lasting is None)
        if self.lasting is not None:
            self.model_close(tick)

    @rule(key=rows)
    def settle(self, key: tuple[int, int]) -> None:
        if key in self.footage:
            self.catalog.settle([self.footage[key].row.key])
            self.footage[key].place = Place.STORE

    @rule(key=rows, early=st.booleans())
    def doom(self, key: tuple[int, int], early: bool) -> None:
        if key not in self.footage:
            return
        item = self.footage[key]
        outcome = self.catalog.doom([item.row.key], at_us=MINIMUM - early, reason="past its minimum")
        if item.state is State.COMMITTED and (early or self.held(item)):
            assert not outcome.done
        else:
            assert not outcome.refused
            item.state = max(item.state, State.DOOMED)

    def held(self, item: Footage) -> bool:
        return any(held.start < item.ticks.stop and item.ticks.start < held.stop for held in self.holds.values())

    @rule(key=rows)
    def spare(self, key: tuple[int, int]) -> None:
        if key in self.footage:
            item = self.footage[key]
            outcome = self.catalog.spare([item.row.key])
            assert bool(outcome.refused) == (item.state is State.DELETING)
            if item.state is State.DOOMED:
                item.state = State.COMMITTED

    @rule(name=st.sampled_from("xy"), start=ticks, length=st.integers(1, 20))
    def hold(self, name: str, start: int, length: int) -> None:
        place_hold(self.catalog, Hold(name, CAMERA, Interval(at(start), at(start + length))))
        self.holds[name] = range(start, start + length)
        for item in self.footage.values():
            if item.state is State.DOOMED and self.held(item):
                item.state = State.COMMITTED

    @rule(name=st.sampled_from("xy"))
    def lift(self, name: str) -> None:
        assert lift_hold(self.catalog, CAMERA, name) == (self.holds.pop(name, None) is not None)

    @rule(key=consumes(rows))
    def delete(self, key: tuple[int, int]) -> None:
        if key not in self.footage:
            return
        item = self.footage[key]
        marked = self.catalog.mark_deleting([item.row.key], "batch-1")
        assert bool(marked.done) == (item.state is not State.COMMITTED)
        if marked.done:
            assert not self.catalog.erase([item.row.key]).refused
            assert not self.catalog.erase([item.row.key]).refused
            del self.footage[key]
            self.expired.update(item.ticks)

    @rule()
    def reopen(self) -> None:
        self.env.close()
        self.open()

    # What must always hold.

    @invariant()
    def every_tick_reads_as_the_model_says(self) -> None:
        if not hasattr(self, "env"):
            return
        view = self.timeline.view(CAMERA, Interval(at(0), at(FOREVER)))
        seen = {tick for item in self.footage.values() if item.state is State.COMMITTED for tick in item.ticks}
        gone = {tick for item in self.footage.values() if item.state is not State.COMMITTED for tick in item.ticks}
        gone = (gone | self.expired) - seen
        assert ticks_of(view.runs) == seen
        assert ticks_of(view.expired) == gone
        due = set(range(FOREVER if self.first is None else self.first, FOREVER)) - seen - gone
        expected = {tick: self.gaps.get(tick, UNKNOWN) for tick in due}
        read = {tick: gap.reason for gap in view.gaps for tick in ticks_of([Interval(gap.start_us, gap.end_us)])}
        assert read == expected
        assert any(gap.lasting for gap in view.gaps) == (self.lasting is not None)

    @invariant()
    def a_moment_is_found_exactly_where_there_is_footage(self) -> None:
        if not hasattr(self, "env"):
            return
        for tick in range(0, LAST + 12, 7):
            holding = [key for key, item in self.footage.items() if item.state is State.COMMITTED and tick in item.ticks]
            row = self.timeline.find(CAMERA, at(tick))
            assert (row and (row.key.start_us, row.key.epoch)) == (max(((at(s), e) for s, e in holding), default=None))
            assert self.timeline.find(OTHER, at(tick)) is None

    @invariant()
    def usage_and_lists_are_the_sums_of_the_rows(self) -> None:
        if not hasattr(self, "env"):
            return
        usage, items = self.catalog.usage(CAMERA), list(self.footage.values())
        doomed = [item for item in items if item.state is not State.COMMITTED]
        spooled = [item for item in items if item.place is Place.SPOOL]
        assert (usage.segments, usage.doomed_segments, usage.spool_segments) == (len(items), len(doomed), len(spooled))
        assert usage.size_bytes == sum(item.row.size_bytes for item in items)
        assert usage.doomed_bytes == sum(item.row.size_bytes for item in doomed)
        assert usage.spool_bytes == sum(item.row.size_bytes for item in spooled)
        assert usage.duration_us == sum(len(item.ticks) for item in items) * TICK_US
        waiting = [item for item in spooled if item.state is State.COMMITTED]
        assert {row.key for row in self.catalog.pending()} == {item.row.key for item in waiting}
        assert {row.key for row, _ in self.catalog.doomed()} == {item.row.key for item in doomed}


def ticks_of(intervals: tuple[Interval, ...] | list[Interval]) -> set[int]:
    return {tick for item in intervals for tick in range((item.start_us - T0) // TICK_US, (item.end_us - T0) // TICK_US)}


TestMachine = Machine.TestCase
TestMachine.settings = settings(stateful_step_count=40)
