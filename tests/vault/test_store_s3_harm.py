"""What a network or a store in trouble does to a request: refused, repeated within bounds, never taken for success."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.certificate import certificate
from tests.support.s3servers import KEYS, Server, key_source, server
from tests.support.stopping import stop
from tests.support.tcpproxy import Proxy, proxy
from tests.vault.store_contract import keys, read_back
from vault.clock import SystemClock
from vault.config import Store
from vault.errors import ConfigError, Damaged, NotFound, Refused, StoreError
from vault.store.accesskey import ENVIRONMENT, KeySource
from vault.store.interface import NewObject
from vault.store.s3 import S3Store
from vault.store.s3features import Checksum, Features
from vault.store.s3http import StoreAway

GOOD = Features(conditional_put=True, checksum=Checksum.CRC32C)
_serial = itertools.count()


@pytest.fixture(scope="module", params=["versitygw", "minio"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.fixture
def settings(running: Server) -> Store:
    return dataclasses.replace(running.settings, prefix=f"h/{next(_serial)}", timeout_seconds=5)


@pytest.fixture
def between(running: Server) -> Iterator[Proxy]:
    with proxy(running.port) as made:
        yield made


@pytest.fixture
def opened() -> Iterator[Callable[..., S3Store]]:
    """Makes stores and closes them."""
    stores: list[S3Store] = []

    def make(settings: Store, features: Features | None = GOOD, keys: KeySource | None = None) -> S3Store:
        stores.append(S3Store(settings, keys or key_source(), SystemClock(), features=features))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def through(settings: Store, between: Proxy) -> Store:
    return dataclasses.replace(settings, endpoint=f"http://127.0.0.1:{between.port}")


def flip(number: int, offset: int, piece: bytes) -> bytes:
    """One bit of the footage in each request that carries it."""
    at = piece.find(b"footage-footage")
    return piece if at < 0 else piece[: at + 3] + bytes([piece[at + 3] ^ 1]) + piece[at + 4 :]


def test_a_byte_that_flips_on_the_way_is_refused_and_nothing_is_stored(
    settings: Store, between: Proxy, opened: Callable[..., S3Store], tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"footage-footage" * 10_000)
    between.up = flip
    store = opened(through(settings, between))
    with pytest.raises(StoreError, match="change on their way") as caught:
        store.put_file("a", tmp_path / "a")
    assert caught.value.retryable
    between.up = lambda number, offset, piece: piece
    assert store.stat("a") is None
    store.put_file("a", tmp_path / "a")
    assert read_back(store, "a") == b"footage-footage" * 10_000


def test_a_byte_that_flips_once_costs_one_repetition(
    settings: Store, between: Proxy, opened: Callable[..., S3Store], tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"footage-footage" * 1000)
    flipped: list[int] = []

    def once(number: int, offset: int, piece: bytes) -> bytes:
        changed = piece if flipped else flip(number, offset, piece)
        if changed != piece:
            flipped.append(number)
        return changed

    between.up = once
    store = opened(through(settings, between))
    store.put_file("a", tmp_path / "a")
    assert flipped
    assert read_back(store, "a") == b"footage-footage" * 1000


@pytest.mark.parametrize("checksum", [Checksum.MD5, Checksum.NONE])
def test_a_flipped_byte_is_found_where_the_store_checks_only_md5_or_nothing(
    settings: Store, between: Proxy, opened: Callable[..., S3Store], checksum: Checksum
) -> None:
    between.up = flip
    store = opened(through(settings, between), Features(conditional_put=True, checksum=checksum))
    with pytest.raises(StoreError):
        store.put_bytes("a", b"footage-footage" * 1000)
    assert store.stat("a") is None


def test_a_put_whose_answer_is_lost_is_found_done(settings: Store, between: Proxy, opened: Callable[..., S3Store]) -> None:
    lost: list[int] = []

    def lose(number: int, offset: int, piece: bytes) -> bytes | None:
        if lost:
            return piece
        lost.append(number)
        return None

    between.down = lose
    store = opened(through(settings, between))
    store.put_bytes("a", b"x" * 100_000)
    assert lost
    assert read_back(store, "a") == b"x" * 100_000
    with pytest.raises(Damaged):
        store.put_bytes("a", b"y" * 100_000)


def test_a_put_cut_off_half_way_leaves_nothing_and_is_repeated(
    settings: Store, between: Proxy, opened: Callable[..., S3Store]
) -> None:
    between.up = lambda number, offset, piece: None if offset > 200_000 else piece
    store = opened(through(settings, between))
    data = os.urandom(3_000_000)
    with pytest.raises(StoreAway):
        store.put_bytes("a", data)
    between.up = lambda number, offset, piece: None if number < between.connections - 1 else piece
    store.put_bytes("a", data)
    assert read_back(store, "a") == data


def test_a_read_that_is_cut_off_is_repeated_or_said(settings: Store, between: Proxy, opened: Callable[..., S3Store]) -> None:
    data = os.urandom(1_000_000)
    opened(settings).put_bytes("a", data)
    store = opened(through(settings, between))
    with store.open("a") as source:
        between.down = lambda number, offset, piece: None if offset > 300_000 else piece
        with pytest.raises(StoreAway):
            source.read(0, 800_000)
        between.down = lambda number, offset, piece: piece
        assert source.read(0, 800_000) == data[:800_000]


def test_a_store_without_conditions_looks_before_it_puts(settings: Store, opened: Callable[..., S3Store]) -> None:
    store = opened(settings, Features(conditional_put=False, checksum=Checksum.CRC32C))
    for _ in range(2):
        store.put_bytes("a", b"first")
    with pytest.raises(Damaged):
        store.put_bytes("a", b"other")
    assert read_back(store, "a") == b"first"


def test_a_frozen_store_costs_its_deadline_and_nothing_is_lost(
    running: Server, settings: Store, opened: Callable[..., S3Store], tmp_path: Path
) -> None:
    store = opened(dataclasses.replace(settings, timeout_seconds=0.5, request_seconds=1, attempts=2))
    files = []
    for name in "abcdefghijklmnopqrst":
        (tmp_path / name).write_bytes(name.encode() * 1000)
        files.append(NewObject(f"s/{name}", tmp_path / name))
    stop(running.process.pid)
    try:
        failures = store.put_files(files)
    finally:
        os.kill(running.process.pid, signal.SIGCONT)
    assert [item.key for item in failures] == [file.key for file in files]
    assert all(isinstance(item.error, StoreAway) and "in time" in str(item.error) for item in failures)
    assert store.put_files(files) == []
    assert keys(store, "s/") == [file.key for file in files]


def test_a_slow_trickle_ends_at_the_deadline(settings: Store, between: Proxy, opened: Callable[..., S3Store]) -> None:
    opened(settings).put_bytes("a", bytes(500_000))
    stop = threading.Event()

    def trickle(number: int, offset: int, piece: bytes) -> bytes | None:
        if offset > 10_000:
            # Slower than the deadline and faster than the silence that ends a connection.
            stop.wait(0.3)
        return piece[:1] if offset > 10_000 else piece

    store = opened(dataclasses.replace(through(settings, between), timeout_seconds=2, request_seconds=2, attempts=1))
    with store.open("a") as source:
        between.down = trickle
        with pytest.raises(StoreAway):
            source.read(0, 300_000)
    stop.set()


def test_what_is_wrong_with_key_or_bucket_is_said_without_the_secret(settings: Store, opened: Callable[..., S3Store]) -> None:
    wrong = KeySource(None, {**KEYS, ENVIRONMENT[1]: "not-the-secret"})
    with pytest.raises(StoreError, match="secret key") as caught:
        opened(settings, None, wrong).put_bytes("a", b"1")
    assert "not-the-secret" not in str(caught.value)
    missing = opened(dataclasses.replace(settings, bucket="nowhere"))
    for step in (
        lambda: missing.put_bytes("a", b"1"),
        lambda: missing.stat("a"),
        lambda: missing.open("a"),
        lambda: keys(missing),
        lambda: missing.delete(["a"]),
    ):
        with pytest.raises(StoreError, match="NoSuchBucket"):
            step()


def test_nobody_there_is_said_so(opened: Callable[..., S3Store]) -> None:
    store = opened(Store(kind="s3", endpoint="http://127.0.0.1:1", bucket="footage", attempts=1))
    with pytest.raises(StoreAway, match=r"127\.0\.0\.1:1/footage is not there"):
        store.stat("a")


def test_a_whole_body_is_signed_where_anyone_could_change_it(
    settings: Store, opened: Callable[..., S3Store], between: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The rule is about the host's address; here the loopback is taken for another machine."""
    monkeypatch.setattr("vault.store.s3client.is_loopback", lambda host: False)
    (tmp_path / "a").write_bytes(b"footage" * 20_000)
    seen: list[bytes] = []

    def look(number: int, offset: int, piece: bytes) -> bytes:
        seen.append(piece)
        return piece

    between.up = look
    opened(through(settings, between)).put_file("a", tmp_path / "a")
    assert b"UNSIGNED-PAYLOAD" not in b"".join(seen)
    seen.clear()
    opened(dataclasses.replace(through(settings, between), unsigned_payload=True)).put_file("b", tmp_path / "a")
    sent = b"".join(seen)
    assert b"UNSIGNED-PAYLOAD" in sent
    signed = next(line for line in sent.split(b"\r\n") if b"SignedHeaders" in line)
    assert b"x-amz-checksum-crc32c" in signed
    assert b"if-none-match" in signed


