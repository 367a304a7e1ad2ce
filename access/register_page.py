"""The register as one HTML page that prints on A4 as the book that the rule asks for: no script, every text from outside escaped.

The page itself is `register_page.html` beside this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from markupsafe import Markup

from access.refusal_words import refusal_text
from access.register import Row
from access.register_rows import Names, called, visible
from access.register_words import LABELS, action, article, authority, outcome, purpose, refusal
from retention.inspect_words import Words
from retention.printed import render, said
from vault.console import size_text
from vault.timebase import Interval, format_local


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

    def shown(words: Words) -> Markup:
        return said(Words(visible(words.zh), visible(words.en)), language)

    def moment(at_us: int | None) -> str:
        return "" if at_us is None else format_local(at_us, zone=zone)

    return render(
        "access/register_page.html", LABELS, language,
        book=book, zone=zone.key, open=sum(row.is_open for row in book.rows), said=shown, moment=moment, purpose=purpose,
        outcome=outcome, action=action, article=article, authority=authority, refusal=refusal, refusal_text=refusal_text, size=size_text, v=visible,
        called=lambda number: visible(called(number, names)),
    )  # fmt: skip
