"""Long values kept once: track parameters and class names, each row naming them by a short id made from their content.

An id is the head of the value's BLAKE3, moved on by one where another value already has it, so an index rebuilt from the
same footage gives the same ids. Nothing is ever removed: the values are few.
"""

from __future__ import annotations

from typing import Final

from blake3 import blake3

from index.environment import ReadTxn, Table, WriteTxn
from vault.errors import Damaged, StoreFull


class Interned:
    """One table of values by id. `width`: bytes of an id."""

    def __init__(self, table: Table, width: int) -> None:
        self._table: Final = table
        self._width: Final = width
        self._known: dict[int, bytes] = {}

    def intern(self, txn: WriteTxn, value: bytes) -> int:
        """The id of `value`, which is written when it is new."""
        limit = 1 << (8 * self._width)
        at = int.from_bytes(blake3(value).digest(self._width), "big")
        for _ in range(limit):
            key = at.to_bytes(self._width, "big")
            found = txn.get(self._table, key)
            if found is None:
                txn.put(self._table, key, value)
                return at
            if found == value:
                return at
            at = (at + 1) % limit
        raise StoreFull(f"the index table {self._table.name.lower()} has no id left")

    def value(self, txn: ReadTxn, at: int) -> bytes:
        """The value of an id. Raises Damaged when there is none."""
        found = self._known.get(at)
        if found is None:
            found = txn.get(self._table, at.to_bytes(self._width, "big"))
            if found is None:
                raise Damaged(f"the index table {self._table.name.lower()} has no entry {at}; run `index rebuild`")
            # What a write transaction sees may yet be undone, and its id given to another value.
            if not isinstance(txn, WriteTxn):
                self._known[at] = found
        return found


class InternedText(Interned):
    """Interned texts, with those that were read kept decoded."""

    def __init__(self, table: Table, width: int) -> None:
        super().__init__(table, width)
        self._texts: dict[int, str] = {}

    def text(self, txn: ReadTxn, at: int) -> str:
        """The text of an id. Raises Damaged when there is none."""
        found = self._texts.get(at)
        if found is None:
            found = self.value(txn, at).decode(errors="replace")
            if not isinstance(txn, WriteTxn):
                self._texts[at] = found
        return found
