"""Cameras as rows of a CSV file, in and out. Whether a site or an id exists is the registry's to say.

No problem ever quotes a value: in a row that has slipped by a column any of them may be a password.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from index.csv_table import Problem, read_rows, write_rows
from index.sites import INTERCONNECTS
from index.texts import text_field
from vault.errors import UsageError
from vault.gbcode import camera_code
from vault.ids import CameraId, camera_id
from vault.retain import MAX_DAYS
from vault.secrets import split_url

MAX_ROWS: Final = 20_000
MAX_TEXT_CHARS: Final = 200

COLUMNS: Final = (
    "id", "url", "site", "name", "transport", "user", "password", "gb_code", "interconnect", "approval_ref", "days", "record",
)  # fmt: skip
REQUIRED: Final = ("id", "url")
TRANSPORTS: Final = ("auto", "tcp", "udp")


@dataclass(frozen=True, slots=True)
class CameraLine:
    """One camera to add or change. `url` carries no user or password; what the file left empty is the registry's default.

    `said`: the columns that the file has.
    """

    row: int
    id: CameraId
    url: str = field(repr=False)
    site: str | None
    name: str
    transport: str
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    gb_code: str = ""
    interconnect: str = ""
    approval_ref: str = ""
    days: int = 0
    record: bool = True
    said: frozenset[str] = frozenset(COLUMNS)


def read_table(data: bytes) -> tuple[list[CameraLine], list[Problem]]:
    """The cameras in the file and every problem with it: a file with one problem is not to be imported in part. Raises nothing."""
    return read_rows(data, COLUMNS, REQUIRED, _line, MAX_ROWS, "camera")


def write_table(lines: Iterable[CameraLine]) -> bytes:
    """The file that `read_table` reads these lines from."""
    return write_rows(
        COLUMNS,
        (
            (
                line.id, line.url, line.site or "", line.name, line.transport, line.user or "", line.password or "", line.gb_code,
                line.interconnect, line.approval_ref, str(line.days or ""), "yes" if line.record else "no",
            )
            for line in lines
        ),
    )  # fmt: skip


def _line(row: int, values: Mapping[str, str]) -> CameraLine:
    for what in ("site", "user", "password"):
        text = values.get(what, "")
        if len(text) > MAX_TEXT_CHARS or not (text.isprintable() or not text):
            raise UsageError(f"{what} is longer than {MAX_TEXT_CHARS} characters or has control characters in it")
    transport = values.get("transport", "").lower() or "auto"
    if transport not in TRANSPORTS:
        raise UsageError(f"transport is none of {', '.join(TRANSPORTS)}")
    interconnect = values.get("interconnect", "").lower()
    if interconnect not in ("", *INTERCONNECTS):
        raise UsageError(f"interconnect is none of {', '.join(INTERCONNECTS)}, nor empty for that of the site")
    record = values.get("record", "").lower() or "yes"
    if record not in ("yes", "no"):
        raise UsageError("record is neither yes nor no")
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
        row, named, split.url, values.get("site") or None, text_field("name", values.get("name", ""), MAX_TEXT_CHARS), transport,
        user if user else split.user, password if user else split.password, _code(values.get("gb_code", "")), interconnect,
        text_field("approval_ref", values.get("approval_ref", ""), 100), days_cell(values.get("days", "")), record == "yes",
        frozenset(values),
    )  # fmt: skip


def days_cell(text: str) -> int:
    """Days; 0 for none said. Raises UsageError."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MAX_DAYS):
        raise UsageError(f"days is not a whole number from 1 to {MAX_DAYS:,}, nor empty")
    return int(text)


def _code(text: str) -> str:
    try:
        return camera_code(text) if text else ""
    except UsageError:
        raise UsageError(
            "gb_code is not the 20 digits of a camera (GB/T 28181-2022 Annex E); a spreadsheet needs that column as text"
        ) from None
