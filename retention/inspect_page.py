"""An inspection report as one HTML page for screen and A4: everything in it, no script, every text from outside escaped.

The page itself is `inspect_page.html` beside this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from index.timeline import Gap
from retention.completeness import DayShare
from retention.inspect_words import CLASSES, KEEPINGS, LABELS, article, note, reason, text, title
from retention.inspection import Inspected, Report, length_text, percent_text, seconds_text
from retention.printed import render, said
from vault.days import end_shown
from vault.timebase import format_local

MAX_GAPS: Final = 20
"""Of a camera, the longest; JSON and CSV have all."""


def page(report: Report, language: str = "both") -> str:
    """The page in Chinese, English, or both side by side."""
    zone = ZoneInfo(report.zone)

    return render(
        "retention/inspect_page.html", LABELS, language,
        report=report, gappy=_gappy(report.cameras), said=lambda words: said(words, language),
        moment=partial(format_local, zone=zone), title=title,
        text=text, article=article, reason=reason, percent=percent_text, length=length_text, seconds=seconds_text, bar=_bar,
        listed=_listed, remark=note, keepings=KEEPINGS, end_shown=end_shown, classes=CLASSES,
    )  # fmt: skip


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
