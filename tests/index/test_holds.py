"""Holds: placed, extended, released by two persons, over by themselves; and what deletion may do meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from index.catalog import MAX_ROWS, Catalog
from index.doom import Hold, put_hold
from index.environment import Environment, Table
from index.holds import MAX_CAMERAS, Holds, HoldState, Order, restore_holds
from index.registry import Registry
from index.rows import CAMERA as CAMERA_KEY
from index.rows import State
from tests.support.indexing import CAMERA, DAY_US, MINUTE_US, OTHER, T0, minutes, new_row
from vault.clock import ManualClock
from vault.errors import Damaged, NotFound, Refused, UsageError
from vault.ids import CameraNumber, SegmentKey
from vault.ledger.entry import decode_entry
from vault.store.local import LocalStore
from vault.timebase import US, Interval

LATER = T0 + 40 * DAY_US
SPAN = minutes(0, 5)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(LATER)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    (tmp_path / "waiting").mkdir()
    with Environment(tmp_path / "index", 64 * 1024 * 1024) as opened, closing(LocalStore(tmp_path / "waiting")) as waiting:
        yield Registry(opened, waiting)


@pytest.fixture
def catalog(registry: Registry, clock: ManualClock) -> Catalog:
    return Catalog(registry.environment, clock)


@pytest.fixture
def holds(registry: Registry, clock: ManualClock) -> Holds:
    return Holds(registry, clock)


def place(
    holds: Holds, cameras: tuple[CameraNumber, ...] = (CAMERA,), span: Interval = SPAN, until_us: int | None = None
) -> Order:
    return holds.place(by="Li", case="2026-117", why="theft", cameras=cameras, interval=span, until_us=until_us)[0]


def commit(catalog: Catalog, *starts: int, camera: CameraNumber = CAMERA) -> list[SegmentKey]:
    rows = [new_row(camera, T0 + minute * MINUTE_US, epoch=0) for minute in starts]
    catalog.commit(rows)
    return [row.key for row in rows]


def doom(catalog: Catalog, keys: list[SegmentKey], at_us: int = LATER) -> set[SegmentKey]:
    return set(catalog.doom(keys, at_us=at_us, reason="past its minimum").done)


def test_a_hold_keeps_its_cameras_and_time_and_spares_what_was_doomed(catalog: Catalog, holds: Holds) -> None:
    first, last, outside = commit(catalog, 0, 4, 5)
    (other,) = commit(catalog, 0, camera=OTHER)
    assert doom(catalog, [first, outside, other]) == {first, outside, other}
    _, outcome = holds.place(by="Li", case="2026-117", why="theft", cameras=[CAMERA], interval=minutes(0, 5))
    assert outcome.done == (first,)
    assert doom(catalog, [first, last]) == set()
    assert catalog.mark_deleting([outside, other], "b1").done == (outside, other)


def test_what_is_being_deleted_is_told_to_whoever_holds_it(catalog: Catalog, holds: Holds) -> None:
    (key,) = commit(catalog, 0)
    doom(catalog, [key])
    catalog.mark_deleting([key], "b1")
    _, outcome = holds.place(by="Li", case="1", why="theft", cameras=[CAMERA], interval=minutes(0, 5))
    assert outcome.refused == ((key, "its deletion has begun"),)


def test_more_than_a_transaction_takes_is_spared_too(catalog: Catalog, holds: Holds) -> None:
    keys = commit(catalog, *range(MAX_ROWS + 40))
    doom(catalog, keys)
    _, outcome = holds.place(by="Li", case="1", why="theft", cameras=[CAMERA], interval=minutes(0, MAX_ROWS + 40))
    assert sorted(outcome.done) == sorted(keys)
    assert catalog.doomed() == []


def test_what_a_hold_was_too_late_to_spare_is_spared_where_deletion_meets_it(catalog: Catalog, registry: Registry) -> None:
    (key,) = commit(catalog, 0)
    doom(catalog, [key])
    with registry.environment.write("cut short") as txn:
        put_hold(txn, Hold("7", CAMERA, minutes(0, 1)))
    assert catalog.mark_deleting([key], "b1").refused == ((key, "hold 7 keeps it"),)
    row = catalog.row(key)
    assert row is not None
    assert row.state is State.COMMITTED


def test_a_hold_that_expired_holds_no_longer(catalog: Catalog, holds: Holds, clock: ManualClock) -> None:
    (key,) = commit(catalog, 0)
    order = place(holds, until_us=LATER + DAY_US)
    assert doom(catalog, [key], LATER + DAY_US - 1) == set()
    assert doom(catalog, [key], LATER + DAY_US) == {key}
    assert catalog.mark_deleting([key], "b1").done
    clock.advance(DAY_US - 1)
    assert order.state(clock.now_us()) is HoldState.IN_FORCE
    clock.advance(1)
    assert order.state(clock.now_us()) is HoldState.EXPIRED


def test_extending_lengthens_and_widens_and_never_takes_away(catalog: Catalog, holds: Holds, clock: ManualClock) -> None:
    order = place(holds, until_us=LATER + DAY_US)
    with pytest.raises(Refused, match="cannot end it earlier"):
        holds.extend(order.number, by="Li", until_us=LATER + DAY_US - 1)
    wider, _ = holds.extend(
        order.number, by="Wang", until_us=LATER + 9 * DAY_US, cameras=[OTHER], interval=Interval(T0 - 5, T0 + MINUTE_US)
    )
    assert wider.cameras == (CAMERA, OTHER)
    assert wider.interval == Interval(T0 - 5, T0 + 5 * MINUTE_US)
    (key,) = commit(catalog, 0, camera=OTHER)
    assert doom(catalog, [key], LATER + 9 * DAY_US - 1) == set()
    open_end, _ = holds.extend(order.number, by="Wang", until_us=None)
    assert open_end.until_us is None
    assert open_end.extended is not None
    with pytest.raises(Refused, match="cannot end it earlier"):
        holds.extend(order.number, by="Li", until_us=LATER + 99 * DAY_US)
    assert doom(catalog, [key], LATER + 99 * DAY_US) == set()


def test_extending_a_hold_that_expired_spares_what_was_doomed_meanwhile(
    catalog: Catalog, holds: Holds, clock: ManualClock
) -> None:
    (key,) = commit(catalog, 0)
    order = place(holds, until_us=LATER + DAY_US)
    clock.advance(2 * DAY_US)
    assert doom(catalog, [key], clock.now_us()) == {key}
    _, outcome = holds.extend(order.number, by="Li", until_us=LATER + 3 * DAY_US)
    assert outcome.done == (key,)


def test_a_release_takes_two_persons(catalog: Catalog, holds: Holds, clock: ManualClock) -> None:
    (key,) = commit(catalog, 0)
    order = place(holds)
    with pytest.raises(Refused, match="nobody asked"):
        holds.confirm(order.number, by="Wang")
    assert holds.release(order.number, by="Li").state(LATER) is HoldState.RELEASE_ASKED
    assert doom(catalog, [key]) == set()
    for same in ("Li", " li ", "LI"):
        with pytest.raises(Refused, match="another person must confirm"):
            holds.confirm(order.number, by=same)
    with pytest.raises(Refused, match="Li asked for its release"):
        holds.release(order.number, by="Wang")
    assert doom(catalog, [key]) == set()
    released = holds.confirm(order.number, by="Wang")
    assert released.state(LATER) is HoldState.RELEASED
    assert (released.asked and released.asked.by, released.released and released.released.by) == ("Li", "Wang")
    assert doom(catalog, [key]) == {key}
    for again in (holds.release, holds.confirm):
        with pytest.raises(Refused, match="was released"):
            again(order.number, by="Zhao")
    with pytest.raises(Refused, match="was released"):
        holds.extend(order.number, by="Zhao", until_us=None)


def test_extending_calls_a_release_off(holds: Holds) -> None:
    order = place(holds)
    holds.release(order.number, by="Li")
    holds.extend(order.number, by="Wang", until_us=None)
    with pytest.raises(Refused, match="nobody asked"):
        holds.confirm(order.number, by="Wang")


def test_one_hold_released_leaves_the_others_that_cover_the_same(catalog: Catalog, holds: Holds) -> None:
    (key,) = commit(catalog, 0)
    first, second = place(holds), place(holds)
    holds.release(first.number, by="Li")
    holds.confirm(first.number, by="Wang")
    assert catalog.doom([key], at_us=LATER, reason="x").refused == ((key, f"hold {second.number} keeps it"),)


def test_every_change_is_a_document_of_the_next_version(registry: Registry, holds: Holds) -> None:
    order = place(holds)
    holds.extend(order.number, by="Li", until_us=None)
    holds.release(order.number, by="Li")
    holds.confirm(order.number, by="Wang")
    assert registry.pending() == [f"registry/holds/0000000001/{version:010d}.json" for version in (1, 2, 3, 4)]


def test_the_ledger_hears_who_did_what(registry: Registry, holds: Holds) -> None:
    order = place(holds)
    holds.release(order.number, by="Li")
    holds.confirm(order.number, by="王警官")
    with registry.environment.read() as txn:
        entries = [decode_entry(raw) for _, raw in txn.scan(Table.OUTBOX)]
    assert [(entry.kind, entry.actor) for entry in entries] == [("hold", "Li"), ("hold", "Li"), ("hold", "王警官")]


def test_documents_alone_put_back_rows_and_numbers(
    registry: Registry, holds: Holds, catalog: Catalog, clock: ManualClock
) -> None:
    kept, gone = place(holds, (CAMERA, OTHER)), place(holds)
    holds.release(gone.number, by="Li")
    holds.confirm(gone.number, by="Wang")
    (key,) = commit(catalog, 0)
    environment = registry.environment
    with environment.write("lost") as txn:
        before = dict(txn.scan(Table.HOLDS))
        for raw_key in before:
            txn.delete(Table.HOLDS, raw_key)
        txn.delete(Table.META, b"last-hold-number")
        restore_holds(txn, list(registry.all_fields(txn, "holds")))
    with environment.read() as txn:
        assert dict(txn.scan(Table.HOLDS)) == before
    assert doom(catalog, [key]) == set()
    assert place(holds).number == gone.number + 1
    assert [order.number for order in holds.list()] == [1, 2, 3]
    assert holds.get(1) == kept


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"case": " \n"}, "the case number is missing"),
        ({"why": ""}, "the reason is missing"),
        ({"by": "\0"}, r"the person \(--by\) is missing"),
        ({"why": "x" * 1001}, "longer than 1000"),
        ({"cameras": []}, "one camera at least"),
        ({"cameras": range(1, MAX_CAMERAS + 2)}, "at most 1,000 cameras"),
        ({"until_us": LATER}, "over already"),
    ],
)
def test_a_hold_without_its_particulars_is_refused(holds: Holds, wrong: dict[str, object], why: str) -> None:
    good = {"by": "Li", "case": "1", "why": "theft", "cameras": [CAMERA], "interval": minutes(0, 1)}
    with pytest.raises(UsageError, match=why):
        holds.place(**(good | wrong))  # type: ignore[arg-type]
    assert holds.list() == []


def test_the_largest_hold_is_a_document_that_can_be_read(holds: Holds) -> None:
    cameras = [CameraNumber(2**32 - 1 - at) for at in range(MAX_CAMERAS)]
    order, _ = holds.place(by="李" * 200, case="案" * 200, why="由" * 1000, cameras=cameras, interval=minutes(0, 1))
    assert holds.get(order.number) == order


def test_a_hold_that_is_not_there_is_said(holds: Holds) -> None:
    with pytest.raises(NotFound, match="no hold 9"):
        holds.get(9)


def test_a_row_of_a_hold_that_knew_no_end_still_holds(catalog: Catalog, registry: Registry) -> None:
    (key,) = commit(catalog, 0)
    row_key = CAMERA_KEY.pack(CAMERA) + b"old"
    with registry.environment.write("of before") as txn:
        txn.put(Table.HOLDS, row_key, b'{"version":1,"start_us":%d,"end_us":%d}' % (T0, T0 + US))
    assert catalog.doom([key], at_us=LATER, reason="x").refused == ((key, "hold old keeps it"),)
    with registry.environment.write("torn") as txn:
        txn.put(Table.HOLDS, row_key, b'{"version":1,"start_us":5,"end_us":5}')
    with pytest.raises(Damaged, match="nothing of it is deleted"):
        catalog.doom([replace(key)], at_us=LATER, reason="x")
