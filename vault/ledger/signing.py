"""The ledger's key: Ed25519 (RFC 8032). Made once, read where it is used; no other module sees its bytes.

The ledger's name comes from the key, so that checkpoints of two ledgers are never taken for each other's.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from vault.errors import Damaged, Refused
from vault.files import read_key_file, store_error, write_new_file
from vault.ledger.checkpoint import Checkpoint, SignedCheckpoint

_ED25519 = b"\x01"
"""Its number among the signature types of C2SP's signed notes."""


class LedgerKey:
    """Signs checkpoints and tells whether a signature is its own."""

    __slots__ = ("_key", "_name", "origin", "public_pem")

    def __init__(self, path: Path) -> None:
        """Read the key file. Raises NotFound, Refused when others may read it, Damaged, StoreError."""
        data = read_key_file(path, "the key that signs the ledger", 4096)
        try:
            key = load_pem_private_key(data, None)
        except (ValueError, TypeError):
            # Without `from`: the cause must not carry bytes of a key into a traceback.
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise Damaged(f"{path}: is not the key of a ledger; restore it from its backup")
        self._key = key
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        """For `openssl` and whoever else checks without this program."""
        self.origin = f"streamvault-ledger-{hashlib.sha256(public).hexdigest()[:16]}"
        # C2SP signed-note: the first four bytes of this name the key.
        self._name = hashlib.sha256(self.origin.encode() + b"\n" + _ED25519 + public).digest()[:4]

    def __repr__(self) -> str:
        return f"LedgerKey({self.origin})"

    def sign(self, checkpoint: Checkpoint) -> SignedCheckpoint:
        return SignedCheckpoint(checkpoint, self._name + self._key.sign(checkpoint.text.encode()))

    def made(self, signed: SignedCheckpoint) -> bool:
        """Whether this key signed exactly that."""
        if signed.checkpoint.origin != self.origin or signed.signature[:4] != self._name:
            return False
        try:
            self._key.public_key().verify(signed.signature[4:], signed.checkpoint.text.encode())
        except InvalidSignature:
            return False
        return True


def create_ledger_key(path: Path) -> None:
    """A new random key in a new file of mode 0600, durable. Raises Refused when there is one, StoreError."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        write_new_file(path, pem)
    except FileExistsError:
        raise Refused(f"{path}: a key is there already; another one could not continue its ledger") from None
    except OSError as error:
        raise store_error(f"writing the ledger's key {path}", error) from error
