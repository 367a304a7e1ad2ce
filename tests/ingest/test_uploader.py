"""The uploader: what cannot be put waits, and nothing else waits for it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from index.alarms import Alarms
from index.cameras import Cameras, NewCamera
from index.rows import Place
from index.sites import Sites
from ingest.turns import LAST_STORE_BACKOFF_US, LEAST_FAILURES
from ingest.uploader import BATCH, Uploader
from tests.support.index_vault import Vault, closed_segment, open_vault, row_of
from tests.support.node import wait_until
from vault.clock import SystemClock
from vault.errors import Damaged, StoreError, StoreFull, StreamvaultError, Unreadable
from vault.ids import CameraNumber, SegmentKey
from vault.store.interface import Failure, Failures, NewObject
from vault.store.local import LocalStore
from vault.timebase import US

START_US = 1_795_000_000_000_000


class Picky(LocalStore):
    """A store that refuses some keys."""

    refuses: dict[str, StreamvaultError]

    tries = 0

    def put_files(self, files: Sequence[NewObject]) -> Failures:
        self.tries += len(files)
        bad = [Failure(file.key, self.refuses[file.key]) for file in files if file.key in self.refuses]
        return bad + super().put_files([file for file in files if file.key not in self.refuses])


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with open_vault(tmp_path, START_US) as made:
        yield made


def commit(vault: Vault, count: int, first: int = 0) -> list[SegmentKey]:
    """That many committed segments in the spool."""
    keys = [SegmentKey(CameraNumber(1), START_US + number * US, 1, number) for number in range(first, first + count)]
    rows = []
    for key in keys:
        data = closed_segment(key)
        fd = vault.spool.create(key)
        os.write(fd, data)
        os.close(fd)
        rows.append(row_of(data))
    if first == 0:
        vault.catalog.raise_epoch(CameraNumber(1))
    vault.catalog.commit(rows)
    return keys


def uploader(vault: Vault, tmp_path: Path) -> tuple[Uploader, Picky]:
    store = Picky(tmp_path / "store")
    store.refuses = {}
    return Uploader(vault.spool, store, vault.catalog, vault.registry, vault.clock), store


def places(vault: Vault, keys: Sequence[SegmentKey]) -> list[Place]:
    rows = [vault.catalog.row(key) for key in keys]
    return [row.place for row in rows if row is not None]


def test_objects_that_the_store_never_takes_do_not_keep_the_later_ones_waiting(vault: Vault, tmp_path: Path) -> None:
    keys = commit(vault, BATCH + 20)
    sender, store = uploader(vault, tmp_path)
    # More than a whole batch of the oldest.
    bad = keys[: BATCH + 5]
    store.refuses = {key.object_key: Damaged("not what it was") for key in bad}
    sender.run_once()
    # What is left is bad.
    with pytest.raises(Damaged):
        sender.run_once()
    assert places(vault, keys[BATCH + 5 :]) == [Place.STORE] * 15
    assert places(vault, bad) == [Place.SPOOL] * (BATCH + 5)
    assert all(vault.spool.path_of(key).exists() for key in bad)
    # They are at fault, and not the store.
    (alarm,) = Alarms(vault.environment).lasting()
    assert (alarm.kind, alarm.message) == (
        "not uploaded",
        f"{BATCH + 5} segments of the spool cannot be put as they are, and wait there: not what it was",
    )


def test_a_file_that_the_spools_disk_does_not_give_is_named_and_the_others_go(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, real = commit(vault, 3), os.pread
    sender, store = uploader(vault, tmp_path)
    bad, fine = keys[0], keys[1]
    # Of the other one it is the store's disk that has the fault: the spool gives its file.
    store.refuses = {key.object_key: Unreadable(f"reading 9 bytes of {key.object_key}: EIO") for key in (bad, fine)}
    path = vault.spool.path_of(bad)

    def pread(fd: int, length: int, offset: int) -> bytes:
        if Path(f"/proc/self/fd/{fd}").readlink() == path:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, length, offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", pread)
        sender.run_once()
    assert places(vault, keys) == [Place.SPOOL, Place.SPOOL, Place.STORE]
    (alarm,) = Alarms(vault.environment).lasting()
    assert alarm.kind == "not uploaded"
    assert alarm.message.startswith("1 segments of the spool")
    assert str(path) in alarm.message
    store.refuses = {}
    vault.clock.advance(2 * US)
    sender.run_once()
    assert places(vault, keys) == [Place.STORE] * 3
    assert not Alarms(vault.environment).lasting()


def test_of_a_backlog_both_the_oldest_and_the_newest_go_first(vault: Vault, tmp_path: Path) -> None:
    keys = commit(vault, 3 * BATCH)
    sender, _ = uploader(vault, tmp_path)
    assert sender.run_once()
    assert places(vault, keys[: BATCH // 2]) == [Place.STORE] * (BATCH // 2)
    assert places(vault, keys[-(BATCH // 2) :]) == [Place.STORE] * (BATCH // 2)
    assert set(places(vault, keys[BATCH // 2 : -(BATCH // 2)])) == {Place.SPOOL}


def test_an_upload_that_is_stuck_delays_no_other(vault: Vault, tmp_path: Path) -> None:
    keys = commit(vault, 40)
    stuck, go_on = keys[0].object_key, threading.Event()

    class Stuck(LocalStore):
        at_once = 4

        def put_files(self, files: Sequence[NewObject]) -> Failures:
            if any(file.key == stuck for file in files):
                go_on.wait(60)
            return super().put_files(files)

    sender = Uploader(vault.spool, Stuck(tmp_path / "store"), vault.catalog, vault.registry, SystemClock())
    sender.start()
    try:
        wait_until(lambda: places(vault, keys[1:]) == [Place.STORE] * 39, 20, "all but the stuck one")
        assert places(vault, keys[:1]) == [Place.SPOOL]
    finally:
        go_on.set()
        sender.stop(20)
    assert places(vault, keys) == [Place.STORE] * 40
    assert not vault.spool.list_keys()


def test_what_is_committed_while_all_lanes_are_busy_goes_before_the_end(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.uploader.WAIT_US", US // 100)
    keys, go_on, busy = commit(vault, 4), threading.Event(), threading.Semaphore(0)

    class Slow(LocalStore):
        at_once = 4

        def put_files(self, files: Sequence[NewObject]) -> Failures:
            busy.release()
            go_on.wait(60)
            return super().put_files(files)

    sender = Uploader(vault.spool, Slow(tmp_path / "store"), vault.catalog, vault.registry, SystemClock())
    sender.start()
    for _ in range(4):
        assert busy.acquire(timeout=20)
    keys += commit(vault, 20, first=4)
    ending = threading.Thread(target=sender.stop, args=(20,))
    ending.start()
    # The last round has begun; it must not end with what was chosen before.
    ending.join(0.5)
    go_on.set()
    ending.join(30)
    assert places(vault, keys) == [Place.STORE] * 24


def test_each_object_is_put_once(vault: Vault, tmp_path: Path) -> None:
    """Also those that are in the store and not settled yet, while others are still under way."""
    puts: list[str] = []

    class Counting(LocalStore):
        at_once = 4

        def put_files(self, files: Sequence[NewObject]) -> Failures:
            puts.extend(file.key for file in files)
            return super().put_files(files)

    sender = Uploader(vault.spool, Counting(tmp_path / "store"), vault.catalog, vault.registry, SystemClock())
    sender.start()
    keys = commit(vault, 120)
    wait_until(lambda: not vault.spool.list_keys(), 20, "an empty spool")
    sender.stop(20)
    assert sorted(puts) == sorted(key.object_key for key in keys)


def test_a_store_that_is_away_is_tried_with_one_object_and_with_its_first_yes_all_go(vault: Vault, tmp_path: Path) -> None:
    keys = commit(vault, 4 * BATCH)
    sender, store = uploader(vault, tmp_path)
    store.refuses = {key.object_key: StoreError("nobody there") for key in keys}
    for _ in range(LEAST_FAILURES):
        with pytest.raises(StoreError):
            sender.run_once()
    [alarm] = Alarms(vault.environment).lasting()
    assert alarm.kind == "store away"
    assert "nobody there" in alarm.message
    # Not before its time, and then one.
    assert sender.run_once() is False
    tries = store.tries
    vault.clock.advance(LAST_STORE_BACKOFF_US)
    with pytest.raises(StoreError):
        sender.run_once()
    assert store.tries == tries + 1
    # One that is full has another alarm, and keeps it while it says something else to one object and the other.
    for error in (StoreFull("no space"), StoreError("something went wrong")):
        store.refuses = dict.fromkeys(store.refuses, error)
        vault.clock.advance(LAST_STORE_BACKOFF_US)
        with pytest.raises(type(error)):
            sender.run_once()
        [alarm] = Alarms(vault.environment).lasting()
        assert (alarm.kind, str(error) in alarm.message) == ("store out of space", True)
    store.refuses = {}
    vault.clock.advance(LAST_STORE_BACKOFF_US)
    for _ in range(5):
        sender.run_once()
    assert places(vault, keys) == [Place.STORE] * len(keys)
    assert not Alarms(vault.environment).lasting()


def test_changes_of_the_registry_go_before_footage_and_one_that_is_damaged_lets_the_rest_pass(
    vault: Vault, tmp_path: Path
) -> None:
    keys = commit(vault, 2)
    sites = Sites(vault.registry, vault.clock)
    sites.ensure_default()
    sender, store = uploader(vault, tmp_path)
    sender.run_once()
    assert places(vault, keys) == [Place.SPOOL] * 2
    assert [item.key for item in store.list("")] == ["registry/sites/default/0000000001.json"]
    assert not vault.registry.pending()
    Cameras(vault.registry, vault.clock).add(NewCamera("cam-9", "rtsp://192.0.2.1/"))
    [waiting] = vault.registry.pending()
    store.put_bytes(waiting, b"other bytes")
    with pytest.raises(Damaged):
        sender.run_once()
    sender.run_once()
    assert places(vault, keys) == [Place.STORE] * 2
    assert vault.registry.pending() == [waiting]


def test_what_was_refused_is_tried_again_later_and_then_goes(vault: Vault, tmp_path: Path) -> None:
    keys = commit(vault, 3)
    sender, store = uploader(vault, tmp_path)
    store.refuses = {keys[0].object_key: StoreError("away")}
    assert sender.run_once() is False
    store.refuses = {}
    # Not before its time.
    assert sender.run_once() is False
    assert places(vault, keys) == [Place.SPOOL, Place.STORE, Place.STORE]
    vault.clock.advance(2 * US)
    sender.run_once()
    assert places(vault, keys) == [Place.STORE] * 3
    assert not any(vault.spool.path_of(key).exists() for key in keys)


def test_a_store_that_is_away_loses_nothing_and_says_why(vault: Vault, tmp_path: Path) -> None:
    keys = commit(vault, 3)
    sender, store = uploader(vault, tmp_path)
    store.refuses = {key.object_key: StoreError("the store is away") for key in keys}
    with pytest.raises(StoreError, match="the store is away"):
        sender.run_once()
    assert places(vault, keys) == [Place.SPOOL] * 3
