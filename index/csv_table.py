"""CSV as spreadsheets here write and read it: bytes to numbered rows of named cells, and back.

A row is numbered as a spreadsheet numbers it: the header line is row 1. No problem ever quotes a value: in a row that has
slipped by a column any of them may be a password. A cell that a spreadsheet would take for a formula is written with an
apostrophe before it, and read back without. What the columns mean is `index.camera_table`'s, `index.site_table`'s and `access.people.tables`'.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from vault.errors import UsageError

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_PROBLEMS: Final = 100
"""After so many the file is some other file."""

_T = TypeVar("_T")
_FORMULA = re.compile(r"'*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r]")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a row."""

    row: int
    text: str


def read_rows(
    data: bytes,
    columns: Sequence[str],
    required: Sequence[str],
    line: Callable[[int, Mapping[str, str]], _T],
    most: int,
    noun: str,
    key: Sequence[str] = ("id",),
) -> tuple[list[_T], list[Problem]]:
    """What `line` makes of each row's number and cells (it raises UsageError), and every problem with the file.

    UTF-8 with or without a byte order mark, else GB 18030. What stands in the columns `key` together, if anything does, may stand once
    only. Raises nothing.
    """
    text = _decode(data)
    if isinstance(text, Problem):
        return [], [text]
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[_T] = []
    problems: list[Problem] = []
    seen: dict[tuple[str, ...], int] = {}
    header: list[str] | None = None
    row = 0
    while len(problems) < MAX_PROBLEMS:
        row += 1
        try:
            cells = [_alive(cell.strip()) for cell in next(reader)]
        except StopIteration:
            break
        except csv.Error as error:
            # What comes after a torn quote cannot be told apart from it.
            problems.append(Problem(row, f"is not CSV: {error}"))
            break
        if header is None:
            header, wrong = _header(cells, columns, required)
            if wrong:
                return [], [Problem(row, wrong)]
        elif any(cells):
            if len(lines) >= most:
                problems.append(Problem(row, f"a file may hold at most {most:,} {noun}s; split it"))
                break
            try:
                if len(cells) != len(header):
                    raise UsageError(f"has {len(cells)} fields where the header line has {len(header)}")
                values = dict(zip(header, cells, strict=True))
                made = line(row, values)
                named = tuple(values.get(column, "") for column in key)
                if any(named) and named in seen:
                    raise UsageError(f"the {' and '.join(key)} stands in row {seen[named]} already")
                seen[named] = row
                lines.append(made)
            except UsageError as error:
                problems.append(Problem(row, str(error)))
    if not lines and not problems:
        problems.append(
            Problem(max(1, row - 1), f"there is no {noun} in the file; the first line names columns: {', '.join(columns)}")
        )
    return lines, problems


def write_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A CSV file with a header line, in UTF-8 with the byte order mark that spreadsheets know it by."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_inert(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def _inert(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _alive(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _decode(data: bytes) -> str | Problem:
    if len(data) > MAX_FILE_BYTES:
        return Problem(1, f"the file is longer than {MAX_FILE_BYTES:,} bytes")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return Problem(1, "the file is UTF-16; save it as CSV in UTF-8 or GB 18030")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            return Problem(1, "the file has NUL bytes in it; it is no CSV")
        # GB 18030 has a byte order mark of its own, which Python leaves in the text.
        return text.removeprefix("\ufeff")
    return Problem(1, "the file is neither UTF-8 nor GB 18030")


def _header(cells: list[str], columns: Sequence[str], required: Sequence[str]) -> tuple[list[str], str | None]:
    found = [cell.lower() for cell in cells]
    for number, name in enumerate(found, 1):
        if name not in columns:
            return found, f"{_unknown(number, name, columns)} The columns are {', '.join(columns)}, divided by commas"
        if found.count(name) > 1:
            return found, f"column {name} stands twice"
    missing = [name for name in required if name not in found]
    return found, f"column {missing[0]} is missing" if missing else None


def _unknown(number: int, name: str, columns: Sequence[str]) -> str:
    """What to say of a header cell that names no column. Without a header line it is a camera's address, or its password."""
    near = [] if ";" in name else difflib.get_close_matches(name, columns, 1)
    hint = f"did you mean {near[0]}?" if near else "is the header line missing, or is it divided by ; and not by commas?"
    return f"column {number} has a name we do not know: {hint}"
