"""The watch over the index: alarms about what would stop it later, with real readers, writers and disks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.alarms import Alarm, Alarms
from index.environment import MIB, Environment, Table
from index.guard import CHECK_US, LONG_READ_US, LOOK_US, TOLD_US, IndexGuard
from index.stat import index_stat
from tests.support.disks import small_disk
from tests.support.index_processes import MAP_BYTES, hold_the_lock, process, read_and_stop
from vault.clock import ManualClock

NOW_US = 1_795_000_000_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_US)


@pytest.fixture
def environment(tmp_path: Path, clock: ManualClock) -> Iterator[Environment]:
    with Environment(tmp_path / "index", MAP_BYTES, clock) as opened:
        yield opened


def lasting(environment: Environment) -> dict[str, Alarm]:
    return {alarm.kind: alarm for alarm in Alarms(environment).lasting() if alarm.kind != "disk low"}


def test_a_reader_that_stays_is_named_until_it_ends(environment: Environment, clock: ManualClock) -> None:
    guard = IndexGuard(environment, clock)
    with process(read_and_stop, environment.path) as (child, _):
        guard.look()
        assert lasting(environment) == {}
        with environment.write("another") as txn:
            txn.put(Table.META, b"key", b"value")
        (reader,) = environment.readers()
        assert (reader.pid, reader.behind) == (child.pid, 1)
        assert index_stat(environment).oldest_reader == reader
        clock.advance(LONG_READ_US + LOOK_US)
        guard.look()
        alarm = lasting(environment)["long transaction"]
        assert alarm.subject == f"read {child.pid}"
        assert f"process {child.pid} (python" in alarm.message
        child.kill()
        child.join()
    clock.advance(CHECK_US)
    guard.look()
    assert environment.readers() == []
    assert lasting(environment) == {}


def test_readers_that_come_and_go_are_no_alarm(environment: Environment, clock: ManualClock) -> None:
    guard = IndexGuard(environment, clock)
    for _ in range(4):
        with environment.read():
            guard.look()
        with environment.write("another") as txn:
            txn.put(Table.META, b"key", os.urandom(8))
        clock.advance(LONG_READ_US)
    assert lasting(environment) == {}


def test_a_write_that_was_too_long_is_told_for_a_minute_with_its_process_and_work(
    environment: Environment, clock: ManualClock
) -> None:
    guard = IndexGuard(environment, clock)
    with process(hold_the_lock, environment.path, True) as (child, _):
        holder = environment.holder()
        assert holder is not None
        guard.wrote_long(holder)
        child.kill()
        child.join()
        guard.look()
        alarm = lasting(environment)["long transaction"]
        assert alarm.subject == f"write {child.pid}"
        assert "for 'stuck'" in alarm.message
    clock.advance(TOLD_US)
    guard.look()
    assert lasting(environment) == {}


def test_a_disk_without_room_for_the_index_is_told_while_the_index_still_takes_everything(
    tmp_path: Path, clock: ManualClock
) -> None:
    with small_disk(tmp_path, 64 * MIB) as disk, Environment(disk / "index", MAP_BYTES, clock) as environment:
        guard = IndexGuard(environment, clock)
        guard.look()
        assert Alarms(environment).lasting() == []
        (disk / "footage").write_bytes(bytes(46 * MIB))
        clock.advance(CHECK_US)
        guard.look()
        assert [alarm.kind for alarm in Alarms(environment).lasting()] == ["disk low", "index headroom"]
        assert "free space on its disk" in lasting(environment)["index headroom"].message
        with environment.write("commit") as txn:
            txn.put(Table.META, b"key", bytes(1_000))
        (disk / "footage").unlink()
        clock.advance(CHECK_US)
        guard.look()
        assert Alarms(environment).lasting() == []


def test_a_map_that_is_nearly_used_up_is_told(tmp_path: Path, clock: ManualClock) -> None:
    with Environment(tmp_path / "index", 32 * MIB, clock) as environment:
        guard = IndexGuard(environment, clock)
        guard.look()
        assert lasting(environment) == {}
        for at in range(0, 16_000, 100):
            with environment.write("fill") as txn:
                for row in range(at, at + 100):
                    txn.put(Table.META, row.to_bytes(4, "big"), bytes(1_000))
        clock.advance(CHECK_US)
        guard.look()
        assert "set a larger map size" in lasting(environment)["index headroom"].message
