"""The ledger's files of entries: their names, where an entry stands, reading them in order. Writing is `vault.ledger.ledger`'s.

A file is named by its first entry and the month it was begun in, `000000001200-202611.jsonl`. All but the last are never
touched again.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from vault.errors import Damaged
from vault.ledger.entry import MAX_LINE_BYTES, Entry, decode_entry
from vault.timebase import format_us

_NAME = re.compile(r"([0-9]{12})-[0-9]{6}\.jsonl")
_NEAR_BYTES = 16 * 1024
"""Closer than this to an entry, reading on is cheaper than halving again."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """`first`: the sequence of its first entry."""

    path: Path
    first: int


class Line(NamedTuple):
    """A line as it lies in a file, without its end. Not `whole`: the file ends in it, or it is too long to be an entry."""

    offset: int
    raw: bytes
    whole: bool


def file_name(first: int, time_us: int) -> str:
    """What the file is called that begins with this entry at that time."""
    day = format_us(time_us)
    return f"{first:012d}-{day[:4]}{day[5:7]}.jsonl"


def month_of(name: str) -> str:
    """The month in a file's name."""
    return name[13:19]


def log_files(folder: Path) -> list[LogFile]:
    """In the order of their entries. Raises OSError."""
    names = sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))
    return [LogFile(folder / name, int(name[:12])) for name in names]


def lines_of(path: Path, begin: int = 0) -> Iterator[Line]:
    """Every line from byte `begin` on, which is where one begins. Raises OSError."""
    with path.open("rb") as file:
        file.seek(begin)
        offset = begin
        while raw := file.readline(MAX_LINE_BYTES + 1):
            whole, length = raw.endswith(b"\n"), len(raw)
            # What is too long is passed over to its end.
            while not raw.endswith(b"\n") and (more := file.readline(MAX_LINE_BYTES + 1)):
                length += len(more)
                if more.endswith(b"\n"):
                    break
            yield Line(offset, raw.removesuffix(b"\n"), whole)
            offset += length


def entries_from(folder: Path, first: int, size: int) -> Iterator[Entry]:
    """The entries [first, size), in order. Raises Damaged where another one, or none, stands in an entry's place, OSError."""
    for expected, path, line in lines_from(folder, first, size):
        yield entry_at(path, line, expected)


def lines_from(folder: Path, first: int, size: int) -> Iterator[tuple[int, Path, Line]]:
    """The lines in the places of the entries [first, size), in order: the sequence, the file, the line, which nobody has looked
    into yet. Raises Damaged where the ledger ends before, OSError."""
    expected = first
    files = log_files(folder)
    for file, following in zip(files, [*files[1:], None], strict=False):
        if expected >= size:
            return
        if following is not None and following.first <= expected:
            continue
        for line in lines_of(file.path, _offset_of(file, expected) if expected > file.first else 0):
            if expected >= size:
                return
            yield expected, file.path, line
            expected += 1
    if expected < size:
        raise Damaged(f"{folder}: the ledger ends before entry {expected}; run `streamvault ledger verify`")


def entries_at(folder: Path, places: Iterable[tuple[int, int]]) -> Iterator[Entry]:
    """The entries whose sequences and first bytes are given, the former rising. Raises Damaged where another stands there,
    OSError."""
    files = log_files(folder)
    with contextlib.ExitStack() as stack:
        opened: BinaryIO | None = None
        at = -1
        for sequence, offset in places:
            while at + 1 < len(files) and files[at + 1].first <= sequence:
                opened, at = None, at + 1
            if at < 0:
                raise Damaged(f"{folder}: the ledger begins behind entry {sequence}; run `streamvault ledger verify`")
            if opened is None:
                stack.pop_all().close()
                opened = stack.enter_context(files[at].path.open("rb"))
            opened.seek(offset)
            raw = opened.readline(MAX_LINE_BYTES + 1)
            yield entry_at(files[at].path, Line(offset, raw.removesuffix(b"\n"), raw.endswith(b"\n")), sequence)


def entry_at(path: Path, line: Line, expected: int) -> Entry:
    """The entry of a line that should be this one. Raises Damaged, which names the place."""
    try:
        if not line.whole:
            raise Damaged("is cut off")
        entry = decode_entry(line.raw)
    except Damaged as error:
        raise Damaged(f"{path}: entry {expected} at byte {line.offset} {error}; run `streamvault ledger verify`") from None
    if entry.sequence != expected:
        raise Damaged(
            f"{path}: entry {entry.sequence} stands at byte {line.offset}, where {expected} belongs; run `streamvault ledger verify`"
        )
    return entry


def _offset_of(file: LogFile, sequence: int) -> int:
    """Where entry `sequence`'s line begins, found by halving: each line holds its number. Raises Damaged, OSError."""
    with file.path.open("rb") as opened:
        low, high = 0, os.fstat(opened.fileno()).st_size
        try:
            while high - low > _NEAR_BYTES:
                middle = (low + high) // 2
                begin, found = _next_entry(opened, middle)
                if found is None or begin >= high or found.sequence > sequence:
                    high = middle
                else:
                    low = begin
            opened.seek(low)
            while raw := opened.readline(MAX_LINE_BYTES + 1):
                if decode_entry(raw.removesuffix(b"\n")).sequence >= sequence:
                    break
                low += len(raw)
        except Damaged as error:
            raise Damaged(f"{file.path}: an entry on the way to {sequence} {error}; run `streamvault ledger verify`") from None
    return low


def _next_entry(opened: BinaryIO, offset: int) -> tuple[int, Entry | None]:
    """The first entry whose line begins behind `offset`, and where; None at the end of the file."""
    opened.seek(offset)
    begin = offset + len(opened.readline(MAX_LINE_BYTES + 1))
    raw = opened.readline(MAX_LINE_BYTES + 1)
    return begin, decode_entry(raw.removesuffix(b"\n")) if raw.endswith(b"\n") else None
