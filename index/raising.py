"""Bringing raised minima into the rows that are there: a piece at a time while recording goes on, resumable at every piece.

A raise that was cut short is in force all the same (`index.minima`); going on with it is anybody's to do, at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from index.catalog import MAX_ROWS, MAX_TXN_US
from index.doom import Sentence, spare
from index.environment import Environment, ReadTxn, Table, WriteTxn
from index.minima import Raise
from index.rows import KEY, SegmentRow, State, segment_key
from index.writes import SegmentWriter
from vault.clock import Clock

_PIECE_ROWS: Final = 100
"""Rows between two looks at the clock."""

Tell = Callable[[int], None]
"""Told how many rows more were looked at."""


class Raising:
    """Over one environment. Several may work at once; each row is raised to the same minimum whoever does it."""

    def __init__(self, environment: Environment, clock: Clock) -> None:
        self._env = environment
        self._clock = clock
        self._segments = SegmentWriter()

    def pending(self) -> list[Raise]:
        """Raises that are not in all rows yet."""
        with self._env.read() as txn:
            return [item for item in (Raise.unpack(*found) for found in txn.scan(Table.RAISES)) if item.next_key is not None]

    def run(self, tell: Tell = lambda rows: None) -> int:
        """All that is pending; how many rows were raised."""
        count = 0
        for item in self.pending():
            while (done := self._step(item.row_key, tell)) is not None:
                count += done
        return count

    def _step(self, row_key: bytes, tell: Tell) -> int | None:
        """One transaction's worth of one raise; None when there is nothing left of it."""
        with self._env.write("raise minima") as txn:
            began_us = self._clock.mono_us()
            raw = txn.get(Table.RAISES, row_key)
            item = None if raw is None else Raise.unpack(row_key, raw)
            if item is None or item.next_key is None:
                # It became part of a later one, or another process has done it.
                return None
            seen = count = 0
            while item.next_key is not None and seen < MAX_ROWS and self._clock.mono_us() - began_us <= MAX_TXN_US:
                rows = list(islice(self._rows(txn, item, item.next_key), _PIECE_ROWS))
                count += sum(self._raise(txn, item, row) for row in rows)
                seen += len(rows)
                at = segment_key(rows[-1].key) + b"\0" if len(rows) == _PIECE_ROWS else None
                item = replace(item, next_key=at)
            txn.put(Table.RAISES, row_key, item.pack())
        tell(seen)
        return count

    def _rows(self, txn: ReadTxn, item: Raise, from_key: bytes) -> Iterator[SegmentRow]:
        first = from_key or KEY.pack(item.camera, 0, 0)
        for raw_key, raw in txn.scan(Table.SEGMENTS, first, KEY.pack(item.camera, item.before_us, 0)):
            yield self._segments.row(txn, raw_key, raw)

    def _raise(self, txn: WriteTxn, item: Raise, row: SegmentRow) -> bool:
        """Whether the row was raised. What is doomed and inside its new minimum is spared; what is being deleted is past saving."""
        if row.min_until_us == 0:
            return False
        until_us = item.until_us(row)
        if until_us <= row.min_until_us or row.state is State.DELETING:
            return False
        if row.state is State.DOOMED:
            raw = txn.get(Table.DOOMED, segment_key(row.key))
            if raw is not None and Sentence.unpack(raw).at_us < until_us:
                spare(txn, self._segments, row)
                row = replace(row, state=State.COMMITTED)
        self._segments.change(txn, row, min_until_us=until_us)
        return True
