"""Reading a ledger's lines in the order in which they lie, and saying where that order is not the entries' own.

It judges by the numbers in the lines and goes on behind whatever is wrong. Whether an entry is the one that was signed is
another question: `vault.ledger.verify`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from vault.errors import Damaged
from vault.ledger.entry import MAX_LINE_BYTES, Entry, decode_entry
from vault.ledger.journal import lines_of, log_files

MAX_STRAYS = 10_000
"""More lines out of place than this are no longer told apart."""


class Found(NamedTuple):
    """A line. `entry` is None for what is no entry; `raw` is its bytes without the end."""

    file: Path
    offset: int
    raw: bytes
    entry: Entry | None

    @property
    def sequence(self) -> int:
        """-1 for what is no entry."""
        return -1 if self.entry is None else self.entry.sequence

    @property
    def where(self) -> str:
        return f"{self.file.name}, byte {self.offset}"


@dataclass(slots=True)
class Order:
    """What is wrong with the order: lines out of place (or no entries), and [first, last) that stood nowhere in their place.

    `replaced`: no entries, where this one should be. `expected`: how many there would be if none lacked at the end.
    """

    expected: int = 0
    missing: list[tuple[int, int, str]] = field(default_factory=list)
    strays: list[Found] = field(default_factory=list)
    replaced: list[tuple[int, Found]] = field(default_factory=list)

    def in_place(self, folder: Path) -> Iterator[Entry]:
        """The entries that stand where they belong, as far as can be told. Raises OSError."""
        lines = itertools.chain(_found(folder), (None,))
        for line, following in itertools.pairwise(lines):
            assert line is not None
            after = -2 if following is None else following.sequence
            if line.entry is not None and line.sequence == self.expected:
                self.expected += 1
                yield line.entry
            elif line.entry is None and after in (self.expected + 1, -2):
                self.replaced.append((self.expected, line))
                self.expected += 1
            elif line.sequence > self.expected and after != self.expected + 1:
                assert line.entry is not None
                self.missing.append((self.expected, line.sequence, line.file.name))
                self.expected = line.sequence + 1
                yield line.entry
            else:
                self.strays.append(line)
                if after == self.expected + 1:
                    # One line stands in the place of another: the rest is where it should be.
                    self.missing.append((self.expected, after, line.file.name))
                    self.expected = after
                if len(self.strays) > MAX_STRAYS:
                    return

    def lacking(self) -> Iterator[tuple[int, int, str]]:
        """What is missing and stands nowhere else either."""
        elsewhere = sorted({line.sequence for line in self.strays})
        for first, last, file in self.missing:
            begin = first
            for sequence in elsewhere:
                if begin <= sequence < last:
                    if begin < sequence:
                        yield begin, sequence, file
                    begin = sequence + 1
            if begin < last:
                yield begin, last, file


def _found(folder: Path) -> Iterator[Found]:
    for file in log_files(folder):
        for line in lines_of(file.path):
            if not line.whole and len(line.raw) <= MAX_LINE_BYTES:
                # The file was cut off inside a line: what is missing says so, and a torn end that nobody signed is no matter.
                continue
            try:
                entry = decode_entry(line.raw) if line.whole else None
            except Damaged:
                entry = None
            yield Found(file.path, line.offset, line.raw, entry)
