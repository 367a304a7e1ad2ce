"""A worker that is stopped (SIGSTOP) and goes on later: its cameras are taken over, and it commits nothing more."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.rows import Place
from tests.support.node import TestNode, end, epoch_of, wait_until
from tests.support.stopping import stop
from vault.ids import SegmentKey
from vault.timebase import US

SOON = {"ingest.crew:SILENT_US": 2 * US}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    made = TestNode(tmp_path / "data", cameras=2)
    yield made
    made.close()


def worker_of(node: TestNode, number: int) -> int:
    """Which process records the camera."""
    found: int = wait_until(lambda: node.status().get(str(number), {}).get("worker"), 20, "a status")
    return found


def test_the_others_go_on_and_the_camera_is_taken_over(node: TestNode) -> None:
    node.start(workers=2, settings=SOON)
    node.wait_recording()
    one, other = node.numbers
    stopped = worker_of(node, one)
    assert worker_of(node, other) != stopped
    before = node.last_epoch()
    stop(stopped)
    stopped_us = time.time_ns() // 1000
    wait_until(
        lambda: any(epoch_of(path) > before and path.stat().st_size > 3000 for path in node.spool_files(one)), 30, "a take-over"
    )
    wait_until(lambda: all(epoch_of(path) > before for path in node.spool_files(one)), 30, "adopted files")
    until_us = time.time_ns() // 1000
    assert node.stop() == 0
    # Nothing of the other camera is missing; the first one's footage before the stop is kept under its old epoch.
    assert node.compare(other, until_us=until_us - US).missing == []
    assert {unit.key.epoch for unit in node.units(other)} == {1}
    kept = [unit for unit in node.units(one) if unit.key.epoch == before]
    assert kept
    assert stopped_us - max(unit.at_us for unit in kept) < 1.5 * US
    assert [gap.reason for gap in node.gaps(other)] == ["connecting", "recorder stopped"]
    assert [gap.reason for gap in node.gaps(one)] == ["connecting", "crash", "recorder stopped"]
    assert node.findings() == []


def test_a_stopped_worker_that_holds_the_index_is_ended_and_everybody_commits_again(node: TestNode) -> None:
    fault = {"at": "index.writes:SegmentWriter.insert", "when": "after", "signal": "SIGSTOP", "who": "worker"}
    # It is the lock that gives it away here, not its silence.
    settings = {"ingest.crew:SILENT_US": 60 * US, "ingest.supervisor:LOCK_HELD_US": US}
    node.start(workers=2, faults=[fault], settings=settings)
    wait_until(lambda: list(node.markers.iterdir()), 30, "a worker that stops in the middle of its commit")
    stopped_us = time.time_ns() // 1000
    wait_until(lambda: "worker holds the index's lock, killed" in node.log, 20, "an end of it")
    wait_until(lambda: all(path for path in map(node.spool_files, node.numbers)), 20, "recording")
    wait_until(
        lambda: len({epoch_of(path) for path in node.segment_paths()}) > 1, 30, "segments of the next epoch in the store"
    )
    until_us = time.time_ns() // 1000
    assert node.stop() == 0
    assert node.findings() == []
    complete = [number for number in node.numbers if node.compare(number, until_us=until_us - US).missing == []]
    assert len(complete) == 1, "the other worker's camera is complete"
    for number in node.numbers:
        assert max(unit.at_us for unit in node.units(number)) > stopped_us + US


def test_what_a_worker_does_after_it_lost_its_cameras_is_not_committed_by_it(node: TestNode) -> None:
    node.start()
    node.wait_recording()
    before = node.last_epoch()
    (stopped,) = node.worker_pids()
    stop(stopped)
    node.kill()
    node.start()
    node.wait_recording(epoch_above=before)
    rest = [path for path in node.spool_files() if epoch_of(path) == before]
    assert rest, "its files are its own as long as it lives"
    os.kill(stopped, signal.SIGCONT)
    wait_until(lambda: stopped not in node.workers_left(), 30, "its end")
    assert "camera was taken by another process" in node.log
    wait_until(lambda: not any(path.exists() for path in rest), 30, "adopted files")
    assert node.stop() == 0
    assert node.findings() == []
    with node.open() as opened:
        for path in rest:
            start_us, epoch, sequence = map(int, path.stem.split("-"))
            row = opened.catalog.row(SegmentKey(node.numbers[int(path.parent.name[1:]) - 1], start_us, epoch, sequence))
            assert row is not None
            assert row.place is Place.STORE
    end(stopped)
