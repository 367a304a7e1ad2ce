"""A thread of the supervisor that raises the terms of objects in a bucket with object lock, after their minimum rose or became known.

Which objects is the list in `index.locks`. The index keeps a segment for its minimum in any case, so this has time: one object
after the other, and what fails stays on the list and is tried again.
"""

from __future__ import annotations

import threading

from index.catalog import Catalog
from index.locks import list_terms
from index.rows import Place, SegmentRow, State
from vault.clock import Clock
from vault.errors import Damaged, NotFound, Refused
from vault.logs import Log
from vault.store.interface import ObjectStore
from vault.timebase import US

log = Log("ingest.relocker")

LIMIT = 100
"""Objects of one step, which are taken off the list together."""

WAIT_US = 10 * US
FIRST_BACKOFF_US = 5 * US
LAST_BACKOFF_US = 60 * US
FIRST_ASIDE_US = 60 * US
LAST_ASIDE_US = 3_600 * US


class Relocker:
    """`start` and `stop`. Where `on` is false it only sees to it that nothing is listed."""

    def __init__(self, store: ObjectStore, catalog: Catalog, clock: Clock, *, on: bool) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._on = on
        self._after = b""
        self._aside: dict[bytes, tuple[int, int]] = {}
        """Of objects that were refused: not before when, and after which pause."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relocker", daemon=True)

    def start(self) -> None:
        list_terms(self._catalog.environment, self._on)
        if self._on:
            self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs, where it is to."""
        return not self._on or self._thread.is_alive()

    def stop(self, seconds: float) -> None:
        """End after the object at hand; the next start goes on with the list."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=seconds)

    def _run(self) -> None:
        wait_us = backoff_us = 0
        while not self._stop.wait(wait_us / US):
            try:
                wait_us = 0 if self.run_once() else WAIT_US
                backoff_us = 0
            except Exception as error:  # the next round repeats it; a thread that is gone repeats nothing
                log.warning("object locks wait", error=error)
                wait_us = backoff_us = min(LAST_BACKOFF_US, max(FIRST_BACKOFF_US, backoff_us * 2))

    def run_once(self, limit: int = LIMIT) -> bool:
        """The next objects of the list. True when more follow; False at its end, and the next call begins anew.

        Raises what the index raises, and StoreError: then the next call goes on behind the object that it was about, so that
        one that the store never answers for holds up no other.
        """
        found = self._catalog.owed_terms(self._after, limit)
        done: dict[bytes, int] = {}
        try:
            for raw_key, row in found:
                if self._stop.is_set():
                    return False
                self._after = raw_key
                if row is None or row.state is State.DELETING:
                    done[raw_key] = 0 if row is None else row.min_until_us
                    self._aside.pop(raw_key, None)
                elif self._is_due(raw_key, row) and self._raise(raw_key, row):
                    done[raw_key] = row.min_until_us
        finally:
            if done:
                self._catalog.pay_terms(done)
        if len(found) < limit:
            self._after = b""
        return len(found) == limit

    def _is_due(self, raw_key: bytes, row: SegmentRow) -> bool:
        """What is in the spool only gets a term with its put, and afterwards its turn here, since that may have begun with the
        old one. Footage that ends after now was recorded by a wrong clock: see `ingest.uploader`."""
        if row.place is not Place.STORE or row.state is not State.COMMITTED or not row.min_until_us:
            return False
        not_before_us, _ = self._aside.get(raw_key, (0, 0))
        return row.end_us <= self._clock.now_us() and self._clock.mono_us() >= not_before_us

    def _raise(self, raw_key: bytes, row: SegmentRow) -> bool:
        """Whether the object has the term now. Raises StoreError."""
        key = row.key.object_key
        try:
            self._store.raise_lock(key, row.min_until_us)
        except (NotFound, Refused, Damaged) as error:
            _, pause_us = self._aside.get(raw_key, (0, 0))
            pause_us = min(LAST_ASIDE_US, max(FIRST_ASIDE_US, pause_us * 2))
            self._aside[raw_key] = (self._clock.mono_us() + pause_us, pause_us)
            log.warning("object lock not raised", key=key, error=str(error), again_in_s=pause_us // US)
            return False
        self._aside.pop(raw_key, None)
        return True
