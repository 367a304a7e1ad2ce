"""A real bucket that is really full, and one that reaches the capacity that was configured: what is past its minimum goes first and by
itself, nothing else goes, footage waits in the spool or stops in the written order, and all drains when there is room."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from access.serve import RetentionChild
from index.alarms import Alarms
from index.room import room_of
from index.sites import Site
from tests.support.disks import power_cut_disk
from tests.support.node import SPEC, TestNode, wait_until
from tests.support.retaining import DAY_US, MINUTE_US, open_kept
from tests.support.s3servers import KEYS, Server, server
from vault.clock import SystemClock
from vault.config import Config, Store
from vault.ids import CameraNumber, SegmentKey

pytestmark = pytest.mark.slow

DISK_BYTES = 64 << 20
BITRATE = 2_000_000
SPOOL_BYTES = 12_000_000
CAPACITY_BYTES = 64_000_000
OBJECTS = 30
PADDING = 300_000
OLD, YOUNG = 40, 20
"""Days ago, of class general: past its thirty, and not."""
NOBODY = CameraNumber(900)
"""Whose small objects stand for footage of long ago; what the simulated cameras send is compared frame by frame."""
SETTINGS = {
    "ingest.turns:LAST_STORE_BACKOFF_US": 1_000_000,
    "ingest.turns:LAST_BACKOFF_US": 1_000_000,
    "ingest.spoolguard:EVERY_US": 200_000,
    "ingest.storeguard:EVERY_US": 200_000,
    "ingest.supervisor:RETAKE_US": 1_000_000,
}


@contextlib.contextmanager
def recorder(settings: Store, tmp_path: Path, bitrate: int = BITRATE) -> Iterator[TestNode]:
    """`cam-1` at a general site and `cam-2` at a key one, into this bucket."""
    store = dataclasses.replace(settings, timeout_seconds=5.0, request_seconds=5.0, attempts=2)
    node = TestNode(tmp_path / "data", cameras=2, store=store, spec=dataclasses.replace(SPEC, bitrate=bitrate))
    try:
        with node.open() as opened:
            opened.sites.add(Site("gate", "key", 90))
            opened.cameras.set("cam-2", site="gate")
        yield node
    finally:
        node.close()


@contextlib.contextmanager
def deleting(node: TestNode) -> Iterator[None]:
    """Retention in its own process, as `serve` has it, with time enough until its next run that only want of room brings one."""
    config = dataclasses.replace(node.config, retention=dataclasses.replace(Config().retention, run_minutes=720))
    child = RetentionChild(node.folder.path, config, "error", threading.Event())
    child.start()
    try:
        yield
    finally:
        child.stop()


def put(node: TestNode, days_ago: int, count: int, padding_bytes: int = PADDING) -> set[SegmentKey]:
    with open_kept(node.folder.path, SystemClock().now_us(), node.config) as kept:
        first_us = kept.clock.now_us() - days_ago * DAY_US
        return {*kept.put([first_us + at * MINUTE_US for at in range(count)], NOBODY, padding_bytes=padding_bytes)}


def fill(path: Path) -> None:
    """To the disk's last block, as others would who use it too."""
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 64 << 10, 1 << 10):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


def alarms(node: TestNode) -> dict[str, str]:
    with node.open() as opened:
        return {alarm.kind: alarm.message for alarm in Alarms(opened.environment).lasting()}


def stored(node: TestNode) -> set[SegmentKey]:
    with node.open() as opened:
        return {SegmentKey.parse(item.key) for item in opened.store.list("segments/")}


def waiting(node: TestNode) -> set[SegmentKey]:
    with node.open() as opened:
        return {key for key in opened.spool.list_keys() if opened.catalog.row(key) is not None}


def why(node: TestNode, number: int) -> str:
    return str(node.status().get(str(number), {}).get("why"))


def doomed(node: TestNode) -> int:
    with node.open() as opened:
        return len(opened.catalog.doomed())


def deleted(node: TestNode) -> list[int]:
    """Of each completed batch, how many; and that none of them waited for its grace."""
    with node.open() as opened:
        entries = [*opened.ledger.entries()]
    assert all(entry.body["grace_us"] == 0 for entry in entries if entry.kind == "deletion")
    return [int(str(entry.body["segments"])) for entry in entries if entry.kind == "deleted"]


@pytest.fixture(autouse=True)
def access_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    """A server, and the disk that holds nothing but its objects."""
    with (
        power_cut_disk(tmp_path, DISK_BYTES) as disk,
        server("minio", tmp_path / "server", data=disk.path / "objects") as running,
    ):
        yield running, disk.path


