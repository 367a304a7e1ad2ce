"""I7 for looks at footage: each that was asked for has an end in the ledger, or is under way. What is open is looked for line by line.

A look whose index was lost has no row any more that would close it: a rebuild does (`close_lost`), and so it does for exports
that waited, or of which nobody knows any more whether they were handed over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Final

from index.check import Finding, Progress, Severity, no_progress
from index.environment import Environment, Table
from index.outbox import record
from index.register import KINDS, NO_FOOTAGE
from index.visits import visits
from vault.errors import Damaged, StreamvaultError
from vault.files import store_error
from vault.ledger.canonical import Value
from vault.ledger.entry import Entry, Kind, NewEntry, decode_entry
from vault.ledger.journal import lines_from
from vault.ledger.ledger import Ledger
from vault.timebase import format_local

LOST: Final = "the index was lost, and with it what was known of this look"
LOST_WAITING: Final = "the index was lost, and with it this request; ask anew"
LOST_HANDING: Final = "the index was lost before this export had ended; whether any of it had been handed over is not known"

_MARK_EXPORT: Final = f'"kind":"{Kind.EXPORT}"'.encode()
_MARKS: Final = tuple(f'"kind":"{kind}"'.encode() for kind in sorted(KINDS))
_REFERS: Final = re.compile(rb'"refers":"([A-Za-z0-9._:-]{1,64})"')
_OUTCOME: Final = re.compile(rb'"outcome":"([a-z]+)"')
_NO_FOOTAGE: Final = f'"action":"{NO_FOOTAGE}"'.encode()
_EXPORT: Final = re.compile(rb'"export":"([A-Za-z0-9._:-]{1,64})"')
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


class _LostLooks(OpenLooks):
    """And the exports whose rows were lost. `waiting`: by export, the line that it waits for a second person, where no run began.
    `closed`: by export, of those that still have a working folder, the completion, where no other end followed it."""

    def __init__(self, ledger: Ledger, folders: Iterable[str]) -> None:
        super().__init__(ledger)
        self._folders = {*map(os.fsencode, folders)}
        self.waiting: dict[bytes, bytes] = {}
        self.closed: dict[bytes, bytes] = {}

    def take(self, line: bytes) -> None:
        super().take(line)
        export, refers, outcome = _EXPORT.search(line), _REFERS.search(line), _OUTCOME.search(line)
        if export is None or refers is None or outcome is None or _MARK_EXPORT not in line:
            return
        name, step = export[1], outcome[1]
        if step == b"waiting":
            self.waiting[name] = line
        elif step == b"asked" or (refers[1] == name and step != b"approved"):
            # Of a run; or the end of the request itself. What was refused to somebody else about it is a deed of its own.
            self.waiting.pop(name, None)
        if step == b"done" and name in self._folders:
            self.closed[name] = line
        elif step in (b"asked", b"aborted"):
            self.closed.pop(name, None)


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
            when = format_local(entry.time_us)
            yield Finding(
                Severity.ERROR, "I7", None, (id,),
                f"{entry.actor} began to look at footage at {when}, and the ledger does not tell how that ended; nothing is under way",
            )  # fmt: skip


def close_lost(environment: Environment, ledger: Ledger, now_us: int, folders: Iterable[str] = ()) -> int:
    """Into an index made anew: the end of every look and export that the lost one would have told; how many there were. A ledger
    that cannot be read hinders nothing: `check` tells of both. `folders`: exports whose working folders are there."""
    looks = _LostLooks(ledger, folders)
    try:
        looks.read()
    except StreamvaultError:
        return 0
    # Of an export nothing leaves before its completion is in the ledger.
    ends = [_end(entry, LOST, {"bytes": 0} if entry.kind == Kind.EXPORT else {}) for entry in looks.found.values()]
    ends += [_end(decode_entry(line), LOST_WAITING, {"bytes": 0}) for line in looks.waiting.values()]
    # It keeps the bytes of its completion: so much may have left.
    ends += [_end(decode_entry(line), LOST_HANDING, {}) for line in looks.closed.values()]
    with environment.write("close lost looks") as txn:
        for end in ends:
            record(txn, end, now_us)
    return len(ends)


def _end(entry: Entry, why: str, more: dict[str, Value]) -> NewEntry:
    body = {**entry.body, "outcome": "aborted", "why_ended": why, **more}
    return NewEntry(Kind(entry.kind), entry.actor, entry.subject, body, f"{entry.body['refers']}.aborted")
