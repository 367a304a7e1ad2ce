"""I7 as far as the index can tell it cheaply: deeds that wait for the ledger, deletions that nobody announced, a ledger cut back.

Each entry against its signature is `ledger verify`'s. What is appended without the outbox (`retention`) is asked for by its batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from index.check import Finding, Progress, Severity, no_progress
from index.doom import Sentence
from index.environment import Environment, Table
from index.ledger_anchor import anchor
from index.outbox import oldest_us
from index.rows import Place, SegmentRow, State
from index.writes import SegmentWriter
from vault.errors import Damaged, NotFound
from vault.ledger.entry import Kind
from vault.ledger.ledger import Ledger
from vault.store.interface import ObjectStore
from vault.timebase import US, format_local

OUTBOX_GRACE_US = 600 * US
"""So long a deed may wait: the ledger's disk may be full for a moment, and whoever drains may have died."""


def check_ledger(
    environment: Environment, ledger: Ledger, store: ObjectStore, now_us: int, progress: Progress = no_progress
) -> Iterator[Finding]:
    """I7. Raises StoreError: whether an object is gone is asked of the store."""
    with environment.read() as txn:
        since_us, waiting = oldest_us(txn), txn.entries(Table.OUTBOX)
    if since_us is not None and now_us - since_us > OUTBOX_GRACE_US:
        yield _finding((), f"{waiting} deeds wait for the ledger, the oldest since {format_local(since_us)}")
    yield from _end(environment, ledger)
    deleting = _deleting(environment)
    try:
        announced = _announced(ledger) if deleting else frozenset()
        for seen, (batch, rows) in enumerate(deleting.items(), 1):
            gone = () if batch in announced else tuple(row.key.object_key for row in rows if _is_gone(store, row))
            # A batch is marked first and announced then, so only what is gone is wrong; it may have been announced since.
            if gone and batch not in _announced(ledger):
                yield _finding(gone, f"objects of batch {batch} are gone, and no entry of the ledger announced it")
            progress("ledger", seen)
    except Damaged as error:
        yield _finding((), str(error))


def _end(environment: Environment, ledger: Ledger) -> Iterator[Finding]:
    """The ledger begins with what the index remembers of it."""
    try:
        with environment.read() as txn:
            known = anchor(txn)
        if known is not None and ledger.newest() is None:
            yield _finding((), f"the ledger is empty, and the index remembers {known.size} entries of it")
        elif known is not None:
            ledger.prove_growth(known)
    except (Damaged, NotFound) as error:
        yield _finding((), str(error))


def _deleting(environment: Environment) -> dict[str, list[SegmentRow]]:
    """Rows whose deletion was begun, by batch: a round's at most, unless the store is away."""
    segments = SegmentWriter()
    found: dict[str, list[SegmentRow]] = defaultdict(list)
    with environment.read() as txn:
        for raw_key, raw in txn.scan(Table.DOOMED):
            batch = Sentence.unpack(raw).batch
            value = txn.get(Table.SEGMENTS, raw_key) if batch else None
            if value is not None and (row := segments.row(txn, raw_key, value)).state is State.DELETING:
                found[batch].append(row)
    return found


def _announced(ledger: Ledger) -> frozenset[str]:
    return frozenset(str(entry.subject.get("batch")) for entry in ledger.entries() if entry.kind == Kind.DELETION)


def _is_gone(store: ObjectStore, row: SegmentRow) -> bool:
    return row.place is Place.STORE and store.stat(row.key.object_key) is None


def _finding(ids: tuple[str, ...], message: str) -> Finding:
    return Finding(Severity.ERROR, "I7", None, ids, message)
