"""Many changes at once, as a file to import has them: all that is wrong with any of them is told, by its place, before the first is
made, and afterwards what became of each. What is imported is not known here."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from vault.errors import StreamvaultError, UsageError

MAX_PROBLEMS: Final = 100

_T = TypeVar("_T")
_U = TypeVar("_U")


class Outcome(enum.StrEnum):
    """What became of one of them, or would. Of one that is left as it is nothing is written."""

    ADDED = "added"
    CHANGED = "changed"
    LEFT = "left"


class Rejected(UsageError):
    """`problems`: the places, from 0, of what cannot be, and why. Nothing was changed."""

    def __init__(self, problems: Sequence[tuple[int, str]]) -> None:
        super().__init__("; ".join(f"number {at + 1}: {text}" for at, text in problems[:20]))
        self.problems = list(problems)


def checked_all(items: Iterable[_T], check: Callable[[_T], _U], noun: str, most: int) -> list[_U]:
    """What `check` makes of each. Raises Rejected where it raised for any, UsageError for more than `most`."""
    found: list[_U] = []
    problems: list[tuple[int, str]] = []
    for at, item in enumerate(items):
        if at >= most:
            raise UsageError(f"at most {most:,} {noun} in one import; split it")
        try:
            found.append(check(item))
        except StreamvaultError as error:
            problems.append((at, str(error)))
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise Rejected(problems)
    return found


def outcome(old: object | None, new: object) -> Outcome:
    """Of what was there, None where nothing was, and what is there now."""
    if old is None:
        return Outcome.ADDED
    return Outcome.LEFT if new == old else Outcome.CHANGED
