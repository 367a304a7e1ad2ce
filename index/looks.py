"""I7 for looks at footage: each that was asked for has an end in the ledger, or is under way. What is open is looked for line by line.

A look whose index was lost has no row any more that would close it: a rebuild does (`close_lost`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from index.check import Finding, Progress, Severity, no_progress
from index.environment import Environment, Table
from index.outbox import record
from index.register import KINDS, NO_FOOTAGE
from index.visits import visits
from vault.errors import Damaged, StreamvaultError
from vault.files import store_error
from vault.ledger.entry import Entry, Kind, NewEntry, decode_entry
from vault.ledger.journal import lines_from
from vault.ledger.ledger import Ledger
from vault.timebase import format_us

LOST: Final = "the index was lost, and with it what was known of this look"

_MARKS: Final = tuple(f'"kind":"{kind}"'.encode() for kind in sorted(KINDS))
_REFERS: Final = re.compile(rb'"refers":"([A-Za-z0-9._:-]{1,64})"')
_OUTCOME: Final = re.compile(rb'"outcome":"([a-z]+)"')
_NO_FOOTAGE: Final = f'"action":"{NO_FOOTAGE}"'.encode()
_EVERY: Final = 20_000


class OpenLooks:
    """Reads the ledger and remembers what was asked for and has no end yet. `read` again takes in what came since."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._size = 0
        self._open: dict[bytes, bytes] = {}

    @property
    def found(self) -> dict[str, Entry]:
        """By the look's id, its opening entry."""
        return {id.decode(): decode_entry(line) for id, line in self._open.items()}

    def read(self, progress: Progress = no_progress) -> None:
        """Raises Damaged, StoreError."""
        signed = self._ledger.newest()
        size = 0 if signed is None else signed.checkpoint.size
        if size <= self._size:
            return
        try:
            for sequence, _, line in lines_from(self._ledger.folder, self._size, size):
                self.take(line.raw)
                if sequence % _EVERY == 0:
                    progress("looks", sequence)
        except OSError as error:
            raise store_error(f"reading the ledger {self._ledger.folder}", error) from error
        self._size = size

    def take(self, line: bytes) -> None:
        """An export that waits for a second person is a job, and closed as one.

        Lines are canonical, and a quotation mark in a text has a backslash before it: so what is looked for is found as it stands,
        at a tenth of what reading each line as JSON costs.
        """
        if not any(mark in line for mark in _MARKS):
            return
        refers, outcome = _REFERS.search(line), _OUTCOME.search(line)
        if refers is None or outcome is None or _NO_FOOTAGE in line:
            return
        if outcome[1] == b"asked":
            self._open[refers[1]] = line
        else:
            self._open.pop(refers[1], None)


def check_looks(environment: Environment, ledger: Ledger, progress: Progress = no_progress) -> Iterator[Finding]:
    """What was asked for, has no end, and is under way nowhere. Raises StoreError."""
    looks = OpenLooks(ledger)
    try:
        looks.read(progress)
        # A row's end and the entry that waits for the ledger are one transaction, and so they are looked at in one.
        with environment.read() as txn:
            rows = {row.id for row in visits(txn)}
            waiting = [raw for _, raw in txn.scan(Table.OUTBOX)]
        for line in waiting:
            looks.take(line)
        # What was drained before that snapshot and after the reading. What began meanwhile the next check judges.
        begun = looks.found.keys()
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
