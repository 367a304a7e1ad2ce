"""An inspection report as one HTML page for screen and A4: everything in it, no script, every text from outside escaped.

The only module that knows jinja2. The page itself is `inspect_page.html` beside this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from index.timeline import Gap
from retention.completeness import DayShare
from retention.inspect_words import CLASSES, KEEPINGS, LABELS, Words, article, reason, text, title
from retention.inspection import Inspected, Report, length_text, percent_text, seconds_text

MAX_GAPS: Final = 20
"""Of a camera, the longest; JSON and CSV have all."""
LANGUAGES: Final = ("both", "zh", "en")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SAID = Markup('<span lang="zh-CN">{}</span>'), Markup('<span lang="en">{}</span>')


def page(report: Report, language: str = "both") -> str:
    """The page in Chinese, English, or both side by side."""
    zone = ZoneInfo(report.zone)

    def said(words: Words) -> Markup:
        if language == "both" and words.zh == words.en:
            return _SAID[0].format(words.zh)
        zh, en = _SAID[0].format(words.zh), _SAID[1].format(words.en)
        return {"zh": zh, "en": en}.get(language, zh + Markup(" ") + en)

    def moment(at_us: int) -> str:
        return (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone).isoformat(sep=" ", timespec="seconds")

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(
        {
            "t": lambda name: said(LABELS[name]), "said": said, "moment": moment, "title": title, "text": text,
            "article": article, "reason": reason, "percent": percent_text, "length": length_text, "seconds": seconds_text,
            "bar": _bar, "listed": _listed, "keepings": KEEPINGS, "classes": CLASSES,
        }
    )  # fmt: skip
    source = (files("retention") / "inspect_page.html").read_text(encoding="utf-8")
    template = environment.from_string(source)
    return template.render(report=report, lang="en" if language == "en" else "zh-CN", gappy=_gappy(report.cameras))


def _gappy(cameras: Sequence[Inspected]) -> list[Inspected]:
    return [seen for seen in cameras if seen.completeness.gaps]


def _bar(day: DayShare) -> tuple[int, str]:
    """How high the bar of a day is, in percent of all of it, and what it says when pointed at."""
    # A gap of a second is seen too: only a whole day without one is full.
    height = 100 if not day.missing_us else min(90, day.recorded_us * 100 // day.due_us)
    return height, f"{day.day} {percent_text(day.recorded_us, day.due_us)}"


def _listed(seen: Inspected) -> list[Gap]:
    """The longest gaps in order of time."""
    longest = sorted(seen.completeness.gaps, key=lambda gap: gap.start_us - gap.end_us)[:MAX_GAPS]
    return sorted(longest, key=lambda gap: gap.start_us)
