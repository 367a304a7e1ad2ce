"""The object store: the contract that every store keeps and `tests/vault/store_contract.py` holds it to.

Small on purpose. Retry, limit and measure are wrappers that are stores themselves; what an object means is not known here.

Keys: `a/b/c`, built from typed fields, checked by `check_key`. A key is written once and never reused: putting the same bytes
again is fine (a procedure repeated after a crash), putting others is Damaged and changes nothing. No key is the folder of
another. An object is there whole or not at all, for every reader, whatever dies.
Durability: what a put has returned for survives a power cut. Deleting what is not there is success.
Errors: StoreError (retryable) when the store does not do it, StoreFull when it has no space, NotFound for a missing object,
Damaged for bytes that are not what they should be, UsageError for a key that is none. Never an OSError or a client's own.
Buffers: arguments stay the caller's and are not kept; returned bytes are the caller's.
Threads: every method may be called from any thread, and several processes may use one store.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vault.errors import StreamvaultError, UsageError
from vault.source import OpenSource

MAX_KEY_CHARS = 512
"""Under the 1,024 bytes of S3, with room for a prefix."""

_PART = r"[A-Za-z0-9_=+-][A-Za-z0-9_=+.-]{0,199}"
_KEY = re.compile(rf"{_PART}(?:/{_PART})*")
_PREFIX = re.compile(rf"(?:{_PART}/)*(?:{_PART})?")


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """What a store knows of an object without reading it. `modified_us` is by the store's own clock."""

    key: str
    size_bytes: int
    modified_us: int


@dataclass(frozen=True, slots=True)
class NewObject:
    """A file to put: it is closed and never changes again, since a store may share its bytes.

    `digest`: its BLAKE3 (32 bytes) where known; a store that copies the bytes makes sure that they are these.
    `lock_until_us`: see `ObjectStore.raise_lock`; 0 is no lock.
    """

    key: str
    path: Path
    digest: bytes | None = None
    lock_until_us: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """One object of several that could not be put or deleted; the others went on."""

    key: str
    error: StreamvaultError


Failures = list[Failure]
"""What could not be done, of several; empty when all was. (`list` means something else inside a store.)"""


class ObjectStore(Protocol):
    """See the module for the contract."""

    @property
    def at_once(self) -> int:
        """How many requests at a time are of use: 1 where putting several files together is what saves time."""
        ...

    def put_file(self, key: str, path: Path, *, digest: bytes | None = None, lock_until_us: int = 0) -> None:
        """Put a file; it stays where it is. Raises NotFound when there is no such file, Damaged, StoreError, UsageError."""
        ...

    def put_files(self, files: Sequence[NewObject]) -> Failures:
        """Put several, made durable together, which is cheaper; those not in the answer are there. Raises nothing of its own:
        one bad file never stops the rest."""
        ...

    def put_bytes(self, key: str, data: bytes) -> None:
        """Put a small object. Raises Damaged, StoreError, UsageError."""
        ...

    def raise_lock(self, key: str, until_us: int) -> None:
        """Let nobody delete the object before `until_us`, in a store that holds everyone to that and is configured to; nothing
        is done elsewhere. A later term that is there stays. Raises NotFound, StoreError, UsageError."""
        ...

    def open(self, key: str) -> OpenSource:
        """An object for ranged reads; the caller closes it. Raises NotFound, Damaged, StoreError, UsageError."""
        ...

    def stat(self, key: str) -> ObjectStat | None:
        """None when there is no such object. Raises StoreError, UsageError."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        """All objects whose key begins with `prefix` ("" for all), in the byte order of their keys.

        An object put or deleted meanwhile may be in it or not. Raises StoreError, at any step; UsageError at the first.
        """
        ...

    def delete(self, keys: Iterable[str]) -> Failures:
        """Delete objects; those not in the answer are gone, durably. Raises StoreError when the store itself is away."""
        ...

    def close(self) -> None:
        """Let go of what is held open. Sources handed out stay their callers'."""
        ...


def check_key(key: str) -> str:
    """The key itself. Raises UsageError for one that could leave the store's folder or that some store cannot hold."""
    if len(key) > MAX_KEY_CHARS or not _KEY.fullmatch(key):
        raise UsageError(
            f"{key[:80]!r} is not an object key: 1 to {MAX_KEY_CHARS} letters, digits and _=+.- in parts of at most 200 "
            "between slashes, none beginning with a dot"
        )
    return key


def check_prefix(prefix: str) -> str:
    """The prefix itself: empty, a beginning of a key, or one that ends with a slash. Raises UsageError."""
    if len(prefix) > MAX_KEY_CHARS or not _PREFIX.fullmatch(prefix):
        raise UsageError(f"{prefix[:80]!r} is not the beginning of an object key")
    return prefix


def other_bytes(key: str) -> str:
    """The message for a put of other bytes under a key that is taken."""
    return f"{key}: the store holds other bytes under this key already; they were kept, look at both by hand"


def put_each(store: ObjectStore, files: Sequence[NewObject]) -> Failures:
    """`put_files` for a store in which putting together is not cheaper."""
    failures: Failures = []
    for file in files:
        try:
            store.put_file(file.key, file.path, digest=file.digest, lock_until_us=file.lock_until_us)
        except StreamvaultError as error:
            failures.append(Failure(file.key, error))
    return failures
