"""Which entries of the ledger tell of footage that was looked at or taken: an index over the ledger for the register 调取登记册.

It holds places only. Whatever is shown is read from the ledger's own lines; a row that does not lead to the line that it was made
of has the whole made anew. So it may be lost, and is filled whenever somebody asks, and by the recorder meanwhile. What a row of the
register says is `access.register`'s.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from typing import Final

from index.environment import Environment, ReadTxn, Table, WriteTxn
from vault.errors import Busy, Damaged
from vault.files import store_error
from vault.ledger.entry import Entry, Kind
from vault.ledger.journal import Line, entries_at, entry_at, lines_from
from vault.ledger.ledger import Ledger
from vault.timebase import Interval

MAX_DEED_ENTRIES: Final = 64
"""Of one deed: the first, which says what was asked, and the last ones, which say how it ended. Those between are in the ledger only."""

KINDS: Final = frozenset({str(Kind.READ), str(Kind.EXPORT)})
NO_FOOTAGE: Final = "register"
"""The action of an entry that says who read or wrote out the register itself."""

_BATCH = 300
"""Deeds' entries in one transaction: three rows each."""

_PAGE = 500
_SKIPPED = 20_000
"""Lines of other kinds that are passed over in one transaction."""

_META = b"register-filled"
_WHEN = struct.Struct(">QQ")
_PLACE = struct.Struct(">QI")
_MARKS = tuple(f'"kind":"{kind}"'.encode() for kind in sorted(KINDS))
_LAST = 2**63 - 1

Tell = Callable[[int], None]
"""Told how many more entries of the ledger were looked at."""


def deed_of(entry: Entry) -> str | None:
    """Which deed the entry is a step of: its export, else the id of its opening entry. None for one that tells of no footage.

    An export may be asked for, approved, broken off and taken up again: all of that is one deed.
    """
    if entry.kind not in KINDS or not isinstance(action := entry.body.get("action"), str) or action == NO_FOOTAGE:
        return None
    export, refers = entry.subject.get("export"), entry.body.get("refers")
    if entry.kind == Kind.EXPORT and _is_id(export):
        return f"export/{export}"
    return str(refers) if _is_id(refers) else entry.id


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.encode(errors="replace")) <= 64


def unit_of(entry: Entry) -> str:
    """The using unit for which it was done, empty where none is named."""
    unit = entry.subject.get("unit")
    return unit if isinstance(unit, str) else ""


