"""Ledgers for tests: a folder with a key, entries, and what other processes do to one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

from index.environment import Environment, Table
from index.outbox import Outbox, record
from tests.support.index_processes import MAP_BYTES
from vault.clock import ManualClock
from vault.ids import SegmentKey
from vault.ledger.entry import Kind, NewEntry
from vault.ledger.ledger import Ledger, Receipt
from vault.ledger.lists import write_list
from vault.timebase import US

NOW_US = 1_790_000_000_000_000


def new_ledger(path: Path, clock: ManualClock | None = None) -> Ledger:
    """Over the folder `path`/ledger, with its key in `path`."""
    return Ledger(path / "ledger", path / "ledger.key", clock or ManualClock(NOW_US))


def entry(number: int, id_: str | None = None, **body: str) -> NewEntry:
    """About camera `number`."""
    return NewEntry(Kind.READ, "operator@test", {"camera": number}, {"purpose": "试验", **body}, id_ or f"deed-{number}")


def entries(first: int, last: int) -> list[NewEntry]:
    return [entry(number) for number in range(first, last)]


def fill(ledger: Ledger, count: int, batch: int) -> list[Receipt]:
    """`count` entries, `batch` at a time."""
    return [ledger.append(entries(first, min(first + batch, count))) for first in range(0, count, batch)]


def announce_deletion(ledger: Ledger, batch: str, keys: Sequence[SegmentKey]) -> str:
    """As retention does before it deletes; the list's name."""
    ref = write_list(ledger.folder, (one.object_key for one in keys))
    body = {"from_us": keys[0].start_us, "to_us": keys[-1].start_us + 60 * US, "list": ref.value}
    subject = {"batch": batch, "cameras": sorted({one.camera for one in keys})}
    ledger.append([NewEntry(Kind.DELETION, "retention@test", subject, body, id=f"deletion:{batch}")])
    return ref.sha256


def small_files(size_bytes: int) -> mock._patch[int]:
    """Let a ledger's files be this small."""
    return mock.patch("vault.ledger.book.MAX_FILE_BYTES", size_bytes)


def append_without_end(path: Path, name: str, batch: int, told: Connection) -> None:
    """The target of a process that only a kill ends: says the ids of each batch before it appends it and after it was durable."""
    ledger = new_ledger(path)
    for number in itertools.count():
        ids = [f"{name}-{number}-{at}" for at in range(batch)]
        told.send(("tries", ids))
        ledger.append([entry(at, id_) for at, id_ in enumerate(ids)])
        told.send(("done", ids))


def all_ids(ledger: Ledger) -> Sequence[str]:
    return [found.id for found in ledger.entries()]


def record_without_end(path: Path, name: str, told: Connection) -> None:
    """The target of a process that only a kill ends: deeds in the index, each drained into the ledger."""
    with Environment(path / "index", MAP_BYTES) as environment:
        outbox = Outbox(environment, new_ledger(path))
        for number in itertools.count():
            ids = [f"{name}-{number}-{at}" for at in range(3)]
            with environment.write("deed") as txn:
                for id_ in ids:
                    record(txn, entry(number, id_), NOW_US)
                    # The deed itself, by which the test knows that it was done.
                    txn.put(Table.META, id_.encode(), b"done")
            outbox.drain()
            told.send(number)
