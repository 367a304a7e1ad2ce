"""Hours of expiry: what is counted, found by its minimum, and counted anew where an older program wrote the rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.catalog import Catalog
from index.check import check_expiry
from index.doom import Hold
from index.environment import Environment, Table
from index.expiry import HOUR_US, ExpirySum, complete_expiry, expiry_hours, expiry_is_complete, expiry_sums, rows_of_hour
from index.rows import Place, segment_key
from index.writes import SegmentWriter
from tests.support.indexing import CAMERA, DAY_US, OTHER, T0, new_row, place_hold
from vault.timebase import MAX_US, Interval

SOON, LATER = T0 + 30 * DAY_US, T0 + 90 * DAY_US
MAP_BYTES = 64 * 1024 * 1024


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with Environment(tmp_path / "index", MAP_BYTES) as opened:
        yield opened


def counted(environment: Environment) -> list[tuple[int, int, int, int]]:
    with environment.read() as txn:
        return [(hour.min_until_us, hour.camera, hour.start_us, hour.segments) for hour in expiry_hours(txn, 0, MAX_US)]


def commit(environment: Environment) -> None:
    """Two hours of one camera, in the second of which its minimum changes, and a row of another whose minimum is unknown."""
    rows = [new_row(start_us=T0 + at * HOUR_US // 4, min_until_us=LATER if at > 4 else SOON) for at in range(8)]
    Catalog(environment).commit([*rows, new_row(OTHER, min_until_us=0)], adopt=True, place=Place.STORE)


def test_hours_are_found_by_their_minimum_and_hold_their_rows(environment: Environment) -> None:
    commit(environment)
    assert counted(environment) == [
        (0, OTHER, T0, 1),
        (SOON, CAMERA, T0, 4),
        (SOON, CAMERA, T0 + HOUR_US, 1),
        (LATER, CAMERA, T0 + HOUR_US, 3),
    ]
    with environment.read() as txn:
        expired = list(expiry_hours(txn, 1, SOON))
        assert [len(list(rows_of_hour(txn, hour))) for hour in expired] == [4, 1]
        assert list(expiry_hours(txn, 1, SOON - 1)) == []
        assert [hour.start_us for hour in expiry_hours(txn, 1, SOON, after=expired[0].key)] == [T0 + HOUR_US]
        assert [(item.min_until_us, item.segments) for item in expiry_sums(txn)] == [(0, 1), (SOON, 5), (LATER, 3)]
        assert [item.min_until_us for item in expiry_sums(txn, SOON)] == [0, SOON]


def test_what_is_doomed_is_counted_no_longer_and_what_is_spared_is_again(environment: Environment) -> None:
    complete_expiry(environment)
    commit(environment)
    before = counted(environment)
    catalog = Catalog(environment)
    keys = [new_row(start_us=T0 + at * HOUR_US // 4).key for at in range(4)]
    assert len(catalog.doom(keys, at_us=SOON, reason="expired").done) == 4
    assert counted(environment) == [before[0], *before[2:]]
    catalog.spare(keys[:1])
    place_hold(catalog, Hold("h", CAMERA, Interval(T0 + HOUR_US // 2, T0 + HOUR_US // 2 + 1)))
    assert counted(environment)[1] == (SOON, CAMERA, T0, 2)
    catalog.mark_deleting(keys, "b1")
    catalog.erase(keys)
    assert counted(environment)[1] == (SOON, CAMERA, T0, 2)
    assert list(check_expiry(environment)) == []


def test_a_row_whose_minimum_changes_moves(environment: Environment) -> None:
    commit(environment)
    segments = SegmentWriter()
    with environment.write("confirm") as txn:
        row = segments.get(txn, new_row(OTHER).key)
        assert row is not None
        segments.change(txn, row, min_until_us=SOON)
    with environment.read() as txn:
        size = new_row(OTHER).size_bytes + sum(new_row(start_us=T0 + at * HOUR_US // 4).size_bytes for at in range(5))
        assert next(expiry_sums(txn)) == ExpirySum(SOON, 6, size)


def test_a_transaction_that_fails_counts_nothing(environment: Environment) -> None:
    commit(environment)
    before = counted(environment)
    segments = SegmentWriter()

    def fail_after_change() -> None:
        with environment.write("half") as txn:
            row = segments.get(txn, new_row(OTHER).key)
            assert row is not None
            segments.remove(txn, row)
            raise ValueError("a fault in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        fail_after_change()
    assert counted(environment) == before


def test_rows_of_an_older_program_are_counted_once_beside_a_writer(environment: Environment) -> None:
    commit(environment)
    whole = counted(environment)
    with environment.write("as before") as txn:
        for table in (Table.EXPIRYHOURS, Table.EXPIRYSUMS):
            for raw_key, _ in list(txn.scan(table)):
                txn.delete(table, raw_key)
    assert list(check_expiry(environment)) == [], "not counted yet is no fault"
    # What was not counted is taken away, and something new comes, before all is counted.
    catalog = Catalog(environment)
    catalog.doom([new_row().key], at_us=SOON, reason="expired")
    catalog.commit([new_row(start_us=T0 + HOUR_US // 8)], adopt=True)
    assert not expiry_is_complete(environment)
    complete_expiry(environment)
    assert expiry_is_complete(environment)
    assert counted(environment) == whole
    assert list(check_expiry(environment)) == []


def test_a_row_that_is_not_ours_is_named_and_not_counted(environment: Environment) -> None:
    with environment.write("odd") as txn:
        txn.put(Table.SEGMENTS, segment_key(new_row().key), b"odd")
    with pytest.raises(Exception, match="not one of ours"):
        complete_expiry(environment)
