"""What a store does to an uploader, each really done to MinIO: killed, frozen, slow, answering 503, cutting a put half-way, losing
the answer of a put that worked, sending wrong bytes, refusing the key. Nothing is lost, the spool drains, hashes hold."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from index.alarms import Alarms
from index.bond import IndexBond
from index.cameras import Cameras, NewCamera
from index.check_objects import Level, ObjectCheck
from index.rows import Place
from index.sites import Sites
from ingest import turns
from ingest.uploader import Uploader
from tests.support.index_vault import Vault, closed_segment, open_vault, row_of
from tests.support.node import wait_until
from tests.support.s3servers import KEYS, Server, server
from tests.support.stopping import stop
from tests.support.tcpproxy import Proxy, proxy
from vault.clock import SystemClock
from vault.digest import bytes_digest
from vault.ids import CameraNumber, SegmentKey
from vault.store.accesskey import ENVIRONMENT, KeySource
from vault.store.bound import BoundStore
from vault.store.interface import ObjectStore
from vault.store.s3 import S3Store
from vault.timebase import US

START_US = 1_795_000_000_000_000
CAMERAS, SEGMENTS = 20, 6
"""Twenty cameras, their outage short: what an hour does to them is `benchmarks/soak_outage.py`'s."""

_serial = itertools.count()


@pytest.fixture(scope="module")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server("minio", tmp_path_factory.mktemp("minio")) as running:
        yield running


@dataclass
class Yard:
    """A vault with a running uploader, a proxy between it and the bucket, and what was committed."""

    vault: Vault
    store: ObjectStore
    direct: S3Store
    between: Proxy
    key_file: Path
    keys: list[SegmentKey]
    digests: dict[SegmentKey, bytes]

    def commit(self, count: int = SEGMENTS) -> list[SegmentKey]:
        """That many more segments of each camera."""
        made: list[SegmentKey] = []
        rows = []
        first = len(self.keys) // CAMERAS
        for number, camera in itertools.product(range(first, first + count), range(1, CAMERAS + 1)):
            key = SegmentKey(CameraNumber(camera), START_US + number * US, 1, number)
            data = closed_segment(key)
            fd = self.vault.spool.create(key)
            os.write(fd, data)
            os.close(fd)
            rows.append(row_of(data))
            self.digests[key] = bytes_digest(data)
            made.append(key)
        self.vault.catalog.commit(rows, adopt=True)
        self.keys += made
        return made

    def stored(self) -> set[str]:
        return {item.key for item in self.direct.list("segments/")}

    def waiting(self) -> list[SegmentKey]:
        return self.vault.spool.list_keys()

    def alarms(self) -> dict[str, str]:
        return {alarm.kind: alarm.message for alarm in Alarms(self.vault.environment).lasting()}

    def drained(self) -> None:
        """All is in the bucket, as it was recorded, and nowhere else."""
        wait_until(lambda: not self.waiting() and not self.alarms(), 60, f"an empty spool; {self.alarms()}")
        assert self.stored() == {key.object_key for key in self.keys}
        for key in self.keys:
            row = self.vault.catalog.row(key)
            assert row is not None
            assert row.place is Place.STORE
            with self.direct.open(key.object_key) as source:
                assert bytes_digest(source.read(0, source.size)) == self.digests[key] == row.blake3


@contextmanager
def _yard(minio: Server, tmp_path: Path) -> Iterator[Yard]:
    with ExitStack() as stack:
        vault = stack.enter_context(open_vault(tmp_path, START_US))
        between = stack.enter_context(proxy(minio.port))
        key_file = tmp_path / "key"
        write_key(key_file, KEYS[ENVIRONMENT[1]])
        settings = dataclasses.replace(
            minio.settings, prefix=f"t/{next(_serial)}", timeout_seconds=0.5, request_seconds=2, attempts=2
        )
        direct = S3Store(settings, KeySource(None, KEYS), SystemClock())
        stack.callback(direct.close)
        through = dataclasses.replace(settings, endpoint=f"http://127.0.0.1:{between.port}")
        store = BoundStore(
            lambda: S3Store(through, KeySource(key_file), SystemClock()), IndexBond(vault.environment), SystemClock()
        )
        stack.callback(store.close)
        vault.catalog.raise_epochs([CameraNumber(number) for number in range(1, CAMERAS + 1)])
        uploader = Uploader(vault.spool, store, vault.catalog, vault.registry, SystemClock())
        uploader.start()
        stack.callback(uploader.stop, 20)
        yield Yard(vault, store, direct, between, key_file, [], {})


