"""I7: deeds that wait too long, deletions that nobody announced, and a ledger that was cut back are found; a whole one is not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.check_ledger import OUTBOX_GRACE_US, check_ledger
from index.environment import Environment
from index.outbox import Outbox, record
from tests.support.index_vault import Vault, open_vault
from tests.support.indexing import DAY_US, T0
from tests.support.ledgers import announce_deletion, entry, new_ledger
from tests.support.lives import ONE
from vault.ids import SegmentKey
from vault.ledger.ledger import Ledger
from vault.timebase import US


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    """Three segments in the store."""
    with open_vault(tmp_path, T0) as opened:
        for at in range(3):
            opened.settled(ONE, T0 + at * US, 0)
        yield opened


@pytest.fixture
def ledger(vault: Vault) -> Ledger:
    return new_ledger(vault.folder)


def key(at: int) -> SegmentKey:
    return SegmentKey(ONE, T0 + at * US, 0, 0)


def deed(environment: Environment, number: int) -> None:
    with environment.write("deed") as txn:
        record(txn, entry(number), T0)


def found(vault: Vault, ledger: Ledger, now_us: int = T0) -> list[str]:
    findings = list(check_ledger(vault.environment, ledger, vault.store, now_us))
    assert {finding.invariant for finding in findings} <= {"I7"}
    return [finding.message for finding in findings]


def test_a_deed_may_wait_for_the_ledger_for_a_while(vault: Vault, ledger: Ledger) -> None:
    assert found(vault, ledger) == []
    deed(vault.environment, 1)
    deed(vault.environment, 2)
    assert found(vault, ledger, T0 + OUTBOX_GRACE_US) == []
    (message,) = found(vault, ledger, T0 + OUTBOX_GRACE_US + 1)
    assert message.startswith("2 deeds wait for the ledger")
    Outbox(vault.environment, ledger).drain()
    assert found(vault, ledger, T0 + DAY_US) == []


def test_an_object_that_goes_before_its_batch_was_announced_is_found(vault: Vault, ledger: Ledger) -> None:
    keys = [key(0), key(1)]
    assert not vault.catalog.doom(keys, at_us=T0 + 40 * DAY_US, reason="past its minimum").refused
    assert not vault.catalog.mark_deleting(keys, "batch-7").refused
    # Killed between the mark and the announcement: nothing is gone yet.
    assert found(vault, ledger) == []
    vault.store.delete([key(1).object_key])
    (message,) = found(vault, ledger)
    assert "batch-7" in message
    announce_deletion(ledger, "batch-7", keys)
    assert found(vault, ledger) == []


def test_a_ledger_that_was_cut_back_emptied_or_begun_anew_is_found(vault: Vault, ledger: Ledger, tmp_path: Path) -> None:
    outbox = Outbox(vault.environment, ledger)
    deed(vault.environment, 1)
    outbox.drain()
    shutil.copytree(ledger.folder, tmp_path / "before")
    deed(vault.environment, 2)
    outbox.drain()
    assert found(vault, ledger) == []
    # One that has grown since begins with it.
    ledger.append([entry(3)])
    assert found(vault, ledger) == []
    shutil.rmtree(ledger.folder)
    assert "is empty" in found(vault, ledger)[0]
    shutil.copytree(tmp_path / "before", ledger.folder)
    assert "cut back" in found(vault, ledger)[0]
    shutil.rmtree(ledger.folder)
    ledger.append([entry(8), entry(9)])
    assert "run `streamvault ledger verify`" in found(vault, ledger)[0]
