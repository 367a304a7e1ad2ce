"""The register as one HTML page that prints on A4 as the book that the rule asks for: no script, every text from outside escaped.

The page itself is `register_page.html` beside this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from access.register import Row
from access.register_rows import Names, called, visible
from access.register_words import LABELS, action, article, authority, outcome, purpose, refusal
from retention.inspect_words import Words
from vault.console import size_text
from vault.timebase import Interval, format_local

_SAID: Final = Markup('<span lang="zh-CN">{}</span>'), Markup('<span lang="en">{}</span>')


@dataclass(frozen=True, slots=True)
class Book:
    """What is printed: the rows, of which time and unit, by what else they were chosen, when and by whom, and of which ledger.

    `unit` empty: of all. `size`, `root`: the signed checkpoint that covers every row; the root in hexadecimal.
    """

    rows: Sequence[Row]
    asked: Interval
    unit: str
    chosen: str
    at_us: int
    by: str
    ledger: str = ""
    size: int = 0
    root: str = ""


def page(book: Book, names: Names, zone: ZoneInfo, language: str = "both") -> str:
    """The page in Chinese, English, or both side by side; times are those of `zone`."""

    def said(words: Words) -> Markup:
        zh, en = _SAID[0].format(visible(words.zh)), _SAID[1].format(visible(words.en))
        if language == "both":
            return zh if words.zh == words.en else zh + Markup(" ") + en
        return zh if language == "zh" else en

    def moment(at_us: int | None) -> str:
        return "" if at_us is None else format_local(at_us, zone)[:19]

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(
        {
            "t": lambda name: said(LABELS[name]), "said": said, "moment": moment, "purpose": purpose, "outcome": outcome,
            "action": action, "article": article, "authority": authority, "refusal": refusal, "size": size_text, "called": lambda number: visible(called(number, names)), "v": visible,
        }
    )  # fmt: skip
    source = (files("access") / "register_page.html").read_text(encoding="utf-8")
    lang = "en" if language == "en" else "zh-CN"
    return environment.from_string(source).render(
        book=book, lang=lang, zone=zone.key, open=sum(row.is_open for row in book.rows)
    )
