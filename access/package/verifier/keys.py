"""Whose signatures count: the succession of an installation's keys, its checkpoints, and trust that begins with a key one knows.

The succession is described in `vault/ledger/FORMAT.md`. Only the standard library of Python 3.8 may be used here: see
`access.package.bundle`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple

from access.package.verifier.forms import Checkpoint, fingerprint, grouped, signed_by

MAX_STATEMENTS = 1_000
ORIGIN = "streamvault-ledger-"
_KEY = "([A-Za-z0-9+/]{43}=)"
_NUMBER = "(0|[1-9][0-9]{0,15})"
_STATEMENT = re.compile(
    rf"(([!-*,-~]{{1,100}})\nstreamvault key succession v1\n{_NUMBER} (rotated|replaced)\n{_NUMBER}\n{_KEY}\n{_KEY}\n{_KEY}\n"
    r"-?[0-9]{1,16}\n[^\n]{1,200}\n[^\n]{1,200}\n)\n((?:\u2014 [!-*,-~]{1,100} [A-Za-z0-9+/]{91}=\n){1,2})"
)


class Span(NamedTuple):
    """`key` signs checkpoints of more than `after` entries, until the next one follows. `vouched`: the one before signed that it does."""

    key: bytes
    after: int
    vouched: bool


class Untrusted(Exception):
    """The keys do not follow from each other, or not from the one that is known."""


def spans_of(origin: str, statements: bytes, first: bytes) -> list[Span]:
    """The keys of the ledger `origin`, the oldest first, each statement proven. `first`: its key where there is no statement.

    Raises Untrusted, which says what is wrong; CannotVerify.
    """
    text = statements.decode("utf-8", "replace")
    spans: list[Span] = []
    at, number, begins = 0, 0, first
    while at < len(text):
        number += 1
        match = _STATEMENT.match(text, at)
        if match is None or number > MAX_STATEMENTS:
            raise Untrusted(f"statement {number} cannot be read")
        at = match.end()
        old, new = base64.b64decode(match[7]), base64.b64decode(match[8])
        if not spans:
            begins = old
            spans.append(Span(old, 0, True))
        size, rotated = int(match[5]), match[4] == "rotated"
        signers = [old, new] if rotated else [new]
        lines = match[9].splitlines()
        follows = match[2] == origin and int(match[3]) == number and old == spans[-1].key and size >= max(1, spans[-1].after)
        if not follows or any(new == span.key for span in spans) or len(lines) != len(signers):
            raise Untrusted(f"statement {number} does not follow from what is before it")
        for place, line in enumerate(lines):
            name, signature = line[2:].split(" ")
            if name != origin or not _signed_note(origin, signers[place], match[1].encode(), base64.b64decode(signature)):
                raise Untrusted(f"statement {number}: a key that it names did not sign it")
        spans.append(Span(new, size, rotated))
    if not begins_with(origin, begins):
        raise Untrusted(f"the ledger {origin} did not begin with the key {grouped(fingerprint(begins))}")
    return spans or [Span(first, 0, True)]


def begins_with(origin: str, key: bytes) -> bool:
    """Whether a ledger that this key began has that name."""
    return origin == ORIGIN + fingerprint(key)[:16]


def checkpoint_key(spans: list[Span], note: Checkpoint) -> bytes | None:
    """The key that signed at that size, where it signed exactly that. Raises CannotVerify."""
    keys = [span.key for span in spans if span.after < note.size]
    return keys[-1] if keys and _signed_note(note.origin, keys[-1], note.text, note.key_name + note.signature) else None


def trusted(spans: list[Span], trust: Iterable[str]) -> list[bytes]:
    """The keys that follow from trust in one of `trust` (fingerprints): forward where the old key vouched, back to all before it.

    Empty where none of them is among them.
    """
    known = set(trust)
    at = [place for place, span in enumerate(spans) if fingerprint(span.key) in known]
    if not at:
        return []
    end = at[-1] + 1
    while end < len(spans) and spans[end].vouched:
        end += 1
    return [span.key for span in spans[:end]]


def _signed_note(origin: str, key: bytes, text: bytes, signature: bytes) -> bool:
    """C2SP signed-note: four bytes that name the key, then Ed25519's signature."""
    name = hashlib.sha256(origin.encode() + b"\n\x01" + key).digest()[:4]
    return signature[:4] == name and signed_by(key, text, signature[4:])
