"""Raised minima: what exists is kept for longer, from the very transaction on, whatever is cut short, lost or comes late."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from index.check import check_removal
from index.environment import Environment, Table
from index.minima import NOTICE_US, put_raise, raises_of, restore_raises
from index.raising import Raising
from index.rows import State
from tests.support.index_vault import MAP_BYTES, Vault, open_vault
from tests.support.indexing import CAMERA, DAY_US, MINUTE_US, OTHER, T0, new_row
from vault.clock import ManualClock
from vault.errors import Damaged
from vault.ids import SegmentKey
from vault.media import SegmentFlag
from vault.retain import counted_us, min_until_us
from vault.timebase import US

ZONE = ZoneInfo("Asia/Shanghai")
NOON = T0 + 12 * 3_600 * US
NOW = NOON + DAY_US


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with open_vault(tmp_path, NOW) as opened:
        yield opened


def exact(end_us: int, days: int) -> int:
    return min_until_us(end_us, end_us, days, ZONE)


def commit(vault: Vault, start_us: int = NOON, days: int = 30, flags: SegmentFlag = SegmentFlag.NONE) -> SegmentKey:
    end_us = start_us + MINUTE_US
    row = replace(new_row(start_us=start_us, epoch=0, min_until_us=exact(end_us, days)), flags=flags)
    vault.catalog.commit([replace(row, counted_us=counted_us(end_us, end_us, row.min_until_us, flags))])
    return row.key


def ask(vault: Vault, days: int = 90, at_us: int = NOW) -> None:
    with vault.environment.write("test") as txn:
        put_raise(txn, vault.registry, [CAMERA], days, "Asia/Shanghai", by="Li", why="test", at_us=at_us)


def raise_all(vault: Vault) -> int:
    return Raising(vault.environment, vault.clock).run()


def until(vault: Vault, key: SegmentKey) -> int:
    row = vault.catalog.row(key)
    assert row is not None
    return row.min_until_us


def test_rows_that_exist_are_raised_exactly_and_those_of_other_cameras_are_not(vault: Vault) -> None:
    key, other = commit(vault), new_row(OTHER, epoch=0)
    vault.catalog.commit([other])
    ask(vault)
    assert raise_all(vault) == 1
    assert until(vault, key) == exact(NOON + MINUTE_US, 90)
    assert until(vault, other.key) == other.min_until_us
    assert Raising(vault.environment, vault.clock).pending() == []
    assert raise_all(vault) == 0


def test_a_raise_never_lowers(vault: Vault) -> None:
    key = commit(vault, days=120)
    ask(vault, 90)
    assert raise_all(vault) == 0
    assert until(vault, key) == exact(NOON + MINUTE_US, 120)


def test_a_minimum_that_is_not_known_stays_unknown(vault: Vault) -> None:
    row = new_row(epoch=0, min_until_us=0)
    vault.catalog.commit([row])
    ask(vault)
    raise_all(vault)
    assert until(vault, row.key) == 0
    assert vault.catalog.doom([row.key], at_us=NOW + 999 * DAY_US, reason="x").refused


def test_nothing_inside_a_new_minimum_is_doomed_before_any_row_was_raised(vault: Vault) -> None:
    key = commit(vault)
    ask(vault)
    past_old, past_new = exact(NOON + MINUTE_US, 30), exact(NOON + MINUTE_US, 90)
    assert vault.catalog.doom([key], at_us=past_old, reason="x").refused
    assert vault.catalog.doom([key], at_us=past_new - 1, reason="x").refused
    assert vault.catalog.doom([key], at_us=past_new, reason="x").done


def test_what_is_doomed_is_spared_and_what_is_being_deleted_is_left(vault: Vault) -> None:
    doomed, going, late = (commit(vault, NOON + at * MINUTE_US) for at in range(3))
    now_us = exact(NOON + MINUTE_US, 30)
    vault.catalog.doom([doomed, going], at_us=now_us, reason="x")
    vault.catalog.doom([late], at_us=exact(NOON + 3 * MINUTE_US, 90), reason="x")
    vault.catalog.mark_deleting([going], "b1")
    ask(vault, at_us=now_us)
    raise_all(vault)
    states = [row.state for key in (doomed, going, late) if (row := vault.catalog.row(key)) is not None]
    assert states == [State.COMMITTED, State.DELETING, State.DOOMED]
    assert until(vault, doomed) == exact(NOON + MINUTE_US, 90)
    assert list(check_removal(vault.environment)) == []


def test_deletion_that_meets_a_raise_first_spares_the_segment(vault: Vault) -> None:
    key = commit(vault)
    now_us = exact(NOON + MINUTE_US, 30)
    vault.catalog.doom([key], at_us=now_us, reason="x")
    ask(vault, at_us=now_us)
    ((_, why),) = vault.catalog.mark_deleting([key], "b1").refused
    assert "inside its minimum" in why
    assert vault.catalog.doomed() == []


def test_a_segment_committed_after_the_raise_has_the_new_minimum_at_once(vault: Vault) -> None:
    ask(vault)
    assert until(vault, commit(vault)) == exact(NOON + MINUTE_US, 90)
    # No lowering is in force sooner than a day after it was asked for, so what begins until then has the new days too.
    inside, outside = NOW + NOTICE_US - 1, NOW + NOTICE_US + MINUTE_US
    assert until(vault, commit(vault, inside)) == exact(inside + MINUTE_US, 90)
    assert until(vault, commit(vault, outside)) == exact(outside + MINUTE_US, 30)


def test_raising_goes_on_where_it_was_cut_short(vault: Vault) -> None:
    keys = [commit(vault, NOON + at * MINUTE_US) for at in range(250)]
    ask(vault)

    class Impatient(ManualClock):
        """A transaction's time is over after the first piece."""

        def mono_us(self) -> int:
            self.advance(30_000)
            return super().mono_us()

    class Cut(Exception):
        pass

    def cut(rows: int) -> None:
        raise Cut

    raising = Raising(vault.environment, Impatient(NOW))
    for raised in (100, 200):
        with pytest.raises(Cut):
            raising.run(cut)
        assert sum(until(vault, key) == exact(key.start_us + MINUTE_US, 90) for key in keys) == raised
        assert len(raising.pending()) == 1
    assert raising.run() == 50
    assert [until(vault, key) for key in keys] == [exact(key.start_us + MINUTE_US, 90) for key in keys]


