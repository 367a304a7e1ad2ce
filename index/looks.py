"""I7 for looks at footage: each that was asked for has an end in the ledger, or is under way. What is open is looked for line by line.

A look whose index was lost has no row any more that would close it: a rebuild does (`close_lost`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from index.check import Finding, Progress, Severity, no_progress
from index.environment import Environment, Table
from index.outbox import record
from index.register import KINDS, deed_of
from index.visits import visits
from vault.errors import Damaged, StreamvaultError
from vault.files import store_error
from vault.ledger.entry import Entry, Kind, NewEntry, decode_entry
from vault.ledger.journal import entry_at, lines_from
from vault.ledger.ledger import Ledger
from vault.timebase import format_us

LOST: Final = "the index was lost, and with it what was known of this look"

_MARKS: Final = tuple(f'"kind":"{kind}"'.encode() for kind in sorted(KINDS))
_EVERY: Final = 20_000


class OpenLooks:
    """Reads the ledger and remembers what was asked for and has no end yet. `read` again takes in what came since."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._size = 0
        self.found: dict[str, Entry] = {}

    def read(self, progress: Progress = no_progress) -> None:
        """Raises Damaged, StoreError."""
        signed = self._ledger.newest()
        size = 0 if signed is None else signed.checkpoint.size
        if size <= self._size:
            return
        try:
            for sequence, path, line in lines_from(self._ledger.folder, self._size, size):
                if any(mark in line.raw for mark in _MARKS):
                    self.take(entry_at(path, line, sequence))
                if sequence % _EVERY == 0:
                    progress("looks", sequence)
        except OSError as error:
            raise store_error(f"reading the ledger {self._ledger.folder}", error) from error
        self._size = size

    def take(self, entry: Entry) -> None:
        """An export that waits for a second person is a job, and closed as one."""
        deed = deed_of(entry)
        if deed is None:
            return
        if entry.body.get("outcome") == "asked":
            self.found[deed] = entry
        else:
            self.found.pop(deed, None)


def check_looks(environment: Environment, ledger: Ledger, progress: Progress = no_progress) -> Iterator[Finding]:
    """What was asked for, has no end, and is under way nowhere. Raises StoreError."""
    looks = OpenLooks(ledger)
    try:
        looks.read(progress)
        # A row's end and the entry that waits for the ledger are one transaction, and so they are looked at in one.
        with environment.read() as txn:
            rows = {row.id for row in visits(txn)}
            waiting = [decode_entry(raw) for _, raw in txn.scan(Table.OUTBOX)]
        for entry in waiting:
            looks.take(entry)
        # What was drained before that snapshot and after the reading. What began meanwhile the next check judges.
        begun = set(looks.found)
        looks.read(progress)
    except Damaged as error:
        yield Finding(Severity.ERROR, "I7", None, (), str(error))
        return
    for id, entry in looks.found.items():
        if id in begun and id not in rows:
            when = format_us(entry.time_us)
            yield Finding(
                Severity.ERROR, "I7", None, (id,),
                f"{entry.actor} began to look at footage at {when}, and the ledger does not tell how that ended; nothing is under way",
            )  # fmt: skip


def close_lost(environment: Environment, ledger: Ledger, now_us: int) -> int:
    """Into an index made anew: the end of every look that the lost one would have closed; how many there were. A ledger that
    cannot be read hinders nothing: `check` tells of both."""
    looks = OpenLooks(ledger)
    try:
        looks.read()
    except StreamvaultError:
        return 0
    with environment.write("close lost looks") as txn:
        for id, entry in looks.found.items():
            body = {**entry.body, "outcome": "aborted", "why_ended": LOST}
            record(txn, NewEntry(Kind(entry.kind), entry.actor, entry.subject, body, f"{id}.aborted"), now_us)
    return len(looks.found)
