"""The catalog's promises that need no model: batches, repeats, fencing of some and not of others, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from index.catalog import MAX_ROWS, Catalog, RowsFencedOut, RowsRefused
from index.environment import Environment, Table
from index.interned import Interned
from index.rows import MAX_SEGMENT_US, GapRow
from index.stat import index_stat
from index.timeline import Timeline
from tests.support.indexing import CAMERA, DAY_US, MINUTE_US, OTHER, T0, VIDEO, minutes, new_row
from vault.clock import ManualClock
from vault.errors import Damaged, FencedOut, NotFound, UsageError
from vault.ids import CameraNumber
from vault.media import GapBefore
from vault.timebase import US

LATER = T0 + 40 * DAY_US


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with Environment(tmp_path / "index", 64 * 1024 * 1024) as opened:
        yield opened


@pytest.fixture
def catalog(environment: Environment) -> Catalog:
    return Catalog(environment)


class SlowClock(ManualClock):
    """Each look takes 20 ms."""

    def mono_us(self) -> int:
        self.advance(20_000)
        return super().mono_us()


def transactions(environment: Environment) -> int:
    return int(environment._env.info()["last_txnid"])


def test_epochs_rise_and_are_those_of_their_camera(catalog: Catalog) -> None:
    assert catalog.epoch(CAMERA) == 0
    assert catalog.raise_epoch(CAMERA) == 1
    assert catalog.raise_epochs([CAMERA, OTHER]) == {CAMERA: 2, OTHER: 1}
    assert (catalog.epoch(CAMERA), catalog.epoch(OTHER)) == (2, 1)


def test_a_fenced_row_does_not_keep_the_others_out(catalog: Catalog) -> None:
    catalog.raise_epochs([CAMERA, OTHER])
    catalog.raise_epoch(CAMERA)
    rows = [new_row(CAMERA), new_row(OTHER), new_row(CAMERA, T0 + MINUTE_US, epoch=2)]
    with pytest.raises(FencedOut, match="another process has the camera") as error:
        catalog.commit(rows)
    assert isinstance(error.value, RowsFencedOut)
    assert error.value.keys == (rows[0].key,)
    assert {row.key for row in catalog.pending()} == {rows[1].key, rows[2].key}
    catalog.commit(rows[:1], adopt=True)
    assert catalog.row(rows[0].key) is not None
    assert catalog.epoch(CAMERA) == 2


def test_adopting_an_epoch_that_the_index_never_gave_raises_the_counter(catalog: Catalog) -> None:
    catalog.commit([new_row(epoch=7)], adopt=True)
    assert catalog.raise_epoch(CAMERA) == 8


@pytest.mark.parametrize(
    "changes",
    [
        {"end_us": T0},
        {"end_us": T0 + MAX_SEGMENT_US + 1},
        {"blake3": b"short"},
        {"tail_bytes": 0},
        {"size_bytes": 0},
        {"min_until_us": -1},
    ],
)
def test_a_row_out_of_bounds_is_refused_and_the_rest_committed(catalog: Catalog, changes: dict[str, object]) -> None:
    bad, good = replace(new_row(epoch=0), **changes), new_row(OTHER, epoch=0)  # type: ignore[arg-type]
    with pytest.raises(RowsRefused) as error:
        catalog.commit([bad, good])
    assert [key for key, _ in error.value.reasons] == [bad.key]
    assert [row.key for row in catalog.pending()] == [good.key]


def test_the_same_key_with_other_bytes_is_refused(catalog: Catalog) -> None:
    catalog.commit([new_row(epoch=0)])
    catalog.commit([new_row(epoch=0)])
    for other in (replace(new_row(epoch=0), size_bytes=5), new_row(epoch=0, sequence=9)):
        with pytest.raises(RowsRefused, match="committed already"):
            catalog.commit([other])
    assert catalog.usage(CAMERA).segments == 1


def test_a_transaction_takes_at_most_a_thousand_rows_or_50_ms(environment: Environment) -> None:
    rows = [new_row(CameraNumber(1 + at), epoch=0) for at in range(MAX_ROWS + 1)]
    before = transactions(environment)
    Catalog(environment, ManualClock(T0)).commit(rows)
    assert transactions(environment) == before + 2
    before = transactions(environment)
    Catalog(environment, SlowClock(T0)).commit([replace(row, key=replace(row.key, epoch=1)) for row in rows[:9]], adopt=True)
    assert transactions(environment) == before + 3


def test_settled_rows_leave_the_upload_list_which_is_oldest_first(catalog: Catalog) -> None:
    rows = [new_row(OTHER, T0, epoch=0), new_row(CAMERA, T0 + US, epoch=0), new_row(OTHER, T0 + MINUTE_US, epoch=0)]
    catalog.commit([rows[2], rows[1], rows[0]])
    assert [row.key for row in catalog.pending()] == [row.key for row in rows]
    assert [row.key for row in catalog.pending(limit=1)] == [rows[0].key]
    for _ in range(2):
        catalog.settle([rows[0].key])
    assert [row.key for row in catalog.pending()] == [row.key for row in rows[1:]]
    with pytest.raises(NotFound):
        catalog.settle([new_row(epoch=5).key, rows[1].key])
    assert [row.key for row in catalog.pending()] == [rows[2].key]


def test_a_gap_opens_splits_by_reason_and_closes(catalog: Catalog) -> None:
    timeline = Timeline(catalog.environment)
    catalog.open_gap(CAMERA, T0, "stalled")
    catalog.open_gap(CAMERA, T0 + MINUTE_US, "stalled")
    catalog.open_gap(CAMERA, T0 + 2 * MINUTE_US, "unreachable")
    assert catalog.lasting_gap(CAMERA) == GapRow(T0 + 2 * MINUTE_US, None, "unreachable")
    closed = catalog.close_gap(CAMERA, T0 + 5 * MINUTE_US)
    assert closed == GapRow(T0 + 2 * MINUTE_US, T0 + 5 * MINUTE_US, "unreachable")
    assert catalog.close_gap(CAMERA, T0 + 6 * MINUTE_US) is None
    gaps = [(gap.reason, gap.end_us - gap.start_us) for gap in timeline.gaps(CAMERA, minutes(0, 5))]
    assert gaps == [("stalled", 2 * MINUTE_US), ("unreachable", 3 * MINUTE_US)]
    with pytest.raises(UsageError):
        catalog.open_gap(CAMERA, T0, " ")


def test_live_footage_ends_a_gap_and_adopted_footage_only_splits_it(catalog: Catalog) -> None:
    catalog.open_gap(CAMERA, T0, "crash")
    catalog.commit([new_row(start_us=T0 + 2 * MINUTE_US, epoch=0)], adopt=True)
    assert catalog.lasting_gap(CAMERA) == GapRow(T0 + 3 * MINUTE_US, None, "crash")
    catalog.commit([new_row(start_us=T0 + 5 * MINUTE_US, epoch=0)])
    assert catalog.lasting_gap(CAMERA) is None
    reasons = [(gap.reason, gap.start_us) for gap in Timeline(catalog.environment).gaps(CAMERA, minutes(0, 6))]
    assert reasons == [("crash", T0), ("crash", T0 + 3 * MINUTE_US)]


def test_a_gap_that_a_segment_names_fills_only_what_nothing_explains(catalog: Catalog) -> None:
    catalog.commit([new_row(epoch=0)])
    catalog.open_gap(CAMERA, T0 + 2 * MINUTE_US, "supervisor says")
    catalog.commit([new_row(start_us=T0 + 4 * MINUTE_US, epoch=0, gap_before=GapBefore(T0, "segment says"))])
    gaps = Timeline(catalog.environment).gaps(CAMERA, minutes(0, 5))
    assert [(gap.reason, gap.start_us) for gap in gaps] == [
        ("segment says", T0 + MINUTE_US),
        ("supervisor says", T0 + 2 * MINUTE_US),
    ]


def test_footage_without_a_known_minimum_is_never_doomed(catalog: Catalog) -> None:
    row = new_row(epoch=0, min_until_us=0)
    catalog.commit([row])
    outcome = catalog.doom([row.key], at_us=LATER, reason="past its minimum")
    assert outcome.refused == ((row.key, "its minimum is not known yet, which means keep"),)


def test_deletion_goes_its_way_in_order_only_and_by_one_batch(catalog: Catalog) -> None:
    row = new_row(epoch=0)
    catalog.commit([row])
    assert catalog.mark_deleting([row.key], "b1").refused == ((row.key, "it is not doomed"),)
    assert catalog.erase([row.key]).refused == ((row.key, "its deletion has not begun"),)
    catalog.doom([row.key], at_us=LATER, reason="past its minimum", rule="general-30")
    assert catalog.erase([row.key]).refused
    assert catalog.mark_deleting([row.key], "b1").done == (row.key,)
    assert catalog.mark_deleting([row.key], "b1").done == (row.key,)
    assert catalog.mark_deleting([row.key], "b2").refused == ((row.key, "batch b1 is deleting it"),)
    ((doomed, sentence),) = catalog.doomed()
    assert (doomed.key, sentence.reason, sentence.rule, sentence.batch) == (row.key, "past its minimum", "general-30", "b1")
    assert catalog.spare([row.key]).refused == ((row.key, "its deletion has begun"),)
    assert catalog.erase([row.key]).done == (row.key,)
    assert catalog.doom([new_row(epoch=3).key], at_us=LATER, reason="x").refused[0][1] == "it has no row"


def test_ids_of_values_that_collide_stay_apart(environment: Environment) -> None:
    narrow = Interned(Table.PARAMS, 1)
    with environment.write("test") as txn:
        values = [str(at).encode() for at in range(200)]
        ids = [narrow.intern(txn, value) for value in values]
        assert len(set(ids)) == 200
        assert [narrow.intern(txn, value) for value in values] == ids
    with environment.read() as read:
        assert [narrow.value(read, at) for at in ids] == values
        with pytest.raises(Damaged, match="index rebuild"):
            narrow.value(read, next(at for at in range(256) if at not in ids))


def test_params_are_kept_once_however_many_rows_name_them(catalog: Catalog) -> None:
    catalog.commit([new_row(start_us=T0 + at * MINUTE_US, epoch=0) for at in range(5)])
    assert {catalog.params(row) for row in catalog.pending()} == {VIDEO}
    assert index_stat(catalog.environment).entries["params"] == 1


def test_stat_counts_what_there_is(catalog: Catalog) -> None:
    assert index_stat(catalog.environment).bytes_per_camera_minute is None
    rows = [new_row(start_us=T0 + at * MINUTE_US, epoch=0) for at in range(100)]
    catalog.commit(rows)
    stat = index_stat(catalog.environment)
    assert (stat.segments, stat.entries["segments"], stat.entries["pending"], stat.camera_minutes) == (100, 100, 100, 100.0)
    assert stat.footage_bytes == sum(row.size_bytes for row in rows)
    assert stat.bytes_per_camera_minute is None
    old = replace(stat, camera_minutes=1_000.0)
    assert old.bytes_per_camera_minute == stat.used_bytes / 1_000
    assert sum(stat.table_bytes.values()) == stat.live_bytes <= stat.used_bytes <= stat.file_bytes <= stat.map_bytes
    assert stat.engine.startswith("0.9.")
