"""Encrypting a package to a password, in the form that `openssl enc -d -aes-256-cbc -pbkdf2 -iter 600000` opens.

The form says nothing of whether bytes were changed; what is inside it does, by the package's own hashes and signature.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from vault.errors import UsageError
from vault.files import Buffer

ITERATIONS: Final = 600_000
MIN_PASSWORD_CHARS: Final = 12
MAX_PASSWORD_BYTES: Final = 500
_LETTERS: Final = "23456789abcdefghjkmnpqrstuvwxyz"
"""None that is taken for another when it is read out or written by hand."""


def new_password() -> str:
    """25 random letters in five groups: 123 bits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(5))


def check_password(password: str) -> None:
    """Raises UsageError for one that is too short, or that `openssl` would not read whole from a line."""
    if len(password) < MIN_PASSWORD_CHARS or len(password.encode(errors="replace")) > MAX_PASSWORD_BYTES:
        raise UsageError(f"a package's password has at least {MIN_PASSWORD_CHARS} characters; without one a strong one is made")
    if not password.isprintable():
        raise UsageError("a package's password is one line of printable characters")


class Encryption:
    """One stream of `openssl enc`: salted header, then AES-256 in CBC mode with PKCS #7 padding, as pieces come."""

    def __init__(self, password: str) -> None:
        """Takes some tenths of a second: the password is stretched."""
        salt = secrets.token_bytes(8)
        secret = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS, 48)
        self.header = b"Salted__" + salt
        self._padding = PKCS7(128).padder()
        self._cipher = Cipher(algorithms.AES(secret[:32]), modes.CBC(secret[32:])).encryptor()

    def update(self, data: Buffer) -> bytes:
        return self._cipher.update(self._padding.update(data))

    def finish(self) -> bytes:
        return self._cipher.update(self._padding.finalize()) + self._cipher.finalize()
