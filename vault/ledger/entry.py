"""An entry of the ledger: what was done, to what, by whom; and its line. No bytes are read or written here.

What stands in `body` belongs to whoever makes the entry; that no password does is their duty. Format: `vault/ledger/FORMAT.md`.
"""

from __future__ import annotations

import enum
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from vault.errors import Damaged, UsageError
from vault.ledger.canonical import Value, canonical, dumped

FORMAT: Final = 1
MAX_LINE_BYTES: Final = 64 * 1024
"""Of an entry's line without its end. A longer list goes into a file of its own: `vault.ledger.lists`."""

_KIND = re.compile(r"[a-z][a-z ]{0,31}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_MAX_ACTOR_CHARS = 200
_NAMES = frozenset({"format", "sequence", "time_us", "id", "kind", "actor", "subject", "body"})


class Kind(enum.StrEnum):
    """What entries are about. The list grows at its end; a reader passes over kinds that it does not know."""

    REGISTRY = "registry"
    """A site, camera, unit, user or grant was made or changed."""
    POLICY = "policy"
    """A rule of retention or a class was changed, or a change announced."""
    HOLD = "hold"
    """Placed, extended, released."""
    DELETION = "deletion"
    """A batch is about to be deleted: written before the first object goes."""
    DELETED = "deleted"
    """That batch is gone."""
    RETENTION = "retention"
    """A run: what it foretells of the next ones, a halt, a confirmed plan."""
    CLOCK = "clock"
    """The time became doubtful or was confirmed, and what followed from it."""
    READ = "read"
    """A person looked at footage."""
    EXPORT = "export"
    """Footage was asked for, handed out or refused."""
    SECRETS = "secrets"
    """Credentials were shown or written out."""
    REPAIR = "repair"
    """Rows or objects of footage are about to be put right by a person's command: taken in, deleted, or given up as lost."""
    ACCESS = "access"
    """Somebody was locked out for a while after too many wrong passwords or tokens."""
    KEY = "key"
    """The ledger goes on under another key: the statement of succession."""


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry as its maker gives it.

    `subject`: what it is about, by field (`camera` and `cameras` are numbers; `site`, `unit`, `user`, `hold`, `batch` are ids).
    `id`: names the deed, so that a repetition is known as one; random where the maker gives none.
    `at_us`: when it was done; None is when it is appended.
    """

    kind: Kind
    actor: str
    subject: Mapping[str, Value]
    body: Mapping[str, Value]
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    at_us: int | None = None


class Entry(NamedTuple):
    """An entry as it stands in the ledger. `kind` is text: a newer program may have written it. `line` is without its end."""

    sequence: int
    time_us: int
    id: str
    kind: str
    actor: str
    subject: Mapping[str, Value]
    body: Mapping[str, Value]
    line: bytes

    def concerns(self, camera: int) -> bool:
        """Whether the subject names this camera's number."""
        several = self.subject.get("cameras")
        return self.subject.get("camera") == camera or (isinstance(several, list) and camera in several)


def encode_entry(new: NewEntry, sequence: int, time_us: int) -> bytes:
    """The line without its end. Raises UsageError for what cannot stand in the ledger or is too long."""
    if not new.actor or len(new.actor) > _MAX_ACTOR_CHARS or not new.actor.isprintable():
        raise UsageError(f"{new.kind} entry: an actor is 1 to {_MAX_ACTOR_CHARS} printable characters")
    if not _ID.fullmatch(new.id):
        raise UsageError(f"{new.kind} entry: {new.id[:80]!r} is not an id: 1 to 64 letters, digits and ._:-")
    line = canonical(
        {
            "format": FORMAT,
            "sequence": sequence,
            "time_us": time_us,
            "id": new.id,
            "kind": str(Kind(new.kind)),
            "actor": new.actor,
            "subject": new.subject,
            "body": new.body,
        }
    )
    if len(line) > MAX_LINE_BYTES:
        raise UsageError(
            f"{new.kind} entry {new.id}: {len(line)} bytes, at most {MAX_LINE_BYTES}; put a long list beside the ledger"
        )
    return line


def decode_entry(line: bytes) -> Entry:
    """The entry of a line without its end. Raises Damaged for one that `encode_entry` does not write."""
    try:
        if len(line) > MAX_LINE_BYTES:
            raise ValueError("too long")
        whole = json.loads(line)
        if whole.keys() != _NAMES or dumped(whole) != line:
            raise ValueError("not canonical")
        entry = Entry(
            whole["sequence"],
            whole["time_us"],
            whole["id"],
            whole["kind"],
            whole["actor"],
            whole["subject"],
            whole["body"],
            line,
        )
        if not (
            whole["format"] == FORMAT
            and type(entry.sequence) is type(entry.time_us) is int
            and isinstance(entry.actor, str)
            and isinstance(entry.subject, dict)
            and isinstance(entry.body, dict)
            and _ID.fullmatch(entry.id)
            and _KIND.fullmatch(entry.kind)
        ):
            raise ValueError("fields of other types")
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise Damaged("is not an entry that this program writes") from error
    return entry