@pytest.fixture
def yard(minio: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    monkeypatch.setattr(turns, "LAST_STORE_BACKOFF_US", US // 2)
    monkeypatch.setattr(turns, "FIRST_BACKOFF_US", US // 10)
    with _yard(minio, tmp_path) as made:
        made.commit(1)
        made.drained()
        yield made


def write_key(path: Path, secret: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(f"access_key = '{KEYS[ENVIRONMENT[0]]}'\nsecret_key = '{secret}'\n")
    new.chmod(0o600)
    new.replace(path)


def is_put(piece: bytes) -> bool:
    return piece.startswith(b"PUT ") and b"/segments/" in piece


Answer503 = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def answer_503(number: int, offset: int, piece: bytes) -> bytes:
    return Answer503


def cut_puts(number: int, offset: int, piece: bytes) -> bytes | None:
    return None if is_put(piece) else piece


def slow(number: int, offset: int, piece: bytes) -> bytes:
    time.sleep(0.05)
    return piece


@pytest.mark.parametrize(
    ("up", "down"), [(None, answer_503), (lambda *_: None, None), (cut_puts, None)], ids=["503", "nobody there", "cut off"]
)
def test_while_the_store_takes_nothing_the_spool_holds_and_it_drains_afterwards(
    yard: Yard, up: Callable[..., bytes | None] | None, down: Callable[..., bytes | None] | None
) -> None:
    healthy = yard.between.up, yard.between.down
    yard.between.up, yard.between.down = up or healthy[0], down or healthy[1]
    made = yard.commit()
    wait_until(lambda: "store away" in yard.alarms(), 30, "an alarm")
    # A site and a camera of that time get there too, and before the footage.
    Sites(yard.vault.registry).ensure_default()
    Cameras(yard.vault.registry).add(NewCamera("cam-new", "rtsp://192.0.2.1/"))
    assert set(yard.waiting()) == set(made)
    order: list[str] = []

    def listen(number: int, offset: int, piece: bytes) -> bytes:
        if piece.startswith(b"PUT "):
            order.append("registry" if b"/registry/" in piece[:300] else "segments" if b"/segments/" in piece[:300] else "")
        return piece

    yard.between.up, yard.between.down = listen, healthy[1]
    yard.drained()
    assert not yard.vault.registry.pending()
    assert len([*yard.direct.list("registry/")]) == 2
    kinds = [kind for kind in order if kind]
    # Those that were handed out when it came back may have been under way.
    assert kinds.index("registry") <= kinds.index("segments") + yard.store.at_once


def test_a_store_that_loses_the_answers_of_puts_that_worked_gets_each_once(yard: Yard) -> None:
    lost: set[int] = set()
    putting: set[int] = set()

    def note(number: int, offset: int, piece: bytes) -> bytes:
        if is_put(piece):
            putting.add(number)
        return piece

    def lose(number: int, offset: int, piece: bytes) -> bytes | None:
        if number in putting and len(lost) < 30:
            lost.add(number)
            return None
        return piece

    yard.between.up, yard.between.down = note, lose
    yard.commit()
    yard.drained()
    assert len(lost) >= 10


def test_a_slow_store_is_waited_for(yard: Yard) -> None:
    yard.between.up = slow
    yard.commit(2)
    yard.drained()


def test_a_frozen_store_costs_time_alone(yard: Yard, minio: Server) -> None:
    stop(minio.process.pid)
    try:
        made = yard.commit(2)
        wait_until(lambda: "store away" in yard.alarms(), 60, "an alarm")
        assert set(yard.waiting()) == set(made)
    finally:
        os.kill(minio.process.pid, signal.SIGCONT)
    yard.drained()


def test_a_key_that_is_not_good_any_more_is_replaced_without_a_new_start(yard: Yard) -> None:
    write_key(yard.key_file, "was-changed-on-the-server")
    yard.commit(1)
    wait_until(lambda: "store away" in yard.alarms(), 30, "an alarm")
    assert "secret key" in yard.alarms()["store away"]
    assert "was-changed" not in json.dumps(yard.alarms())
    write_key(yard.key_file, KEYS[ENVIRONMENT[1]])
    yard.drained()


def test_wrong_bytes_where_an_object_is_compared_leave_the_spools_file_alone(yard: Yard) -> None:
    """The put that is repeated finds other bytes under its key: one of the two is wrong, and both stay."""
    [key, *_] = yard.commit(0) or [SegmentKey(CameraNumber(1), START_US + 50 * US, 1, 50)]
    data = closed_segment(key)
    yard.direct.put_bytes(key.object_key, data)
    spoilt: list[int] = []

    def spoil(number: int, offset: int, piece: bytes) -> bytes:
        at = piece.find(b"\xd5" * 64)
        if at >= 0:
            spoilt.append(number)
            return piece[:at] + b"\x00" + piece[at + 1 :]
        return piece

    yard.between.down = spoil
    fd = yard.vault.spool.create(key)
    os.write(fd, data)
    os.close(fd)
    yard.vault.catalog.commit([row_of(data)], adopt=True)
    wait_until(lambda: spoilt, 30, "a comparison")
    row = yard.vault.catalog.row(key)
    assert row is not None
    assert row.place is Place.SPOOL
    assert yard.vault.spool.path_of(key).read_bytes() == data
    # Others go on.
    yard.commit(1)
    wait_until(lambda: yard.waiting() == [key], 30, "the others in the store")


def test_wrong_bytes_that_are_read_are_found_by_their_hash(yard: Yard) -> None:
    def spoil(number: int, offset: int, piece: bytes) -> bytes:
        at = piece.find(b"\xd5" * 64)
        return piece if at < 0 else piece[:at] + b"\x00" + piece[at + 1 :]

    def findings() -> list[str]:
        vault = yard.vault
        check = ObjectCheck(vault.environment, yard.store, vault.spool, Level.HASH, vault.clock.now_us())
        return [finding.invariant for finding in check.findings() if finding.severity == "error"]

    assert findings() == []
    yard.between.down = spoil
    assert findings() == ["I1"] * CAMERAS


def test_a_store_that_is_killed_and_started_again_gets_what_it_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LAST_STORE_BACKOFF_US", US // 2)
    with server("minio", tmp_path / "minio") as running, _yard(running, tmp_path) as yard:
        yard.commit()
        running.process.kill()
        running.process.wait()
        yard.commit()
        wait_until(lambda: "store away" in yard.alarms(), 60, "an alarm")
        running.again()
        yard.drained()
