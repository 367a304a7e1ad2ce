"""The supervisor killed, also right after its start: its workers end by themselves, and the next one goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node import ROOT, TestNode, end, epoch_of, wait_until
from tests.support.stopping import stop
from vault.timebase import US


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    made = TestNode(tmp_path / "data")
    yield made
    made.close()


@pytest.mark.slow
def test_workers_of_a_killed_supervisor_close_their_files_and_the_next_one_goes_on(node: TestNode) -> None:
    # At once, after a moment, in full course: the last twice.
    for moment in (0.0, 0.5, None, None):
        last = node.last_epoch()
        node.start()
        if moment is None:
            node.wait_recording(epoch_above=last)
        else:
            time.sleep(moment)
        left = node.kill()
        # The next one starts while they are still at it.
        assert len(left) <= 1
    last = node.last_epoch()
    node.start()
    node.wait_recording(epoch_above=last)
    wait_until(lambda: all(epoch_of(path) > last for path in node.spool_files()), 30, "adopted files")
    assert node.workers_left() == set(node.worker_pids())
    stopped_us = time.time_ns() // 1000
    assert node.stop() == 0

    assert node.findings() == []
    number = node.numbers[0]
    compared = node.compare(number, until_us=stopped_us - US)
    assert compared.strange == []
    # Both lives that recorded are there to the end; a worker that had the time closed what it had.
    assert {unit.key.epoch for unit in node.units(number)} >= {last - 1, last}
    assert {gap.reason for gap in node.gaps(number)} == {"connecting", "crash", "recorder stopped"}
    assert "level=error" not in node.log


def test_a_second_supervisor_is_told_who_has_the_data_folder(node: TestNode) -> None:
    node.start()
    wait_until(node.is_up, 20, "a supervisor")
    command = [sys.executable, "-m", "streamvault", "--data", str(node.folder.path), "serve"]
    second = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert second.returncode == 5
    assert f"process {node.pid} is recording into this data folder" in second.stderr
    assert node.stop() == 0


def test_a_data_folder_of_another_version_is_refused_with_what_to_do(node: TestNode) -> None:
    version = node.folder.path / "VERSION"
    version.write_text(version.read_text().replace("1", "99"))
    command = [sys.executable, "-m", "streamvault", "--data", str(node.folder.path), "serve"]
    refused = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert refused.returncode == 4
    assert "version 99" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_stopped_supervisor_that_goes_on_keeps_its_workers(node: TestNode) -> None:
    node.start(settings={"ingest.crew:SILENT_US": 2 * US})
    node.wait_recording()
    workers = node.worker_pids()
    stop(node.pid)
    stopped_us = time.time_ns() // 1000
    number = node.numbers[0]
    size = sum(path.stat().st_size for path in node.spool_files())
    # Recording goes on meanwhile, and long enough for the supervisor to think that nobody spoke.
    wait_until(lambda: time.time_ns() // 1000 - stopped_us > 3 * US, 10)
    assert sum(path.stat().st_size for path in node.spool_files()) > size
    os.kill(node.pid, signal.SIGCONT)
    at_us = json.loads((node.folder.run / "status.json").read_text())["at_us"]
    wait_until(lambda: json.loads((node.folder.run / "status.json").read_text())["at_us"] > at_us + 2 * US, 20, "a status")
    assert node.worker_pids() == workers
    assert node.stop() == 0
    assert [gap.reason for gap in node.gaps(number)] == ["connecting", "recorder stopped"]
    assert node.findings() == []


def test_a_worker_that_outlived_its_supervisor_and_holds_the_index_is_ended_by_the_next(node: TestNode) -> None:
    fault = {"at": "index.writes:SegmentWriter.insert", "when": "after", "signal": "SIGSTOP", "who": "worker"}
    node.start(faults=[fault], settings={"ingest.crew:SILENT_US": 60 * US})
    wait_until(lambda: list(node.markers.iterdir()), 30, "a worker that stops in the middle of its commit")
    (stopped,) = node.kill()
    node.start(settings={"ingest.orphans:LOCK_HELD_US": US})
    node.wait_recording(epoch_above=node.last_epoch())
    assert stopped not in node.workers_left()
    end(stopped)
    assert node.stop() == 0
    assert node.findings() == []
