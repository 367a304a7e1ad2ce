"""The store that the configuration names. The only place that knows every kind; what a store does is each one's own."""

from __future__ import annotations

import dataclasses
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vault.clock import Clock
from vault.config import Store
from vault.errors import StoreError, UsageError
from vault.store.accesskey import KeySource
from vault.store.interface import ObjectStore
from vault.store.local import LocalStore

if TYPE_CHECKING:
    from vault.store.s3 import S3Store


def open_store(folder: Path, settings: Store, clock: Clock) -> ObjectStore:
    """The store of the data folder `folder`; the caller closes it. A bucket is not asked anything yet.

    Raises ConfigError, StoreError.
    """
    if settings.kind == "s3":
        return open_bucket(folder, settings, clock)
    return LocalStore(folder / settings.path)


def open_bucket(folder: Path, settings: Store, clock: Clock) -> S3Store:
    """The bucket; paths in the configuration that are relative lie in the data folder. Raises ConfigError, and UsageError for a
    store of another kind."""
    # Imported here: a node with a local store needs no HTTP, and starts sooner without.
    from vault.store.s3 import S3Store

    if settings.kind != "s3":
        raise UsageError(f"store.kind is {settings.kind!r}: only a bucket can be asked what it does")
    ca_file = str(folder / settings.tls_ca_file) if settings.tls_ca_file else ""
    key_file = folder / settings.credentials_file if settings.credentials_file else None
    return S3Store(dataclasses.replace(settings, tls_ca_file=ca_file), KeySource(key_file), clock)


def refuse_pretended_lock(folder: Path, settings: Store, clock: Clock) -> None:
    """Raises Refused where a lock is asked for that the bucket does not keep. One that is away is asked before its first put."""
    if settings.kind == "s3" and settings.object_lock != "off":
        with closing(open_bucket(folder, settings, clock)) as bucket, suppress(StoreError):
            _ = bucket.features
