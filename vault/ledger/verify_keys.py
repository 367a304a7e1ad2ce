"""What `ledger verify` says of a ledger's keys: which they are, whether the trusted ones lead to them, what is told of where.

Entries and checkpoints are `vault.ledger.verify`'s.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from vault.errors import Damaged, Refused, StreamvaultError
from vault.ledger.book import read_public, read_statements
from vault.ledger.checkpoint import SignedCheckpoint
from vault.ledger.entry import Kind
from vault.ledger.scan import Order
from vault.ledger.signing import NAME_DIGITS, begins_with, key_name, origin_of
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
from vault.signing.ed25519 import PublicKey
from vault.signing.keys import Keys
from vault.signing.signer import grouped

Told = dict[int, object]
"""What entries of kind `key` hold as their statement, by sequence."""


def is_statement(note: str) -> bool:
    """Whether that is a statement and no checkpoint, right or wrong."""
    return note.partition("\n")[2].startswith(HEADER)


def find_succession(folder: Path, keys: Keys, trusted: Collection[str], origin: Sequence[str]) -> tuple[Succession, list[str]]:
    """The ledger's keys and what is wrong with them. `origin`: its name by its newest checkpoint, if there is one.

    Raises what `Keys.find` raises where no key is there to be trusted, OSError.
    """
    held = [signer.public for signer in keys.held()]
    wrong: list[str] = []
    if not held and not trusted:
        keys.find("")
    try:
        statements = read_statements(folder)
    except Damaged as error:
        wrong.append(str(error))
        statements = ()
    found = _longest(statements, wrong)
    if found is None and not wrong and (first := _first_key(folder, held, trusted, origin)) is not None:
        found = succession_of(origin_of(first), (), first)
    pinned = [*(key.fingerprint for key in held), *trusted]
    if found is None or wrong or not _is_trusted(found, pinned):
        # What the entries say of it proves itself, and lets the rest be judged for what it is.
        told = _longest(_told_in(folder), [])
        if told is not None and (found is None or len(told.statements) > len(found.statements)):
            if not wrong:
                wrong.append("the statements of succession that entries tell of are gone")
            found = told
    if found is None:
        if not held:
            keys.find(origin[0][-NAME_DIGITS:] if origin else "")
            raise Refused(f"the ledger {folder} is signed by none of the keys that are trusted")
        found = succession_of(origin_of(held[0]), (), held[0])
    if not _is_trusted(found, pinned):
        wrong.append(f"the key that signs now, {grouped(found.head.fingerprint)}, follows from none that is trusted here")
    return found, wrong


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


def _first_key(folder: Path, held: Sequence[PublicKey], trusted: Collection[str], origin: Sequence[str]) -> PublicKey | None:
    """The key of a ledger without statements: the one that its name is from; a trusted one lies beside the entries."""
    own = list(held)
    try:
        if (public := read_public(folder)).fingerprint in trusted:
            own.append(public)
    except (Damaged, FileNotFoundError):
        pass
    if not origin:
        return own[0] if own else None
    return next((key for key in own if begins_with(origin[0], key)), None)


def _is_trusted(found: Succession, trusted: Sequence[str]) -> bool:
    for fingerprint in trusted:
        try:
            if trusted_from(fingerprint, found.statements, found.origin, found.spans[0].public.pem)[-1] == found.spans[-1]:
                return True
        except StreamvaultError:
            continue
    return False
