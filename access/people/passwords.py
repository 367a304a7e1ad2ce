"""Passwords: what one must be, its argon2 hash, and making a random one. The only module that imports argon2.

Whose password it is and how often it may be guessed is not known here. No message ever holds a password.
"""

from __future__ import annotations

import re
import secrets
import threading
import unicodedata
from typing import Final

from argon2 import Parameters, PasswordHasher, extract_parameters
from argon2.exceptions import HashingError, InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from vault.errors import Busy, UsageError

LEAST_CHARS: Final = 10
MOST_CHARS: Final = 200
PARAMETERS: Parameters = RFC_9106_LOW_MEMORY
"""RFC 9106 §4, the second choice: three passes over 64 MiB with four lanes. A tenth of a second on the machine of 2026-11."""

AT_ONCE: Final = 2
"""Hashes of one process at the same time, whoever asks: what guessing may cost in memory is this times the parameters'."""

_turns = threading.BoundedSemaphore(AT_ONCE)
_LEAST_DISTINCT: Final = 5
_LEAST_NAME: Final = 4
"""A shorter name is in many a word, and in many a random password, by chance: it is looked for as a word of its own."""
_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"
"""Without those that look like another."""


def checked_password(text: str, user_id: str) -> str:
    """The password in the form that is hashed (RFC 8265 §4.2: normal form C). Raises UsageError that says which rule it misses."""
    if len(text) > MOST_CHARS:
        raise UsageError(f"a password has at most {MOST_CHARS} characters")
    found = unicodedata.normalize("NFC", text)
    if not found.isprintable():
        raise UsageError("a password has no control characters in it")
    if len(found) < LEAST_CHARS:
        raise UsageError(f"a password has at least {LEAST_CHARS} characters")
    if len(set(found)) < _LEAST_DISTINCT:
        raise UsageError(f"a password has at least {_LEAST_DISTINCT} different characters")
    if user_id and _holds(found.casefold(), user_id.casefold()):
        raise UsageError("a password does not hold the user's name")
    return found


def _holds(password: str, name: str) -> bool:
    if len(name) >= _LEAST_NAME:
        return name in password
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", password) is not None


def random_password() -> str:
    """A hundred bits, to be read out and typed once."""
    marks = [secrets.choice(_LETTERS) for _ in range(20)]
    return "-".join("".join(marks[at : at + 5]) for at in range(0, 20, 5))


def hash_password(password: str) -> str:
    """The encoded form with a new salt, of a `checked_password`. Raises Busy where there is no memory for it."""
    try:
        with _turns:
            return PasswordHasher.from_parameters(PARAMETERS).hash(_hashed_bytes(password))
    except HashingError as error:
        raise Busy(f"hashing a password: {error}; try again") from None


def is_right(encoded: str, password: str) -> bool:
    """Whether this is the password. Without an encoded form it is not, and that takes as long."""
    known = bool(encoded) and _is_bearable(encoded)
    text = _hashed_bytes(password[: MOST_CHARS + 1])
    try:
        with _turns:
            matches = PasswordHasher.from_parameters(PARAMETERS).verify(encoded if known else _nobodys(), text)
    except (VerificationError, InvalidHashError):
        return False
    return matches and known and len(password) <= MOST_CHARS


def is_outdated(encoded: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return extract_parameters(encoded) != PARAMETERS


def _hashed_bytes(password: str) -> bytes:
    """Of any text: one from the environment may hold bytes that are no UTF-8."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def _is_bearable(encoded: str) -> bool:
    """A document from a damaged or foreign store must not name a gigabyte of memory or an hour."""
    try:
        found = extract_parameters(encoded)
    except InvalidHashError:
        return False
    return found.memory_cost <= 2**20 and found.time_cost <= 32 and found.parallelism <= 64


def _nobodys() -> str:
    """A well-formed hash of today's parameters that no password has: checking it costs what checking a real one does."""
    salt, tag = "A" * 22, "A" * 43
    return f"$argon2id$v=19$m={PARAMETERS.memory_cost},t={PARAMETERS.time_cost},p={PARAMETERS.parallelism}${salt}${tag}"
