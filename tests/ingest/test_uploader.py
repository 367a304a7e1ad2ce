"""The uploader: what cannot be put waits, and nothing else waits for it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from index.rows import Place
from ingest.uploader import BATCH, Uploader
from tests.support.index_vault import Vault, closed_segment, open_vault, row_of
from vault.errors import Damaged, StoreError, StreamvaultError
from vault.ids import CameraNumber, SegmentKey
from vault.store.interface import Failure, Failures, NewObject
from vault.store.local import LocalStore
from vault.timebase import US

START_US = 1_795_000_000_000_000


class Picky(LocalStore):
    """A store that refuses some keys."""

    refuses: dict[str, StreamvaultError]

    def put_files(self, files: Sequence[NewObject]) -> Failures:
        bad = [Failure(file.key, self.refuses[file.key]) for file in files if file.key in self.refuses]
        return bad + super().put_files([file for file in files if file.key not in self.refuses])


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with open_vault(tmp_path, START_US) as made:
        yield made


def commit(vault: Vault, count: int) -> list[SegmentKey]:
    """That many committed segments in the spool."""
    keys = [SegmentKey(CameraNumber(1), START_US + number * US, 1, number) for number in range(count)]
    rows = []
    for key in keys:
        data = closed_segment(key)
        fd = vault.spool.create(key)
        os.write(fd, data)
        os.close(fd)
        rows.append(row_of(data))
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
    with pytest.raises(Damaged):
        sender.run_once()
    sender.run_once()
    assert places(vault, keys[BATCH + 5 :]) == [Place.STORE] * 15
    assert places(vault, bad) == [Place.SPOOL] * (BATCH + 5)
    assert all(vault.spool.path_of(key).exists() for key in bad)


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
