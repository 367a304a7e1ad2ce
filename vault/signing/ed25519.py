"""Ed25519 (RFC 8032): public and private keys as values, their PEM, fingerprint, signatures. The one wrapper of `cryptography`
for signing; where keys lie is `vault.signing.keys`' business.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from vault.errors import Damaged

KEY_BYTES: Final = 32
MAX_PEM_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class PublicKey:
    """`raw`: the 32 bytes of RFC 8032 §5.1.5."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise Damaged(f"a public key of {len(self.raw)} bytes is none of Ed25519, which has {KEY_BYTES}")

    @classmethod
    def parse(cls, pem: bytes) -> PublicKey:
        """Of a PEM (SubjectPublicKeyInfo, RFC 8410). Raises Damaged."""
        try:
            key = load_pem_public_key(pem) if len(pem) <= MAX_PEM_BYTES else None
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise Damaged("is not a public key of Ed25519 in PEM form")
        return cls(key.public_bytes(Encoding.Raw, PublicFormat.Raw))

    @property
    def pem(self) -> bytes:
        """For `openssl` and whoever else checks without this program."""
        key = Ed25519PublicKey.from_public_bytes(self.raw)
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of `raw`, 64 hex digits."""
        return hashlib.sha256(self.raw).hexdigest()

    def made(self, signature: bytes, data: bytes) -> bool:
        """Whether the key's owner signed exactly that."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


class PrivateKey:
    """Its bytes are shown to nobody but the file that it is written to."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    @classmethod
    def generate(cls) -> PrivateKey:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, pem: bytes) -> PrivateKey:
        """Of a PEM (PKCS #8) without a password. Raises Damaged, which quotes nothing of it."""
        try:
            key = load_pem_private_key(pem, None) if len(pem) <= MAX_PEM_BYTES else None
        except (ValueError, TypeError):
            # Without `from`: the cause must not carry bytes of a key into a traceback.
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise Damaged("is not a private key of Ed25519 in PEM form without a password")
        return cls(key)

    def __repr__(self) -> str:
        return f"PrivateKey(of {self.public.fingerprint[:16]})"

    def pem(self) -> bytes:
        """For the one file that keeps it."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(data)
