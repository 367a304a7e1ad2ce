"""From the index to the ledger: a deed and its entry are one transaction, and the entry reaches the ledger once, whatever dies.

How to use it::

    with environment.write("place hold") as txn:
        ...                                      # the deed
        record(txn, NewEntry(Kind.HOLD, actor, {"hold": id}, {...}), now_us)
    outbox.drain()                               # in the ledger, durable; whoever must wait for that calls it

A process that dies before it drains leaves the rest to the supervisor, which drains each second. One that dies between the append
and the row's removal appends nothing twice: an entry's id is looked for in the ledger from where the last drain ended.
Rows are drained in the order in which they were recorded, so whatever waits stands behind that place or not at all.
"""

from __future__ import annotations

import platform
import struct

from index.environment import Environment, ReadTxn, Table, WriteTxn
from index.ledger_anchor import anchor, drained, put_anchor, put_drained
from vault.errors import Damaged
from vault.ledger.entry import Kind, NewEntry, decode_entry, encode_entry
from vault.ledger.ledger import Ledger

MAX_DRAIN = 1_000
"""Entries in one append, and rows removed in one transaction."""

_KEY = struct.Struct(">Q")
_SEQUENCE = 10**12
"""Stands in a row's line: no ledger reaches it, and what fits with it fits with any."""


def actor_here(role: str = "operator") -> str:
    """Who acts, where nobody said so: a part of the program, or whoever sits at this host."""
    return f"{role}@{platform.node() or 'localhost'}"


def record(txn: WriteTxn, new: NewEntry, at_us: int) -> None:
    """Put an entry into the outbox: it will be in the ledger if `txn` commits, and is not if it does not.

    `at_us`: when it is done, unless the entry says so itself. Raises UsageError for an entry that the ledger would not take.
    """
    line = encode_entry(new, _SEQUENCE, at_us if new.at_us is None else new.at_us)
    last = txn.last_before(Table.OUTBOX, b"\xff" * (_KEY.size + 1))
    txn.put(Table.OUTBOX, _KEY.pack(1 if last is None else _KEY.unpack(last[0])[0] + 1), line)


def oldest_us(txn: ReadTxn) -> int | None:
    """When the deed was done that waits first; None when none does. Raises Damaged."""
    first = txn.first_from(Table.OUTBOX, b"")
    return None if first is None else _unpack(first[1]).at_us


class Outbox:
    """The rows that wait, over one environment and its ledger. Cheap to make; any process and thread may drain."""

    def __init__(self, environment: Environment, ledger: Ledger) -> None:
        self._env = environment
        self._ledger = ledger

    def waiting(self) -> int:
        """How many entries are not known to be in the ledger."""
        with self._env.read() as txn:
            return txn.entries(Table.OUTBOX)

    def drain(self) -> int:
        """Bring what waits into the ledger; returns how many there were. All that was recorded before the call is durable there
        when this returns. Raises what `Ledger.append` raises, and then what is left waits on."""
        total = 0
        while count := self._drain_some():
            total += count
        return total

    def _drain_some(self) -> int:
        rows: dict[bytes, bytes] = {}
        with self._env.read() as txn:
            since, expected = drained(txn), anchor(txn)
            for key, raw in txn.scan(Table.OUTBOX):
                rows[key] = raw
                if len(rows) == MAX_DRAIN:
                    break
        if not rows:
            return 0
        receipt = self._ledger.append([_unpack(raw) for raw in rows.values()], unless_since=since, expected=expected)
        with self._env.write("drain outbox", frees=True) as txn:
            for key, raw in rows.items():
                # Whoever drained the same rows may be done, and another row may have the key by now.
                if txn.get(Table.OUTBOX, key) == raw:
                    txn.delete(Table.OUTBOX, key)
            put_drained(txn, max(receipt.sequences) + 1)
            put_anchor(txn, receipt.signed)
        return len(rows)


def _unpack(line: bytes) -> NewEntry:
    try:
        entry = decode_entry(line)
        return NewEntry(Kind(entry.kind), entry.actor, entry.subject, entry.body, entry.id, entry.time_us)
    except (Damaged, ValueError) as error:
        raise Damaged("a row of the ledger's outbox cannot be read; a newer streamvault may have written it") from error
