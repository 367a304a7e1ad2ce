"""Many changes at once: all that is wrong with any of them is told, by its place, before the first is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from vault.errors import StreamvaultError, UsageError

MAX_IMPORT: Final = 1_000
"""In one transaction, in which each document is synced."""
MAX_PROBLEMS: Final = 100

_T = TypeVar("_T")
_U = TypeVar("_U")


class Rejected(UsageError):
    """`problems`: the places, from 0, of what cannot be, and why. Nothing was changed."""

    def __init__(self, problems: Sequence[tuple[int, str]]) -> None:
        super().__init__("; ".join(f"number {at + 1}: {text}" for at, text in problems[:20]))
        self.problems = list(problems)


def checked_all(items: Iterable[_T], check: Callable[[_T], _U], noun: str) -> list[_U]:
    """What `check` makes of each. Raises Rejected where it raised for any, UsageError for too many."""
    found: list[_U] = []
    problems: list[tuple[int, str]] = []
    for at, item in enumerate(items):
        if at >= MAX_IMPORT:
            raise UsageError(f"at most {MAX_IMPORT:,} {noun} in one import; split it")
        try:
            found.append(check(item))
        except StreamvaultError as error:
            problems.append((at, str(error)))
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise Rejected(problems)
    return found
