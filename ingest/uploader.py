"""W3 and W4: committed segments from the spool into the store, oldest first, and registry objects before any of them."""

from __future__ import annotations

import threading

from index.catalog import Catalog
from index.registry import Registry
from vault.errors import StreamvaultError
from vault.logs import Log
from vault.spool import Spool
from vault.store.interface import NewObject, ObjectStore

log = Log("ingest.uploader")

BATCH = 64
WAIT_SECONDS = 1.0
FIRST_BACKOFF_SECONDS = 1.0
LAST_BACKOFF_SECONDS = 60.0


class Uploader:
    """A thread of the supervisor. Whatever fails stays in the spool and is tried again; nothing is thrown away."""

    def __init__(self, spool: Spool, store: ObjectStore, catalog: Catalog, registry: Registry) -> None:
        self._spool = spool
        self._store = store
        self._catalog = catalog
        self._registry = registry
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uploader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """One more round for what is committed, then the end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        wait = 0.0
        backoff = FIRST_BACKOFF_SECONDS
        while not self._stop.wait(wait):
            try:
                more = self.run_once()
                wait, backoff = (0.0 if more else WAIT_SECONDS), FIRST_BACKOFF_SECONDS
            except StreamvaultError as error:
                log.warning("store does not take what waits in the spool", error=str(error), again_in_s=backoff)
                wait, backoff = backoff, min(LAST_BACKOFF_SECONDS, backoff * 2)
        try:
            while self.run_once():
                pass
        except StreamvaultError as error:
            log.warning("some segments stay in the spool until the next start", error=str(error))

    def run_once(self) -> bool:
        """One batch. True when there may be more. Raises StoreError and whatever the first failed object raised."""
        self._upload_registry()
        rows = self._catalog.pending(BATCH)
        if not rows:
            return False
        objects = [NewObject(row.key.object_key, self._spool.path_of(row.key), row.blake3) for row in rows]
        failures = {failure.key: failure.error for failure in self._store.put_files(objects)}
        put = [row.key for row in rows if row.key.object_key not in failures]
        self._catalog.settle(put)
        for key in put:
            self._spool.remove(key)
        for name, error in failures.items():
            log.warning("segment not put into the store", key=name, error=str(error))
        if failures:
            raise next(iter(failures.values()))
        return len(rows) == BATCH

    def _upload_registry(self) -> None:
        for key in self._registry.pending():
            self._store.put_bytes(key, self._registry.read(key))
            self._registry.drop([key])
