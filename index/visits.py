"""Looks at footage that are under way: what the ledger will say of one that ends without a word, because its process was killed.

The row and the ledger's opening entry are one transaction, and so are the row's end and the entry that closes it: an opening entry
without an end is a visit whose row is there. A row is renewed while its process lives; one that was not is closed as aborted
by whoever comes next, the bookkeeper each second or the next look. What the entries say is `access.occasion`'s.

The monotonic clock counts, as for pins (`index.pins`): every process of the host has the same one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from index.environment import Environment, ReadTxn, Table
from index.outbox import record
from vault.clock import Clock
from vault.errors import Damaged, StreamvaultError
from vault.ledger.entry import Kind, NewEntry
from vault.timebase import US

RENEW_US: Final = 15 * US
LEASE_US: Final = 60 * US
"""A visit that was not renewed for this long has no process any more."""

WHY: Final = "the process ended without a word"

_VERSION = 1


@dataclass(frozen=True, slots=True)
class VisitRow:
    """`closing`: the entry that ends it where nobody else does. `size_bytes`: what is known to have gone out."""

    id: str
    closing: NewEntry
    since_us: int
    expires_us: int
    size_bytes: int = 0

    def pack(self) -> bytes:
        one = self.closing
        fields = {
            "version": _VERSION, "since_mono_us": self.since_us, "expires_mono_us": self.expires_us, "bytes": self.size_bytes,
            "id": one.id, "kind": str(one.kind), "actor": one.actor, "subject": one.subject, "body": one.body,
        }  # fmt: skip
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def unpack(cls, raw_key: bytes, raw: bytes) -> VisitRow:
        try:
            fields: Mapping[str, Any] = json.loads(raw)
            closing = NewEntry(
                Kind(fields["kind"]), str(fields["actor"]), dict(fields["subject"]), dict(fields["body"]), str(fields["id"])
            )  # fmt: skip
            since_us, expires_us = int(fields["since_mono_us"]), int(fields["expires_mono_us"])
            return cls(raw_key.decode(), closing, since_us, expires_us, int(fields["bytes"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged(
                "a look that is under way cannot be read from the index; a newer streamvault may have written it"
            ) from error

    def lasts(self, mono_us: int) -> bool:
        """One that begins later than now was begun before the last reboot."""
        return self.since_us <= mono_us < self.expires_us


class Visits:
    """Over one environment. Every change is durable when the method returns; the ledger has it when the outbox was drained."""

    def __init__(self, environment: Environment, clock: Clock) -> None:
        self._env = environment
        self._clock = clock

    def open(self, id: str, asked: NewEntry, closing: NewEntry) -> None:
        """Raises UsageError for what the ledger would not take, StoreFull, StoreError."""
        mono_us = self._clock.mono_us()
        row = VisitRow(id, closing, mono_us, mono_us + LEASE_US)
        with self._env.write("open visit") as txn:
            record(txn, asked, self._clock.now_us())
            txn.put(Table.VISITS, id.encode(), row.pack())

    def is_open(self, id: str) -> bool:
        """False when somebody took it for over."""
        with self._env.read() as txn:
            return txn.get(Table.VISITS, id.encode()) is not None

    def renew(self, id: str, size_bytes: int) -> None:
        """For another while; nothing is done where somebody took it for over."""
        mono_us = self._clock.mono_us()
        with self._env.write("renew visit", frees=True) as txn:
            row = _row(txn, id)
            if row is None:
                return
            later = replace(row, expires_us=mono_us + LEASE_US, size_bytes=size_bytes)
            txn.put(Table.VISITS, id.encode(), later.pack())

    def close(self, id: str, ending: NewEntry) -> None:
        """With its own end, which is written even where somebody took it for over: then the ledger has both."""
        with self._env.write("close visit", frees=True) as txn:
            record(txn, ending, self._clock.now_us())
            txn.delete(Table.VISITS, id.encode())

    def close_left(self) -> int:
        """End those whose process is gone; how many there were. Repeatable, by any process."""
        mono_us = self._clock.mono_us()
        with self._env.read() as txn:
            left = [raw_key for raw_key, raw in txn.scan(Table.VISITS) if not _lasts(raw_key, raw, mono_us)]
        closed = 0
        for raw_key in left:
            with self._env.write("close visit", frees=True) as txn:
                raw = txn.get(Table.VISITS, raw_key)
                if raw is None or _lasts(raw_key, raw, mono_us):
                    continue
                row = VisitRow.unpack(raw_key, raw)
                body = {**row.closing.body, "bytes": row.size_bytes, "why_ended": WHY}
                record(txn, replace(row.closing, body=body), self._clock.now_us())
                txn.delete(Table.VISITS, raw_key)
                closed += 1
        return closed

    def under_way(self) -> list[VisitRow]:
        """Those whose row is there, the ones of dead processes too."""
        with self._env.read() as txn:
            return list(visits(txn))


def visits(txn: ReadTxn) -> Iterator[VisitRow]:
    """Raises Damaged."""
    for raw_key, raw in txn.scan(Table.VISITS):
        yield VisitRow.unpack(raw_key, raw)


def _row(txn: ReadTxn, id: str) -> VisitRow | None:
    raw = txn.get(Table.VISITS, id.encode())
    return None if raw is None else VisitRow.unpack(id.encode(), raw)


def _lasts(raw_key: bytes, raw: bytes, mono_us: int) -> bool:
    """One that cannot be read stays: `check` names it."""
    try:
        return VisitRow.unpack(raw_key, raw).lasts(mono_us)
    except StreamvaultError:
        return True
