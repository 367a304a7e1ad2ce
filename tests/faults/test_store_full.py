"""A disk that fills with nothing that may go: no deletion, an alarm that comes no later than foretold, and the lowest class stops."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from access.serve import RetentionChild
from index.alarms import Alarms
from index.filesystem import disk_space
from index.room import room_of, stored_bytes
from index.sites import Site
from retention.pressure import HOUR_US, Load, Step, forecast
from tests.support.disks import small_disk
from tests.support.node import SPEC, TestNode, wait_until
from tests.support.retaining import DAY_US, MINUTE_US, open_kept
from vault.clock import SystemClock
from vault.config import Config, Retention
from vault.timebase import US

DISK_BYTES = 96 << 20
BITRATE = 1_500_000
SETTINGS = {
    "ingest.storeguard:EVERY_US": 200_000,
    "ingest.supervisor:RETAKE_US": 1_000_000,
    "index.guard:LOOK_US": 1_000_000,
}
LOOK_US = 3 * US
"""Between a moment and whoever looks: what a worker holds back, the guard's look, a busy machine."""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    with small_disk(tmp_path, DISK_BYTES) as disk:
        made = TestNode(disk / "data", cameras=2, log=tmp_path / "node.log", spec=dataclasses.replace(SPEC, bitrate=BITRATE))
        with made.open() as opened:
            opened.sites.add(Site("gate", "key", 90))
            opened.cameras.set("cam-2", site="gate")
        yield made
        made.close()


def alarms(node: TestNode) -> dict[str, tuple[int, str]]:
    with node.open() as opened:
        return {alarm.kind: (alarm.since_us, alarm.message) for alarm in Alarms(opened.environment).lasting()}


def foretold(node: TestNode, bytes_an_hour: float) -> dict[Step, int]:
    """When each step would come, by what is free now; classes fill it at this rate together."""
    with node.open() as opened:
        room, stored = room_of(opened), stored_bytes(opened.environment)
        assert room is not None
        rates = {"general": bytes_an_hour / 2, "key": bytes_an_hour / 2}
        days = {"general": 30, "key": 90}
        load = Load(stored + room.free_bytes, stored, rates, (), days, room.whole_bytes)
        found = forecast(load, opened.clock.now_us(), HOUR_US)
    assert found is not None
    return {event.step: event.at_us for event in reversed(found)}


def leave(filler: Path, free_bytes: int) -> None:
    """Others fill the disk until no more than so much is left."""
    with filler.open("ab", buffering=0) as file:
        while disk_space(filler.parent)[0] > free_bytes:
            file.write(bytes(64 << 10))


@pytest.mark.slow
def test_with_nothing_eligible_the_lowest_class_stops_and_nothing_is_deleted(node: TestNode) -> None:
    filler = node.folder.path.parent / "filler"
    node.start(settings=SETTINGS, segment_seconds=2)
    node.wait_recording()
    child = RetentionChild(node.folder.path, Config(), "error", threading.Event())
    child.start()
    try:
        general, key = node.numbers
        wait_until(lambda: len(node.segment_paths()) >= 4, 40, "segments in the store")
        assert alarms(node) == {}
        leave(filler, DISK_BYTES * 105 // 1000)
        # No rate that was measured here: the least that two cameras of this rate can bring.
        seen = foretold(node, BITRATE / 8 * 2 * 3600 / 2)
        wait_until(lambda: "store filling" in alarms(node), 60, lambda: f"an alarm; the log says\n{node.log[-3000:]}")
        assert alarms(node)["store filling"][0] <= seen[Step.ALARM] + LOOK_US
        leave(filler, DISK_BYTES * 15 // 1000)
        wait_until(lambda: str(node.status().get(str(general), {}).get("why")) == "store full", 60, "a class stopped")
        assert "sites of class general are not recorded" in alarms(node)["store full"][1]
        assert alarms(node)["store filling"][0] < alarms(node)["store full"][0]
        # The other records on into what is left; a little more, too little for the one that stopped, keeps it from the end.
        os.truncate(filler, filler.stat().st_size - DISK_BYTES // 100)
        assert node.status()[str(key)]["state"] == "recording"
        kept = set(node.segment_paths())
        wait_until(lambda: set(node.segment_paths()) > kept, 20, "segments of the other")
        filler.unlink()
        wait_until(lambda: not alarms(node), 60, lambda: f"no alarm; the log says\n{node.log[-3000:]}")
        wait_until(lambda: node.status().get(str(general), {}).get("state") == "recording", 40, "both record")
    finally:
        child.stop()
    assert node.stop() == 0
    with node.open() as opened:
        assert opened.catalog.doomed() == []
        assert not any(entry.kind in ("deletion", "deleted") for entry in opened.ledger.entries())
    assert kept <= set(node.segment_paths())
    assert node.findings() == []
    reasons = [gap.reason for gap in node.gaps(general)]
    assert reasons == ["connecting", "store full", "recorder stopped"]
    assert node.compare(general).strange == []
    assert node.compare(key).strange == []


@pytest.mark.slow
def test_what_is_eligible_goes_before_the_first_write_that_a_full_disk_would_refuse(node: TestNode) -> None:
    config = Config(retention=Retention(run_minutes=720))
    child = RetentionChild(node.folder.path, config, "error", threading.Event())
    child.start()
    node.start(settings=SETTINGS, segment_seconds=2)
    try:
        node.wait_recording()
        with open_kept(node.folder.path, SystemClock().now_us()) as kept:
            wait_until(lambda: any(entry.kind == "retention" for entry in kept.entries()), 40, "the first run")
            first_us = kept.clock.now_us() - 40 * DAY_US
            old = kept.put([first_us + at * MINUTE_US for at in range(30)], node.numbers[0], padding_bytes=300_000)
        leave(node.folder.path.parent / "filler", DISK_BYTES * 4 // 100)
        with node.open() as opened:
            wait_until(lambda: not any(opened.catalog.row(key) for key in old), 40, "room")
            assert disk_space(node.folder.path)[0] > DISK_BYTES * 8 // 100
        last = len(node.segment_paths())
        wait_until(lambda: len(node.segment_paths()) > last + 2, 30, "segments")
    finally:
        child.stop()
    assert node.stop() == 0
    assert "cannot write" not in node.log
    for number in node.numbers:
        assert "store full" not in [gap.reason for gap in node.gaps(number)]
        assert "disk full or failing" not in [gap.reason for gap in node.gaps(number)]
    # That nothing tells of the weeks between is the test's own doing (I6).
    assert [finding for finding in node.findings() if finding.invariant != "I6"] == []