def test_a_later_raise_takes_an_earlier_one_in_and_a_lesser_one_stands_beside_it(vault: Vault) -> None:
    ask(vault, 90)
    ask(vault, 120, NOW + 5)
    ask(vault, 100, NOW + 3 * DAY_US)
    with vault.environment.read() as txn:
        assert [(item.days, item.asked_us) for item in raises_of(txn, CAMERA)] == [(120, NOW + 5), (100, NOW + 3 * DAY_US)]
    late = NOW + 2 * DAY_US
    assert until(vault, commit(vault)) == exact(NOON + MINUTE_US, 120)
    assert until(vault, commit(vault, late)) == exact(late + MINUTE_US, 100)


def test_documents_alone_put_raises_back_for_rows_that_come_later(vault: Vault, tmp_path: Path) -> None:
    key = commit(vault)
    ask(vault, 90)
    ask(vault, 100, NOW + 1)
    assert [name for name in vault.registry.pending() if "/raises/" in name] == [
        f"registry/raises/{number:010d}/0000000001.json" for number in (1, 2)
    ]
    with vault.environment.read() as txn:
        documents = list(vault.registry.all_fields(txn, "raises"))
    with Environment(tmp_path / "again", MAP_BYTES) as environment:
        with environment.write("restore") as txn:
            restore_raises(txn, documents)
            assert [(item.days, item.next_key) for item in raises_of(txn, CAMERA)] == [(100, None)]
        vault.environment.close()
        vault.environment = environment
        assert commit(vault) == key
        assert until(vault, key) == exact(NOON + MINUTE_US, 100)
        ask(vault, 120, NOW + 2)
        with environment.read() as txn:
            assert txn.get(Table.REGISTRY, b"raises/0000000003") is not None


