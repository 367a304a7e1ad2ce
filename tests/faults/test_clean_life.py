"""A node that is started and stopped as meant: nothing lost but the pause, everything in the index, files that play."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node import TestNode, wait_until
from tests.support.probe import decode_errors


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    made = TestNode(tmp_path / "data", cameras=2)
    yield made
    made.close()


def test_everything_between_the_first_key_frame_and_the_stop_is_there_once_byte_for_byte(node: TestNode) -> None:
    node.start()
    node.wait_recording()
    wait_until(lambda: len(node.segment_paths()) >= 3, 30, "segments in the store")
    assert node.stop() == 0
    first = {number: node.units(number)[0].key.epoch for number in node.numbers}

    # Nothing waits: what was open was closed, committed and put into the store.
    assert node.spool_files() == []
    for number in node.numbers:
        compared = node.compare(number)
        assert compared.strange == []
        assert compared.found > 100
        # Only what the cameras sent while the recorder said good-bye may be missing, and that is the end.
        ends = node.sent(number)[-len(compared.missing) :] if compared.missing else []
        assert compared.missing == ends
        assert len(compared.missing) < 25
    gaps = {number: node.gaps(number) for number in node.numbers}
    assert all([gap.reason for gap in found] == ["connecting", "recorder stopped"] for found in gaps.values()), gaps

    node.start()
    node.wait_recording(epoch_above=max(first.values()))
    wait_until(lambda: len(node.segment_paths()) >= 7, 30, "more segments in the store")
    assert node.stop() == 0
    for number in node.numbers:
        compared = node.compare(number)
        assert compared.strange == []
        reasons = [gap.reason for gap in node.gaps(number)]
        assert reasons == ["connecting", "recorder stopped", "recorder stopped"]
        assert {gap.end_us for gap in gaps[number]} & {gap.end_us for gap in node.gaps(number)}
    assert node.findings() == []
    for path in node.segment_paths():
        assert decode_errors(path) == ""
    assert "level=error" not in node.log


def test_a_stop_signal_while_the_workers_start_still_ends_in_time(node: TestNode) -> None:
    node.start()
    wait_until(node.worker_pids, 20, "a worker process")
    assert node.stop(20) == 0
    assert node.findings() == []


def test_a_terminal_that_interrupts_the_workers_too_changes_nothing(node: TestNode) -> None:
    node.start()
    node.wait_recording()
    for pid in node.worker_pids():
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    before = node.worker_pids()
    wait_until(lambda: len(node.segment_paths()) >= 2, 30, "segments in the store")
    assert node.worker_pids() == before
    assert node.stop() == 0
    assert node.findings() == []
