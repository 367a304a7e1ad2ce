"""I1 and I2: rows against objects and spool files, by one walk over both in the same order. Only reports.

The walk compares names as text: an object key sorts as its row does, and taking a million of them apart would cost more than
all the rest.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Container, Iterator
from dataclasses import dataclass

from blake3 import blake3

from index.check import Finding, Progress, Severity, no_progress, rows_of
from index.environment import Environment, Table
from index.rows import Place, SegmentRow, State, pending_key, segment_key
from index.writes import SegmentWriter
from vault.errors import NotFound, StreamvaultError, Unreadable, UsageError
from vault.grant import system_grant
from vault.ids import SegmentKey
from vault.source import ByteSource
from vault.spool import Spool
from vault.store.interface import ObjectStat, ObjectStore
from vault.store.segments import damage, open_segment

UPLOAD_GRACE_US = 3_600_000_000
"""An object may be this old without a row: the upload comes before the row says so."""

UNKNOWN_HASH = bytes(32)
"""In rows of an index that was rebuilt without reading the footage."""

SEGMENTS = "segments/"
OURS = ("canary/", "holds/", "ledger/", "manifests/", "marker/", "registry/")
"""Where else objects of ours are; what each of them must be is its own reader's to say."""

_READ_BYTES = 4 * 1024 * 1024
_EVERY = 1_000


class Level(enum.StrEnum):
    """How closely an object is looked at: it exists; and has its size; and its bytes have their hash."""

    PRESENCE = "presence"
    SIZE = "size"
    HASH = "hash"


@dataclass(frozen=True, slots=True)
class Sample:
    """Which part of the rows is looked at: `count` of them, drawn at random from `seed`; the same seed draws the same ones."""

    count: int
    seed: int

    def of(self, total: int) -> Container[int]:
        """Positions among `total` rows."""
        return frozenset(random.Random(self.seed).sample(range(total), min(self.count, total)))


class ObjectCheck:
    """Rows, store and spool of one node, compared."""

    def __init__(
        self,
        environment: Environment,
        store: ObjectStore,
        spool: Spool,
        level: Level,
        now_us: int,
        sample: Sample | None = None,
    ) -> None:
        self._env = environment
        self._store = store
        self._spool = spool
        self._level = level
        self._now_us = now_us
        self._sample = sample
        self._segments = SegmentWriter()

    def findings(self, progress: Progress = no_progress) -> Iterator[Finding]:
        """I1 and I2 over everything, or I1 over a sample. Raises StoreError when the store itself is away: absence proves
        nothing then."""
        if self._sample is not None:
            yield from self._sampled(self._sample, progress)
            return
        for seen, (row, stat) in enumerate(paired(rows_of(self._env, self._segments), self._store.list("")), 1):
            if seen % _EVERY == 0:
                progress("objects", seen)
            if row is not None:
                yield from self._row(row, stat)
            elif stat is not None:
                yield from self._unknown(stat)
        yield from self._spool_files()

    def _sampled(self, sample: Sample, progress: Progress) -> Iterator[Finding]:
        """Each chosen row's object is asked for by its name; what no row knows is not looked for."""
        with self._env.read() as txn:
            chosen = sample.of(txn.entries(Table.SEGMENTS))
        seen = 0
        for at, row in enumerate(rows_of(self._env, self._segments)):
            if at in chosen:
                seen += 1
                progress("objects", seen)
                yield from self._row(row, self._store.stat(row.key.object_key) if row.place is Place.STORE else None)

    def _current(self, key: SegmentKey) -> SegmentRow | None:
        with self._env.read() as txn:
            return self._segments.get(txn, key)

    def _row(self, row: SegmentRow, stat: ObjectStat | None) -> Iterator[Finding]:
        """I1 of a committed row, I2 of one that is on its way out, whose object may be gone already."""
        problem = self._problem(row, stat)
        if problem is None:
            return
        # It may have been settled, doomed or erased since the walk read it.
        again = self._current(row.key)
        if again is None:
            return
        problem = self._problem(again, self._store.stat(row.key.object_key))
        if problem is not None:
            invariant = "I1" if again.state is State.COMMITTED else "I2"
            yield Finding(Severity.ERROR, invariant, row.key.camera, (row.key.object_key,), problem)

    def _problem(self, row: SegmentRow, stat: ObjectStat | None) -> str | None:
        if row.state is not State.COMMITTED:
            return None if self._listed(row, Table.DOOMED) else "doomed, and not on the list of what is to be removed"
        if row.place is Place.SPOOL and not self._listed(row, Table.PENDING):
            return "in the spool, and not on the list of what is to be uploaded"
        return self._object_problem(row, stat)

    def _listed(self, row: SegmentRow, table: Table) -> bool:
        with self._env.read() as txn:
            return txn.get(table, (pending_key if table is Table.PENDING else segment_key)(row.key)) is not None

    def _object_problem(self, row: SegmentRow, stat: ObjectStat | None) -> str | None:
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
                with open_segment(self._store, row.key, system_grant("check")) as source:
                    return self._bytes_problem(row, source)
            with self._spool.open_source(row.key, system_grant("check")) as file:
                return self._bytes_problem(row, file)
        except NotFound:
            return f"its bytes are not in the {where}"
        except Unreadable as error:
            # Of a store that gives nothing at all no object is a finding.
            lost = damage(self._store, row.key, error) if row.place is Place.STORE else error
            return f"its bytes in the {where} cannot be read: {lost}"
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

    def _unknown(self, stat: ObjectStat) -> Iterator[Finding]:
        """I2: an object without a row, unless it is on its way in or was erased while we walked; and names that are not ours."""
        if self._now_us - stat.modified_us <= UPLOAD_GRACE_US:
            return
        try:
            key = SegmentKey.parse(stat.key)
        except UsageError:
            if not stat.key.startswith(OURS):
                yield Finding(Severity.WARNING, "I2", None, (stat.key,), "not ours in the store; left alone")
            return
        if self._current(key) is None and self._store.stat(stat.key) is not None:
            yield Finding(
                Severity.ERROR, "I2", key.camera, (stat.key,), "an object that no row knows; `repair orphans` takes it in"
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
            with self._spool.open_source(key, system_grant("check")) as source:
                return self._now_us - source.modified_us > UPLOAD_GRACE_US
        except StreamvaultError:
            return False


def paired(rows: Iterator[SegmentRow], objects: Iterator[ObjectStat]) -> Iterator[tuple[SegmentRow | None, ObjectStat | None]]:
    """Rows and objects, both in the order of their keys: each row with its object, and what has none of the other alone."""
    row, item = next(rows, None), next(objects, None)
    name = "" if row is None else row.key.object_key
    while row is not None or item is not None:
        if item is not None and (row is None or item.key < name):
            yield None, item
            item = next(objects, None)
            continue
        stat = None
        if item is not None and item.key == name:
            stat, item = item, next(objects, None)
        yield row, stat
        row = next(rows, None)
        name = "" if row is None else row.key.object_key


def digest_of(source: ByteSource) -> bytes:
    """BLAKE3 of everything the source has. Raises what reading raises."""
    hasher = blake3(max_threads=1)
    for offset in range(0, source.size, _READ_BYTES):
        hasher.update(source.read(offset, min(_READ_BYTES, source.size - offset)))
    return hasher.digest()
