"""Twenty cameras recorded while the bucket is away: the hour is short here (`make outage` is the real one), the rest is real."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from access.footage import Footage
from index.alarms import Alarms
from tests.support.node import SPEC, TestNode, wait_until
from tests.support.s3servers import KEYS, Server, server
from vault.errors import StoreError
from vault.grant import system_grant
from vault.ids import SegmentKey
from vault.segment.read import read_closed
from vault.splice.plan import plan_clip
from vault.timebase import US, Interval

CAMERAS = 20
MISSED = 3
"""Segments of each camera that close while the bucket is away."""

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with server("minio", tmp_path / "server") as running:
        yield running


@pytest.fixture
def node(bucket: Server, tmp_path: Path) -> Iterator[TestNode]:
    store = dataclasses.replace(bucket.settings, timeout_seconds=10.0, request_seconds=30.0, attempts=2)
    made = TestNode(tmp_path / "data", cameras=CAMERAS, store=store, spec=dataclasses.replace(SPEC, bitrate=100_000))
    yield made
    made.close()


def rows(node: TestNode) -> tuple[int, int]:
    """How many segments are in the store, and how many wait for it."""
    with node.open() as opened:
        usage = [opened.catalog.usage(number) for number in node.numbers]
        waiting = sum(one.spool_segments for one in usage)
        return sum(one.segments for one in usage) - waiting, waiting


def test_an_outage_at_twenty_cameras_loses_nothing_and_the_spool_drains(bucket: Server, node: TestNode) -> None:
    node.start(settings={"ingest.turns:LAST_STORE_BACKOFF_US": US})
    wait_until(lambda: rows(node)[0] >= CAMERAS, 90, lambda: f"segments in the bucket; the log says\n{node.log[-3000:]}")
    bucket.process.kill()
    bucket.process.wait()
    wait_until(
        lambda: rows(node)[1] >= MISSED * CAMERAS, 90, lambda: f"segments in the spool; the log says\n{node.log[-3000:]}"
    )
    with node.open() as opened:
        assert [alarm.kind for alarm in Alarms(opened.environment).lasting()] == ["store away"]
        # Playback of what is near, and a word about what is not.
        footage = Footage(opened.environment, opened.spool, opened.store, opened.clock)
        number = node.numbers[0]
        waiting = [row.interval for row in opened.catalog.pending(500) if row.key.camera == number]
        near = Interval(waiting[0].start_us, waiting[-1].end_us)
        with footage.parts(system_grant("test"), number, near) as parts:
            assert plan_clip(parts, near).size > 1000
        before = Interval(near.start_us - 30 * US, near.end_us)
        with (
            pytest.raises(StoreError, match="can be shown, from the spool"),
            footage.parts(system_grant("test"), number, before),
        ):
            pass
    bucket.again()
    wait_until(lambda: rows(node)[1] <= CAMERAS, 90, lambda: f"an empty spool; the log says\n{node.log[-3000:]}")
    assert node.stop() == 0
    assert rows(node)[1] == 0, node.log[-3000:]
    # Hashes, order, and no second without footage or a reason.
    assert node.findings() == []
    for number in node.numbers:
        assert [gap.reason for gap in node.gaps(number)] == ["connecting", "recorder stopped"]
    with node.open() as opened:
        ends: dict[int, int] = {}
        for item in opened.store.list("segments/"):
            key = SegmentKey.parse(item.key)
            with opened.store.open(item.key) as source:
                end_us = read_closed(source).info.end_us
            assert key.start_us == ends.get(key.camera, key.start_us)
            ends[key.camera] = end_us
        assert len(ends) == CAMERAS
    for number in node.numbers[:3]:
        assert node.compare(number).strange == []
