"""What a splice costs: `pytest benchmarks/bench_splice.py`. Figures and machine stand in benchmarks/README.md.

Planning is measured with the tails read; `splice_hour.py` measures the way from cold tables to the last byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.splice_material import MINUTE_US, START_US, write_minute
from vault.segment.read import read_closed
from vault.source import FileSource
from vault.splice.fragments import plan_fragments
from vault.splice.part import Part
from vault.splice.plan import plan_clip
from vault.timebase import Interval

HOUR = Interval(START_US + 1_310_000, START_US + 1_310_000 + 60 * MINUTE_US)


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Part]]:
    """61 minutes with AAC of a camera 35 ppm fast; their samples are holes in the files."""
    folder = tmp_path_factory.mktemp("hour")
    sources = []
    for number in range(61):
        path: Path = folder / f"{number:02d}.mp4"
        write_minute(path, number, sound=True, rate_ppm=35.0, jitter=0)
        sources.append(FileSource(path))
    yield [Part(read_closed(source), source) for source in sources]
    for source in sources:
        source.close()


def test_plan_an_hour(benchmark: Any, hour: list[Part]) -> None:
    clip = benchmark(plan_clip, hour, HOUR)
    assert clip.size > 1_700_000_000


def test_plan_a_minute(benchmark: Any, hour: list[Part]) -> None:
    benchmark(plan_clip, hour[:2], Interval(START_US + 20_000_000, START_US + 80_000_000))


def test_plan_an_hour_of_fragments(benchmark: Any, hour: list[Part]) -> None:
    made = benchmark(plan_fragments, hour, HOUR)
    assert len(made.items) > 850


def test_a_media_segment_of_four_seconds(benchmark: Any, hour: list[Part]) -> None:
    made = plan_fragments(hour, HOUR)
    assert len(benchmark(lambda: made.media(400).read())) > 1_900_000


def test_a_megabyte_of_a_clip(benchmark: Any, hour: list[Part]) -> None:
    clip = plan_clip(hour, HOUR)
    buffer = memoryview(bytearray(1 << 20))
    benchmark(clip.read_into, clip.size // 2, buffer)
