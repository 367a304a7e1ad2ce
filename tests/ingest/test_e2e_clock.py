"""The host's wall clock is set an hour ahead while cameras record, and an hour back: nothing sent is lost, and the timeline
says when by the clock of that moment."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import wait_until
from tests.support.station import File, Station, station
from vault.timebase import US

HOUR_US = 3600 * US
NAMES = ("cam-1", "cam-2-udp")


class Host:
    """The recorder's host: what its clock is off by."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.step(0)

    def step(self, offset_us: int) -> None:
        # Written in place: the processes have the file mapped.
        with self.path.open("r+b" if self.path.exists() else "wb") as file:
            file.write(struct.pack("<q", offset_us))


def epochs(made: Station, name: str) -> dict[int, list[File]]:
    """The camera's segments by epoch, each in order."""
    found: dict[int, list[File]] = {}
    for file in made.files(name):
        found.setdefault(file.key.epoch, []).append(file)
    return dict(sorted(found.items()))


def parts_long(made: Station, number: int) -> bool:
    return all(len(files := epochs(made, name)) >= number and len(files[max(files)]) >= 2 for name in NAMES)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Two segments or more on the right time, then an hour ahead, then back on the right time."""
    folder = tmp_path_factory.mktemp("clock")
    host = Host(folder / "offset")
    with station(folder) as made:
        made.simulate(NAMES[:1], "tcp")
        made.simulate(NAMES[1:], "udp")
        made.start(main="tests/support/stepped_main.py", environment={"NODE_CLOCK": str(host.path)})
        made.wait_recording(*NAMES)
        wait_until(lambda: parts_long(made, 1), 30, "two segments")
        host.step(HOUR_US)
        wait_until(lambda: parts_long(made, 2), 40, "two segments on the stepped clock")
        host.step(0)
        wait_until(lambda: parts_long(made, 3), 40, "two segments after the clock is right again")
        made.stop()
        yield made


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost_while_the_clock_steps(recorded: Station, name: str) -> None:
    got = [unit.digests for files in epochs(recorded, name).values() for file in files for unit in file.units[0]]
    assert got == [unit.digests for unit in recorded.sent(name)][: len(got)]
    assert len(got) > 10 * 25


@pytest.mark.parametrize("name", NAMES)
def test_each_step_begins_an_epoch_on_the_new_time(recorded: Station, name: str) -> None:
    first, ahead, back = epochs(recorded, name).values()
    for before, after, step_us in ((first, ahead, HOUR_US), (ahead, back, -HOUR_US)):
        away_us = after[0].key.start_us - before[-1].table.info.end_us
        assert abs(away_us - step_us) < US
    for files in (first, ahead, back):
        ends = [file.table.info.end_us for file in files]
        assert [file.key.start_us for file in files[1:]] == ends[:-1]


@pytest.mark.parametrize("name", NAMES)
def test_the_timeline_has_three_runs_and_says_why_it_is_not_one(recorded: Station, name: str) -> None:
    first, ahead, back = epochs(recorded, name).values()
    view: Any = recorded.view(name, until_us=ahead[-1].table.info.end_us)
    runs = [(run.start_us, run.end_us) for run in view.runs]
    assert runs == [(part[0].key.start_us, part[-1].table.info.end_us) for part in (first, back, ahead)]
    after_first = [gap for gap in view.gaps if runs[0][1] <= gap.start_us < runs[1][0]]
    assert [gap.reason for gap in after_first] == ["host clock stepped"]
    assert not [gap for gap in view.gaps if gap.reason == "unknown"]


def test_a_stepped_clock_is_no_error(recorded: Station) -> None:
    assert [line for line in recorded.log() if "level=error" in line or "camera lost" in line] == []
