"""Changing users and their passwords. Signing in is in `login`; what a user may be is `checked`'s.

Every change is durable when the method returns, holds at once, and is told to the ledger by the same transaction, which never
hears of a password or its hash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from access.people.admins import keep_an_administrator
from access.people.attempts import forget
from access.people.checked import MAX_IMPORT, checked_user, person
from access.people.documents import TOKENS, USERS, named, to_fields, token_from
from access.people.model import Act, User
from access.people.passwords import checked_password, hash_password
from access.people.people import Ids, People, present
from access.people.units import unit_of
from index.batch import Outcome, checked_all, outcome
from index.environment import ReadTxn, WriteTxn
from vault.errors import UsageError


class Users:
    """The users of `people`'s registry."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._env = people.environment

    def add(self, user: User, by: str = "", password: str | None = None) -> User:
        """Without a password nobody can sign in as them until one is set; one that is given must be changed.

        Raises UsageError for a bad field or an id that was given; Refusal for what the rule demands.
        """
        encoded = "" if password is None else _hashed(password, user.id)
        with self._env.write("add user") as txn:
            new = replace(user, password_hash=encoded, password_set_us=self._people.clock.now_us(), must_change=bool(encoded))
            return self._put(txn, None, new, by)

    def change(self, user_id: str, change: Callable[[User], User], by: str = "") -> User:
        """What `change` makes of the user, whose password stays. Raises NotFound, UsageError, Refusal; Refused where no
        administrator would be left."""
        with self._env.write("change user") as txn:
            old = present(self._people.find_user(txn, user_id), f"user {user_id[:80]!r}")
            return self._put(txn, old, _with_password_of(change(old), old), by)

    def set_password(self, user_id: str, password: str, by: str = "", *, must_change: bool = True) -> User:
        """`must_change` False: the user chose it. Raises NotFound, UsageError."""
        encoded = _hashed(password, user_id)
        with self._env.write("set password") as txn:
            old = present(self._people.find_user(txn, user_id), f"user {user_id[:80]!r}")
            # Another number than before, whatever the clock does: it is how one who is in is known to be out.
            set_us = max(self._people.clock.now_us(), old.password_set_us + 1)
            new = replace(old, password_hash=encoded, password_set_us=set_us, must_change=must_change)
            self._write(txn, old, new, by)
            forget(txn, user_id)
        return new

    def set_hash(self, user: User, encoded: str) -> User:
        """The same password under other parameters. The user as it is now where that is another password by then."""
        with self._env.write("hash password anew") as txn:
            old = present(self._people.find_user(txn, user.id), f"user {user.id!r}")
            if old.password_hash != user.password_hash:
                return old
            new = replace(old, password_hash=encoded)
            self._write(txn, old, new, user.id)
        return new

    def remove(self, user_id: str, by: str = "") -> User:
        """Their document stays, their tokens are revoked. Raises NotFound; Refused for the last administrator who can sign in."""
        with self._env.write("remove user") as txn:
            old, now_us = present(self._people.find_user(txn, user_id), f"user {user_id[:80]!r}"), self._people.clock.now_us()
            gone = replace(old, password_hash="", disabled=True, removed_us=now_us)
            keep_an_administrator(self._people, txn, users=[gone])
            self._write(txn, old, gone, by)
            for token in list(map(token_from, self._people.registry.all_fields(txn, TOKENS))):
                if token.user == user_id and token.revoked is None:
                    act = Act(person(by), now_us)
                    self._people.registry.write(
                        txn, named(TOKENS, token.id), to_fields(replace(token, revoked=act)), now_us, act.by
                    )
        return gone

    def import_users(self, users: Sequence[User], by: str = "", *, dry_run: bool = False) -> list[Outcome]:
        """Add or set all of them or none; what became of each. Who is new has no password, who was there keeps theirs.

        `dry_run`: check them, and change nothing. Raises Rejected, UsageError; Refused where no administrator would be left.
        """
        with self._env.write("import users") as txn:
            olds = {user.id: self._people.find_user(txn, user.id) for user in users}
            ids = Ids(txn, self._people.registry, USERS)
            news = checked_all(
                users,
                lambda user: self._checked(
                    txn, olds[user.id], _with_password_of(user, olds[user.id] or User(user.id, user.role)), ids
                ),
                "users",
                MAX_IMPORT,
            )
            keep_an_administrator(self._people, txn, users=news)
            if not dry_run:
                for new in news:
                    self._write(txn, olds[new.id], new, by)
        return [outcome(olds[new.id], new) for new in news]

    def _put(self, txn: WriteTxn, old: User | None, user: User, by: str) -> User:
        new = self._checked(txn, old, user, Ids(txn, self._people.registry, USERS) if old is None else None)
        keep_an_administrator(self._people, txn, users=[new])
        self._write(txn, old, new, by)
        return new

    def _checked(self, txn: ReadTxn, old: User | None, user: User, ids: Ids | None) -> User:
        new = checked_user(user)
        if old is None:
            assert ids is not None
            ids.take(new.id)
        elif old.removed_us is not None:
            raise UsageError(f"user {new.id!r} was removed, and their id is given to nobody again; name another")
        elif (new.id, new.removed_us) != (old.id, None):
            raise UsageError(f"user {old.id}: their id stays")
        if new.unit and (old is None or new.unit != old.unit):
            unit_of(self._people, txn, new.unit, f"user {new.id}")
        return new

    def _write(self, txn: WriteTxn, old: User | None, new: User, by: str) -> None:
        if new != old:
            self._people.registry.write(txn, named(USERS, new.id), to_fields(new), self._people.clock.now_us(), person(by))


def _hashed(password: str, user_id: str) -> str:
    return hash_password(checked_password(password, user_id))


def _with_password_of(user: User, old: User) -> User:
    return replace(
        user, password_hash=old.password_hash, password_set_us=old.password_set_us, must_change=old.must_change
    )  # fmt: skip
