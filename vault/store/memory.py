"""A store in memory: for tests and for what need not outlive the process. It keeps the contract but for durability."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vault.clock import Clock, SystemClock
from vault.digest import bytes_digest
from vault.errors import Damaged, NotFound, StreamvaultError
from vault.source import BytesSource, FileSource, OpenSource
from vault.store.interface import Failure, Failures, NewObject, ObjectStat, check_key, check_prefix, other_bytes, put_each


class MemoryStore:
    """Objects as bytes in a dictionary under one lock."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[bytes, int]] = {}

    @property
    def at_once(self) -> int:
        return 1

    def put_file(self, key: str, path: Path, *, digest: bytes | None = None, lock_until_us: int = 0) -> None:
        check_key(key)
        with FileSource(path) as source:
            data = source.read(0, source.size)
        if digest is not None and bytes_digest(data) != digest:
            raise Damaged(f"{key}: {path} does not have the hash it should have; it was not stored")
        self.put_bytes(key, data)

    def put_files(self, files: Sequence[NewObject]) -> Failures:
        return put_each(self, files)

    def put_bytes(self, key: str, data: bytes) -> None:
        check_key(key)
        with self._lock:
            known = self._objects.get(key)
            if known is None:
                self._objects[key] = (bytes(data), self._clock.now_us())
            elif known[0] != data:
                raise Damaged(other_bytes(key))

    def raise_lock(self, key: str, until_us: int) -> None:
        check_key(key)

    def open(self, key: str) -> OpenSource:
        check_key(key)
        with self._lock:
            found = self._objects.get(key)
        if found is None:
            raise NotFound(f"{key}: no such object in the store")
        return BytesSource(found[0], key)

    def stat(self, key: str) -> ObjectStat | None:
        check_key(key)
        with self._lock:
            found = self._objects.get(key)
        return ObjectStat(key, len(found[0]), found[1]) if found else None

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        check_prefix(prefix)
        with self._lock:
            found = [ObjectStat(key, len(data), at) for key, (data, at) in self._objects.items() if key.startswith(prefix)]
        yield from sorted(found, key=lambda item: item.key)

    def delete(self, keys: Iterable[str]) -> Failures:
        failures: Failures = []
        for key in keys:
            try:
                check_key(key)
            except StreamvaultError as error:
                failures.append(Failure(key, error))
                continue
            with self._lock:
                self._objects.pop(key, None)
        return failures

    def close(self) -> None:
        """Nothing is held open; the objects stay."""
