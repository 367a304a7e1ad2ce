"""Pages to print on A4, in Chinese, English or both: no script, nothing from elsewhere, every text from outside escaped.

The only module that knows jinja2. A page extends `printed.html` beside this file, which holds the style that all of them share.
What stands on a page is the business of the module that renders it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from retention.inspect_words import Words

_SAID: Final = Markup('<span lang="zh-CN">{}</span>'), Markup('<span lang="en">{}</span>')


def said(words: Words, language: str = "both") -> Markup:
    """In this language, `zh` or `en`; `both` side by side, and once where they read the same."""
    zh, en = _SAID[0].format(words.zh), _SAID[1].format(words.en)
    if language == "both" and words.zh != words.en:
        return zh + Markup(" ") + en
    return en if language == "en" else zh


def render(page: str, labels: Mapping[str, Words], language: str, **known: object) -> str:
    """`page`: the file as its package has it, `access/register_page.html`. `known`: what it may name, beside `t`, a label's words."""
    environment = Environment(
        loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )

    def label(name: str) -> Markup:
        return said(labels[name], language)

    return environment.get_template(page).render(lang="en" if language == "en" else "zh-CN", t=label, **known)


def _source(page: str) -> str:
    package, _, name = page.rpartition("/")
    return (files(package.replace("/", ".")) / name).read_text(encoding="utf-8")