def test_the_key_may_stand_in_a_file_of_its_owner_and_be_replaced(
    settings: Store, opened: Callable[..., S3Store], tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.write_text("access_key = 'tester'\nsecret_key = 'wrong-one'\n")
    path.chmod(0o644)
    source = KeySource(path)
    with pytest.raises(Refused, match="chmod 600"):
        source.current()
    path.chmod(0o600)
    assert "wrong-one" not in repr(source.current())
    store = opened(settings, GOOD, source)
    with pytest.raises(StoreError):
        store.put_bytes("a", b"1")
    path.write_text(f"access_key = 'tester'\nsecret_key = '{KEYS[ENVIRONMENT[1]]}'\n")
    store.put_bytes("a", b"1")
    assert read_back(store, "a") == b"1"


@pytest.mark.parametrize(
    "text", ["secret_key = 'hush", "secret_key = 'hush'\n", "x = 1", "access_key = 'a b'\nsecret_key = 'hush'"]
)
def test_a_key_file_that_is_none_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        KeySource(path).current()
    assert "hush" not in str(caught.value)


def test_without_any_key_both_ways_to_give_one_are_named() -> None:
    with pytest.raises(ConfigError, match=r"AWS_SECRET_ACCESS_KEY .* store\.credentials_file"):
        KeySource(None, {}).current()
    with pytest.raises(NotFound):
        KeySource(Path("/nowhere/key")).current()


def test_over_tls_the_body_is_not_hashed_and_a_strangers_certificate_is_refused(
    tmp_path: Path, opened: Callable[..., S3Store]
) -> None:
    pem = certificate(tmp_path)
    with server("versitygw", tmp_path / "tls", tls=pem) as running:
        assert running.settings.endpoint.startswith("https://")
        store = opened(running.settings, None)
        store.put_bytes("a", b"footage")
        assert store.features == GOOD
        assert not store.client.hashes_payload
        assert read_back(store, "a") == b"footage"
        with pytest.raises(StoreAway, match="not trusted over TLS"):
            opened(dataclasses.replace(running.settings, tls_ca_file="")).stat("a")
    with pytest.raises(ConfigError, match="no certificates"):
        opened(Store(kind="s3", endpoint="https://127.0.0.1:1", bucket="footage", tls_ca_file=str(tmp_path / "none")))
