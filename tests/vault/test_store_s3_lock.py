"""Object lock on real servers: set with the put, raised, never lowered, and refused by name where it is only pretended."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.s3servers import KEYS, Server, expected, key_source, server, term
from vault.clock import SystemClock
from vault.config import Store
from vault.errors import ConfigError, NotFound, Refused, StoreError
from vault.store.choose import open_store, refuse_pretended_lock
from vault.store.interface import NewObject
from vault.store.s3 import S3Store
from vault.store.s3lock import LONGEST_US, SOON_US
from vault.timebase import US

DAY_US = 86_400 * US
_serial = itertools.count()


@pytest.fixture(scope="module", params=["versitygw", "minio"])
def locking(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(request.param)
    versions = folder / "versions"
    versions.mkdir()
    arguments = ("--versioning-dir", str(versions)) if request.param == "versitygw" else ()
    with server(request.param, folder, lock=True, arguments=arguments) as found:
        yield found


@pytest.fixture
def store(locking: Server) -> Iterator[S3Store]:
    settings = dataclasses.replace(locking.settings, prefix=f"lock/{next(_serial)}", object_lock="governance")
    with closing(S3Store(settings, key_source(), SystemClock())) as made:
        yield made


def in_days(days: float) -> int:
    return SystemClock().now_us() // US * US + round(days * DAY_US)


def put(store: S3Store, path: Path, until_us: int) -> None:
    path.write_bytes(b"footage")
    assert store.put_files([NewObject("a", path, None, until_us)]) == []


def test_an_object_cannot_be_deleted_before_its_term_and_the_term_only_grows(store: S3Store, tmp_path: Path) -> None:
    first = in_days(30)
    put(store, tmp_path / "a", first)
    assert term(store, "a") == expected(first)
    [failure] = store.delete(["a"])
    assert isinstance(failure.error, StoreError)
    assert store.stat("a")
    store.raise_lock("a", in_days(90))
    assert term(store, "a") == expected(in_days(90))
    store.raise_lock("a", first)
    store.raise_lock("a", 0)
    put(store, tmp_path / "a", first)
    assert term(store, "a")[:21] == expected(in_days(90))[:21]


def test_without_a_known_term_nothing_is_locked_until_it_is_known(store: S3Store, tmp_path: Path) -> None:
    put(store, tmp_path / "a", 0)
    assert term(store, "a") == ""
    until_us = in_days(30)
    # The same put again, since its row was not settled, or the raising of what was unknown.
    put(store, tmp_path / "a", until_us)
    assert term(store, "a") == expected(until_us)
    with pytest.raises(NotFound):
        store.raise_lock("b", until_us)


def test_a_term_that_is_over_or_of_a_wrong_clock_keeps_no_footage_out_and_locks_nothing(store: S3Store, tmp_path: Path) -> None:
    put(store, tmp_path / "a", SystemClock().now_us() + SOON_US - US)
    assert term(store, "a") == ""
    assert store.delete(["a"]) == []
    put(store, tmp_path / "a", SystemClock().now_us() + LONGEST_US + DAY_US)
    assert term(store, "a") == ""
    with pytest.raises(Refused, match="a clock was wrong"):
        store.raise_lock("a", SystemClock().now_us() + LONGEST_US + DAY_US)


def test_compliance_is_what_the_configuration_says(locking: Server, tmp_path: Path) -> None:
    settings = dataclasses.replace(locking.settings, prefix=f"lock/{next(_serial)}", object_lock="compliance")
    with closing(S3Store(settings, key_source(), SystemClock())) as store:
        put(store, tmp_path / "a", in_days(1))
        assert term(store, "a").startswith("COMPLIANCE")


def test_without_being_asked_for_nothing_is_locked(locking: Server, tmp_path: Path) -> None:
    settings = dataclasses.replace(locking.settings, prefix=f"lock/{next(_serial)}")
    with closing(S3Store(settings, key_source(), SystemClock())) as store:
        put(store, tmp_path / "a", in_days(30))
        store.raise_lock("a", in_days(30))
        assert term(store, "a") == ""


@pytest.mark.parametrize(("program", "does"), [("rclone", "only pretends to have it"), ("versitygw", "does not have it")])
def test_a_lock_that_the_bucket_does_not_keep_is_refused_by_name_at_start(
    tmp_path: Path, program: str, does: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with server(program, tmp_path / "server") as running:
        settings = dataclasses.replace(running.settings, object_lock="governance", attempts=1, timeout_seconds=5)
        with pytest.raises(Refused, match=f"object lock is asked for, and the store .* {does}"):
            refuse_pretended_lock(tmp_path, settings, SystemClock())
        # Nor is anything put that was to be locked.
        with closing(open_store(tmp_path, settings, SystemClock())) as store, pytest.raises(Refused):
            store.put_bytes("a", b"1")
    # A store that is away is no reason not to record.
    refuse_pretended_lock(tmp_path, settings, SystemClock())


def test_a_local_store_cannot_be_asked_to_lock(tmp_path: Path) -> None:
    from vault.config import load

    (tmp_path / "c.toml").write_text('[store]\nobject_lock = "governance"\n')
    with pytest.raises(ConfigError, match="object_lock"):
        load(tmp_path / "c.toml")
    refuse_pretended_lock(tmp_path, Store(), SystemClock())
