"""The way from a change in the index to the ledger: together or not at all, once, and without a secret."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from index.camera_import import import_cameras
from index.cameras import Cameras, NewCamera
from index.environment import Environment, Table
from index.ledger_anchor import anchor
from index.outbox import Outbox, record
from index.registry import Registry
from index.sites import Site, Sites
from tests.support.index_processes import MAP_BYTES
from tests.support.ledgers import NOW_US, all_ids, entries, entry, new_ledger, record_without_end
from vault.clock import ManualClock
from vault.errors import Damaged, StoreError, UsageError
from vault.ledger.entry import Kind, NewEntry
from vault.ledger.ledger import Ledger
from vault.ledger.verify import verify
from vault.signing.keys import Keys
from vault.store.local import LocalStore


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with Environment(tmp_path / "index", MAP_BYTES, ManualClock(NOW_US)) as made:
        yield made


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return new_ledger(tmp_path)


@pytest.fixture
def registry(environment: Environment, tmp_path: Path) -> Iterator[Registry]:
    (tmp_path / "spool").mkdir()
    waiting = LocalStore(tmp_path / "spool")
    yield Registry(environment, waiting, "operator@here")
    waiting.close()


def test_a_deed_that_does_not_commit_is_not_told(environment: Environment, ledger: Ledger) -> None:
    outbox = Outbox(environment, ledger)
    with contextlib.suppress(RuntimeError), environment.write("deed") as txn:
        record(txn, entry(1), NOW_US)
        raise RuntimeError
    assert outbox.drain() == 0
    with environment.write("deed") as txn:
        record(txn, entry(2), NOW_US - 5)
    assert outbox.waiting() == 1
    assert outbox.drain() == 1
    assert outbox.waiting() == 0
    [found] = ledger.entries()
    assert (found.subject, found.time_us) == ({"camera": 2}, NOW_US - 5)


def test_an_entry_that_the_ledger_would_not_take_stops_the_deed(environment: Environment) -> None:
    too_long = NewEntry(Kind.READ, "someone", {}, {"text": "x" * 70_000})

    def deed() -> None:
        with environment.write("deed") as txn:
            txn.put(Table.META, b"deed", b"done")
            record(txn, too_long, NOW_US)

    with pytest.raises(UsageError):
        deed()
    with environment.read() as txn:
        assert txn.get(Table.META, b"deed") is None


def test_a_drain_that_dies_between_append_and_removal_tells_nothing_twice(environment: Environment, ledger: Ledger) -> None:
    outbox = Outbox(environment, ledger)
    with environment.write("deeds") as txn:
        for new in entries(0, 5):
            record(txn, new, NOW_US)
    with mock.patch("index.outbox.put_drained", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        outbox.drain()
    assert outbox.waiting() == 5
    # Others go on meanwhile, and more comes into the outbox.
    ledger.append(entries(50, 53))
    with environment.write("deeds") as txn:
        record(txn, entry(5), NOW_US)
    outbox.drain()
    assert all_ids(ledger) == [f"deed-{number}" for number in (0, 1, 2, 3, 4, 50, 51, 52, 5)]


def test_a_drainer_that_was_stopped_removes_no_row_that_came_later(environment: Environment, ledger: Ledger) -> None:
    """Its rows were drained by another, and their keys were given anew."""
    slow, quick = Outbox(environment, ledger), Outbox(environment, ledger)
    with environment.write("deed") as txn:
        record(txn, entry(0), NOW_US)
    append = ledger.append

    def meanwhile(*given: object, **named: object) -> object:
        with mock.patch.object(ledger, "append", append):
            quick.drain()
            with environment.write("deed") as txn:
                record(txn, entry(1), NOW_US)
        return append(*given, **named)  # type: ignore[arg-type]

    with mock.patch.object(ledger, "append", meanwhile):
        slow._drain_some()
    assert quick.waiting() == 1
    quick.drain()
    assert all_ids(ledger) == ["deed-0", "deed-1"]


def test_a_full_or_absent_ledger_keeps_nobody_from_changing_and_hears_of_it_later(
    environment: Environment, ledger: Ledger, registry: Registry
) -> None:
    outbox = Outbox(environment, ledger)
    with mock.patch("vault.ledger.book.os.fdatasync", side_effect=OSError(28, "No space left on device")):
        Sites(registry, ManualClock(NOW_US)).add(Site("gate"))
        with pytest.raises(StoreError):
            outbox.drain()
    assert list(ledger.entries()) == []
    outbox.drain()
    assert [found.subject["site"] for found in ledger.entries()] == ["gate"]


def test_every_registry_change_says_what_changed_and_never_a_secret(
    environment: Environment, ledger: Ledger, registry: Registry
) -> None:
    clock = ManualClock(NOW_US)
    Sites(registry, clock).add(Site("default"))
    cameras = Cameras(registry, clock)
    cameras.add(NewCamera("gate", "rtsp://192.0.2.1/a", secret="sealed-token-1"))
    clock.advance(7)
    cameras.set("gate", secret="sealed-token-2", name="北门")
    import_cameras(cameras, [NewCamera("yard", "rtsp://192.0.2.2/?token=***")])
    cameras.remove("gate")
    Outbox(environment, ledger).drain()
    made, added, changed, imported, removed = ledger.entries()
    assert made.subject == {"document": "sites/default", "site": "default"}
    assert {found.kind for found in (made, added, changed)} == {"registry"}
    assert {found.actor for found in ledger.entries()} == {"operator@here"}
    assert added.subject == {"document": "cameras/0000000001", "camera": 1}
    assert changed.time_us == NOW_US + 7
    assert changed.body["version"] == 2
    assert changed.body["changed"] == {"name": ["", "北门"], "secret": ["***", "***"]}
    assert imported.concerns(2)
    assert isinstance(removed.body["changed"], dict)
    assert removed.body["changed"]["removed_us"] == [None, NOW_US + 7]
    assert not any(b"sealed-token" in found.line for found in ledger.entries())


def test_the_index_knows_the_newest_checkpoint_and_a_ledger_without_it_is_not_continued(
    environment: Environment, ledger: Ledger, tmp_path: Path
) -> None:
    outbox = Outbox(environment, ledger)
    for number in range(2):
        with environment.write("deed") as txn:
            record(txn, entry(number), NOW_US)
        outbox.drain()
    with environment.read() as txn:
        kept = anchor(txn)
    newest = ledger.newest()
    assert newest is not None
    assert newest.checkpoint == kept
    for path in ledger.folder.glob("*.jsonl"):
        path.unlink()
    for name in ("checkpoints", "tree.hashes"):
        (ledger.folder / name).unlink()
    with environment.write("deed") as txn:
        record(txn, entry(2), NOW_US)
    with pytest.raises(Damaged, match="cut back"):
        outbox.drain()
    assert outbox.waiting() == 1


def test_processes_that_are_killed_while_they_record_and_drain_tell_every_deed_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    Environment(tmp_path / "index", MAP_BYTES).close()
    men, ends = [], []
    for man in range(3):
        mine, theirs = spawn.Pipe(duplex=False)
        process = spawn.Process(target=record_without_end, args=(tmp_path, f"man-{man}", theirs))
        process.start()
        theirs.close()
        men.append(process)
        ends.append(mine)
    for at, (process, end) in enumerate(zip(men, ends, strict=True)):
        while end.recv() < 12 + 3 * at:
            pass
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        end.close()
    with Environment(tmp_path / "index", MAP_BYTES) as environment:
        ledger = new_ledger(tmp_path)
        Outbox(environment, ledger).drain()
        with environment.read() as txn:
            done = sorted(key.decode() for key, _ in txn.scan(Table.META, b"man-", b"man."))
    assert sorted(all_ids(ledger)) == done
    assert verify(ledger.folder, Keys(tmp_path / "ledger.key")).findings == []
