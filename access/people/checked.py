"""What may be written of people: texts bounded and cleaned, required ones there. Values in, values out; the registry is not asked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any, Final, TypeVar

from access.people.model import Application, Role, Terminal, Unit, UnitGrant, User
from access.people.terminals import checked_address
from index.outbox import actor_here
from index.texts import text_field
from vault.errors import UsageError
from vault.grant import Action, Refusal
from vault.ids import CameraNumber

UNIT_TEXTS: Final = {"name": 200, "agreement": 100, "scope": 1_000, "rules_ref": 200, "leader": 100}
"""A unit's fields of text and how many characters each may have."""
USER_TEXTS: Final = {"real_name": 100, "staff_number": 50}
MAX_TERMINALS: Final = 200
MAX_PLACE_CHARS: Final = 100
MAX_PERSON_CHARS: Final = 100
MAX_WHY_CHARS: Final = 1_000
MAX_BY_CHARS: Final = 200
MAX_CAMERAS: Final = 1_000
MAX_SITES: Final = 200
MAX_IMPORT: Final = 1_000
"""In one transaction, in which each document is synced."""

_T = TypeVar("_T", str, CameraNumber)
_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


def checked_id(what: str, text: str) -> str:
    """The id of a unit or user. Raises UsageError."""
    if not _ID.fullmatch(text):
        raise UsageError(f"{what} id {text[:80]!r} is not usable: 1 to 64 letters, digits, '-', '_' or '.'")
    return text


def checked_unit(unit: Unit) -> Unit:
    """The unit with its texts cleaned and its terminals' addresses as they are kept. Raises UsageError, Refusal."""
    where = f"unit {checked_id('unit', unit.id)}"
    texts: dict[str, Any] = {
        name: text_field(f"{where}: {name}", getattr(unit, name), most) for name, most in UNIT_TEXTS.items()
    }
    if not texts["name"]:
        raise Refusal(f"{where}: its name is missing: permission is given to a unit that is known by name", "field", "Art. 13")
    if unit.valid_to_us is not None and unit.valid_to_us <= unit.valid_from_us:
        raise UsageError(f"{where}: its agreement ends before it begins")
    terminals = tuple(checked_terminal(where, item) for item in unit.terminals)
    if len(terminals) > MAX_TERMINALS:
        raise UsageError(f"{where}: at most {MAX_TERMINALS} terminals; declare a network (10.1.2.0/24) in the place of many")
    if len({item.address for item in terminals}) < len(terminals):
        raise UsageError(f"{where}: two terminals have the same address")
    return replace(unit, terminals=terminals, **texts)


def checked_terminal(where: str, terminal: Terminal) -> Terminal:
    """Raises UsageError; Refusal where nobody answers for it or its place is not said."""
    address = checked_address(terminal.address)
    place = text_field(f"{where}: terminal {address}: place", terminal.place, MAX_PLACE_CHARS)
    person = text_field(f"{where}: terminal {address}: person", terminal.person, MAX_PERSON_CHARS)
    lacking = [name for name, text in (("place", place), ("person", person)) if not text]
    if lacking:
        raise Refusal(f"{where}: terminal {address} is declared with {' and '.join(lacking)}", "field", "Art. 14 (3)")
    return Terminal(address, place, person)


def checked_user(user: User) -> User:
    """The user with its texts cleaned. Raises UsageError; Refusal where who it is, or for whom, is not said."""
    where = f"user {checked_id('user', user.id)}"
    texts: dict[str, Any] = {
        name: text_field(f"{where}: {name}", getattr(user, name), most) for name, most in USER_TEXTS.items()
    }
    if user.role in (Role.UNIT, Role.INVESTIGATOR) and (lacking := [name for name, text in texts.items() if not text]):
        raise Refusal(
            f"{where}: whoever sees footage is known by {' and '.join(lacking).replace('_', ' ')}", "field", "Art. 14 (7)"
        )
    if user.role is Role.UNIT and not user.unit:
        raise Refusal(f"{where}: a user of role unit is of a unit that has permission: say which", "field", "Art. 13")
    return replace(
        user,
        unit=checked_id("unit", user.unit) if user.unit else "",
        trained_on=checked_day(f"{where}: trained_on", user.trained_on),
        **texts,
    )


def checked_application(asked: Application) -> Application:
    """Raises UsageError; Refusal where what it is for, or of which cameras, is not said."""
    where = f"the application of {asked.unit}"
    work = text_field(f"{where}: work", asked.work, MAX_WHY_CHARS)
    if not work:
        raise Refusal(f"{where}: says for which work the footage is needed", "field", "Art. 13")
    sites, cameras, actions = _scope(where, asked)
    return replace(asked, sites=sites, cameras=cameras, actions=actions, work=work)


def checked_grant(grant: UnitGrant) -> UnitGrant:
    """Raises UsageError; Refusal for one that rests on neither an application nor a reason."""
    where = f"the grant for {grant.unit}"
    why = text_field(f"{where}: why", grant.why, MAX_WHY_CHARS)
    if grant.application is None and not why:
        raise Refusal(f"{where}: without an application it says why it is given", "field", "Art. 13")
    sites, cameras, actions = _scope(where, grant)
    return replace(grant, sites=sites, cameras=cameras, actions=actions, why=why)


def checked_day(what: str, text: str) -> str:
    """An ISO date, or nothing. Raises UsageError."""
    try:
        return date.fromisoformat(text.strip()[:20]).isoformat() if text.strip() else ""
    except ValueError:
        raise UsageError(f"{what}: {text[:20]!r} is not a date; write it as 2026-11-22") from None


def person(by: str) -> str:
    """Who does something, as it is noted; the operator at this host where nobody is named. Raises UsageError."""
    return text_field("the person (--by)", by, MAX_BY_CHARS, required=True) if by else actor_here()


def _scope(where: str, said: Application | UnitGrant) -> tuple[tuple[str, ...], tuple[CameraNumber, ...], frozenset[Action]]:
    sites, cameras = _unique(said.sites), _unique(said.cameras)
    if not sites and not cameras:
        raise Refusal(f"{where}: names the cameras or sites that it is for", "field", "Art. 14 (4)")
    if len(sites) > MAX_SITES or len(cameras) > MAX_CAMERAS:
        raise UsageError(f"{where}: at most {MAX_SITES} sites and {MAX_CAMERAS:,} cameras; make several")
    if not said.actions:
        raise UsageError(f"{where}: says what may be done: {', '.join(Action)}")
    return tuple(sites), tuple(cameras), frozenset(map(Action, said.actions))


def _unique(values: Iterable[_T]) -> list[_T]:
    return sorted(set(values))
