"""Units, terminals, users and grants as rows of CSV files, in and out. Passwords are in none. What may be is the registry's to say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Final

from access.people.checked import MAX_IMPORT
from access.people.model import Act, Role, Terminal, Unit, UnitGrant, User
from index.csv_table import Problem, read_rows, write_rows
from vault.days import begin_text, begin_us, end_text, end_us, interval
from vault.errors import UsageError
from vault.grant import Action
from vault.ids import CameraNumber

UNIT_COLUMNS: Final = (
    "id", "name", "agreement", "valid_from", "valid_to", "scope", "rules_ref", "leader", "viewing_camera", "approval", "disabled",
)  # fmt: skip
TERMINAL_COLUMNS: Final = ("unit", "address", "place", "person")
USER_COLUMNS: Final = ("id", "role", "unit", "real_name", "staff_number", "trained_on", "disabled")
GRANT_COLUMNS: Final = (
    "id", "unit", "sites", "cameras", "actions", "from", "to", "valid_from", "valid_to", "application", "why",
)  # fmt: skip

_ALWAYS: Final = "1970-01-01T00:00:00Z"
"""In a grant's row, where nothing is from now on."""
_UNIT_TEXTS: Final = ("name", "agreement", "scope", "rules_ref", "leader")
_USER_TEXTS: Final = ("unit", "real_name", "staff_number", "trained_on")


@dataclass(frozen=True, slots=True)
class Names:
    """What cells mean here: the zone of days, now, cameras by what people call them (raises NotFound) and back."""

    zone: tzinfo
    now_us: int
    number: Callable[[str], CameraNumber]
    name: Callable[[CameraNumber], str]


@dataclass(frozen=True, slots=True)
class Line:
    """`cells`: by column, those that the file has."""

    row: int
    cells: Mapping[str, str]

    @property
    def id(self) -> str:
        """Of a terminal its unit's and its address; empty of a grant without a number yet."""
        return self.cells["id"] if "id" in self.cells else f"{self.cells['unit']} {self.cells['address']}"


def read_units(data: bytes) -> tuple[list[Line], list[Problem]]:
    """Raises nothing."""
    return read_rows(data, UNIT_COLUMNS, ("id",), _named, MAX_IMPORT, "unit")


def read_terminals(data: bytes) -> tuple[list[Line], list[Problem]]:
    """Raises nothing."""
    return read_rows(data, TERMINAL_COLUMNS, TERMINAL_COLUMNS, Line, MAX_IMPORT, "terminal", ("unit", "address"))


def read_users(data: bytes) -> tuple[list[Line], list[Problem]]:
    """Raises nothing."""
    return read_rows(data, USER_COLUMNS, ("id", "role"), _named, MAX_IMPORT, "user")


def read_grants(data: bytes) -> tuple[list[Line], list[Problem]]:
    """Raises nothing."""
    return read_rows(data, GRANT_COLUMNS, ("id", "unit", "actions"), Line, MAX_IMPORT, "grant")


def unit_of_line(line: Line, old: Unit | None, names: Names) -> Unit:
    """The unit as the row says; what the file has no column for stays as it is. Raises UsageError, NotFound."""
    base, cells = old or Unit(line.id), line.cells
    unit = replace(base, **{name: cells[name] for name in _UNIT_TEXTS if name in cells})  # type: ignore[arg-type]
    if "valid_from" in cells:
        unit = replace(
            unit, valid_from_us=begin_us(cells["valid_from"], names.zone, names.now_us) if cells["valid_from"] else 0
        )
    if "valid_to" in cells:
        unit = replace(unit, valid_to_us=end_us(cells["valid_to"], names.zone, names.now_us) if cells["valid_to"] else None)
    if "viewing_camera" in cells:
        unit = replace(unit, viewing_camera=names.number(cells["viewing_camera"]) if cells["viewing_camera"] else None)
    return replace(unit, approval=_flag(cells, "approval", unit.approval), disabled=_flag(cells, "disabled", unit.disabled))


