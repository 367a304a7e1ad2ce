"""Signing in the form of C2SP's signed notes (https://c2sp.org/signed-note): a ledger's name, a key's name, a signature with both.

Values only. Whoever uses a private key has a `Signer`; whether the key was the ledger's at that size is `vault.ledger.succession`'s.
"""

from __future__ import annotations

import base64
import hashlib

from vault.ledger.checkpoint import Checkpoint, SignedCheckpoint
from vault.signing.ed25519 import PublicKey
from vault.signing.signer import Signer

_ED25519 = b"\x01"
"""Its number among the signature types of C2SP's signed notes."""

PREFIX = "streamvault-ledger-"
NAME_DIGITS = 16
"""So many digits of its first key's fingerprint are in a ledger's name."""


def origin_of(first: PublicKey) -> str:
    """The name of a ledger that begins with this key; it keeps it under every later one."""
    return f"{PREFIX}{first.fingerprint[:NAME_DIGITS]}"


def begins_with(origin: str, key: PublicKey) -> bool:
    """Whether a ledger of this name began with this key."""
    return origin == origin_of(key)


def note_signature(origin: str, signer: Signer, text: str) -> bytes:
    """68 bytes: four that name the key under the ledger's name, Ed25519's 64. Raises what `Signer.sign` raises."""
    return key_name(origin, signer.public) + signer.sign(text.encode())


def is_note_signature(origin: str, public: PublicKey, text: str, signature: bytes) -> bool:
    """Whether `note_signature` of that key made it."""
    return signature[:4] == key_name(origin, public) and public.made(signature[4:], text.encode())


def key_name(origin: str, public: PublicKey) -> bytes:
    """The first four bytes of SHA-256 over name, line feed, type and key."""
    return hashlib.sha256(origin.encode() + b"\n" + _ED25519 + public.raw).digest()[:4]


def note_line(origin: str, signature: bytes) -> str:
    """The line of a note that holds a signature."""
    return f"\u2014 {origin} {base64.b64encode(signature).decode()}\n"


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> SignedCheckpoint:
    """Raises what `Signer.sign` raises."""
    return SignedCheckpoint(checkpoint, note_signature(checkpoint.origin, signer, checkpoint.text))
