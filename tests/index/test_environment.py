"""The environment by its rules, with real processes that are killed and stopped."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.catalog import Catalog
from index.check import check_overlaps, check_readable, check_usage
from index.environment import MIB, Environment, Table
from index.holder import HolderWatch
from index.timeline import Timeline
from tests.support.disks import small_disk
from tests.support.index_processes import (
    MAP_BYTES,
    PATIENCE_SECONDS,
    SPAWN,
    clear_dead_readers,
    commit_many,
    commit_without_end,
    hold_the_lock,
    process,
    read_and_stop,
    use_after_fork,
)
from tests.support.indexing import T0
from vault.clock import SystemClock
from vault.errors import Busy, Damaged, Refused, StoreError, StoreFull, UsageError
from vault.ids import CameraNumber
from vault.timebase import Interval


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with Environment(tmp_path / "index", MAP_BYTES) as opened:
        yield opened


def fill(opened: Environment) -> None:
    """Rows of a kilobyte, until it is full."""
    for at in range(0, 40_000, 20):
        with opened.write("fill") as txn:
            for row in range(at, at + 20):
                txn.put(Table.META, row.to_bytes(4, "big"), bytes(1_000))


def free_all_and_write_again(opened: Environment) -> None:
    with opened.read() as read:
        rows = [key for key, _ in read.scan(Table.META)]
    assert len(rows) > 100
    for row in rows:
        with opened.write("free", frees=True) as txn:
            txn.delete(Table.META, row)
    with opened.write("again") as txn:
        txn.put(Table.META, b"key", b"value")


def test_a_new_index_is_of_the_0_9_engine_whatever_the_default_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMDB_DEFAULT_LIB_VERSION", "1")
    with Environment(tmp_path / "index", MAP_BYTES) as opened:
        assert opened.engine.startswith("0.9.")
    # Format 1 in the meta page: magic, then version (lmdb 0.9 mdb.c, MDB_meta).
    assert (tmp_path / "index" / "data.mdb").read_bytes()[16:24] == bytes.fromhex("dec0efbe01000000")


def test_what_is_written_is_there_after_reopening(tmp_path: Path) -> None:
    for turn in range(2):
        with Environment(tmp_path / "index", MAP_BYTES) as opened:
            with opened.read() as txn:
                assert txn.get(Table.META, b"key") == (b"value" if turn else None)
            with opened.write("test") as txn:
                txn.put(Table.META, b"key", b"value")


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="making the index"):
        Environment(tmp_path / "file" / "index", MAP_BYTES)


def test_a_failed_transaction_leaves_nothing(environment: Environment) -> None:
    def fail_half_way() -> None:
        with environment.write("test") as txn:
            txn.put(Table.META, b"key", b"value")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with environment.read() as read:
        assert read.get(Table.META, b"key") is None


def test_ranges_are_read_from_both_ends(environment: Environment) -> None:
    with environment.write("test") as txn:
        for letter in b"bdf":
            txn.put(Table.META, bytes([letter]), b"")
    with environment.read() as read:
        assert [key for key, _ in read.scan(Table.META)] == [b"b", b"d", b"f"]
        assert [key for key, _ in read.scan(Table.META, b"c", b"f")] == [b"d"]
        assert [key for key, _ in read.before(Table.META, b"e")] == [b"d", b"b"]
        assert read.last_before(Table.META, b"z") == (b"f", b"")
        assert read.last_before(Table.META, b"b") is None
        assert read.first_from(Table.META, b"e") == (b"f", b"")
        assert read.first_from(Table.META, b"g") is None
        assert list(read.before(Table.GAPS, b"x")) == []
        assert read.last_before(Table.GAPS, b"x") is None


def test_a_fork_is_told_to_use_spawn(environment: Environment) -> None:
    answer = use_after_fork(environment)
    assert "UsageError" in answer
    assert "spawn" in answer
    with environment.read() as txn:
        assert txn.get(Table.META, b"x") is None


def test_opening_twice_in_one_process_is_an_error(environment: Environment) -> None:
    with pytest.raises(UsageError, match="already open"):
        Environment(environment.path, MAP_BYTES)


def test_a_closed_environment_says_so(tmp_path: Path) -> None:
    opened = Environment(tmp_path / "index", MAP_BYTES)
    opened.close()
    opened.close()
    with pytest.raises(UsageError, match="closed"):
        opened.read()


def test_a_write_inside_a_write_is_an_error_and_not_a_deadlock(environment: Environment) -> None:
    with environment.write("outer"), pytest.raises(UsageError, match="already is in a write"):
        environment.write("inner")


def test_a_foreign_file_is_damaged_and_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(os.urandom(8192))
    with pytest.raises(Damaged, match="index rebuild"):
        Environment(tmp_path, MAP_BYTES)


def test_a_full_map_still_lets_deletion_in(tmp_path: Path) -> None:
    with Environment(tmp_path / "index", MIB) as opened:
        with pytest.raises(StoreFull, match="map"):
            fill(opened)
        free_all_and_write_again(opened)


def test_a_full_disk_still_lets_deletion_in(tmp_path: Path) -> None:
    with small_disk(tmp_path, 20 * MIB) as disk, Environment(disk / "index", 256 * MIB) as opened:
        with pytest.raises(StoreFull, match="space"):
            fill(opened)
        free_all_and_write_again(opened)


def test_the_file_grows_ahead_of_what_is_written(tmp_path: Path) -> None:
    with Environment(tmp_path / "index", 128 * MIB) as opened:
        first = opened.space()
        assert first.file_bytes == os.stat(tmp_path / "index" / "data.mdb").st_blocks * 512
        with opened.write("fill") as txn:
            for at in range(20_000):
                txn.put(Table.META, at.to_bytes(4, "big"), bytes(1_000))
        with opened.write("more") as txn:
            txn.put(Table.META, b"key", b"value")
        later = opened.space()
        assert first.file_bytes < later.used_bytes < later.file_bytes
        assert later.live_bytes <= later.used_bytes
        assert 0 < later.headroom_bytes < first.headroom_bytes


def test_a_copy_is_whole_and_compact(environment: Environment, tmp_path: Path) -> None:
    with environment.write("test") as txn:
        txn.put(Table.META, b"key", b"value")
    environment.copy(tmp_path / "copy")
    with Environment(tmp_path / "copy", MAP_BYTES) as opened, opened.read() as read:
        assert read.get(Table.META, b"key") == b"value"


def test_a_writer_killed_in_a_transaction_leaves_nothing_and_blocks_nobody(environment: Environment) -> None:
    with process(hold_the_lock, environment.path, True) as (child, _):
        child.kill()
        child.join(PATIENCE_SECONDS)
        with environment.write("after") as txn:
            assert txn.get(Table.META, b"half-done") is None
            txn.put(Table.META, b"done", b"x")
        assert environment.holder() is None


def test_a_recorder_killed_at_random_moments_leaves_a_whole_index(environment: Environment) -> None:
    moments = random.Random(9901)
    for turn in range(8):
        with process(commit_without_end, environment.path) as (child, _):
            child.join(moments.random() / 10)
        catalog = Catalog(environment)
        usage = catalog.usage(CameraNumber(9901))
        for check in (check_readable, check_overlaps, check_usage):
            assert list(check(environment)) == []
        # A commit, its gap and its settling are three transactions: each kill leaves at most one segment between them.
        assert usage.spool_segments <= turn + 1
        gaps = Timeline(environment).gaps(CameraNumber(9901), Interval(T0, T0 + usage.segments * 60_000_000))
        assert len(gaps) >= usage.segments - 8
    assert usage.segments > 8


@pytest.mark.parametrize("stamped", [True, False])
def test_a_stopped_holder_of_the_write_lock_is_known_and_killing_it_frees_the_lock(
    environment: Environment, stamped: bool
) -> None:
    clock, watch = SystemClock(), HolderWatch()
    with process(hold_the_lock, environment.path, stamped) as (child, _):
        holder = environment.holder()
        assert holder is not None
        assert holder.pid == child.pid
        assert (holder.label, holder.since_us is None) == (("stuck", False) if stamped else ("", True))
        now_us = clock.mono_us()
        first = watch.held_us(holder, now_us)
        assert (first > 0) == stamped
        assert watch.held_us(environment.holder(), now_us + 11_000_000) == first + 11_000_000
        child.kill()
        child.join(PATIENCE_SECONDS)
        with environment.write("after"):
            mine = environment.holder()
            assert mine is not None
            assert (mine.pid, mine.label) == (os.getpid(), "after")
        assert environment.holder() is None
        assert watch.held_us(environment.holder(), now_us) == 0


def test_a_thread_that_waits_for_the_write_lock_stops_no_other_thread(environment: Environment) -> None:
    """The thread that sweeps the sockets shares its process with the one that commits."""
    got_it = threading.Event()

    def wait_for_the_lock() -> None:
        with environment.write("waiting"):
            got_it.set()

    with process(hold_the_lock, environment.path, True) as (child, _):
        waiting = threading.Thread(target=wait_for_the_lock)
        waiting.start()
        for _ in range(20):
            with environment.read() as txn:
                assert txn.get(Table.META, b"half-done") is None
            assert not got_it.wait(0.005)
        child.kill()
        assert got_it.wait(PATIENCE_SECONDS)
        waiting.join()


def test_slots_of_dead_readers_are_freed_and_those_of_the_living_are_not(environment: Environment) -> None:
    with environment.read(), process(read_and_stop, environment.path) as (child, _):
        environment.holder()
        with process(clear_dead_readers, environment.path) as (_, told):
            assert told.recv() == 0
        child.kill()
        child.join(PATIENCE_SECONDS)
        assert environment.reader_check() == 1


def test_processes_that_write_at_once_lose_nothing(environment: Environment) -> None:
    cameras = [CameraNumber(9901 + at) for at in range(4)]
    children = [SPAWN.Process(target=commit_many, args=(environment.path, camera, 60)) for camera in cameras]
    for child in children:
        child.start()
    for child in children:
        child.join(PATIENCE_SECONDS)
        assert child.exitcode == 0
        child.close()
    catalog = Catalog(environment)
    assert [catalog.usage(camera).segments for camera in cameras] == [60] * 4
    assert len(catalog.pending()) == 240


def test_a_larger_map_elsewhere_asks_for_a_restart() -> None:
    from index.environment import converted, lmdb

    assert isinstance(converted(lmdb.MapResizedError("begin")), Busy)
    assert isinstance(converted(lmdb.ReadersFullError("begin")), Busy)


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.filesystem.filesystem_type", lambda path, mountinfo: "nfs4")
    with pytest.raises(Refused, match="nfs4 is a network file system"):
        Environment(tmp_path / "index", MAP_BYTES)
