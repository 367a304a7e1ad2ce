"""What `ledger verify` says of a ledger's keys: which they are, who vouches for them, what is told of where.

Public keys are enough for all of it; a private key that is at hand is one more witness.

Entries and checkpoints are `vault.ledger.verify`'s.
"""

from __future__ import annotations

import bisect
import contextlib
import enum
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vault.errors import Damaged, StreamvaultError
from vault.ledger.book import KEYS, PUBLIC_KEY, read_public, read_statements
from vault.ledger.checkpoint import SignedCheckpoint
from vault.ledger.entry import Kind
from vault.ledger.scan import Order
from vault.ledger.signing import begins_with, key_name, origin_of
from vault.ledger.succession import (
    HEADER,
    How,
    SignedStatement,
    Span,
    Succession,
    parse_succession,
    succession_of,
    trusted_from,
)
from vault.signing.signer import Signer, grouped

Told = dict[int, object]
"""What entries of kind `key` hold as their statement, by sequence."""


def is_statement(note: str) -> bool:
    """Whether that is a statement and no checkpoint, right or wrong."""
    return note.partition("\n")[2].startswith(HEADER)


class Source(enum.StrEnum):
    """Whose word it is that a key is the ledger's."""

    GIVEN = "given"
    """The caller's, who has its fingerprint from elsewhere."""
    PRIVATE = "private key"
    """This installation's, which holds the private key."""
    LEDGER = "ledger"
    """The ledger's own: whoever can write all of it can write another key too."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What was verified against. `where` is for people."""

    fingerprint: str
    source: Source
    where: str

    @property
    def is_own_word(self) -> bool:
        return self.source is Source.LEDGER

    def __str__(self) -> str:
        return f"the key {grouped(self.fingerprint)}, {self.where}"


def trust_in(found: Succession, held: Sequence[Signer], given: Collection[str]) -> tuple[Trust, bool]:
    """Who vouches for the key that signs now, and whether trust in him leads to it. What is given counts alone; `held` before
    the ledger's own word."""
    if given:
        leads = next((one for one in given if _leads(one, found)), None)
        return Trust(leads or next(iter(given)), Source.GIVEN, "which was given"), leads is not None
    if held:
        signer = next((one for one in held if _leads(one.fingerprint, found)), None)
        one = signer or held[0]
        return Trust(one.fingerprint, Source.PRIVATE, f"whose private half is in {one.place}"), signer is not None
    where = f"by the ledger's own word ({KEYS if found.statements else PUBLIC_KEY})"
    return Trust(found.head.fingerprint, Source.LEDGER, where), True


def find_succession(
    folder: Path, held: Sequence[Signer], given: Collection[str], origin: Sequence[str]
) -> tuple[Succession, list[str]]:
    """The ledger's keys and what is wrong with them. `origin`: its name by its newest checkpoint, if there is one.

    Raises Damaged where there is no key to begin with, OSError.
    """
    own = [signer.public for signer in held]
    with contextlib.suppress(Damaged):
        own.append(read_public(folder))
    wrong: list[str] = []
    try:
        statements = read_statements(folder)
    except Damaged as error:
        wrong.append(str(error))
        statements = ()
    found = _longest(statements, wrong)
    first = next((key for key in own if not origin or begins_with(origin[0], key)), None)
    if found is None and not wrong and first is not None:
        found = succession_of(origin_of(first), (), first)
    # What lies beside the entries is the key that signs now, by the ledger's own word.
    pins = given or [key.fingerprint for key in own]
    if found is None or wrong or not any(_leads(one, found) for one in pins):
        # What the entries say of it proves itself, and lets the rest be judged for what it is.
        told = _longest(_told_in(folder), [])
        if told is not None and (found is None or len(told.statements) > len(found.statements)):
            if not wrong:
                wrong.append("the statements of succession that entries tell of are gone")
            found = told
    if found is None:
        if not own:
            raise Damaged(
                f"the ledger {folder} cannot be verified: its public key, {PUBLIC_KEY}, is missing or is none, and no private key "
                f"is at hand; bring {PUBLIC_KEY} back from where the public key was kept"
            )
        if not wrong:
            wrong.append(f"no key here, {PUBLIC_KEY} neither, is the one that the ledger's name, {origin[0]}, is from")
        found = succession_of(origin_of(own[0]), (), own[0])
    if not trust_in(found, held, given)[1]:
        wrong.append(f"the key that signs now, {grouped(found.head.fingerprint)}, follows from none that is trusted here")
    return found, wrong


