"""Cameras from a CSV file: bytes in, rows or row-numbered problems out. Whether a site or an id exists is the registry's to say.

A row is numbered as a spreadsheet numbers it: the header line is row 1. No problem ever quotes a value: in a row that has
slipped by a column any of them may be a password.
"""

from __future__ import annotations

import csv
import difflib
import io
from dataclasses import dataclass, field

from vault.errors import UsageError
from vault.ids import CameraId, camera_id
from vault.secrets import split_url

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_ROWS = 20_000
MAX_PROBLEMS = 100
"""After so many the file is some other file."""
MAX_TEXT_CHARS = 200

COLUMNS = ("id", "url", "site", "name", "transport", "user", "password")
REQUIRED = ("id", "url")
TRANSPORTS = ("auto", "tcp", "udp")


@dataclass(frozen=True, slots=True)
class CameraLine:
    """One camera to add. `url` carries no user or password; what the file left empty is the registry's default."""

    row: int
    id: CameraId
    url: str = field(repr=False)
    site: str | None
    name: str
    transport: str
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a row."""

    row: int
    text: str


def read_table(data: bytes) -> tuple[list[CameraLine], list[Problem]]:
    """The cameras in the file and every problem with it: a file with one problem is not to be imported in part.

    UTF-8 with or without a byte order mark, else GB 18030, as spreadsheets here write. Raises nothing.
    """
    text = _decode(data)
    if isinstance(text, Problem):
        return [], [text]
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[CameraLine] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    columns: list[str] | None = None
    row = 0
    while len(problems) < MAX_PROBLEMS:
        row += 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            break
        except csv.Error as error:
            # What comes after a torn quote cannot be told apart from it.
            problems.append(Problem(row, f"is not CSV: {error}"))
            break
        if columns is None:
            columns, wrong = _header(cells)
            if wrong:
                return [], [Problem(row, wrong)]
        elif any(cells):
            if len(lines) >= MAX_ROWS:
                problems.append(Problem(row, f"a file may hold at most {MAX_ROWS:,} cameras; split it"))
                break
            try:
                line = _line(row, columns, cells)
                if line.id in seen:
                    raise UsageError(f"the id stands in row {seen[line.id]} already")
                seen[line.id] = row
                lines.append(line)
            except UsageError as error:
                problems.append(Problem(row, str(error)))
    if not lines and not problems:
        problems.append(
            Problem(max(1, row - 1), f"there is no camera in the file; the first line names columns: {', '.join(COLUMNS)}")
        )
    return lines, problems


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
        return text
    return Problem(1, "the file is neither UTF-8 nor GB 18030")


def _header(cells: list[str]) -> tuple[list[str], str | None]:
    columns = [cell.lower() for cell in cells]
    for number, name in enumerate(columns, 1):
        if name not in COLUMNS:
            return columns, f"{_unknown(number, name)} The columns are {', '.join(COLUMNS)}, divided by commas"
        if columns.count(name) > 1:
            return columns, f"column {name} stands twice"
    missing = [name for name in REQUIRED if name not in columns]
    return columns, f"column {missing[0]} is missing" if missing else None


def _unknown(number: int, name: str) -> str:
    """What to say of a header cell that names no column. Without a header line it is a camera's address, or its password."""
    near = [] if ";" in name else difflib.get_close_matches(name, COLUMNS, 1)
    hint = f"did you mean {near[0]}?" if near else "is the header line missing, or is it divided by ; and not by commas?"
    return f"column {number} has a name we do not know: {hint}"


def _line(row: int, columns: list[str], cells: list[str]) -> CameraLine:
    if len(cells) != len(columns):
        raise UsageError(f"has {len(cells)} fields where the header line has {len(columns)}")
    values = dict(zip(columns, cells, strict=True))
    name = values.get("name", "")
    for what in ("name", "site", "user", "password"):
        text = values.get(what, "")
        if len(text) > MAX_TEXT_CHARS or not (text.isprintable() or not text):
            raise UsageError(f"{what} is longer than {MAX_TEXT_CHARS} characters or has control characters in it")
    transport = values.get("transport", "").lower() or "auto"
    if transport not in TRANSPORTS:
        raise UsageError(f"transport is none of {', '.join(TRANSPORTS)}")
    if not values["url"]:
        raise UsageError("url is empty")
    try:
        named = camera_id(values["id"])
    except UsageError:
        raise UsageError(
            "the camera id is not usable: 1 to 64 letters, digits, '-', '_' or '.', starting and ending with a letter or digit"
        ) from None
    split = split_url(values["url"])
    user, password = values.get("user") or None, values.get("password") or None
    if password and not user:
        raise UsageError("there is a password and no user")
    if user and split.user is not None:
        raise UsageError("credentials stand in the url and in the columns too; leave one out")
    return CameraLine(
        row, named, split.url, values.get("site") or None, name, transport,
        user if user else split.user, password if user else split.password,
    )  # fmt: skip
