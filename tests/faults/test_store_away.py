"""A bucket that goes away while a node records into it: the spool holds, drains when it is back, and nothing is lost."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.alarms import Alarms
from tests.support.node import TestNode, wait_until
from tests.support.s3servers import KEYS, Server, server
from tests.support.stopping import stop
from vault.errors import StoreError
from vault.ids import SegmentKey

pytestmark = pytest.mark.slow


@pytest.fixture(params=["versitygw", "minio"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with server(request.param, tmp_path / "server") as running:
        yield running


@pytest.fixture
def node(bucket: Server, tmp_path: Path) -> Iterator[TestNode]:
    store = dataclasses.replace(bucket.settings, prefix="node-1", timeout_seconds=1.0, request_seconds=2.0, attempts=2)
    made = TestNode(tmp_path / "data", cameras=2, store=store)
    yield made
    made.close()


def alarms(node: TestNode) -> str:
    """What lasts, in words: the newest reason, which the log does not repeat."""
    with node.open() as opened:
        return "; ".join(alarm.message for alarm in Alarms(opened.environment).lasting())


def stored(node: TestNode) -> set[SegmentKey]:
    with node.open() as opened:
        return {SegmentKey.parse(item.key) for item in opened.store.list("segments/")}


def waiting(node: TestNode) -> set[SegmentKey]:
    with node.open() as opened:
        return set(opened.spool.list_keys())


def test_what_was_recorded_while_the_bucket_was_frozen_is_there_when_it_thaws(bucket: Server, node: TestNode) -> None:
    node.start()
    wait_until(lambda: len(stored(node)) >= 2, 60, lambda: f"segments in the bucket; the log says\n{node.log[-3000:]}")
    stop(bucket.process.pid)
    try:
        # Three closed ones of each camera and the open one.
        wait_until(lambda: len(waiting(node)) >= 8, 60, lambda: f"segments in the spool; the log says\n{node.log[-3000:]}")
    finally:
        os.kill(bucket.process.pid, signal.SIGCONT)
    wait_until(lambda: len(waiting(node)) <= 4, 60, lambda: f"an empty spool; the log says\n{node.log[-3000:]}")
    assert node.stop() == 0
    assert not waiting(node)
    assert "does not answer in time" in node.log or "did not answer in time" in node.log
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in node.log
    for number in node.numbers:
        comparison = node.compare(number)
        # At the very beginning before the first key frame, and what was under way when the node was told to stop.
        sent = node.sent(number)
        inner = [
            unit for unit in comparison.missing if sent[0].sent_us + 2_000_000 < unit.sent_us < sent[-1].sent_us - 2_000_000
        ]
        assert not inner
        assert not comparison.strange
        assert comparison.found > 200
    assert not [finding for finding in node.findings() if finding.severity == "error"]


def test_a_store_swapped_for_an_empty_one_gets_nothing_and_recording_goes_on(tmp_path: Path) -> None:
    node = TestNode(tmp_path / "data", cameras=1)
    try:
        node.start()
        wait_until(
            lambda: len(node.segment_paths()) >= 2, 60, lambda: f"segments in the store; the log says\n{node.log[-3000:]}"
        )
        store, away = node.folder.path / "store", node.folder.path / "store.away"
        store.rename(away)
        store.mkdir(mode=0o700)
        # The folder is opened anew, and then its marker is missed.
        wait_until(
            lambda: "has no marker" in alarms(node), 60, lambda: f"an alarm about the folder; the log says\n{node.log[-3000:]}"
        )
        # Whoever opens it now misses the marker.
        with node.open() as opened, pytest.raises(StoreError, match="has no marker"):
            opened.store.stat("a")
        wait_until(lambda: len(waiting(node)) >= 3, 60, lambda: f"segments in the spool; the log says\n{node.log[-3000:]}")
        assert not [path for path in store.rglob("*") if path.suffix == ".mp4"]
        shutil.rmtree(store)
        away.rename(store)
        wait_until(lambda: len(waiting(node)) <= 1, 60, lambda: f"an empty spool; the log says\n{node.log[-3000:]}")
        assert node.stop() == 0
        assert not [finding for finding in node.findings() if finding.severity == "error"]
        assert not node.compare(node.numbers[0]).strange
    finally:
        node.close()
