"""The administrators: that one of them can sign in as long as one could, and the first one, whom `init` makes.

Who can sign in has a password, one that must be changed first too, or a token in force. A token ends by itself, and may always be
revoked: what leaves nobody then is told by `check`. This host's own command line acts without signing in."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace
from typing import Final

from access.people.documents import TOKENS, UNITS, USERS, named, to_fields, token_from, unit_from, user_from
from access.people.model import Role, Token, Unit, User
from access.people.passwords import hash_password, random_password
from access.people.people import People
from index.environment import ReadTxn
from vault.errors import Refused

FIRST: Final = "admin"


def keep_an_administrator(people: People, txn: ReadTxn, *, users: Iterable[User] = (), units: Iterable[Unit] = ()) -> None:
    """Called before these are written. Raises Refused where then no administrator could sign in, and one can."""
    users, units = list(users), list(units)
    olds = [people.find_user(txn, user.id) for user in users]
    if not any(old is not None and is_enabled_admin(old) for old in olds) and all(map(_is_open, units)):
        return
    registry = people.registry
    old_users = {user.id: user for user in map(user_from, registry.all_fields(txn, USERS))}
    old_units = {unit.id: unit for unit in map(unit_from, registry.all_fields(txn, UNITS))}
    new_users = old_users | {user.id: user for user in users}
    new_units = old_units | {unit.id: unit for unit in units}
    holders = token_holders(map(token_from, registry.all_fields(txn, TOKENS)), people.clock.now_us())
    if has_one(old_users.values(), old_units.values(), holders) and not has_one(
        new_users.values(), new_units.values(), holders
    ):
        raise Refused(
            "the last administrator who can sign in stays one: no other has a password or a token in force; add another first, with "
            "`user add --role admin`, or give one a password, with `user password`"
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


def token_holders(tokens: Iterable[Token], now_us: int) -> frozenset[str]:
    """Ids of the users who have a token in force."""
    return frozenset(token.user for token in tokens if token.holds(now_us))


def has_one(users: Iterable[User], units: Iterable[Unit], holders: Container[str]) -> bool:
    """Whether an administrator can sign in; `holders`: of `token_holders`."""
    open_units = {"", *(unit.id for unit in units if _is_open(unit))}
    return any(
        is_enabled_admin(user) and (user.password_hash != "" or user.id in holders) and user.unit in open_units
        for user in users
    )


def _is_open(unit: Unit) -> bool:
    return not unit.disabled and unit.removed_us is None
