"""The administrators: that one of them can always sign in, and the first one, whom `init` makes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from access.people.documents import UNITS, USERS, named, to_fields, unit_from, user_from
from access.people.model import Role, Unit, User
from access.people.passwords import hash_password, random_password
from access.people.people import People
from index.environment import ReadTxn
from vault.errors import Refused

FIRST: Final = "admin"


def keep_an_administrator(people: People, txn: ReadTxn, *, users: Iterable[User] = (), units: Iterable[Unit] = ()) -> None:
    """Called before these are written. Raises Refused where then nobody would be left who may sign in and grant, and somebody is."""
    users, units = list(users), list(units)
    olds = [people.find_user(txn, user.id) for user in users]
    if not any(old is not None and is_enabled_admin(old) for old in olds) and all(map(_is_open, units)):
        return
    registry = people.registry
    old_users = {user.id: user for user in map(user_from, registry.all_fields(txn, USERS))}
    old_units = {unit.id: unit for unit in map(unit_from, registry.all_fields(txn, UNITS))}
    new_users = old_users | {user.id: user for user in users}
    new_units = old_units | {unit.id: unit for unit in units}
    if _has_one(old_users, old_units) and not _has_one(new_users, new_units):
        raise Refused(
            "the last administrator who may sign in stays one: without, nobody could grant or revoke; add another first, with "
            "`user add --role admin`"
        )


def is_enabled_admin(user: User) -> bool:
    """As far as the user's own document says."""
    return user.role is Role.ADMIN and not user.disabled and user.removed_us is None


def first_administrator(people: People) -> str:
    """Make the user `admin` of a new data folder, who must change the password that is returned.

    Repeated by an `init` that was cut short it gives another password, since nobody may have read the one before.
    """
    password = random_password()
    encoded = hash_password(password)
    with people.environment.write("first administrator") as txn:
        now_us = people.clock.now_us()
        old = people.find_user(txn, FIRST) or User(FIRST, Role.ADMIN)
        made = replace(old, password_hash=encoded, password_set_us=now_us, must_change=True)
        people.registry.write(txn, named(USERS, FIRST), to_fields(made), now_us, "")
    return password


def _has_one(users: dict[str, User], units: dict[str, Unit]) -> bool:
    return any(is_enabled_admin(user) and (not user.unit or _is_open(units.get(user.unit))) for user in users.values())


def _is_open(unit: Unit | None) -> bool:
    return unit is not None and not unit.disabled and unit.removed_us is None