@pytest.mark.parametrize(
    ("flags", "closed_days_later", "had_days", "told", "days_too_many"),
    [
        (SegmentFlag.CLOSED_NEXT_DAY, 1, 45, True, 0),
        (SegmentFlag.CLOSED_LATER, 5, 30, True, 0),
        (SegmentFlag.RECOVERED, 5, 30, True, 0),
        (SegmentFlag.CLOSED_LATER, 5, 45, True, 0),
        (SegmentFlag.RECOVERED, 0, 30, True, 0),
        # A row of before there was `counted_us`: which day it was closed on cannot be told from the days that it had beyond its
        # class. Never lower than exact.
        (SegmentFlag.RECOVERED, 0, 30, False, 0),
        (SegmentFlag.CLOSED_LATER, 5, 45, False, 15),
    ],
)
def test_what_was_closed_late_counts_from_its_close(
    vault: Vault, flags: SegmentFlag, closed_days_later: int, had_days: int, told: bool, days_too_many: int
) -> None:
    end_us = NOON + MINUTE_US
    closed_us = end_us + closed_days_later * DAY_US
    had_us = min_until_us(end_us, closed_us, had_days, ZONE)
    row = replace(new_row(start_us=NOON, epoch=0, min_until_us=had_us), flags=flags)
    if told:
        row = replace(row, counted_us=counted_us(end_us, closed_us, had_us, flags))
    vault.catalog.commit([row])
    ask(vault, 90)
    raise_all(vault)
    assert until(vault, row.key) == min_until_us(end_us, closed_us, 90, ZONE) + days_too_many * DAY_US


def test_a_raise_that_cannot_be_read_keeps_its_camera(vault: Vault) -> None:
    key = commit(vault)
    ask(vault)
    with vault.environment.write("torn") as txn:
        for raw_key, _ in list(txn.scan(Table.RAISES)):
            txn.put(Table.RAISES, raw_key, b'{"version":1,"days":90,"zone":"Nowhere/At_all","next":null}')
    with pytest.raises(Damaged, match="nothing of it is deleted"):
        vault.catalog.doom([key], at_us=NOW + 999 * DAY_US, reason="x")
    with vault.environment.write("test") as txn, pytest.raises(Damaged, match="a raise in the registry"):
        restore_raises(txn, [{"number": 1, "days": 0, "asked_us": 1, "zone": "UTC", "cameras": [1]}])


def test_a_raise_asked_for_while_the_clock_is_behind_covers_what_there_is(vault: Vault) -> None:
    key, late = commit(vault), commit(vault, NOON + 2 * DAY_US)
    ask(vault, 90, NOW - 400 * DAY_US)
    assert raise_all(vault) == 2
    assert [until(vault, one) for one in (key, late)] == [exact(start + MINUTE_US, 90) for start in (NOON, NOON + 2 * DAY_US)]
    after = commit(vault, NOON + 3 * DAY_US + 1)
    assert until(vault, after) == exact(NOON + 3 * DAY_US + MINUTE_US, 30)
    with vault.environment.read() as txn:
        documents = list(vault.registry.all_fields(txn, "raises"))
        told = [item.before_us for item in raises_of(txn, CAMERA)]
    with vault.environment.write("restore") as txn:
        txn.delete(Table.RAISES, next(iter(raises_of(txn, CAMERA))).row_key)
        restore_raises(txn, documents)
        assert [item.before_us for item in raises_of(txn, CAMERA)] == told == [NOON + 3 * DAY_US]


def test_of_two_raises_at_one_instant_each_counts_for_what_it_covers(vault: Vault) -> None:
    """What is recorded after a raise has its days at close."""
    key = commit(vault)
    ask(vault, 120, NOW - 400 * DAY_US)
    late = commit(vault, NOON + 5 * DAY_US)
    ask(vault, 90, NOW - 400 * DAY_US)
    raise_all(vault)
    assert until(vault, key) == exact(NOON + MINUTE_US, 120)
    assert until(vault, late) == exact(NOON + 5 * DAY_US + MINUTE_US, 90)