class Register:
    """Over one environment and its ledger. Cheap to make; any process may fill it and ask it."""

    def __init__(self, environment: Environment, ledger: Ledger) -> None:
        self._env = environment
        self._ledger = ledger
        self._covered = 0
        """Entries that the last `fill` saw taken in."""

    def fill(self, tell: Tell = lambda seen: None, rounds: int | None = None) -> int:
        """Take in what the ledger has signed since the last time; returns how many entries it covers then. Cut short anywhere it
        goes on from there. `rounds`: transactions at most. Raises what the ledger and the index raise."""
        signed = self._ledger.newest()
        size = 0 if signed is None else signed.checkpoint.size
        try:
            while (filled := self._filled(size)) < size:
                if rounds == 0:
                    return filled
                tell(self._fill_some(filled, size))
                rounds = None if rounds is None else rounds - 1
        except OSError as error:
            raise store_error(f"reading the ledger {self._ledger.folder}", error) from error
        self._covered = size
        return size

    def deeds(self, asked: Interval, unit: str | None = None) -> Iterator[list[Entry]]:
        """Each deed's entries, in the order in which they were asked for; `asked`: when that was. Call `fill` before.

        Raises Damaged where a line of the ledger is not the one that was taken in; then the next `fill` begins anew. Busy while
        another process makes it anew.
        """
        key = b"t" if unit is None else b"u" + _unit_key(unit)
        begin, end = key + _WHEN.pack(max(0, asked.start_us), 0), key + _WHEN.pack(max(0, asked.end_us), 0)
        while True:
            with self._env.read() as txn:
                known = _known(txn)
                if (known[0] if known else 0) < self._covered:
                    raise Busy("the register's index is being made anew by another process; ask again")
                page = []
                for raw, value in txn.scan(Table.REGISTER, begin, end):
                    when = raw[-_WHEN.size :]
                    found = value if unit is None else txn.get(Table.REGISTER, b"t" + when)
                    page.append((raw, found or b""))
                    if len(page) == _PAGE:
                        break
            for entries in self._read([value for _, value in page]) if page else ():
                if unit is None or unit_of(entries[0]) == unit:
                    yield entries
            if len(page) < _PAGE:
                return
            begin = page[-1][0] + b"\0"

    def unindexed(self, asked: Interval, unit: str | None = None, tell: Tell = lambda seen: None) -> Iterator[list[Entry]]:
        """The same from every entry of the ledger, in memory: for whoever does not trust the index."""
        found: dict[str, list[Entry]] = {}
        for entry in self._ledger.entries():
            tell(1)
            if (deed := deed_of(entry)) is not None:
                steps = found.setdefault(deed, [])
                steps.append(entry)
                if len(steps) > MAX_DEED_ENTRIES:
                    del steps[1]
        chosen = [
            steps for steps in found.values()
            if asked.start_us <= steps[0].time_us < asked.end_us and unit in (None, unit_of(steps[0]))
        ]  # fmt: skip
        yield from sorted(chosen, key=lambda steps: (steps[0].time_us, steps[0].sequence))

    def _read(self, values: list[bytes]) -> Iterator[list[Entry]]:
        """The entries of some deeds. They lie almost in the order of their sequences, but a deed may go on for months."""
        wanted = sorted({place for value in values for place in _PLACE.iter_unpack(value)})
        try:
            found = {entry.sequence: entry for entry in entries_at(self._ledger.folder, wanted)}
            for value in values:
                entries = [found[sequence] for sequence, _ in _PLACE.iter_unpack(value)]
                if not entries or len({deed_of(entry) for entry in entries}) != 1 or deed_of(entries[0]) is None:
                    raise Damaged(f"{self._ledger.folder}: the register names entries that are none of it")
                yield entries
        except Damaged:
            self.forget()
            raise
        except OSError as error:
            raise store_error(f"reading the ledger {self._ledger.folder}", error) from error

    def forget(self) -> None:
        """Drop all of it: the next `fill` reads the whole ledger. Several processes may do so at once, and one fill meanwhile."""
        with self._env.write("forget register", frees=True) as txn:
            txn.delete(Table.META, _META)
        while True:
            with self._env.write("forget register", frees=True) as txn:
                if _known(txn) is not None:
                    # Somebody has found it empty and begun anew.
                    return
                keys = []
                for key, _ in txn.scan(Table.REGISTER):
                    keys.append(key)
                    if len(keys) == 1_000:
                        break
                for key in keys:
                    txn.delete(Table.REGISTER, key)
            if not keys:
                return

    def _filled(self, size: int) -> int:
        """How many entries are taken in; none where the ledger is another one than it was made of."""
        with self._env.read() as txn:
            known = _known(txn)
            empty = not txn.entries(Table.REGISTER)
        if known is None:
            if not empty:
                self.forget()
            return 0
        filled, digest = known
        if filled and (filled > size or digest != self._digest(filled - 1)):
            self.forget()
            return 0
        return filled

    def _digest(self, sequence: int) -> str:
        return next(_hash(line) for _, _, line in lines_from(self._ledger.folder, sequence, sequence + 1))

    def _fill_some(self, filled: int, size: int) -> int:
        taken: list[tuple[Entry, int]] = []
        seen = 0
        last: Line | None = None
        for sequence, path, line in lines_from(self._ledger.folder, filled, size):
            if any(mark in line.raw for mark in _MARKS):
                taken.append((entry_at(path, line, sequence), line.offset))
            seen, last = seen + 1, line
            if len(taken) == _BATCH or seen == _SKIPPED:
                break
        assert last is not None
        with self._env.write("fill register") as txn:
            known = _known(txn)
            if (known[0] if known else 0) != filled or (known is None and txn.entries(Table.REGISTER)):
                # Somebody else was faster, or is about to empty it.
                return 0
            for entry, offset in taken:
                _take(txn, entry, offset)
            _put_known(txn, filled + seen, _hash(last))
        return seen


def _take(txn: WriteTxn, entry: Entry, offset: int) -> None:
    deed = deed_of(entry)
    if deed is None:
        return
    raw_deed, place = b"d" + deed.encode(errors="replace"), _PLACE.pack(entry.sequence, offset)
    when = txn.get(Table.REGISTER, raw_deed)
    if when is None:
        when = _WHEN.pack(min(max(0, entry.time_us), _LAST), entry.sequence)
        txn.put(Table.REGISTER, raw_deed, when)
        txn.put(Table.REGISTER, b"t" + when, place)
        txn.put(Table.REGISTER, b"u" + _unit_key(unit_of(entry)) + when, b"")
        return
    places = txn.get(Table.REGISTER, b"t" + when) or b""
    if len(places) >= MAX_DEED_ENTRIES * _PLACE.size:
        # Whoever makes entries without end must not hide what came of it.
        places = places[: _PLACE.size] + places[2 * _PLACE.size :]
    txn.put(Table.REGISTER, b"t" + when, places + place)


def _unit_key(unit: str) -> bytes:
    """Of one length for all units, so that no name is another's beginning."""
    return hashlib.sha256(unit.encode(errors="replace")).digest()[:16]


def _hash(line: Line) -> str:
    return hashlib.sha256(line.raw).hexdigest()


def _known(txn: ReadTxn) -> tuple[int, str] | None:
    raw = txn.get(Table.META, _META)
    try:
        value = None if raw is None else json.loads(raw)
        return None if value is None else (int(value["entries"]), str(value["last"]))
    except (ValueError, KeyError, TypeError):
        return None


def _put_known(txn: WriteTxn, entries: int, last: str) -> None:
    txn.put(Table.META, _META, json.dumps({"entries": entries, "last": last}).encode())
