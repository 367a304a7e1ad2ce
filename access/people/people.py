"""Whom the registry knows: units, users, applications, grants and tokens, to be read. What changes them is in the modules beside it.

Each answer is of the registry as it is at that moment, in whatever process it was changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final, TypeVar

from access.people.documents import (
    APPLICATIONS,
    GRANTS,
    TOKENS,
    UNITS,
    USERS,
    application_from,
    grant_from,
    named,
    token_from,
    unit_from,
    user_from,
)
from access.people.model import Application, Token, Unit, UnitGrant, User
from index.environment import ReadTxn
from index.registry import Fields, Registry
from vault.clock import Clock, SystemClock
from vault.errors import NotFound, UsageError

MAX_ID_CHARS: Final = 64

_T = TypeVar("_T")


class People:
    """Over one registry. Cheap to make, safe for several threads. Each method raises Damaged for a document that cannot be read."""

    def __init__(self, registry: Registry, clock: Clock | None = None) -> None:
        self.registry = registry
        self.environment = registry.environment
        self.clock = clock or SystemClock()
        self._by_unit: tuple[int, dict[str, list[UnitGrant]]] = (-1, {})

    def changes(self) -> int:
        """Rises with every change of the registry: compare it to see cheaply whether something may have changed."""
        return self.registry.changes()

    def unit(self, unit_id: str) -> Unit:
        """Raises NotFound, for one that was removed too."""
        with self.environment.read() as txn:
            return present(self.find_unit(txn, unit_id), f"unit {unit_id[:80]!r}")

    def user(self, user_id: str) -> User:
        """Raises NotFound, for one that was removed too."""
        with self.environment.read() as txn:
            return present(self.find_user(txn, user_id), f"user {user_id[:80]!r}")

    def application(self, number: int) -> Application:
        """Raises NotFound."""
        with self.environment.read() as txn:
            return present(self.find_application(txn, number), f"application {number}")

    def grant(self, number: int) -> UnitGrant:
        """Revoked or not. Raises NotFound."""
        with self.environment.read() as txn:
            return present(self.find_grant(txn, number), f"grant {number}")

    def token(self, token_id: str) -> Token:
        """Revoked or not. Raises NotFound."""
        with self.environment.read() as txn:
            return present(self.find_token(txn, token_id), f"token {token_id[:80]!r}")

    def units(self, *, removed: bool = False) -> list[Unit]:
        """By id; those removed only on request."""
        return [unit for unit in self._all(UNITS, unit_from) if removed or unit.removed_us is None]

    def users(self, *, removed: bool = False) -> list[User]:
        """By id; those removed only on request."""
        return [user for user in self._all(USERS, user_from) if removed or user.removed_us is None]

    def applications(self) -> list[Application]:
        """All there ever were, by number."""
        return self._all(APPLICATIONS, application_from)

    def grants(self) -> list[UnitGrant]:
        """All there ever were, by number, revoked ones too."""
        return self._all(GRANTS, grant_from)

    def grants_of(self, unit_id: str) -> list[UnitGrant]:
        """The unit's grants by number, but those that were revoked. Whether one holds now is `UnitGrant.valid`'s to say."""
        known, by_unit = self._by_unit
        # Asked before the rows: what changes in between is then looked at again.
        changes = self.changes()
        if changes != known:
            found: dict[str, list[UnitGrant]] = defaultdict(list)
            for grant in self.grants():
                if grant.revoked is None:
                    found[grant.unit].append(grant)
            by_unit = dict(found)
            self._by_unit = changes, by_unit
        return list(by_unit.get(unit_id, ()))

    def tokens(self) -> list[Token]:
        """All there ever were, by id."""
        return self._all(TOKENS, token_from)

    def find_unit(self, txn: ReadTxn, unit_id: str) -> Unit | None:
        """In somebody's transaction, removed or not; None where there is none or the text is no id."""
        return self._find(txn, UNITS, unit_id, unit_from)

    def find_user(self, txn: ReadTxn, user_id: str) -> User | None:
        """As `find_unit`."""
        return self._find(txn, USERS, user_id, user_from)

    def find_application(self, txn: ReadTxn, number: int) -> Application | None:
        """As `find_unit`."""
        return self._find(txn, APPLICATIONS, number, application_from)

    def find_grant(self, txn: ReadTxn, number: int) -> UnitGrant | None:
        """As `find_unit`."""
        return self._find(txn, GRANTS, number, grant_from)

    def find_token(self, txn: ReadTxn, token_id: str) -> Token | None:
        """As `find_unit`."""
        return self._find(txn, TOKENS, token_id, token_from)

    def _find(self, txn: ReadTxn, kind: str, id_: str | int, made: Callable[[Fields], _T]) -> _T | None:
        # A text of any length is asked for; a key of LMDB has at most 511 bytes.
        if isinstance(id_, str) and not (0 < len(id_) <= MAX_ID_CHARS and id_.isascii() and "/" not in id_):
            return None
        fields = self.registry.fields(txn, named(kind, id_))
        return None if fields is None else made(fields)

    def _all(self, kind: str, made: Callable[[Fields], _T]) -> list[_T]:
        with self.environment.read() as txn:
            return [made(fields) for fields in self.registry.all_fields(txn, kind)]


LISTED: Final = frozenset({"user", "unit", "token", "grant", "application"})
"""Kinds that a command of their name lists."""


def present(found: _T | None, what: str) -> _T:
    """What was found. Raises NotFound where nothing was, or what was removed."""
    removed: Any = getattr(found, "removed_us", None)
    if found is None or removed is not None:
        kind = what.partition(" ")[0]
        where = f"; `{kind} list` shows those there are" if kind in LISTED else ""
        raise NotFound(f"there is no {what}{where}" if found is None else f"{what} was removed")
    return found


class Ids:
    """The ids of a kind that were ever given: each once, and those that differ only in case are mistaken for each other."""

    def __init__(self, txn: ReadTxn, registry: Registry, kind: str) -> None:
        self._noun = kind.removesuffix("s")
        self._known = {str(fields["id"]).casefold(): str(fields["id"]) for fields in registry.all_fields(txn, kind)}

    def take(self, id_: str) -> None:
        """Raises UsageError for one that was given, by this too."""
        if (other := self._known.get(id_.casefold())) is not None:
            raise UsageError(f"there is or was a {self._noun} {other!r}; an id is given once, in capital or small letters")
        self._known[id_.casefold()] = id_
