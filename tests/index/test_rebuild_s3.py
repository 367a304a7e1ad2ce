"""Manifests in a bucket, and an index made anew from it, on two servers of other people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.environment import Environment
from index.rebuild import rebuild
from tests.support.index_vault import MAP_BYTES, Vault, open_vault
from tests.support.indexing import T0
from tests.support.lives import ONE, Watched, live, manifests, tables, write_manifests
from tests.support.s3servers import key_source, server
from vault.clock import SystemClock
from vault.errors import StoreError
from vault.store.s3 import S3Store
from vault.timebase import US


@pytest.fixture(params=["versitygw", "minio"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Vault]:
    """Its footage in a bucket."""
    with server(request.param, tmp_path / "server") as running, open_vault(tmp_path, T0) as opened:
        store = S3Store(running.settings, key_source(), SystemClock())
        opened.store = store
        yield opened
        store.close()


def test_an_index_made_anew_from_a_bucket_equals_the_lost_one(vault: Vault) -> None:
    live(vault, lambda: write_manifests(vault))
    before, store = tables(vault.environment), Watched(vault.store)
    target = vault.folder / "rebuilt"
    report = rebuild(store, vault.spool, target, map_bytes=MAP_BYTES, clock=vault.clock)
    assert (report.refused, report.absent) == ([], [])
    assert not [key for key in store.opened if key.startswith("segments/")]
    with Environment(target, MAP_BYTES) as environment:
        assert tables(environment) == before


def test_a_put_whose_answer_was_lost_is_repeated_without_a_second_generation(vault: Vault) -> None:
    vault.catalog.raise_epoch(ONE)
    vault.settled(ONE, T0, 1)
    lost = iter([StoreError("the answer did not come")])

    def step(name: str) -> None:
        error = next(lost, None) if name == "after a put" else None
        if error is not None:
            raise error

    with pytest.raises(StoreError):
        write_manifests(vault, Watched(vault.store, step))
    write_manifests(vault)
    assert [key.generation for key in manifests(vault.store)] == [1]
    vault.settled(ONE, T0 + US, 1)
    write_manifests(vault)
    assert [key.generation for key in manifests(vault.store)] == [2]
