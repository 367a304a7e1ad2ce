"""Spool files that nobody records into any more: closed by recovery and committed under their old epoch, or dropped.

A file is left alone while the process that writes it lives (it holds the file's lock). Run at start and after every loss of
a worker; each step may be repeated.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from index.catalog import Catalog, RowsRefused
from index.clockwatch import ClockWatch
from index.closed import closed_row
from index.rows import NewRow, Place
from ingest.closer import Keep
from vault.clock import Clock
from vault.config import Config
from vault.errors import NotFound
from vault.grant import system_grant
from vault.ids import CameraNumber, SegmentKey
from vault.logs import Log
from vault.retain import fixed_at_close
from vault.segment.recover import recover
from vault.spool import Spool

log = Log("ingest.adopter")

BATCH = 32


@dataclass(slots=True)
class Adopted:
    """What a round did. `busy`: files whose writer still lives; look again later."""

    committed: list[SegmentKey] = field(default_factory=list)
    emptied: list[SegmentKey] = field(default_factory=list)
    dropped: list[SegmentKey] = field(default_factory=list)
    busy: list[SegmentKey] = field(default_factory=list)
    failed: list[SegmentKey] = field(default_factory=list)


class Adopter:
    """One round at a time; called from the supervisor's own thread for it."""

    def __init__(
        self, spool: Spool, catalog: Catalog, clock: Clock, config: Config, keep_of: Callable[[CameraNumber], Keep]
    ) -> None:
        self._spool = spool
        self._catalog = catalog
        self._clock = clock
        self._zone = config.retention.zone
        self._keep_of = keep_of
        self._watch = ClockWatch(catalog.environment, clock)

    def adopt(self, stop: Callable[[], bool] = lambda: False, *, current: bool = False) -> Adopted:
        """Take in every spool file of an epoch that is over, and drop those that the store has already.

        `current`: files of the epoch in force too; only for when nobody records any more.
        """
        done = Adopted()
        listing = self._spool.scan()
        for odd in listing.odd:
            log.warning("not ours in the spool, left alone", path=odd)
        rows: list[NewRow] = []
        for key in listing.keys:
            if stop():
                break
            try:
                row = self._one(key, done, current)
            except NotFound:
                continue
            except Exception as error:  # one odd file must not keep the others out
                log.error("spool file not adopted, kept as it is", key=key.object_key, error=error)
                done.failed.append(key)
                continue
            if row is not None:
                rows.append(row)
            if len(rows) >= BATCH:
                self._commit(rows, done)
                rows = []
        self._commit(rows, done)
        return done

    def _one(self, key: SegmentKey, done: Adopted, current: bool) -> NewRow | None:
        row = self._catalog.row(key)
        if row is not None:
            if row.place is Place.STORE:
                self._spool.remove(key)
                done.dropped.append(key)
            return None
        if not current and key.epoch >= self._catalog.epoch(key.camera):
            # Somebody records under it, or is about to commit it.
            return None
        fd = self._spool.open_for_repair(key, system_grant("adopt"))
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                done.busy.append(key)
                return None
            new = self._recover(key, done)
            if new is not None and not self._spool.syncs_all_at_once:
                os.fdatasync(fd)
            return new
        finally:
            os.close(fd)

    def _recover(self, key: SegmentKey, done: Adopted) -> NewRow | None:
        if self._catalog.row(key) is not None:
            # Its writer committed it between our look and our lock.
            return None
        path, closed_us, keep = self._spool.path_of(key), self._clock.now_us(), self._keep_of(key.camera)
        believed = self._watch.trusted()
        fix = lambda end_us: fixed_at_close(end_us, closed_us, keep.days, self._zone, believed=believed)  # noqa: E731
        if recover(path, closed_us=closed_us, site_class=keep.site_class, fix=fix) is None:
            self._spool.remove(key)
            done.emptied.append(key)
            return None
        with self._spool.open_source(key, system_grant("adopt")) as source:
            return closed_row(key, source)

    def _commit(self, rows: list[NewRow], done: Adopted) -> None:
        if not rows:
            return
        refused: set[SegmentKey] = set()
        # Its writer may have been killed before its first sync: neither the file's name nor what is whole in it is durable.
        self._spool.sync()
        try:
            self._catalog.commit(rows, adopt=True)
        except RowsRefused as error:
            log.error("adopted segments refused by the index, kept in the spool", error=str(error))
            refused = {key for key, _ in error.reasons}
            done.failed.extend(refused)
        for row in rows:
            if row.key in refused:
                continue
            log.info("segment adopted", key=row.key.object_key, end_us=row.end_us)
            done.committed.append(row.key)
