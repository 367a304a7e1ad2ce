"""A bucket on a disk without a free block: what it says to a put, and that whoever sees it for the first time then can delete."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from minio.versioningconfig import ENABLED, VersioningConfig

from tests.support.disks import power_cut_disk
from tests.support.s3servers import Server, key_source, server
from vault.clock import SystemClock
from vault.errors import StoreError, StoreFull
from vault.store.s3 import S3Store

DISK_BYTES = 48 << 20
KEYS = [f"segments/c0000000001/2026-11-30/{number}.mp4" for number in range(4)]


@dataclasses.dataclass(frozen=True)
class Full:
    running: Server
    disk: Path

    @contextlib.contextmanager
    def store(self) -> Iterator[S3Store]:
        """Opened anew: nothing is known of what the bucket does."""
        settings = dataclasses.replace(self.running.settings, attempts=2)
        with contextlib.closing(S3Store(settings, key_source(), SystemClock())) as store:
            yield store

    def fill(self) -> None:
        with (self.disk / "filler").open("ab", buffering=0) as file:
            for size in (1 << 20, 64 << 10, 1 << 10):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass


@pytest.fixture(params=["versitygw", "versitygw with versions", "minio", "minio with versions"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Full]:
    program, _, versions = request.param.partition(" ")
    with power_cut_disk(tmp_path, DISK_BYTES) as disk:
        kept = disk.path / "versions"
        kept.mkdir()
        arguments = ("--versioning-dir", str(kept)) if versions and program == "versitygw" else ()
        folder, data = tmp_path / "server", disk.path / "objects"
        with server(program, folder, data=data, lock=bool(versions), arguments=arguments) as running:
            yield Full(running, disk.path)


def test_a_full_bucket_says_so_and_lets_go_of_what_is_deleted(full: Full, tmp_path: Path) -> None:
    footage = tmp_path / "footage"
    footage.write_bytes(os.urandom(1 << 20))
    with full.store() as store:
        for key in KEYS[:3]:
            store.put_file(key, footage)
        full.fill()
        with pytest.raises(StoreFull, match="free some space"):
            store.put_file(KEYS[3], footage)
        assert {item.key for item in store.list("segments/")} == {*KEYS[:3]}
    with full.store() as fresh:
        with pytest.raises(StoreError):
            fresh.put_file(KEYS[3], footage)
        assert fresh.delete(KEYS[:2]) == []
        assert {item.key for item in fresh.list("segments/")} == {KEYS[2]}
        for key in KEYS[:2]:
            assert [version for version in fresh.client.versions(key) if version != "null"] == []
    (full.disk / "filler").unlink()
    with full.store() as fresh:
        fresh.put_file(KEYS[3], footage)
        assert fresh.delete(KEYS) == []
        assert list(fresh.list("segments/")) == []


@pytest.mark.parametrize("full", ["minio"], indirect=True)
def test_what_was_put_before_a_bucket_kept_versions_is_gone_and_not_hidden(full: Full, tmp_path: Path) -> None:
    footage = tmp_path / "footage"
    footage.write_bytes(os.urandom(1 << 20))
    with full.store() as store:
        store.put_file(KEYS[0], footage)
        store.client._minio.set_bucket_versioning(store.client.bucket, VersioningConfig(ENABLED))
    full.fill()
    with full.store() as fresh:
        assert fresh.delete(KEYS[:1]) == []
        assert list(fresh.client.versions(KEYS[0])) == []
