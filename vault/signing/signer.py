"""The seam between what is signed and where the private key is: `Signer`; and fingerprints as people read and write them."""

from __future__ import annotations

import re
from typing import Protocol

from vault.errors import Damaged, UsageError
from vault.signing.ed25519 import PublicKey

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


class Signer(Protocol):
    """A private key of Ed25519 that may be used and is never seen.

    `place`: where it is, for people, without anything secret. `sign` gives 64 bytes; it raises NotFound, Refused or StoreError
    where the key's place does not answer. Used by one thread at a time or by several.
    """

    @property
    def public(self) -> PublicKey: ...
    @property
    def public_pem(self) -> bytes: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def place(self) -> str: ...
    def sign(self, data: bytes) -> bytes: ...


def grouped(fingerprint: str) -> str:
    """In groups of four digits, as people compare them."""
    return " ".join(fingerprint[at : at + 4] for at in range(0, len(fingerprint), 4))


def fingerprint_of(text: str) -> str:
    """The fingerprint that a person gives: 64 hex digits with spaces, colons or hyphens between them, or a public key in PEM form.

    Raises UsageError.
    """
    if "-----BEGIN" in text[:200]:
        try:
            return PublicKey.parse(text.strip().encode("utf-8", "replace") + b"\n").fingerprint
        except Damaged as error:
            raise UsageError(f"what should be a key {error}") from None
    plain = re.sub(r"[\s:-]", "", text[:1000]).lower()
    if not _FINGERPRINT.fullmatch(plain):
        raise UsageError(f"{text[:80]!r} is not a fingerprint: 64 hex digits, spaces between them do not matter")
    return plain
