"""The terms of objects follow the minimum of their segments: in a store that notes what is asked of it, and in a real bucket."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from index.environment import Table
from index.locks import list_terms
from index.minima import put_raise
from index.raising import Raising
from index.rows import SegmentRow
from ingest import relocker as relocker_module
from ingest.relocker import FIRST_ASIDE_US, Relocker
from ingest.uploader import Uploader
from retention.unknown import fix_unknown
from tests.support.index_vault import Vault, closed_segment, open_vault, row_of
from tests.support.node import wait_until
from tests.support.s3servers import expected, key_source, server, term
from vault.clock import SystemClock
from vault.config import Retention
from vault.errors import NotFound, StoreError, StreamvaultError
from vault.ids import CameraNumber, SegmentKey
from vault.store.local import LocalStore
from vault.store.s3 import S3Store
from vault.timebase import US

ONE = CameraNumber(1)
DAY_US = 86_400 * US
NOW = SystemClock().now_us() // US * US
START = NOW - DAY_US


class Noting(LocalStore):
    """Notes the terms; `answers` come first, `meanwhile` happens within the next call."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.terms: dict[str, int] = {}
        self.answers: dict[str, StreamvaultError] = {}

    def meanwhile(self) -> None: ...

    def raise_lock(self, key: str, until_us: int) -> None:
        if key in self.answers:
            raise self.answers[key]
        self.terms[key] = until_us
        self.meanwhile()


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with open_vault(tmp_path, NOW) as opened:
        opened.catalog.raise_epoch(ONE)
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Noting]:
    with closing(Noting(tmp_path / "store")) as made:
        yield made


def commit(vault: Vault, number: int = 0, start_us: int = START, *, known: bool = True) -> SegmentKey:
    """A closed segment in the spool."""
    key = SegmentKey(ONE, start_us + number * US, 1, number)
    data = closed_segment(key)
    fd = vault.spool.create(key)
    os.write(fd, data)
    os.close(fd)
    row = row_of(data)
    vault.catalog.commit([row if known else dataclasses.replace(row, min_until_us=0)])
    return key


def more_days(vault: Vault, days: int) -> None:
    with vault.environment.write("test") as txn:
        put_raise(txn, vault.registry, [ONE], days, "Asia/Shanghai", by="Li", why="test", at_us=NOW)
    Raising(vault.environment, vault.clock).run()


def row_at(vault: Vault, key: SegmentKey) -> SegmentRow:
    row = vault.catalog.row(key)
    assert row is not None
    return row


def listed(vault: Vault) -> int:
    with vault.environment.read() as txn:
        return txn.entries(Table.RELOCK)


def relocker(vault: Vault, store: Noting | S3Store) -> Relocker:
    return Relocker(store, vault.catalog, vault.clock, on=True)


def test_a_raised_minimum_reaches_the_store_once_and_one_that_did_not_rise_is_not_asked_for(
    vault: Vault, store: Noting
) -> None:
    keys = [vault.settled(ONE, START + at * US, 1) for at in range(3)]
    step = relocker(vault, store)
    assert not step.run_once()
    assert store.terms == {}
    more_days(vault, 90)
    assert listed(vault) == 3
    assert step.run_once(2)
    assert not step.run_once(2)
    assert store.terms == {key.object_key: row_at(vault, key).min_until_us for key in keys}
    assert min(store.terms.values()) > NOW + 85 * DAY_US
    assert listed(vault) == 0


def test_a_put_under_way_with_the_old_minimum_is_raised_after_it_was_settled(vault: Vault, store: Noting) -> None:
    key = commit(vault)
    more_days(vault, 90)
    step = relocker(vault, store)
    step.run_once()
    assert (store.terms, listed(vault)) == ({}, 1)
    vault.catalog.settle([key])
    step.run_once()
    assert store.terms == {key.object_key: row_at(vault, key).min_until_us}
    assert listed(vault) == 0


def test_a_minimum_that_rises_again_meanwhile_stays_on_the_list(vault: Vault, store: Noting) -> None:
    key = vault.settled(ONE, START, 1)
    more_days(vault, 60)
    store.meanwhile = lambda: more_days(vault, 90)  # type: ignore[method-assign]
    step = relocker(vault, store)
    step.run_once()
    assert listed(vault) == 1
    assert store.terms[key.object_key] < row_at(vault, key).min_until_us
    step.run_once()
    assert store.terms[key.object_key] == row_at(vault, key).min_until_us
    assert listed(vault) == 0


