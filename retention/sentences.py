"""Sentences that the engine words in English, a refusal or an alarm, in Chinese too: for pages in both languages.

A sentence was written down as it was worded, by this program or an older one, so it is known by its form. The tables stand beside
each page's other words. Nothing is decided here, and a sentence of no known form stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MAX_CHARS: Final = 600
"""A longer one is no sentence of ours."""

_AT: Final = r"\d{4}-\d\d-\d\d(?: [\d:.]+[+-][\d:]+)?"
_FORMS: Final[Mapping[str, str]] = {
    "id": r"\S+",
    "camera": r"(?:\S+ \()?#\d+\)?",
    "count": r"[\d,]+",
    "at": _AT,
    "span": rf"(?:from )?{_AT} to {_AT}|from {_AT} on|to {_AT}|any time",
    "rest": r".+",
}
"""What may stand in a place of a sentence, by the place's name; `{id2}` is another `{id}`."""

_SPANS: Final = (
    (re.compile(rf"(?:from )?({_AT}) to ({_AT})"), r"\1 至 \2"),
    (re.compile(rf"from ({_AT}) on"), r"\1 起"),
    (re.compile(rf"to ({_AT})"), r"\1 止"),
    (re.compile(r"any time"), "不限"),
)


class Sentences:
    """Chinese by English, each with the same places in braces. `{rest}` may be a sentence of the table itself."""

    def __init__(self, table: Mapping[str, str]) -> None:
        self._known = [(_pattern(english), chinese) for english, chinese in table.items()]

    def chinese(self, english: str) -> str | None:
        """None where no sentence of the table has its form."""
        if len(english) > MAX_CHARS:
            return None
        for pattern, chinese in self._known:
            if found := pattern.fullmatch(english):
                return chinese.format_map({name: self._part(name, text) for name, text in found.groupdict().items()})
        return None

    def _part(self, name: str, text: str) -> str:
        if name == "rest":
            return self.chinese(text) or text
        if name.startswith("span"):
            return next(match.expand(form) for pattern, form in _SPANS if (match := pattern.fullmatch(text)))
        return text


def _pattern(english: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", english)
    places = (f"(?P<{name}>{_FORMS[name.rstrip('0123456789')]})" for name in parts[1::2])
    return re.compile("".join(re.escape(text) + place for text, place in zip(parts[::2], [*places, ""], strict=True)))
