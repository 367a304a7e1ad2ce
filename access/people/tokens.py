"""Tokens: what a program signs in with in the place of a person's password. Made once, shown once, kept as a hash.

Text: `svt-`, the token's id, `-`, the secret: 32 random bytes in hex. A secret of that many bits needs no slow hash.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from access.people.checked import person
from access.people.documents import TOKENS, named, to_fields
from access.people.model import Act, Token
from access.people.people import People, present
from vault.errors import UsageError
from vault.grant import Action
from vault.timebase import US

MAX_LIFE_US: Final = 400 * 86_400 * US

_TEXT = re.compile(r"svt-([0-9a-f]{12})-([0-9a-f]{64})")


def parse_token(text: str) -> tuple[str, str] | None:
    """Its id and its secret's hash; None for what is no token's text."""
    match = _TEXT.fullmatch(text[:200])
    return None if match is None else (match[1], _hash(match[2]))


class Tokens:
    """The tokens of `people`'s registry. Every change is durable when the method returns and in the ledger, without the secret."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._env = people.environment

    def add(self, user_id: str, actions: Iterable[Action], expires_us: int, by: str = "") -> tuple[Token, str]:
        """A new token, and its text, which nobody can be told again. Raises NotFound, UsageError."""
        now_us = self._people.clock.now_us()
        if not now_us < expires_us <= now_us + MAX_LIFE_US:
            raise UsageError(f"a token ends between now and {MAX_LIFE_US // US // 86_400} days from now")
        secret, id_ = secrets.token_hex(32), secrets.token_hex(6)
        token = Token(id_, user_id, _hash(secret), frozenset(map(Action, actions)), Act(person(by), now_us), expires_us)
        with self._env.write("add token") as txn:
            present(self._people.find_user(txn, user_id), f"user {user_id[:80]!r}")
            if self._people.find_token(txn, id_) is not None:
                raise UsageError("the random id of the token was given before; run it again")
            self._people.registry.write(txn, named(TOKENS, id_), to_fields(token), now_us, token.made.by)
        return token, f"svt-{id_}-{secret}"

    def revoke(self, token_id: str, by: str = "") -> Token:
        """At once. Repeatable. Raises NotFound."""
        with self._env.write("revoke token") as txn:
            old = present(self._people.find_token(txn, token_id), f"token {token_id[:80]!r}")
            if old.revoked is not None:
                return old
            now_us = self._people.clock.now_us()
            act = Act(person(by), now_us)
            new = replace(old, revoked=act)
            self._people.registry.write(txn, named(TOKENS, token_id), to_fields(new), now_us, act.by)
        return new


def _hash(secret: str) -> str:
    return hashlib.sha256(bytes.fromhex(secret)).hexdigest()
