"""The ledger's key: Ed25519 (RFC 8032). Made once, read where it is used; no other module sees its bytes.

The ledger's name comes from the key, so that checkpoints of two ledgers are never taken for each other's.
"""

from __future__ import annotations

import hashlib
import os
import stat
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

from vault.errors import Damaged, NotFound, Refused
from vault.files import store_error, write_new_file
from vault.ledger.checkpoint import Checkpoint, SignedCheckpoint

_ED25519 = b"\x01"
"""Its number among the signature types of C2SP's signed notes."""


class LedgerKey:
    """Signs checkpoints and tells whether a signature is its own."""

    __slots__ = ("_key", "_name", "origin", "public_pem")

    def __init__(self, path: Path) -> None:
        """Read the key file. Raises NotFound, Refused when others may read it, Damaged, StoreError."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise NotFound(f"{path}: the key that signs the ledger is missing; restore it from its backup") from None
        except OSError as error:
            raise store_error(f"opening the ledger's key {path}", error) from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise Damaged(f"{path}: the ledger's key is not a regular file")
            if status.st_mode & 0o077:
                raise Refused(
                    f"{path}: the ledger's key may be read by others (mode {stat.S_IMODE(status.st_mode):04o}); "
                    f"run `chmod 600 {path}`, and think of whom it was open to"
                )
            data = os.read(fd, 4096)
        except OSError as error:
            raise store_error(f"reading the ledger's key {path}", error) from error
        finally:
            os.close(fd)
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