def test_one_that_is_refused_waits_aside_and_the_others_go_on(vault: Vault, store: Noting) -> None:
    bad, good = (vault.settled(ONE, START + at * US, 1) for at in range(2))
    more_days(vault, 90)
    store.answers[bad.object_key] = NotFound("no such object")
    step = relocker(vault, store)
    step.run_once()
    assert list(store.terms) == [good.object_key]
    store.answers.clear()
    step.run_once()
    assert listed(vault) == 1
    vault.clock.advance(FIRST_ASIDE_US)
    step.run_once()
    assert listed(vault) == 0


def test_a_store_that_is_away_is_waited_for_and_holds_up_only_what_it_was_asked(vault: Vault, store: Noting) -> None:
    first, second = (vault.settled(ONE, START + at * US, 1) for at in range(2))
    more_days(vault, 90)
    store.answers[first.object_key] = StoreError("away")
    step = relocker(vault, store)
    with pytest.raises(StoreError):
        step.run_once()
    step.run_once()
    assert list(store.terms) == [second.object_key]
    store.answers.clear()
    step.run_once()
    assert listed(vault) == 0


def test_a_segment_that_is_gone_is_no_longer_listed_and_footage_of_a_wrong_clock_waits(vault: Vault, store: Noting) -> None:
    gone, future = vault.settled(ONE, START, 1), vault.settled(ONE, NOW + US, 1)
    more_days(vault, 90)
    vault.catalog.lose([gone], at_us=NOW, reason="test")
    step = relocker(vault, store)
    step.run_once()
    assert (store.terms, listed(vault)) == ({}, 1)
    vault.clock.advance(3 * US)
    step.run_once()
    assert list(store.terms) == [future.object_key]


def test_where_nothing_locks_nothing_is_listed_and_what_was_is_dropped(vault: Vault, store: Noting) -> None:
    vault.settled(ONE, START, 1)
    more_days(vault, 60)
    idle = Relocker(store, vault.catalog, vault.clock, on=False)
    idle.start()
    assert idle.alive
    assert listed(vault) == 0
    more_days(vault, 90)
    assert listed(vault) == 0
    idle.stop(1)
    list_terms(vault.environment, True)
    more_days(vault, 120)
    assert listed(vault) == 1


def test_the_thread_goes_on_after_trouble(vault: Vault, store: Noting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocker_module, "FIRST_BACKOFF_US", 10_000)
    key = vault.settled(ONE, START, 1)
    more_days(vault, 90)
    tries = iter([StoreError("away"), RuntimeError("what nobody foresaw")])

    def trouble() -> None:
        error = next(tries, None)
        if error is not None:
            raise error

    store.meanwhile = trouble  # type: ignore[method-assign]
    thread = relocker(vault, store)
    thread.start()
    wait_until(lambda: listed(vault) == 0, what="the lock to be raised")
    thread.stop(30)
    assert not thread.alive
    assert store.terms == {key.object_key: row_at(vault, key).min_until_us}


def test_in_a_real_bucket_the_lock_follows_a_raise_and_a_minimum_that_becomes_known(vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "minio"
    folder.mkdir()
    with server("minio", folder, lock=True) as running:
        settings = dataclasses.replace(running.settings, object_lock="governance")
        with closing(S3Store(settings, key_source(), SystemClock())) as bucket:
            raised, unknown = commit(vault), commit(vault, 1, known=False)
            sender = Uploader(vault.spool, bucket, vault.catalog, vault.registry, vault.clock, lock=True)
            sender.run_once()
            assert term(bucket, raised.object_key) == expected(row_at(vault, raised).min_until_us)
            assert term(bucket, unknown.object_key) == ""
            more_days(vault, 90)
            assert fix_unknown(vault.environment, lambda camera, site_class: 30, Retention(), NOW) == 1
            before, step = term(bucket, raised.object_key), relocker(vault, bucket)
            step.run_once()
            assert term(bucket, raised.object_key) == expected(row_at(vault, raised).min_until_us) > before
            assert term(bucket, unknown.object_key) == expected(row_at(vault, unknown).min_until_us)
            assert listed(vault) == 0
            # Repeated, as after a crash between the store's answer and the index.
            more_days(vault, 91)
            bucket.raise_lock(raised.object_key, row_at(vault, raised).min_until_us)
            step.run_once()
            assert term(bucket, raised.object_key) == expected(row_at(vault, raised).min_until_us)