def user_of_line(line: Line, old: User | None) -> User:
    """As `unit_of_line`. Raises UsageError."""
    role = line.cells["role"].lower()
    if role not in list(Role):
        raise UsageError(f"role is none of {', '.join(Role)}")
    base = replace(old or User(line.id, Role(role)), role=Role(role))
    user = replace(base, **{name: line.cells[name] for name in _USER_TEXTS if name in line.cells})  # type: ignore[arg-type]
    return replace(user, disabled=_flag(line.cells, "disabled", user.disabled))


def terminal_of_line(line: Line) -> tuple[str, Terminal]:
    """With its unit's id."""
    return line.cells["unit"], Terminal(line.cells["address"], line.cells["place"], line.cells["person"])


def grant_of_line(line: Line, names: Names) -> UnitGrant:
    """Valid from now on where the row does not say since when. Raises UsageError, NotFound."""
    cells = {column: line.cells.get(column, "") for column in GRANT_COLUMNS}
    actions = cells["actions"].lower().split()
    if not actions or any(action not in list(Action) for action in actions):
        raise UsageError(f"actions is none of {', '.join(Action)}, nor several of them with a space between")
    valid_from = cells["valid_from"] or begin_text(names.now_us, names.zone)
    return UnitGrant(
        _number("id", cells["id"]) or 0,
        cells["unit"],
        tuple(cells["sites"].split()),
        tuple(map(names.number, cells["cameras"].split())),
        frozenset(map(Action, actions)),
        interval(cells["from"], cells["to"], names.zone, names.now_us),
        interval(valid_from, cells["valid_to"], names.zone, names.now_us),
        Act("", 0),
        _number("application", cells["application"]),
        cells["why"],
    )


def write_units(units: Iterable[Unit], names: Names) -> bytes:
    """The file that `read_units` reads."""
    return write_rows(
        UNIT_COLUMNS,
        (
            (
                unit.id, unit.name, unit.agreement, begin_text(unit.valid_from_us, names.zone), end_text(unit.valid_to_us, names.zone),
                unit.scope, unit.rules_ref, unit.leader, "" if unit.viewing_camera is None else names.name(unit.viewing_camera),
                _yes(unit.approval), _yes(unit.disabled),
            )
            for unit in units
        ),
    )  # fmt: skip


def write_terminals(units: Iterable[Unit]) -> bytes:
    """The file that `read_terminals` reads."""
    return write_rows(
        TERMINAL_COLUMNS, ((unit.id, item.address, item.place, item.person) for unit in units for item in unit.terminals)
    )


def write_users(users: Iterable[User]) -> bytes:
    """The file that `read_users` reads."""
    return write_rows(
        USER_COLUMNS,
        (
            (user.id, user.role, user.unit, user.real_name, user.staff_number, user.trained_on, _yes(user.disabled))
            for user in users
        ),
    )


def write_grants(grants: Iterable[UnitGrant], names: Names) -> bytes:
    """The file that `read_grants` reads."""
    return write_rows(
        GRANT_COLUMNS,
        (
            (
                str(grant.number), grant.unit, " ".join(grant.sites), " ".join(map(names.name, grant.cameras)),
                " ".join(sorted(grant.actions)), begin_text(grant.window.start_us, names.zone),
                end_text(grant.window.end_us, names.zone), begin_text(grant.valid.start_us, names.zone) or _ALWAYS,
                end_text(grant.valid.end_us, names.zone), str(grant.application or ""), grant.why,
            )
            for grant in grants
        ),
    )  # fmt: skip


def _named(row: int, cells: Mapping[str, str]) -> Line:
    if not cells["id"]:
        raise UsageError("id is empty")
    return Line(row, cells)


def _flag(cells: Mapping[str, str], name: str, old: bool) -> bool:
    if name not in cells:
        return old
    found = cells[name].lower() or "no"
    if found not in ("yes", "no"):
        raise UsageError(f"{name} is neither yes nor no")
    return found == "yes"


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def _number(what: str, text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text)):
        raise UsageError(f"{what} is not a number from 1 on, nor empty")
    return int(text)
