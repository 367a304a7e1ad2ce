"""Which objects are to get a later term in the store: the list, filled in the transaction that raises a row's minimum.

A put that is under way with the old minimum is covered too: its row stays on the list until it is settled and the term was raised.
Who works it off is the supervisor, where the store locks at all; where a node says that none does, nothing is listed. An index that
nobody has said it of, a rebuilt one, lists: a term that was looked at in vain costs a question, a forgotten one the lock.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from index.environment import Environment, Table, WriteTxn

_OFF: Final = b"no-object-lock"
_PIECE_ROWS = 1_000


def owe_term(txn: WriteTxn, raw_key: bytes) -> None:
    """The object of this segment row may have a term before the row's minimum."""
    if txn.get(Table.META, _OFF) is None:
        txn.put(Table.RELOCK, raw_key, b"")


def list_terms(environment: Environment, on: bool) -> None:
    """Whether terms are raised on this node from now on; if not, what is listed is dropped. Repeatable."""
    with environment.read() as txn:
        was_on, empty = txn.get(Table.META, _OFF) is None, not txn.entries(Table.RELOCK)
    if was_on != on:
        with environment.write("object lock", frees=True) as change:
            if on:
                change.delete(Table.META, _OFF)
            else:
                change.put(Table.META, _OFF, b"\1")
    while not on and not empty:
        with environment.write("object lock", frees=True) as change:
            keys = [key for key, _ in islice(change.scan(Table.RELOCK), _PIECE_ROWS)]
            for key in keys:
                change.delete(Table.RELOCK, key)
        empty = len(keys) < _PIECE_ROWS
