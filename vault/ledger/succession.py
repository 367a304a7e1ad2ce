"""Which key signs a ledger from which size on: statements of succession, their text, and whom they let one trust. Values only.

A ledger keeps its name under every key. A statement says at which size and root the old key ended, and names the new one. Both keys
sign it: the old one vouches for the new, and the new one for what was signed before. Where the old one was lost only the new
one signs, and nothing leads from the old to the new: that is a break, and whoever trusted the old key must be told the new one.
"""

from __future__ import annotations

import base64
import binascii
import enum
import functools
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vault.errors import Damaged, Refused, UsageError
from vault.ledger.checkpoint import SignedCheckpoint
from vault.ledger.merkle import HASH_BYTES
from vault.ledger.signing import begins_with, is_note_signature, key_name, note_line, note_signature
from vault.signing.ed25519 import KEY_BYTES, PublicKey
from vault.signing.signer import Signer, fingerprint_of, grouped

HEADER: Final = "streamvault key succession v1"
MAX_STATEMENTS: Final = 1_000
MAX_STATEMENT_BYTES: Final = 4_096
MAX_WORDS_CHARS: Final = 200
"""Of who and why, each."""

_NUMBER = "(0|[1-9][0-9]{0,15})"
_B64 = "([A-Za-z0-9+/]{43}=)"
_NOTE = re.compile(
    rf"([!-*,-~]{{1,100}})\n{HEADER}\n{_NUMBER} (rotated|replaced)\n{_NUMBER}\n{_B64}\n{_B64}\n{_B64}\n(-?[0-9]{{1,16}})\n"
    r"([^\n]{1,200})\n([^\n]{1,200})\n\n((?:\u2014 [^\n]{1,300}\n){1,2})"
)
_SIGNATURE = re.compile(r"\u2014 ([!-*,-~]{1,100}) ([A-Za-z0-9+/]{91}=)\n")


