"""What is kept of the ledger outside its folder: the newest checkpoint in the index, some in the store, there the statements of
succession too; and how far the outbox is.

By these a ledger that was cut back is found. The one in the index only ever grows. Whether the ledger's files agree with it is
`vault.ledger.ledger`'s to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from index.environment import Environment, ReadTxn, Table, WriteTxn
from vault.errors import Damaged
from vault.ledger.checkpoint import Checkpoint, SignedCheckpoint, parse_note
from vault.ledger.succession import MAX_STATEMENT_BYTES, MAX_STATEMENTS, Succession
from vault.ledger.verify import Anchor
from vault.store.interface import ObjectStore

PREFIX: Final = "ledger/"
"""Of the checkpoints' and statements' keys in the store."""

MAX_STORED: Final = 100
"""Of the checkpoints in the store, so many are compared: those of some days. Of statements all are, of which there are few."""

_CHECKPOINT = b"ledger-checkpoint"
_DRAINED = b"ledger-drained"


def anchor_note(txn: ReadTxn) -> str | None:
    """The newest checkpoint as it was kept, None before the first."""
    raw = txn.get(Table.META, _CHECKPOINT)
    return None if raw is None else raw.decode("utf-8", "replace")


def anchor(txn: ReadTxn) -> Checkpoint | None:
    """The newest checkpoint that the ledger is known to have had. Raises Damaged."""
    note = anchor_note(txn)
    try:
        return None if note is None else parse_note(note).checkpoint
    except Damaged:
        raise Damaged("the ledger's checkpoint in the index cannot be read; run `index rebuild`") from None


def keep_anchor(environment: Environment, signed: SignedCheckpoint) -> None:
    """Remember a checkpoint, unless a newer one is known."""
    with environment.read() as txn:
        if _is_old(txn, signed):
            return
    with environment.write("keep ledger checkpoint", frees=True) as txn:
        put_anchor(txn, signed)


def put_anchor(txn: WriteTxn, signed: SignedCheckpoint) -> None:
    """As `keep_anchor`, in somebody's transaction."""
    if not _is_old(txn, signed):
        txn.put(Table.META, _CHECKPOINT, signed.note.encode())


def restore_anchor(environment: Environment, kept: Sequence[Anchor]) -> None:
    """Into an index made anew: the newest checkpoint of those in the store. What cannot be read is `ledger verify`'s to tell.

    What will be in the new outbox is not in the ledger of that checkpoint.
    """
    with environment.write("restore ledger checkpoint") as txn:
        for one in kept:
            with suppress(Damaged):
                signed = parse_note(one.note)
                put_anchor(txn, signed)
                put_drained(txn, signed.checkpoint.size)


def drained(txn: ReadTxn) -> int:
    """What is in the outbox stands at this sequence of the ledger or later, if it is there already."""
    raw = txn.get(Table.META, _DRAINED)
    return 0 if raw is None else int.from_bytes(raw, "big")


def put_drained(txn: WriteTxn, sequence: int) -> None:
    txn.put(Table.META, _DRAINED, max(sequence, drained(txn)).to_bytes(8, "big"))


def object_key(signed: SignedCheckpoint) -> str:
    """The key of a checkpoint in the store: one of the same size and another root is another ledger's, and is refused there."""
    return f"{PREFIX}{signed.checkpoint.origin}/{signed.checkpoint.size:012d}.txt"


def keep_succession(store: ObjectStore, succession: Succession) -> None:
    """Put every statement into the store. What is there already stays; another one of the same number is refused there."""
    for one in succession.statements:
        store.put_bytes(f"{PREFIX}{succession.origin}/keys/{one.statement.number:06d}.txt", one.note.encode())


def _is_old(txn: ReadTxn, signed: SignedCheckpoint) -> bool:
    """Whether one that is not older is kept already."""
    kept = anchor(txn)
    return kept is not None and kept.size >= signed.checkpoint.size


def index_anchors(environment: Environment) -> list[Anchor]:
    """What the index remembers, for `vault.ledger.verify`."""
    with environment.read() as txn:
        note = anchor_note(txn)
    return [] if note is None else [Anchor("the index", note)]


def stored_anchors(store: ObjectStore) -> list[Anchor]:
    """The newest of the checkpoints in the store, and the statements of succession, for `vault.ledger.verify`. Raises StoreError."""
    entries = sorted(store.list(PREFIX), key=lambda entry: entry.key.rpartition("/")[2])
    statements = [entry for entry in entries if "/keys/" in entry.key][:MAX_STATEMENTS]
    checkpoints = [entry for entry in entries if "/keys/" not in entry.key]
    found = []
    for entry in (*statements, *checkpoints[-MAX_STORED:]):
        with store.open(entry.key) as source:
            note = source.read(0, min(source.size, MAX_STATEMENT_BYTES + 1)).decode("utf-8", "replace")
        found.append(Anchor(f"the store, {entry.key}", note))
    return found
