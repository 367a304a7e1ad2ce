"""What the ledger's lists of deletions name is known by them, and what cannot be read proves nothing."""

from __future__ import annotations

import gzip
from pathlib import Path

from index.erased import ErasedSegments
from tests.support.indexing import MINUTE_US, T0
from tests.support.ledgers import announce_deletion, entry, new_ledger
from tests.support.lives import ONE, TWO
from vault.ids import CameraNumber, SegmentKey


def key(camera: CameraNumber, minute: int) -> SegmentKey:
    return SegmentKey(camera, T0 + minute * MINUTE_US, 1, minute)


def test_segments_of_every_announced_batch_are_known(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    announce_deletion(ledger, "a", [key(ONE, 0), key(ONE, 2)])
    ledger.append([entry(1)])
    announce_deletion(ledger, "b", [key(TWO, 1), key(ONE, 3)])
    erased = ErasedSegments(ledger)
    assert [key(ONE, minute) in erased for minute in range(5)] == [True, False, True, True, False]
    assert [key(TWO, minute) in erased for minute in range(3)] == [False, True, False]
    assert "no key" not in erased


def test_without_a_ledger_or_with_lists_that_cannot_be_read_nothing_is_known(tmp_path: Path) -> None:
    assert key(ONE, 0) not in ErasedSegments(new_ledger(tmp_path / "none"))
    ledger = new_ledger(tmp_path)
    name = announce_deletion(ledger, "a", [key(ONE, 0)])
    announce_deletion(ledger, "b", [key(ONE, 1)])
    (tmp_path / "ledger" / "lists" / name[:2] / f"{name}.gz").write_bytes(gzip.compress(b"something else\n"))
    erased = ErasedSegments(ledger)
    assert key(ONE, 0) not in erased
    assert key(ONE, 1) in erased
