"""The lister writes what is marked while the recorder runs, and at its end; trouble ends neither."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.manifests import Manifests
from ingest import lister as lister_module
from ingest.lister import Lister
from tests.support.index_vault import Vault, open_vault
from tests.support.indexing import T0
from tests.support.lives import ONE, Watched, manifests
from tests.support.node import wait_until
from vault.clock import SystemClock
from vault.errors import StoreError
from vault.manifest import HOUR_US, ManifestKey


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    """Footage of an hour that is over, and a gap that began in it."""
    with open_vault(tmp_path, T0) as opened:
        opened.settled(ONE, T0, opened.catalog.raise_epoch(ONE))
        yield opened


def test_an_hour_that_is_due_is_written_and_the_last_ones_at_the_end(vault: Vault) -> None:
    vault.clock.advance(2 * HOUR_US)
    thread = Lister(Manifests(vault.environment, vault.store, vault.clock))
    thread.start()
    wait_until(lambda: manifests(vault.store) == [ManifestKey(ONE, T0, 1)], what="a manifest")
    vault.settled(ONE, T0 + 2 * HOUR_US, 1)
    thread.stop(30)
    assert not thread.alive
    assert manifests(vault.store) == [ManifestKey(ONE, T0, 1), ManifestKey(ONE, T0 + 2 * HOUR_US, 1)]


def test_a_store_that_fails_is_tried_again(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lister_module, "FIRST_BACKOFF_US", 10_000)
    tries = iter([StoreError("away"), RuntimeError("what nobody foresaw"), None])

    def step(name: str) -> None:
        error = next(tries, None) if name == "before a put" else None
        if error is not None:
            raise error

    thread = Lister(Manifests(vault.environment, Watched(vault.store, step), SystemClock()))
    thread.start()
    wait_until(lambda: manifests(vault.store), what="a manifest")
    thread.stop(30)
    assert manifests(vault.store) == [ManifestKey(ONE, T0, 1)]
