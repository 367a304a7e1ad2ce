"""A store that is used only while it is the one its index belongs to: a small marker object in it says so.

A mount that is missing, a bucket that was emptied or swapped for another: without the marker nothing is read, put or deleted, and
each call says why. Recording goes on into the spool, since a put that fails is tried again. How an index keeps its half of the
bond belongs to the index.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from vault.clock import Clock
from vault.errors import Damaged, NotFound, StoreError, StoreMoved, StreamvaultError, UsageError
from vault.source import OpenSource
from vault.store.interface import Failure, Failures, NewObject, ObjectStat, ObjectStore
from vault.timebase import US

MARKER = "marker/store.json"
FORMAT = 1
TRUST_US = 10 * US
"""How long a look at the marker is good for; deleting looks anew each time."""

MAX_MARKER_BYTES = 1024
_ID = re.compile(r"[0-9a-f]{32}")


class Bond(Protocol):
    """The index's half."""

    def store_id(self) -> str | None:
        """The id of the store this index belongs to; None when it never had one."""
        ...

    def bind(self, store_id: str) -> str:
        """Note the id durably, unless there is one already; returns the one that holds."""
        ...

    def expects_objects(self) -> bool:
        """Whether the index names anything as being in the store."""
        ...


class BoundStore:
    """The contract of `vault.store.interface`; every call may also raise StoreError for a store that is not this index's."""

    def __init__(self, opener: Callable[[], ObjectStore], bond: Bond, clock: Clock) -> None:
        """`opener` is called at the first use, again after it has raised, and when the store has moved: one that is away stops
        nothing else, and one that came back is used again."""
        self._opener = opener
        self._bond = bond
        self._clock = clock
        self._lock = threading.Lock()
        self._inner: ObjectStore | None = None
        self._left: list[ObjectStore] = []
        self._trusted_until_us: int | None = None
        self._looks = 0
        self._why_not: StreamvaultError | None = None

    def close(self) -> None:
        with self._lock:
            for store in (*self._left, *([] if self._inner is None else [self._inner])):
                store.close()

    @property
    def at_once(self) -> int:
        if self._inner is None:
            try:
                with self._lock:
                    return self._opened().at_once
            except StreamvaultError:
                return 1
        return self._inner.at_once

    def put_file(self, key: str, path: Path, *, digest: bytes | None = None, lock_until_us: int = 0) -> None:
        self._store(key).put_file(key, path, digest=digest, lock_until_us=lock_until_us)

    def put_files(self, files: Sequence[NewObject]) -> Failures:
        try:
            return self._store(*(file.key for file in files)).put_files(files)
        except StreamvaultError as error:
            return [Failure(file.key, error) for file in files]

    def put_bytes(self, key: str, data: bytes) -> None:
        self._store(key).put_bytes(key, data)

    def raise_lock(self, key: str, until_us: int) -> None:
        self._store(key).raise_lock(key, until_us)

    def open(self, key: str) -> OpenSource:
        return self._store(key).open(key)

    def stat(self, key: str) -> ObjectStat | None:
        return self._store(key).stat(key)

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        for item in self._store().list(prefix):
            if item.key != MARKER:
                yield item

    def delete(self, keys: Iterable[str]) -> Failures:
        wanted = [*keys]
        return self._store(*wanted, anew=True).delete(wanted)

    def _store(self, *keys: str, anew: bool = False) -> ObjectStore:
        """The store, looked at. Raises StoreError, UsageError for the marker's own key."""
        if MARKER in keys:
            raise UsageError(f"{MARKER} is the store's own marker and no object of anybody's")
        looks = self._looks
        with self._lock:
            now_us = self._clock.mono_us()
            if not anew and self._trusted_until_us is not None and now_us < self._trusted_until_us:
                return self._opened()
            if self._looks != looks and self._why_not is not None:
                # Somebody looked while this thread waited: with a store that does not answer, each look takes its deadline.
                raise type(self._why_not)(str(self._why_not)) from self._why_not
            self._trusted_until_us = None
            try:
                inner = self._opened()
                try:
                    self._look(inner)
                except StoreMoved:
                    inner = self._reopened()
                self._why_not = None
            except StreamvaultError as error:
                self._why_not = error
                raise
            finally:
                self._looks += 1
            self._trusted_until_us = now_us + TRUST_US
            return inner

    def _opened(self) -> ObjectStore:
        if self._inner is None:
            self._inner = self._opener()
        return self._inner

    def _reopened(self) -> ObjectStore:
        """The store as it stands now, if it is this index's. The old one stays open: another thread may be using it."""
        fresh = self._opener()
        try:
            self._look(fresh)
        except BaseException:
            fresh.close()
            raise
        if self._inner is not None:
            self._left.append(self._inner)
        self._inner = fresh
        return fresh

    def _look(self, store: ObjectStore) -> None:
        mine, its = self._bond.store_id(), marker_of(store)
        if its is None:
            self._may_mark(store, mine)
            mine = self._bond.bind(mine or secrets.token_hex(16))
            try:
                store.put_bytes(MARKER, marker(mine))
            except Damaged:
                its = marker_of(store)
            else:
                its = mine
        if its != mine:
            raise StoreError(
                f"the store holds the footage of another index (its id is {its}, this index's is {mine or 'none yet'}): nothing is "
                "read, put or deleted there; correct [store], or run `streamvault index rebuild` to take this store over"
            )

    def _may_mark(self, store: ObjectStore, mine: str | None) -> None:
        """Whether a store without a marker may become this index's: a new one, or one from before there were markers."""
        if not self._bond.expects_objects():
            return
        if mine is None and next(iter(store.list("segments/")), None) is not None:
            return
        raise StoreError(
            "the store has no marker, and the index knows of footage in it: it is empty or another one (is its file system mounted? "
            "is it the right bucket?); nothing is read, put or deleted there, and recording goes on into the spool"
        )


def marker(store_id: str) -> bytes:
    """The marker object: canonical JSON."""
    return json.dumps({"format": FORMAT, "store": store_id}, separators=(",", ":"), sort_keys=True).encode()


def marker_of(store: ObjectStore) -> str | None:
    """The id in a store's marker, None when there is none. Raises Damaged for a marker that is none, StoreError."""
    try:
        with store.open(MARKER) as source:
            raw = source.read(0, min(source.size, MAX_MARKER_BYTES + 1))
    except NotFound:
        return None
    try:
        whole = json.loads(raw)
        found = whole["store"]
        if whole["format"] != FORMAT or not isinstance(found, str) or not _ID.fullmatch(found):
            raise ValueError("not format 1")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(
            f"{MARKER}: is not a marker that this program can read; another program wrote here, look at it"
        ) from error
    return found
