"""A checkpoint: the ledger's size and root at an instant, as signed text. The text only; keys are in `vault.ledger.signing`.

The form is C2SP's tlog-checkpoint in a signed note (https://c2sp.org/tlog-checkpoint, https://c2sp.org/signed-note), which tools
of other transparency logs read, with one extension line: the file in which the last entry stands, and where it ends.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from vault.errors import Damaged
from vault.ledger.merkle import HASH_BYTES

NOTE_LINES: Final = 6
"""Origin, size, root, place; an empty one; the signature."""

MAX_NOTE_BYTES: Final = 1024
_TEXT = re.compile(
    r"([!-*,-~]{1,100})\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n([0-9]{12}-[0-9]{6}\.jsonl) (0|[1-9][0-9]{0,15})\n"
)
_NOTE = re.compile(r"((?:[^\n]+\n){4})\n\u2014 ([!-*,-~]{1,100}) ([A-Za-z0-9+/]+={0,2})\n")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`origin` names the ledger; the last of `size` entries ends at `end_bytes` of the file `file`."""

    origin: str
    size: int
    root: bytes
    file: str
    end_bytes: int

    @property
    def text(self) -> str:
        """What is signed."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\n{self.file} {self.end_bytes}\n"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """`signature`: four bytes that name the key, then Ed25519's 64. Nothing says yet that it is right."""

    checkpoint: Checkpoint
    signature: bytes

    @property
    def note(self) -> str:
        """As it is stored and handed out."""
        return f"{self.checkpoint.text}\n\u2014 {self.checkpoint.origin} {base64.b64encode(self.signature).decode()}\n"


def parse_note(note: str) -> SignedCheckpoint:
    """The inverse of `SignedCheckpoint.note`. Raises Damaged."""
    whole = _NOTE.fullmatch(note) if len(note) <= MAX_NOTE_BYTES else None
    text = _TEXT.fullmatch(whole[1]) if whole else None
    if whole is None or text is None or whole[2] != text[1]:
        raise Damaged("is not a checkpoint that this program can read")
    try:
        root, signature = base64.b64decode(text[3], validate=True), base64.b64decode(whole[3], validate=True)
    except binascii.Error:
        raise Damaged("is not a checkpoint that this program can read") from None
    signed = SignedCheckpoint(Checkpoint(text[1], int(text[2]), root, text[4], int(text[5])), signature)
    # Base64 has several spellings of the same bytes; one of them is ours.
    if len(root) != HASH_BYTES or len(signature) != 68 or signed.note != note:
        raise Damaged("is not a checkpoint that this program can read")
    return signed


def split_notes(text: str) -> tuple[list[str], str]:
    """The notes in a file of several, and what is left behind the last whole one."""
    lines = text.splitlines(keepends=True)
    whole = len(lines) // NOTE_LINES * NOTE_LINES
    if whole and not lines[whole - 1].endswith("\n"):
        whole -= NOTE_LINES
    notes = ["".join(lines[at : at + NOTE_LINES]) for at in range(0, whole, NOTE_LINES)]
    return notes, "".join(lines[whole:])
