"""The administrators: that one of them can always sign in, and the first one, whom `init` makes."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from access.people.documents import UNITS, USERS, named, to_fields, unit_from, user_from
from access.people.model import Role, User
from access.people.passwords import hash_password, random_password
from access.people.people import People
from index.environment import ReadTxn
from vault.errors import Refused

FIRST: Final = "admin"


def keep_an_administrator(people: People, txn: ReadTxn) -> None:
    """Raises Refused where none is left who may sign in; called when everything is written that this transaction changes."""
    registry = people.registry
    admins = [user for user in map(user_from, registry.all_fields(txn, USERS)) if is_enabled_admin(user)]
    closed = {
        unit.id for unit in map(unit_from, registry.all_fields(txn, UNITS)) if unit.disabled or unit.removed_us is not None
    }
    if not any(user.unit not in closed for user in admins):
        raise Refused(
            "the last administrator who may sign in stays one: without, nobody could grant or revoke; add another first, with "
            "`user add --role admin`"
        )


def is_enabled_admin(user: User) -> bool:
    """As far as the user's own document says."""
    return user.role is Role.ADMIN and not user.disabled and user.removed_us is None


def first_administrator(people: People, by: str = "") -> str:
    """Make the user `admin` of a new data folder, who must change the password that is returned.

    Repeated by an `init` that was cut short it gives another password, since nobody may have read the one before. The document
    is replaced whatever it says: nobody has used the folder.
    """
    password = random_password()
    encoded = hash_password(password)
    with people.environment.write("first administrator") as txn:
        now_us = people.clock.now_us()
        old = people.find_user(txn, FIRST)
        made = replace(
            old or User(FIRST, Role.ADMIN), password_hash=encoded, password_set_us=now_us, must_change=True, disabled=False
        )
        people.registry.write(txn, named(USERS, FIRST), to_fields(made), now_us, by)
    return password
