"""What the index's calls cost: `pytest benchmarks/bench_index.py`. Against SQLite and at size: `compare_index.py`.

100 cameras with a day each, 144,000 rows, all in the page cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from benchmarks.index_material import DAY_US, MINUTE_US, START_US, camera, minutes_of, row_of
from index.catalog import Catalog
from index.environment import Environment
from index.rows import Place
from index.timeline import Timeline
from index.writes import SegmentWriter
from vault.timebase import Interval

CAMERAS = 100
DAY = 1440


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    with Environment(tmp_path_factory.mktemp("bench") / "index") as opened:
        catalog = Catalog(opened)
        for rows in minutes_of(CAMERAS, CAMERAS * DAY):
            catalog.commit(rows, adopt=True, place=Place.STORE)
        yield opened


def test_find_a_moment(benchmark: Any, environment: Environment) -> None:
    timeline, turn = Timeline(environment), count()

    def find() -> object:
        at = next(turn)
        return timeline.find(camera(at * 37 % CAMERAS), START_US + at * 7_919_000_003 % DAY_US)

    assert benchmark(find) is not None


def test_view_of_a_camera_day(benchmark: Any, environment: Environment) -> None:
    timeline, turn = Timeline(environment), count()
    day = Interval(START_US, START_US + DAY_US)
    assert len(benchmark(lambda: timeline.view(camera(next(turn) % CAMERAS), day)).runs) == 1


def test_span_of_an_hour(benchmark: Any, environment: Environment) -> None:
    timeline, turn = Timeline(environment), count()
    hour = Interval(START_US + 600 * MINUTE_US, START_US + 660 * MINUTE_US)
    assert 60 <= len(benchmark(lambda: timeline.span(camera(next(turn) % CAMERAS), hour))) <= 62


def test_commit_and_settle_what_100_cameras_close_in_a_minute(benchmark: Any, environment: Environment) -> None:
    catalog, minute = Catalog(environment), count(DAY)

    def commit() -> None:
        rows = [row_of(at, now) for now in [next(minute)] for at in range(CAMERAS)]
        catalog.commit(rows)
        catalog.settle([row.key for row in rows])

    benchmark.pedantic(commit, rounds=50)


def test_open_and_close_a_gap(benchmark: Any, environment: Environment) -> None:
    catalog, turn = Catalog(environment), count()

    def gap() -> None:
        at_us = START_US + 100 * DAY_US + next(turn) * MINUTE_US
        catalog.open_gap(camera(0), at_us, "stalled")
        catalog.close_gap(camera(0), at_us + MINUTE_US)

    benchmark(gap)


def test_decode_a_row(benchmark: Any, environment: Environment) -> None:
    segments = SegmentWriter()
    key = row_of(3, 99).key
    with environment.read() as txn:
        row = benchmark(lambda: segments.get(txn, key))
    assert row.size_bytes
