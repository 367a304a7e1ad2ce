"""Another key for a ledger, under its lock: each step may be the last, and what is there then is a ledger that goes on.

1. the new key is durable in its place: nothing knows it yet, and a repetition takes it
2. the statement of succession is durable in `keys`: from here on the new key signs, and the old one is needed no more
3. the old key's file is taken away, and a new file takes its name
4. `public.pem` is the new key's
5. an entry tells of it, under the first checkpoint that the new key signs

Whatever of 3 to 5 was not done is done by whoever appends next. The statement's text is `vault.ledger.succession`'s.
"""

from __future__ import annotations

import dataclasses

from vault.errors import Damaged, NotFound, Refused
from vault.files import replace_file, store_error
from vault.ledger.book import KEYS, PUBLIC_KEY, Book
from vault.ledger.entry import Kind, NewEntry, encode_entry
from vault.ledger.succession import How, SignedStatement, Statement, sign_statement, succession_of
from vault.signing.keys import Keys


def rotate(book: Book, keys: Keys, by: str, why: str, now_us: int, *, keep_old: bool) -> SignedStatement:
    """The old key signs what waits to be signed, and then that the new one follows. Raises as `Ledger.rotate`."""
    if book.newest is None:
        raise Refused(f"{book.folder}: the ledger has no entry yet, and a key that signed nothing needs no successor")
    if book.pending:
        finish_rotation(book, keys, now_us, keep_old=True)
    if book.newest.checkpoint.size != book.size:
        book.write((), now_us)
    return _succeed(book, keys, How.ROTATED, by, why, now_us, keep_old=keep_old)


def replace_lost(book: Book, keys: Keys, by: str, why: str, now_us: int) -> SignedStatement:
    """The new key takes over behind the newest checkpoint of the old one. Raises as `Ledger.replace_lost_key`."""
    if book.newest is None:
        raise Refused(f"{book.folder}: the ledger has no entry yet; its key is made with the first")
    try:
        found = keys.find(book.succession.head.fingerprint)
    except (NotFound, Refused, Damaged):
        found = None
    if found is not None:
        raise Refused(
            f"the ledger's key is not lost, it is in {found.place}; `key rotate` lets another follow it without a break"
        )
    return _succeed(book, keys, How.REPLACED, by, why, now_us, keep_old=True)


def finish_rotation(book: Book, keys: Keys, now_us: int, *, keep_old: bool) -> None:
    """Steps 3 to 5. Raises StoreError, StoreFull."""
    *earlier, head = (span.public.fingerprint for span in book.succession.spans)
    keys.retire(head, earlier, keep=keep_old)
    try:
        replace_file(book.folder / PUBLIC_KEY, book.succession.head.pem)
    except OSError as error:
        raise store_error(f"writing the ledger's public key in {book.folder}", error) from error
    lines = [
        encode_entry(_entry(one), sequence, one.statement.time_us) for sequence, one in enumerate(book.pending, book.size)
    ]  # fmt: skip
    book.write(lines, now_us)


def _succeed(book: Book, keys: Keys, how: How, by: str, why: str, now_us: int, *, keep_old: bool) -> SignedStatement:
    assert book.newest is not None
    before, checkpoint = book.succession, book.newest.checkpoint
    known = [span.public.fingerprint for span in before.spans]
    # Words that cannot stand in it are refused here and not behind the making of a key.
    statement = Statement(
        before.origin, len(known), how, checkpoint.size, checkpoint.root, before.head, before.head, now_us, by, why
    )
    new = keys.succeed(known)
    statement = dataclasses.replace(statement, new=new.public)
    signed = sign_statement(statement, new, book.signer if how is How.ROTATED else None)
    after = succession_of(before.origin, (*before.statements, signed))
    try:
        replace_file(book.folder / KEYS, after.note.encode())
    except OSError as error:
        raise store_error(f"writing the succession of the ledger's key in {book.folder}", error) from error
    book.adopt(after, new)
    finish_rotation(book, keys, now_us, keep_old=keep_old)
    return signed


def _entry(signed: SignedStatement) -> NewEntry:
    one = signed.statement
    return NewEntry(
        Kind.KEY,
        one.by,
        {"key": one.new.fingerprint},
        {
            "change": str(one.how),
            "from": one.old.fingerprint,
            "to": one.new.fingerprint,
            "why": one.why,
            "statement": signed.note,
        },
        id=f"key:{one.number}:{signed.sha256[:32]}",
    )
