"""A camera's time as people ask for it: where is this moment, what is there, what is missing and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.catalog import Catalog
from index.environment import Environment
from index.timeline import UNKNOWN, Gap, Timeline, View
from tests.support.indexing import CAMERA, DAY_US, MINUTE_US, OTHER, T0, minutes, new_row
from vault.timebase import US, Interval


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Environment(tmp_path / "index", 64 * 1024 * 1024) as environment:
        yield Catalog(environment)


@pytest.fixture
def timeline(catalog: Catalog) -> Timeline:
    return Timeline(catalog.environment)


def record(catalog: Catalog, *numbers: int, epoch: int | None = None) -> None:
    """One segment for each of these minutes."""
    adopt = epoch is not None
    epoch = catalog.epoch(CAMERA) if epoch is None else epoch
    catalog.commit([new_row(start_us=T0 + at * MINUTE_US, epoch=epoch) for at in numbers], adopt=adopt)


def gap(first: int, last: int, reason: str, lasting: bool = False) -> Gap:
    return Gap(T0 + first * MINUTE_US, T0 + last * MINUTE_US, reason, lasting)


def test_a_camera_that_never_was_to_record_has_neither_runs_nor_gaps(timeline: Timeline) -> None:
    assert timeline.view(CAMERA, minutes(0, 10)) == View((), (), ())
    assert timeline.find(CAMERA, T0) is None
    assert timeline.span(CAMERA, minutes(0, 10)) == []


def test_every_instant_of_a_segment_is_found_and_its_end_is_not(catalog: Catalog, timeline: Timeline) -> None:
    record(catalog, 3)
    for at_us, there in [(0, True), (1, True), (MINUTE_US - 1, True), (MINUTE_US, False), (-1, False)]:
        assert (timeline.find(CAMERA, T0 + 3 * MINUTE_US + at_us) is not None) == there
    assert timeline.find(OTHER, T0 + 3 * MINUTE_US) is None


def test_of_two_cameras_only_the_one_asked_for_answers(catalog: Catalog, timeline: Timeline) -> None:
    catalog.commit([new_row(CAMERA, T0, epoch=0), new_row(OTHER, T0 + MINUTE_US, epoch=0)])
    assert timeline.find(CAMERA, T0 + MINUTE_US) is None
    assert [row.key.camera for row in timeline.span(OTHER, minutes(0, 9))] == [OTHER]
    assert timeline.runs(CAMERA, minutes(0, 9)) == [minutes(0, 1)]


def test_a_span_holds_what_touches_the_range_from_inside(catalog: Catalog, timeline: Timeline) -> None:
    record(catalog, 0, 1, 2, 5, 6)
    starts = [(row.key.start_us - T0) // MINUTE_US for row in timeline.span(CAMERA, Interval(T0 + 90 * US, T0 + 300 * US + 1))]
    assert starts == [1, 2, 5]
    assert [(row.key.start_us - T0) // MINUTE_US for row in timeline.span(CAMERA, minutes(1, 5))] == [1, 2]


def test_a_row_tells_all_that_was_committed(catalog: Catalog, timeline: Timeline) -> None:
    new = new_row(epoch=0, sequence=5, site_class="key")
    catalog.commit([new])
    row = timeline.find(CAMERA, T0)
    assert row is not None
    assert (row.key, row.end_us, row.size_bytes, row.blake3) == (new.key, new.end_us, new.size_bytes, new.blake3)
    assert (row.tail_bytes, row.site_class, row.min_until_us, row.flags) == (new.tail_bytes, "key", new.min_until_us, new.flags)
    assert catalog.params(row) == new.params


def test_segments_that_touch_are_one_run_and_holes_part_them(catalog: Catalog, timeline: Timeline) -> None:
    record(catalog, 0, 1, 2, 5, 6)
    assert timeline.runs(CAMERA, minutes(0, 10)) == [minutes(0, 3), minutes(5, 7)]
    assert timeline.runs(CAMERA, Interval(T0 + 1, T0 + 2)) == [Interval(T0 + 1, T0 + 2)]
    assert timeline.gaps(CAMERA, minutes(0, 10)) == [gap(3, 5, UNKNOWN), gap(7, 10, UNKNOWN)]


@pytest.mark.parametrize(("hole_us", "runs"), [(1_000, 1), (1_001, 2)])
def test_a_hole_up_to_a_millisecond_is_rounding(catalog: Catalog, timeline: Timeline, hole_us: int, runs: int) -> None:
    catalog.commit([new_row(start_us=T0, epoch=0), new_row(start_us=T0 + MINUTE_US + hole_us, epoch=0)])
    view = timeline.view(CAMERA, Interval(T0, T0 + MINUTE_US + hole_us + US))
    assert len(view.runs) == runs
    assert len(view.gaps) == runs - 1


def test_footage_of_two_epochs_that_overlaps_is_one_run(catalog: Catalog, timeline: Timeline) -> None:
    record(catalog, 0, 1)
    catalog.raise_epoch(CAMERA)
    catalog.commit([new_row(start_us=T0 + MINUTE_US // 2, duration_us=3 * MINUTE_US, epoch=1)])
    assert timeline.runs(CAMERA, minutes(0, 10)) == [Interval(T0, T0 + MINUTE_US // 2 + 3 * MINUTE_US)]
    later = timeline.find(CAMERA, T0 + 3 * MINUTE_US)
    assert later is not None
    assert later.key.epoch == 1


def test_a_long_segment_is_found_behind_many_short_ones(catalog: Catalog, timeline: Timeline) -> None:
    catalog.commit([new_row(start_us=T0, duration_us=10 * MINUTE_US, epoch=0)])
    catalog.commit([new_row(start_us=T0 + at * US, duration_us=US // 2, epoch=1) for at in range(1, 300)], adopt=True)
    row = timeline.find(CAMERA, T0 + 300 * US)
    assert row is not None
    assert row.key.start_us == T0
    assert timeline.runs(CAMERA, Interval(T0 + 299 * US, T0 + 301 * US)) == [Interval(T0 + 299 * US, T0 + 301 * US)]


def test_what_is_being_recorded_counts_as_run_and_is_no_gap(catalog: Catalog, timeline: Timeline) -> None:
    record(catalog, 0, 1)
    catalog.open_gap(CAMERA, T0 + 2 * MINUTE_US, "stalled")
    being = [Interval(T0 + 3 * MINUTE_US, T0 + 4 * MINUTE_US + 5 * US)]
    view = timeline.view(CAMERA, minutes(0, 9), being, now_us=T0 + 4 * MINUTE_US + 5 * US)
    assert view.runs == (minutes(0, 2), being[0])
    assert view.gaps == (gap(2, 3, "stalled"),)
    late = timeline.gaps(CAMERA, minutes(4, 6), being, now_us=T0 + 5 * MINUTE_US)
    assert late == [Gap(being[0].end_us, T0 + 5 * MINUTE_US, UNKNOWN)]


def test_nothing_is_missing_after_now(catalog: Catalog, timeline: Timeline) -> None:
    record(catalog, 0)
    catalog.open_gap(CAMERA, T0 + MINUTE_US, "unreachable")
    assert timeline.gaps(CAMERA, minutes(0, 60), now_us=T0 + 2 * MINUTE_US) == [gap(1, 2, "unreachable", lasting=True)]
    assert timeline.gaps(CAMERA, minutes(5, 60), now_us=T0 + 2 * MINUTE_US) == []
    assert timeline.gaps(CAMERA, minutes(0, 3)) == [gap(1, 3, "unreachable", lasting=True)]


def test_doomed_and_erased_time_reads_expired_and_not_gap(catalog: Catalog, timeline: Timeline) -> None:
    record(catalog, 0, 1, 2, 4)
    keys = [row.key for row in timeline.span(CAMERA, minutes(0, 2))]
    long_after = T0 + 40 * DAY_US
    catalog.doom(keys, at_us=long_after, reason="past its minimum")
    expected = View((minutes(2, 3), minutes(4, 5)), (gap(3, 4, UNKNOWN),), (minutes(0, 2),))
    assert timeline.view(CAMERA, minutes(0, 5)) == expected
    assert timeline.find(CAMERA, T0) is None
    assert timeline.span(CAMERA, minutes(0, 2)) == []
    catalog.mark_deleting(keys, "batch-1")
    assert timeline.view(CAMERA, minutes(0, 5)) == expected
    catalog.erase(keys)
    assert timeline.view(CAMERA, minutes(0, 5)) == expected
    assert timeline.expired(CAMERA, minutes(1, 5)) == [minutes(1, 2)]


def test_a_gap_outlives_the_footage_around_it(catalog: Catalog, timeline: Timeline) -> None:
    record(catalog, 0)
    catalog.open_gap(CAMERA, T0 + MINUTE_US, "camera unreachable")
    record(catalog, 3)
    keys = [row.key for row in timeline.span(CAMERA, minutes(0, 9))]
    catalog.doom(keys, at_us=T0 + 40 * DAY_US, reason="past its minimum")
    catalog.mark_deleting(keys, "batch-1")
    catalog.erase(keys)
    view = timeline.view(CAMERA, minutes(0, 4))
    assert view == View((), (gap(1, 3, "camera unreachable"),), (minutes(0, 1), minutes(3, 4)))


def test_a_range_longer_than_one_piece_is_read_whole(
    catalog: Catalog, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.timeline._PIECE_ROWS", 3)
    record(catalog, *range(10), 12)
    assert timeline.runs(CAMERA, minutes(0, 20)) == [minutes(0, 10), minutes(12, 13)]
    assert len(timeline.span(CAMERA, minutes(0, 20))) == 11


def test_the_newest_segment_tells_where_footage_ends(catalog: Catalog, timeline: Timeline) -> None:
    assert timeline.last_end_us(CAMERA) is None
    record(catalog, 3, 1)
    assert timeline.last_end_us(CAMERA) == T0 + 4 * MINUTE_US
    assert timeline.last_end_us(OTHER) is None