def test_on_a_full_bucket_the_eligible_goes_then_the_spool_fills_and_all_drains_when_there_is_room(
    full: tuple[Server, Path], tmp_path: Path
) -> None:
    bucket, disk = full
    filler = disk / "filler"
    with recorder(bucket.settings, tmp_path) as node:
        old, young = put(node, OLD, 50), put(node, YOUNG, 4)
        node.start(settings=SETTINGS, segment_seconds=1, spool_bytes=SPOOL_BYTES)
        wait_until(lambda: len(stored(node)) > len(old | young) + 2, 60, lambda: f"segments; the log says\n{node.log[-3000:]}")
        fill(filler)
        wait_until(lambda: "store out of space" in alarms(node), 60, lambda: f"an alarm; the log says\n{node.log[-3000:]}")
        # Whoever deletes begins here, and has never seen this bucket when it still took anything.
        with deleting(node):
            wait_until(lambda: not old & stored(node), 60, lambda: f"room; the log says\n{node.log[-3000:]}")
            wait_until(
                lambda: "store out of space" not in alarms(node), 30, lambda: f"the end; the log says\n{node.log[-3000:]}"
            )
            wait_until(lambda: len(waiting(node)) <= len(node.numbers), 30, "a drained spool")
            fill(filler)
            # So that the rest is full in seconds, while a class's step is still more than a second of footage.
            (node.folder.spool / "filler").write_bytes(bytes(SPOOL_BYTES * 7 // 10))
            kept_there = stored(node)
            general, key = node.numbers
            wait_until(
                lambda: why(node, general) == "spool full", 60, lambda: f"a class stopped; the log says\n{node.log[-3000:]}"
            )
            said = alarms(node)
            assert {"store out of space", "spool filling", "spool full"} <= said.keys()
            assert "give it room" in said["store out of space"]
            assert "class general" in said["spool full"]
            wait_until(lambda: why(node, key) == "spool full", 60, "the other class stopped")
            assert kept_there <= stored(node)
            waited, last = waiting(node), node.last_epoch()
            filler.unlink()
            (node.folder.spool / "filler").unlink()
            wait_until(lambda: waited <= stored(node), 60, lambda: f"an empty spool; the log says\n{node.log[-3000:]}")
            wait_until(lambda: not alarms(node), 60, lambda: f"no alarm but {alarms(node)}; the log says\n{node.log[-3000:]}")
            node.wait_recording(60, epoch_above=last)
        assert node.stop() == 0
        assert not waiting(node)
        assert young <= stored(node)
        assert sum(deleted(node)) == len(old)
        assert node.gaps(general)[1].start_us < node.gaps(key)[1].start_us
        for number in node.numbers:
            assert [gap.reason for gap in node.gaps(number)] == ["connecting", "spool full", "recorder stopped"]
            assert node.compare(number).strange == []
        # That nothing tells of the days between is the test's own doing (I6).
        assert [finding for finding in node.findings() if finding.invariant != "I6"] == []


def test_before_a_capacity_is_reached_the_eligible_goes_and_then_the_lowest_class_stops(tmp_path: Path) -> None:
    with (
        server("versitygw", tmp_path / "server") as bucket,
        # So slow that there are ten seconds between the end of the grace and the end of a class.
        recorder(dataclasses.replace(bucket.settings, capacity=f"{CAPACITY_BYTES}"), tmp_path, BITRATE // 2) as node,
    ):
        old = put(node, OLD, OBJECTS, CAPACITY_BYTES * 94 // 100 // OBJECTS)
        general, key = node.numbers
        with deleting(node):
            wait_until(lambda: doomed(node) == len(old), 60, "the first run, which leaves the grace")
            assert old <= stored(node)
            node.start(settings=SETTINGS, segment_seconds=1)
            wait_until(lambda: not old & stored(node), 60, lambda: f"room; the log says\n{node.log[-3000:]}")
            with node.open() as opened:
                room = room_of(opened)
            assert room is not None
            young = put(node, YOUNG, OBJECTS, (room.free_bytes - CAPACITY_BYTES * 2 // 100) // OBJECTS)
            wait_until(lambda: "store filling" in alarms(node), 30, "an alarm")
            wait_until(
                lambda: why(node, general) == "store full", 60, lambda: f"a class stopped; the log says\n{node.log[-3000:]}"
            )
            assert "sites of class general are not recorded" in alarms(node)["store full"]
            there = stored(node)
            # The key site is recorded into whatever the bucket still takes.
            wait_until(lambda: any(one.camera == key for one in stored(node) - there), 30, "segments of the other")
        assert node.stop() == 0
        assert "not put into the store" not in node.log
        assert there | young <= stored(node)
        assert sum(deleted(node)) == len(old)
        assert [gap.reason for gap in node.gaps(general)] == ["connecting", "store full"]
        assert [gap.reason for gap in node.gaps(key)] == ["connecting", "recorder stopped"]
        assert [finding for finding in node.findings() if finding.invariant != "I6"] == []
