"""Segments' bytes by key with few of them open at a time, so that a clip of a day needs no thousand descriptors.

What is read and in which order belongs to the splice.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from index.rows import Place, SegmentRow
from vault.errors import Damaged, NotFound, Unreadable
from vault.grant import Grant
from vault.ids import SegmentKey
from vault.source import OpenSource
from vault.spool import Spool
from vault.store.interface import ObjectStore
from vault.store.segments import damage, open_segment


@dataclass(slots=True)
class _Held:
    source: OpenSource
    stored: bool
    readers: int = 0


class SourcePool:
    """Opens committed segments when they are read and closes those unused for longest. Safe for several threads.

    It lends whole segments of the grant's camera; holding what is shown of one to the window is the borrower's duty.
    """

    def __init__(self, spool: Spool, store: ObjectStore, grant: Grant, most: int = 64) -> None:
        self._spool = spool
        self._store = store
        self._grant = grant
        self._most = most
        self._held: OrderedDict[SegmentKey, _Held] = OrderedDict()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close everything; no read may be under way."""
        with self._lock:
            for held in self._held.values():
                held.source.close()
            self._held.clear()

    @contextmanager
    def borrow(self, row: SegmentRow) -> Iterator[OpenSource]:
        """The segment's bytes, open until the `with` ends at least. Raises Refusal where the grant says nothing of it, Damaged,
        StoreError."""
        self._grant.check_segment(row.key.camera, row.interval)
        held = self._known(row.key) or self._opened(row)
        try:
            yield held.source
        except Unreadable as error:
            raise self._damage(row, error, held.stored) from error
        finally:
            with self._lock:
                held.readers -= 1
                self._shrink()

    def _known(self, key: SegmentKey) -> _Held | None:
        with self._lock:
            held = self._held.get(key)
            if held is not None:
                self._held.move_to_end(key)
                held.readers += 1
            return held

    def _opened(self, row: SegmentRow) -> _Held:
        # Without the lock: of a bucket many are opened at a time, and each takes a while.
        source, stored = self._open(row)
        with self._lock:
            held = self._held.setdefault(row.key, _Held(source, stored))
            held.readers += 1
        if held.source is not source:
            source.close()
        return held

    def _shrink(self) -> None:
        # A source that somebody reads stays open: its descriptor's number could be another file's at once.
        surplus = len(self._held) - self._most
        if surplus > 0:
            idle = [key for key, held in self._held.items() if not held.readers]
            for key in idle[:surplus]:
                self._held.pop(key).source.close()

    def _open(self, row: SegmentRow) -> tuple[OpenSource, bool]:
        """And whether it is the store's. It may move from the spool there at any moment, so the other place is tried once."""
        places: list[tuple[Callable[[SegmentKey, Grant], OpenSource], bool]] = [
            (self._spool.open_source, False), (self._from_store, True)
        ]  # fmt: skip
        if row.place is Place.STORE:
            places.reverse()
        for place, stored in places:
            try:
                return place(row.key, self._grant), stored
            except NotFound:
                continue
            except Unreadable as error:
                raise self._damage(row, error, stored) from error
        raise Damaged(
            f"segment {row.key.object_key}: the index knows it, and neither spool nor store has it; "
            "`streamvault check` tells more"
        )

    def _damage(self, row: SegmentRow, error: Unreadable, stored: bool) -> Damaged:
        """Raises StoreError where it is the store that is away."""
        if stored:
            return damage(self._store, row.key, error)
        return Damaged(f"segment {row.key.object_key}: its bytes cannot be read from the spool: {error}")

    def _from_store(self, key: SegmentKey, grant: Grant) -> OpenSource:
        return open_segment(self._store, key, grant)


class PooledSource:
    """One committed segment as a ByteSource; its size is what its row says."""

    __slots__ = ("_pool", "_row")

    def __init__(self, pool: SourcePool, row: SegmentRow) -> None:
        self._pool = pool
        self._row = row

    @property
    def size(self) -> int:
        return self._row.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """As `ByteSource.read`. Raises Damaged, StoreError."""
        with self._pool.borrow(self._row) as source:
            return source.read(offset, length)
