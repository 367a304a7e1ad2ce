"""Which segments the ledger's lists of deletions name: asked by a rebuild of objects that a manifest names and that are gone.

A list is durable before the first object of its batch goes, so whatever deletion took is named. What cannot be read here proves
nothing, and the object then counts as missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from vault.errors import StreamvaultError
from vault.ids import SegmentKey
from vault.ledger.entry import Entry, Kind
from vault.ledger.ledger import Ledger
from vault.ledger.lists import read_list

_LISTS_KEPT = 16


@dataclass(frozen=True, slots=True)
class _Batch:
    """A deletion that was announced: footage of some cameras that lies in `[from_us, to_us)`, named by a list."""

    cameras: frozenset[int]
    from_us: int
    to_us: int
    sha256: str


class ErasedSegments:
    """`key in erased`. Nothing is read before the first question; then the entries once, and a list where one may name the key."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._batches: list[_Batch] | None = None
        self._names = lru_cache(_LISTS_KEPT)(self._read)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, SegmentKey):
            return False
        if self._batches is None:
            self._batches = self._announced()
        return any(
            key.object_key in self._names(batch.sha256)
            for batch in self._batches
            if key.camera in batch.cameras and batch.from_us <= key.start_us < batch.to_us
        )

    def _announced(self) -> list[_Batch]:
        try:
            return [batch for entry in self._ledger.entries() if (batch := _batch(entry)) is not None]
        except StreamvaultError:
            return []

    def _read(self, sha256: str) -> frozenset[str]:
        try:
            return frozenset(read_list(self._ledger.folder, sha256))
        except StreamvaultError:
            return frozenset()


def _batch(entry: Entry) -> _Batch | None:
    cameras, named = entry.subject.get("cameras"), entry.body.get("list")
    from_us, to_us = entry.body.get("from_us"), entry.body.get("to_us")
    if entry.kind != Kind.DELETION or not isinstance(cameras, list) or not isinstance(named, dict):
        return None
    sha256 = named.get("sha256")
    if not isinstance(from_us, int) or not isinstance(to_us, int) or not isinstance(sha256, str):
        return None
    return _Batch(frozenset(number for number in cameras if isinstance(number, int)), from_us, to_us, sha256)
