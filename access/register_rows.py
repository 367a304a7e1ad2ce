"""The register as plain values: JSON for programs, CSV for spreadsheets, columns of Parquet. What a row holds is `access.register`'s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from access.register import Row
from index.csv_table import write_rows
from vault.timebase import format_us

COLUMNS: Final[Mapping[str, str]] = {
    "asked": "moment", "outcome": "text", "ended": "moment", "action": "text", "unit": "text", "person": "text",
    "staff_number": "text", "user": "text", "actor": "text", "address": "text", "cameras": "texts", "camera_numbers": "numbers",
    "from": "moment", "to": "moment", "purpose": "text", "why": "text", "case": "text", "destination": "text",
    "approval_ref": "text", "approver": "text", "approved": "moment", "authority": "text", "bytes": "number", "sha256": "text",
    "refusal": "text", "article": "text", "reason": "text", "export": "text", "deed": "text", "entries": "numbers",
}  # fmt: skip
"""Name and type. A column that is added is added at the end, and none changes its meaning."""

Names = Mapping[int, str]
"""Of cameras, by number. One that is not known is called by its number."""


def called(number: int, names: Names) -> str:
    return names.get(number, f"#{number}")


def values(row: Row, names: Names) -> dict[str, Any]:
    """By column; instants are UTC µs."""
    return {
        "asked": row.asked_us, "outcome": row.outcome, "ended": row.ended_us, "action": row.action, "unit": row.unit,
        "person": row.taker, "staff_number": row.staff_number, "user": row.user, "actor": row.actor, "address": row.address,
        "cameras": [called(number, names) for number in row.cameras], "camera_numbers": list(row.cameras),
        "from": row.start_us, "to": row.end_us, "purpose": row.purpose, "why": row.why, "case": row.case,
        "destination": row.destination, "approval_ref": row.approval_ref, "approver": row.approver, "approved": row.approved_us,
        "authority": row.authority, "bytes": row.size_bytes, "sha256": row.sha256, "refusal": row.code, "article": row.article,
        "reason": row.reason, "export": row.export, "deed": row.deed, "entries": list(row.entries),
    }  # fmt: skip


def as_json(row: Row, names: Names) -> dict[str, Any]:
    """Times as ISO 8601 in UTC; what nobody gave is null."""
    found: dict[str, Any] = {}
    for name, value in values(row, names).items():
        moment = COLUMNS[name] == "moment" and value is not None
        found[name] = format_us(value) if moment else None if value == "" else value
    return found | {"open": row.is_open}


def as_csv(rows: Iterable[Row], names: Names) -> bytes:
    """A file for spreadsheets, no cell of which is a formula, and none of which holds a character that nobody sees."""
    return write_rows(tuple(COLUMNS), ([_cell(cell) for cell in as_json(row, names).values()][:-1] for row in rows))


def as_parquet(rows: Iterable[Row], names: Names) -> bytes:
    """As the ledger has it, word for word."""
    # Half a second that no other form needs.
    from retention.parquet import plain_table

    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in rows:
        for name, value in values(row, names).items():
            columns[name].append(value)
    return plain_table(COLUMNS, columns)


def visible(text: str) -> str:
    """Characters that cannot be seen, or that turn others round, as the sign for what cannot be shown."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(visible(str(item)) for item in value)
    return "" if value is None else visible(str(value))