@pytest.mark.parametrize(
    "flags", [SegmentFlag.NONE, SegmentFlag.RECOVERED, SegmentFlag.CLOSED_LATER, SegmentFlag.CLOCK_UNCONFIRMED]
)
def test_a_raise_counts_once_whatever_the_row_tells_of_its_close(vault: Vault, flags: SegmentFlag) -> None:
    before = commit(vault, NOON, flags=flags)
    ask(vault, 90)
    between = commit(vault, NOON + MINUTE_US, flags=flags)
    raise_all(vault)
    after = commit(vault, NOON + 2 * MINUTE_US, flags=flags)
    ask(vault, 80)
    raise_all(vault)
    # A lowering, and the raise after it.
    with vault.environment.write("test") as txn:
        put_raise(txn, vault.registry, [CAMERA], 90, ZONE.key, by="Li", why="test", at_us=NOW + DAY_US, lowered=True)
    ask(vault, 60, NOW + 3 * DAY_US)
    raise_all(vault)
    over_us = exact(NOON, 90)
    assert [until(vault, key) for key in (before, between, after)] == [over_us] * 3
    keys = [before, between, after]
    assert vault.catalog.doom(keys, at_us=over_us - 1, reason="test").done == ()
    assert vault.catalog.doom(keys, at_us=over_us, reason="test").done == tuple(keys)


def test_what_began_before_a_lowering_keeps_the_days_of_before_whenever_its_row_is_written(vault: Vault) -> None:
    at_once = commit(vault, NOON, 90)
    with vault.environment.write("test") as txn:
        put_raise(txn, vault.registry, [CAMERA], 90, ZONE.key, by="Li", why="test", at_us=NOW, lowered=True)
    assert raise_all(vault) == 0
    late, last, after = (commit(vault, start_us, 30) for start_us in (NOON + MINUTE_US, NOW + DAY_US - MINUTE_US, NOW + DAY_US))
    assert [until(vault, key) for key in (at_once, late)] == [exact(NOON + MINUTE_US, 90), exact(NOON + 2 * MINUTE_US, 90)]
    assert until(vault, last) == exact(NOW + DAY_US, 90)
    assert until(vault, after) == exact(NOW + DAY_US + MINUTE_US, 30)


def test_what_is_in_doubt_has_the_most_days_that_its_camera_ever_had(vault: Vault) -> None:
    """When it began is not known: perhaps under those."""
    with vault.environment.write("test") as txn:
        put_raise(txn, vault.registry, [CAMERA], 90, ZONE.key, by="Li", why="test", at_us=NOW, lowered=True)
    far_us = NOW + 400 * DAY_US
    assert until(vault, commit(vault, far_us, 30, SegmentFlag.CLOCK_UNCONFIRMED)) == exact(far_us, 90)


def test_a_raise_and_a_lowering_of_one_instant_both_count(vault: Vault) -> None:
    ask(vault, 40)
    with vault.environment.write("test") as txn:
        put_raise(
            txn, vault.registry, [CAMERA], 90, ZONE.key, by="configuration", why="test", at_us=NOW, notice_us=0, lowered=True
        )
        assert [(item.days, item.before_us, item.lowered) for item in raises_of(txn, CAMERA)] == [
            (40, NOW + DAY_US, False), (90, NOW, True),
        ]  # fmt: skip
        documents = list(vault.registry.all_fields(txn, "raises"))
        told = [item.before_us for item in raises_of(txn, CAMERA)]
        for item in list(raises_of(txn, CAMERA)):
            txn.delete(Table.RAISES, item.row_key)
        restore_raises(txn, documents)
        assert [item.before_us for item in raises_of(txn, CAMERA)] == told
    before, after = commit(vault, NOON), commit(vault, NOW)
    assert [until(vault, key) for key in (before, after)] == [exact(NOON, 90), exact(NOW, 40)]
