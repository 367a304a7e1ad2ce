"""I1 and I2: rows against objects and spool files, by one walk over both in the same order. Only reports."""

from __future__ import annotations

import enum
from collections.abc import Iterator

from blake3 import blake3

from index.check import Finding, Progress, Severity, no_progress, rows_of
from index.environment import Environment
from index.rows import Place, SegmentRow, State
from index.writes import SegmentWriter
from vault.errors import NotFound, StreamvaultError, UsageError
from vault.ids import SegmentKey
from vault.source import ByteSource
from vault.spool import Spool
from vault.store.interface import ObjectStat, ObjectStore

UPLOAD_GRACE_US = 3_600_000_000
"""An object may be this old without a row: the upload comes before the row says so."""

UNKNOWN_HASH = bytes(32)
"""In rows of an index that was rebuilt without reading the footage."""

_READ_BYTES = 4 * 1024 * 1024
_EVERY = 1_000


class Level(enum.StrEnum):
    """How closely an object is looked at: it exists; and has its size; and its bytes have their hash."""

    PRESENCE = "presence"
    SIZE = "size"
    HASH = "hash"


class ObjectCheck:
    """Rows, store and spool of one node, compared."""

    def __init__(self, environment: Environment, store: ObjectStore, spool: Spool, level: Level, now_us: int) -> None:
        self._env = environment
        self._store = store
        self._spool = spool
        self._level = level
        self._now_us = now_us
        self._segments = SegmentWriter()

    def findings(self, progress: Progress = no_progress) -> Iterator[Finding]:
        """I1 and I2 over everything. Raises StoreError when the store itself is away: absence proves nothing then."""
        rows = rows_of(self._env, self._segments)
        objects = self._objects()
        row, item = next(rows, None), next(objects, None)
        seen = 0
        while row is not None or item is not None:
            seen += 1
            if seen % _EVERY == 0:
                progress("objects", seen)
            if item is not None and (row is None or item[0] < row.key):
                yield from self._orphan(*item)
                item = next(objects, None)
            elif row is not None:
                stat = None
                if item is not None and item[0] == row.key:
                    stat, item = item[1], next(objects, None)
                yield from self._row(row, stat)
                row = next(rows, None)
        yield from self._spool_files()

    def _objects(self) -> Iterator[tuple[SegmentKey, ObjectStat]]:
        for stat in self._store.list("segments/"):
            try:
                yield SegmentKey.parse(stat.key), stat
            except UsageError:
                # Reported by nobody's row: it cannot be compared, and must not stop the walk.
                continue

    def _current(self, key: SegmentKey) -> SegmentRow | None:
        with self._env.read() as txn:
            return self._segments.get(txn, key)

    def _row(self, row: SegmentRow, stat: ObjectStat | None) -> Iterator[Finding]:
        """I1. A doomed row's object may be gone already, which is what it is doomed for."""
        if row.state is not State.COMMITTED:
            return
        problem = self._problem(row, stat)
        if problem is not None:
            # It may have been settled or erased since the walk read it.
            again = self._current(row.key)
            if again is None or again.state is not State.COMMITTED:
                return
            problem = self._problem(again, self._store.stat(row.key.object_key))
        if problem is not None:
            yield Finding(Severity.ERROR, "I1", row.key.camera, (row.key.object_key,), problem)

    def _problem(self, row: SegmentRow, stat: ObjectStat | None) -> str | None:
        where = "store" if row.place is Place.STORE else "spool"
        if row.place is Place.STORE and stat is None:
            return "its object is not in the store"
        if row.place is Place.STORE and self._level is Level.PRESENCE:
            return None
        if stat is not None and row.place is Place.STORE and stat.size_bytes != row.size_bytes:
            return f"its object has {stat.size_bytes} bytes, its row says {row.size_bytes}"
        if row.place is Place.STORE and self._level is Level.SIZE:
            return None
        try:
            if row.place is Place.STORE:
                with self._store.open(row.key.object_key) as source:
                    return self._bytes_problem(row, source)
            with self._spool.open_source(row.key) as file:
                return self._bytes_problem(row, file)
        except NotFound:
            return f"its bytes are not in the {where}"
        except StreamvaultError as error:
            return f"its bytes in the {where} cannot be read: {error}"

    def _bytes_problem(self, row: SegmentRow, source: ByteSource) -> str | None:
        if self._level is Level.PRESENCE:
            return None
        if source.size != row.size_bytes:
            return f"it has {source.size} bytes, its row says {row.size_bytes}"
        if self._level is Level.HASH and row.blake3 != UNKNOWN_HASH and digest_of(source) != row.blake3:
            return "its bytes do not have the hash that its row says"
        return None

    def _orphan(self, key: SegmentKey, stat: ObjectStat) -> Iterator[Finding]:
        """I2: an object without a row, unless it is on its way in or was erased while we walked."""
        if self._now_us - stat.modified_us <= UPLOAD_GRACE_US or self._current(key) is not None:
            return
        if self._store.stat(stat.key) is not None:
            yield Finding(
                Severity.ERROR, "I2", key.camera, (stat.key,), "an object that no row knows; `index rebuild` takes it in"
            )

    def _spool_files(self) -> Iterator[Finding]:
        listing = self._spool.scan()
        for name in listing.odd:
            yield Finding(Severity.WARNING, "I2", None, (name,), "not ours in the spool")
        for key in listing.keys:
            row = self._current(key)
            if row is not None and row.place is Place.STORE:
                yield Finding(Severity.WARNING, "I2", key.camera, (key.object_key,), "in the store, and still in the spool")
            elif row is None and self._is_old(key):
                yield Finding(
                    Severity.WARNING, "I2", key.camera, (key.object_key,), "in the spool for over an hour and not committed"
                )

    def _is_old(self, key: SegmentKey) -> bool:
        try:
            with self._spool.open_source(key) as source:
                return self._now_us - source.modified_us > UPLOAD_GRACE_US
        except StreamvaultError:
            return False


def digest_of(source: ByteSource) -> bytes:
    """BLAKE3 of everything the source has. Raises what reading raises."""
    hasher = blake3(max_threads=1)
    for offset in range(0, source.size, _READ_BYTES):
        hasher.update(source.read(offset, min(_READ_BYTES, source.size - offset)))
    return hasher.digest()
