"""Room runs out on a real disk: what is past its minimum goes at once and first, and nothing else does."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from access.serve import RetentionChild
from index.holds import Holds
from index.pins import Pins
from index.room import room_of
from retention.service import Retention
from tests.support.disks import small_disk
from tests.support.indexing import CAMERA, OTHER
from tests.support.node import wait_until
from tests.support.retaining import DAY_US, MINUTE_US, Kept, open_kept
from vault.clock import SystemClock
from vault.config import Config, Store
from vault.config import Retention as Settings
from vault.ids import SegmentKey
from vault.timebase import US, Interval

SIZE_BYTES = 40 << 20
OLD, YOUNG = 40, 20
"""Days ago, of class general: past its thirty, and not."""
PADDING = 200_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, SIZE_BYTES) as folder:
        yield folder


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Another disk, with room."""
    with small_disk(tmp_path_factory.mktemp("other"), SIZE_BYTES) as folder:
        yield folder


def put(kept: Kept, days_ago: int, count: int = 10) -> list[SegmentKey]:
    first_us = kept.clock.now_us() - days_ago * DAY_US
    return kept.put([first_us + at * MINUTE_US for at in range(count)], padding_bytes=PADDING)


def leave(disk: Path, free_bytes: int) -> None:
    """Others fill the disk until so much is left."""
    with (disk / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while (left := free_of(disk) - free_bytes) > 0:
            file.write(bytes(min(left, 1 << 20)))


def free_of(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


def test_on_a_full_disk_what_is_eligible_goes_at_once_and_makes_room(disk: Path) -> None:
    with open_kept(disk / "data", SystemClock().now_us()) as kept:
        service = Retention(kept.node, threading.Event())
        young = put(kept, YOUNG)
        assert service.run_once().doomed == 0
        old = put(kept, OLD)
        leave(disk, 0)
        assert free_of(disk) == 0
        report = service.run_once()
        assert report.deleted.segments == len(old)
        assert kept.there() == set(young)
        assert free_of(disk) > len(old) * PADDING // 2
        [begun] = [entry for entry in kept.entries() if entry.kind == "deletion"]
        assert begun.body["grace_us"] == 0
        assert kept.findings() == []


def test_neither_hold_nor_reader_nor_minimum_gives_way_to_a_full_disk(disk: Path) -> None:
    with open_kept(disk / "data", SystemClock().now_us()) as kept:
        service = Retention(kept.node, threading.Event())
        service.run_once()
        young, old = put(kept, YOUNG), put(kept, OLD)
        now_us = kept.clock.now_us()
        held = kept.put([now_us - OLD * DAY_US], OTHER)
        span = Interval(now_us - 50 * DAY_US, now_us)
        Holds(kept.node.registry, kept.clock).place(by="a", case="c-1", why="theft", cameras=[OTHER], interval=span)
        pins = Pins(kept.node.environment, kept.node.clock)
        pin = pins.made(CAMERA, span, "a clip")
        pins.put(pin)
        leave(disk, 0)
        assert service.run_once().deleted.segments == 0
        assert kept.there() == {*young, *old, *held}
        pins.drop(pin)
        assert service.run_once().deleted.segments == len(old)
        assert kept.there() == {*young, *held}


def test_a_service_that_waits_for_its_time_runs_at_once_when_room_runs_out(disk: Path) -> None:
    config = Config(retention=Settings(run_minutes=720))
    with open_kept(disk / "data", SystemClock().now_us(), config) as kept:
        young = put(kept, YOUNG)
    child = RetentionChild(disk / "data", config, "info", threading.Event())
    child.start()
    try:

        def has_run() -> bool:
            with open_kept(disk / "data", SystemClock().now_us()) as kept:
                return bool(kept.entries())

        wait_until(has_run, 60, "the first run")
        with open_kept(disk / "data", SystemClock().now_us()) as kept:
            old = put(kept, OLD)
            room = room_of(kept.node)
            assert room is not None
            leave(disk, room.whole_bytes // 8)
            wait_until(lambda: len(kept.node.catalog.doomed()) == len(old), 30, "doomed segments")
            assert kept.there() == {*young, *old}, "there is room for the grace"
            room = room_of(kept.node)
            assert room is not None
            leave(disk, room.whole_bytes // 25)
            wait_until(lambda: kept.there() == set(young), 30, "room")
            (disk / "data" / "written").write_bytes(bytes(PADDING))
    finally:
        child.stop()


def test_a_bucket_is_as_full_as_its_configured_capacity_says(tmp_path: Path) -> None:
    with open_kept(tmp_path / "data", SystemClock().now_us(), Config(store=Store(capacity="3M"))) as kept:
        service = Retention(kept.node, threading.Event())
        put(kept, OLD, 14)
        room = room_of(kept.node)
        assert room is not None
        assert room.whole_bytes == 3_000_000
        assert room.free_bytes < 300_000
        assert service.hurries(60 * US)
        assert not service.hurries(61 * US), "not at every look"
        assert service.hurries(130 * US)
        assert service.run_once().deleted.segments == 0, "there is room for the grace"
        put(kept, OLD - 1, 1)
        assert service.run_once().deleted.segments == 15
        assert not service.hurries(1_000 * US)


def test_a_bucket_without_a_configured_capacity_is_never_in_haste(tmp_path: Path) -> None:
    config = Config(store=Store(kind="s3", endpoint="http://127.0.0.1:9", bucket="footage"))
    with open_kept(tmp_path / "data", SystemClock().now_us(), config) as kept:
        assert room_of(kept.node) is None


def test_a_full_disk_of_the_spool_alone_asks_for_a_run_and_leaves_the_grace(disk: Path, elsewhere: Path) -> None:
    config = Config(store=Store(path=str(elsewhere)))
    with open_kept(disk / "data", SystemClock().now_us(), config) as kept:
        service = Retention(kept.node, threading.Event())
        put(kept, OLD, 3)
        assert not service.hurries(60 * US)
        leave(disk, SIZE_BYTES // 50)
        assert service.hurries(70 * US)
        report = service.run_once()
        assert (report.doomed, report.deleted.segments) == (3, 0)