def wrong_beside(folder: Path, succession: Succession, told: Told) -> str | None:
    """What is wrong with the public key that lies beside the entries. Raises OSError."""
    try:
        public = read_public(folder)
    except Damaged as error:
        return f"{error}; whoever verifies without the private key needs it, and `key show` shows it where that is"
    last = succession.statements[-1] if succession.statements else None
    if last is not None and last.note not in told.values() and public == last.statement.old:
        # Whoever let another key take over was stopped on the way, and the next append puts the new one there.
        return None
    return None if public == succession.head else f"it is the key {grouped(public.fingerprint)}, which does not sign now"


def breaks_in(succession: Succession, trusted: Collection[str]) -> Iterator[str]:
    """Each break that no key behind it is trusted for."""
    for at, one in enumerate(succession.statements):
        behind = {span.public.fingerprint for span in succession.spans[at + 1 :]}
        if one.statement.how is How.REPLACED and not behind & set(trusted):
            yield (
                f"behind entry {one.statement.size - 1} the key {grouped(one.statement.new.fingerprint)} replaced a lost one, "
                f"by {one.statement.by}: {one.statement.why}; say --trust with that key if you know it to be right"
            )


def outside_span(succession: Succession, signed: SignedCheckpoint) -> str | None:
    """Says so where a key of the ledger signed it, but one of another time."""
    for span in succession.spans:
        if signed.signature[:4] == key_name(succession.origin, span.public) and not span.covers(signed.checkpoint.size):
            return f"the key {span.public.fingerprint[:16]} signed it, outside its time: {_span(span)}"
    return None


def untold(succession: Succession, told: Told, entries: int) -> Iterator[tuple[int, str]]:
    """Statements without their entry, and entries without their statement, each with the entry's sequence."""
    notes = {one.note: one for one in succession.statements}
    for note, one in notes.items():
        if one.statement.size < entries and note not in told.values():
            yield one.statement.size, f"no entry tells of statement of succession {one.statement.number}"
    for sequence, text in told.items():
        if text not in notes:
            yield sequence, f"entry {sequence} tells of a statement of succession that is not there"
        elif sequence < notes[str(text)].statement.size:
            yield sequence, f"entry {sequence} tells of a statement of succession before its time"


def _span(span: Span) -> str:
    until = "on" if span.until is None else f"to {span.until}"
    return f"it signs from size {span.after + 1} {until}"


def _longest(statements: tuple[SignedStatement, ...], wrong: list[str]) -> Succession | None:
    """Of the first statements as many as are proven."""

    def proven(count: int) -> Succession | str:
        try:
            return succession_of(statements[0].statement.origin, statements[:count])
        except Damaged as error:
            return str(error)

    if not statements:
        return None
    found = proven(len(statements))
    if isinstance(found, Succession):
        return found
    wrong.append(found)
    # One that is not proven spoils all behind it, so the last good one is found by halving.
    good = bisect.bisect_left(range(1, len(statements)), True, key=lambda count: isinstance(proven(count), str))
    whole = proven(good) if good else None
    return whole if isinstance(whole, Succession) else None


def _told_in(folder: Path) -> tuple[SignedStatement, ...]:
    found: list[SignedStatement] = []
    if not folder.is_dir():
        return ()
    for entry in Order().in_place(folder):
        if entry.kind == Kind.KEY:
            try:
                found += parse_succession(str(entry.body.get("statement")))
            except Damaged:
                # An entry that was edited: it is told as such.
                continue
    return tuple(found)


def _leads(fingerprint: str, found: Succession) -> bool:
    """Whether trust in that key reaches the one that signs now."""
    try:
        return trusted_from(fingerprint, found.statements, found.origin, found.spans[0].public.pem)[-1] == found.spans[-1]
    except StreamvaultError:
        return False
