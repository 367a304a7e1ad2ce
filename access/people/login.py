"""Who asks: a user by password or token, or whoever sits at the host. Whether they may, and still may, is `access.door`'s to say.

A refused sign-in says the same whether the name, the password or both are wrong, after the same time.
"""

from __future__ import annotations

import hmac
from typing import Final

from access.people.attempts import Attempts
from access.people.model import Principal, Token, Unit, User
from access.people.passwords import hash_password, is_outdated, is_right
from access.people.people import People
from access.people.tokens import parse_token
from access.people.users import Users
from index.behind import is_behind
from index.environment import ReadTxn
from index.outbox import actor_here
from vault.clock import Clock
from vault.errors import UsageError
from vault.grant import Refusal
from vault.ledger.canonical import Value

_WHO: Final = "Art. 14 (7)"
_PERMISSION: Final = "Art. 13"


def operator() -> Principal:
    """Whoever sits at this host, without a user."""
    return Principal(actor_here())


def tried_as(people: People, typed: str) -> dict[str, Value]:
    """What a refused sign-in's entry says of the name that was typed: the name where it is a user's, now or once; else only how long
    it was, since it may have been a password."""
    with people.environment.read() as txn:
        user = people.find_user(txn, typed)
    return {"as_unknown_chars": len(typed)} if user is None else {"as": user.id}


def sign_in(
    people: People,
    attempts: Attempts,
    clock: Clock,
    user_id: str = "",
    *,
    password: str | None = None,
    token: str | None = None,
    address: str = "",
) -> Principal:
    """By one of the two; a token alone says whose it is. `address`: of the terminal, "" at the host itself.

    Raises Refusal, its code `credentials` (name, password or token is wrong), `locked`, `must_change`, `disabled`, `unit`, `behind`;
    UsageError for both a password and a token, or neither.
    """
    if (password is None) == (token is None):
        raise UsageError("sign in by a password or by a token, by one of them")
    if is_behind(people.environment):
        raise Refusal(
            "the index is older than its store, and may have forgotten what was taken from somebody; run `index rebuild` first",
            "behind",
            _PERMISSION,
        )
    if token is not None:
        return _by_token(people, attempts, clock, user_id, token, address)
    assert password is not None
    user = _by_password(people, attempts, user_id, password, address)
    if is_outdated(user.password_hash):
        user = Users(people).set_hash(user, hash_password(password))
    with people.environment.read() as txn:
        now = people.find_user(txn, user.id)
        if now is None or now.password_hash != user.password_hash:
            # It was changed while we looked at the one before.
            raise _wrong()
        return _admitted(people, txn, now, address, None)


def change_password(people: People, attempts: Attempts, user_id: str, old: str, new: str) -> User:
    """At the host, by the user, who knows the one before; the way out of `must_change`. Raises Refusal as `sign_in` does, UsageError."""
    user = _by_password(people, attempts, user_id, old, "")
    if old == new:
        raise UsageError("the new password is the old one; choose another")
    return Users(people).set_password(user.id, new, user.id, must_change=False)


def _by_password(people: People, attempts: Attempts, user_id: str, password: str, address: str) -> User:
    with people.environment.read() as txn:
        user = people.find_user(txn, user_id)
    if user is not None and user.removed_us is not None:
        user = None
    charge = attempts.charge(user_id, known=user is not None, address=address)
    # Also where there is no such user: it must take as long.
    right = is_right("" if user is None else user.password_hash, password)
    if user is None or not right:
        attempts.wrong(charge)
        raise _wrong()
    attempts.right(charge)
    return user


def _by_token(people: People, attempts: Attempts, clock: Clock, user_id: str, text: str, address: str) -> Principal:
    # Before any lock is asked: nobody guesses 256 bits, and a right one must not wait because others at its address guessed.
    parsed = parse_token(text)
    with people.environment.read() as txn:
        token = None if parsed is None else people.find_token(txn, parsed[0])
        if (
            token is not None and parsed is not None
            and hmac.compare_digest(token.secret_hash, parsed[1])
            and token.holds(clock.now_us())
            and user_id in ("", token.user)
        ):  # fmt: skip
            user = people.find_user(txn, token.user)
        else:
            user = None
    if user is None:
        attempts.wrong(attempts.charge(None, known=False, address=address))
        raise _wrong()
    with people.environment.read() as txn:
        return _admitted(people, txn, user, address, token)


def _admitted(people: People, txn: ReadTxn, user: User, address: str, token: Token | None) -> Principal:
    """Somebody of whom it is proven who they are."""
    if user.disabled or user.removed_us is not None:
        raise Refusal(f"user {user.id}: is disabled", "disabled", _PERMISSION)
    if user.must_change:
        raise Refusal(
            f"user {user.id}: the password was set by another person and is changed first: `streamvault user password {user.id} --own`",
            "must_change",
            _WHO,
        )
    unit: Unit | None = None
    if user.unit:
        unit = people.find_unit(txn, user.unit)
        if unit is None or unit.disabled or unit.removed_us is not None:
            raise Refusal(f"user {user.id}: unit {user.unit} is disabled", "unit", _PERMISSION)
    return Principal(user.id, user, unit, address, token)


def _wrong() -> Refusal:
    return Refusal("the name, the password or the token is wrong", "credentials", _WHO)
