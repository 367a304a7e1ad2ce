"""Words that people give the registry: bounded, and without characters that nobody sees or that move a cursor."""

from __future__ import annotations

from vault.errors import UsageError


def cleaned(text: str) -> str:
    """Every run of white space becomes one space; what else cannot be printed (control, format, half of a pair) goes."""
    return " ".join("".join(mark for mark in text if mark.isprintable() or mark.isspace()).split())


def text_field(what: str, text: str, most: int, *, required: bool = False) -> str:
    """`text` cleaned. Raises UsageError for one that is longer than `most` characters, or empty where it may not be."""
    if len(text) > 16 * most:
        raise UsageError(f"{what} is longer than {most} characters")
    found = cleaned(text)
    if len(found) > most:
        raise UsageError(f"{what} is longer than {most} characters")
    if required and not found:
        raise UsageError(f"{what} is missing")
    return found
