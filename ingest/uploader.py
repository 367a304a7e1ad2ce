"""W3 and W4: committed segments from the spool into the store, oldest first, and registry objects before any of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from index.catalog import Catalog
from index.registry import Registry
from index.rows import SegmentRow
from vault.clock import Clock
from vault.errors import StreamvaultError
from vault.logs import Log
from vault.spool import Spool
from vault.store.interface import NewObject, ObjectStore
from vault.timebase import US

log = Log("ingest.uploader")

BATCH = 64
WAIT_US = US
FIRST_BACKOFF_US = US
LAST_BACKOFF_US = 60 * US
"""For the store as a whole, and for an object that it refuses for a reason that may pass."""

LAST_BAD_BACKOFF_US = 600 * US
"""For an object that is not what it should be: somebody has to look at it."""


@dataclass(frozen=True, slots=True)
class _Aside:
    """An object that the store did not take: when it is tried again, and how long to wait after that."""

    due_us: int
    backoff_us: int


class Uploader:
    """A thread of the supervisor. Whatever fails stays in the spool and is tried again; nothing is thrown away.

    An object that the store does not take is put aside for a while, longer each time, and the others go on. When nothing of a
    batch is taken, everything waits for a while.
    """

    def __init__(self, spool: Spool, store: ObjectStore, catalog: Catalog, registry: Registry, clock: Clock) -> None:
        self._spool = spool
        self._store = store
        self._catalog = catalog
        self._registry = registry
        self._clock = clock
        self._aside: dict[str, _Aside] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uploader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, seconds: float = 60) -> None:
        """One more round for what is committed, then the end; a store that hangs is left after that long."""
        self._stop.set()
        self._thread.join(timeout=seconds)
        if self._thread.is_alive():
            log.error("store does not answer; what waits in the spool goes there after the next start")

    def _run(self) -> None:
        wait_us = backoff_us = 0
        while not self._stop.wait(wait_us / US):
            more = self._round()
            backoff_us = min(LAST_BACKOFF_US, max(FIRST_BACKOFF_US, backoff_us * 2)) if more is None else 0
            wait_us = 0 if more else backoff_us or WAIT_US
        while self._round():
            pass

    def _round(self) -> bool | None:
        """`run_once`, whose errors end here. True when there may be more to do at once, None when nothing could be done."""
        try:
            return self.run_once()
        except StreamvaultError as error:
            log.warning("segments wait in the spool", error=str(error))
        except Exception as error:  # the next round repeats it; a thread that is gone repeats nothing
            log.error("segments wait in the spool", error=str(error), trace=error)
        return None

    def run_once(self) -> bool:
        """One batch. True when there may be more.

        Raises StoreError and what the index raises; and when the store took nothing of a batch, the first reason it gave.
        """
        self._upload_registry()
        now_us = self._clock.mono_us()
        waiting = self._catalog.pending(len(self._aside) + BATCH)
        rows = [row for row in waiting if self._is_due(row, now_us)][:BATCH]
        if not rows:
            return False
        objects = [NewObject(row.key.object_key, self._spool.path_of(row.key), row.blake3) for row in rows]
        failures = {failure.key: failure.error for failure in self._store.put_files(objects)}
        for name, error in failures.items():
            self._put_aside(name, error, now_us)
        put = [row.key for row in rows if row.key.object_key not in failures]
        if not put:
            raise next(iter(failures.values()))
        self._catalog.settle(put)
        for key in put:
            self._aside.pop(key.object_key, None)
            self._spool.remove(key)
        return len(rows) == BATCH

    def _is_due(self, row: SegmentRow, now_us: int) -> bool:
        aside = self._aside.get(row.key.object_key)
        return aside is None or aside.due_us <= now_us

    def _put_aside(self, name: str, error: StreamvaultError, now_us: int) -> None:
        before = self._aside.get(name)
        last_us = LAST_BACKOFF_US if error.retryable else LAST_BAD_BACKOFF_US
        backoff_us = FIRST_BACKOFF_US if before is None else min(last_us, before.backoff_us * 2)
        self._aside[name] = _Aside(now_us + backoff_us, backoff_us)
        log.warning("segment not put into the store", key=name, error=str(error), again_in_s=backoff_us // US)

    def _upload_registry(self) -> None:
        for key in self._registry.pending():
            self._store.put_bytes(key, self._registry.read(key))
            self._registry.drop([key])