class How(enum.StrEnum):
    """`rotated`: the old key signed too. `replaced`: it was lost or is no longer trusted, and did not."""

    ROTATED = "rotated"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Statement:
    """That `new` follows `old` behind the first `size` entries, over which `root` stands. `number` counts from 1."""

    origin: str
    number: int
    how: How
    size: int
    root: bytes
    old: PublicKey
    new: PublicKey
    time_us: int
    by: str
    why: str

    def __post_init__(self) -> None:
        for name, words in (("--by", self.by), ("--why", self.why)):
            if not 0 < len(words) <= MAX_WORDS_CHARS or not words.isprintable():
                raise UsageError(f"{name} of a key's succession is 1 to {MAX_WORDS_CHARS} printable characters")

    @property
    def text(self) -> str:
        """What is signed."""
        root, old, new = (base64.b64encode(raw).decode() for raw in (self.root, self.old.raw, self.new.raw))
        return (
            f"{self.origin}\n{HEADER}\n{self.number} {self.how}\n{self.size}\n{root}\n{old}\n{new}\n{self.time_us}\n"
            f"{self.by}\n{self.why}\n"
        )


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """`signatures`: the old key's and the new one's, of a replaced key the new one's alone. Nothing says yet that they are right."""

    statement: Statement
    signatures: tuple[bytes, ...]

    @property
    def note(self) -> str:
        """As it is stored and handed out."""
        return f"{self.statement.text}\n{''.join(note_line(self.statement.origin, one) for one in self.signatures)}"

    @property
    def sha256(self) -> str:
        """Of the note: its name in the ledger's entry."""
        return hashlib.sha256(self.note.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Span:
    """`public` signs checkpoints of more than `after` entries and of at most `until`; None is without end."""

    public: PublicKey
    after: int
    until: int | None

    def covers(self, size: int) -> bool:
        return self.after < size and (self.until is None or size <= self.until)


@dataclass(frozen=True, slots=True)
class Succession:
    """The keys of one ledger, proven: made by `succession_of`."""

    origin: str
    statements: tuple[SignedStatement, ...]
    spans: tuple[Span, ...]

    @property
    def head(self) -> PublicKey:
        """The key that signs now."""
        return self.spans[-1].public

    @property
    def note(self) -> str:
        """The bytes of the file `keys`: every statement, the oldest first."""
        return "".join(one.note for one in self.statements)

    def key_at(self, size: int) -> PublicKey | None:
        """Whose signature a checkpoint over so many entries must have."""
        return next((span.public for span in self.spans if span.covers(size)), None)

    def made(self, signed: SignedCheckpoint) -> bool:
        """Whether the key that signed at that size signed exactly that."""
        key = self.key_at(signed.checkpoint.size)
        return (
            signed.checkpoint.origin == self.origin
            and key is not None
            and is_note_signature(self.origin, key, signed.checkpoint.text, signed.signature)
        )

    def is_named(self, signed: SignedCheckpoint) -> bool:
        """The cheap half of `made`: whether its signature names the key of that size."""
        key = self.key_at(signed.checkpoint.size)
        return key is not None and signed.signature[:4] == key_name(self.origin, key)


def sign_statement(statement: Statement, new: Signer, old: Signer | None) -> SignedStatement:
    """`old` is None for a replaced key. Raises what `Signer.sign` raises."""
    signers = [new] if old is None else [old, new]
    return SignedStatement(
        statement, tuple(note_signature(statement.origin, signer, statement.text) for signer in signers)
    )  # fmt: skip


@functools.lru_cache(maxsize=64)
def parse_succession(text: str) -> tuple[SignedStatement, ...]:
    """Statements one behind the other, the bytes of the file `keys`; their signatures are not looked at. Raises Damaged."""
    found: list[SignedStatement] = []
    at = 0
    while at < len(text):
        match = _NOTE.match(text, at)
        if match is None or len(found) == MAX_STATEMENTS:
            raise Damaged(f"holds no statement of succession that this program can read behind the first {len(found)}")
        try:
            found.append(_parsed(match))
        except (Damaged, UsageError, binascii.Error):
            raise Damaged(f"holds a statement of succession, number {len(found) + 1}, that cannot be read") from None
        at = match.end()
    return tuple(found)


def _parsed(match: re.Match[str]) -> SignedStatement:
    root, old, new = (base64.b64decode(match[at], validate=True) for at in (5, 6, 7))
    how = How(match[3])
    statement = Statement(
        match[1], int(match[2]), how, int(match[4]), root, PublicKey(old), PublicKey(new), int(match[8]), match[9], match[10]
    )
    signatures = tuple(base64.b64decode(one[2], validate=True) for one in _SIGNATURE.finditer(match[11]))
    signed = SignedStatement(statement, signatures)
    # Numbers and Base64 have several spellings; one of them is ours.
    if len(root) != HASH_BYTES or len(old) != KEY_BYTES or signed.note != match[0]:
        raise Damaged("another spelling")
    if len(signatures) != (2 if how is How.ROTATED else 1):
        raise Damaged("signatures")
    return signed


@functools.lru_cache(maxsize=64)
def succession_of(origin: str, statements: tuple[SignedStatement, ...], first: PublicKey | None = None) -> Succession:
    """The keys of the ledger `origin`, every statement proven. `first`: its key where there is no statement.

    Raises Damaged, which names the statement that does not follow from the one before or is not signed by whom it names.
    """
    key = statements[0].statement.old if statements else first
    if key is None or not begins_with(origin, key):
        raise Damaged(f"the ledger {origin} did not begin with the first of these keys")
    spans: list[Span] = []
    after = 0
    for number, signed in enumerate(statements, 1):
        one = signed.statement
        if one.origin != origin:
            raise Damaged(f"statement of succession {number} is another ledger's, {one.origin}")
        if one.number != number or one.old != key or one.size < after or one.size < 1:
            raise Damaged(f"statement of succession {number} does not follow from what is before it: one lacks or was moved")
        if one.new == key or any(one.new == span.public for span in spans):
            raise Damaged(f"statement of succession {number} returns to an earlier key")
        signers = (one.old, one.new) if one.how is How.ROTATED else (one.new,)
        if not all(
            is_note_signature(origin, public, one.text, signature)
            for public, signature in zip(signers, signed.signatures, strict=True)
        ):
            raise Damaged(f"statement of succession {number} is forged: a key that it names did not sign it")
        spans.append(Span(key, after, one.size))
        key, after = one.new, one.size
    spans.append(Span(key, after, None))
    return Succession(origin, statements, tuple(spans))


def trusted_from(
    pinned: str | bytes, statements: Sequence[SignedStatement], origin: str, public_pem: bytes = b""
) -> tuple[Span, ...]:
    """The keys of the ledger `origin` that follow from trust in one of them, with the sizes at which each signs, oldest first.

    `pinned`: that one's fingerprint or PEM. `public_pem`: the key that came along, which there must be where no statement is.
    From a key, trust goes on to the next one where the old one signed that, and back to all before it, for which each new key
    vouched. It does not go on over a break. Raises Damaged for statements that are none, Refused when the pinned key is not among them.
    """
    fingerprint = fingerprint_of(pinned if isinstance(pinned, str) else pinned.decode("utf-8", "replace"))
    found = succession_of(origin, tuple(statements), PublicKey.parse(public_pem) if public_pem else None)
    at = next((at for at, span in enumerate(found.spans) if span.public.fingerprint == fingerprint), None)
    if at is None:
        raise Refused(
            f"the ledger {origin} is signed by another installation's key, {grouped(found.head.fingerprint)}, "
            f"and not by the trusted one, {grouped(fingerprint)}, or one that follows it"
        )
    end = at + 1
    while end < len(found.spans) and found.statements[end - 1].statement.how is How.ROTATED:
        end += 1
    return found.spans[:end]
