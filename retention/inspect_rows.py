"""An inspection report as plain values: JSON for programs, rows for spreadsheets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from index.csv_table import write_rows
from retention.inspect_words import LABELS, article, text, title
from retention.inspection import Finding, Inspected, Report
from vault.timebase import US, format_us

CAMERA_COLUMNS: Final = (
    "camera", "number", "name", "site", "class", "removed", "from", "to", "seconds_due", "seconds_recorded", "seconds_missing",
    "completeness", "collecting", "worst_day", "worst_completeness", "gaps", "days_retained", "days_required", "retention",
    "collecting_since", "clock_offset_seconds", "clock_is", "interconnect", "approval_ref", "silent", "findings",
)  # fmt: skip
DAY_COLUMNS: Final = ("camera", "number", "site", "day", "whole_day", "seconds_due", "seconds_recorded", "completeness")
GAP_COLUMNS: Final = ("camera", "number", "site", "from", "to", "lasts", "seconds", "reason")


def as_json(report: Report) -> dict[str, Any]:
    """The whole report; times are UTC, days those of the time zone."""
    definition, limits = LABELS["definition"], report.limits
    return {
        "at": format_us(report.at_us), "from": format_us(report.span.start_us), "to": format_us(report.span.end_us),
        "time_zone": report.zone, "scope": report.scope or None,
        "definition": {"zh": definition.zh, "en": definition.en},
        "limits": {"completeness": limits.least_share, "clock_offset_seconds": limits.clock_offset_us / US},
        "notes": list(report.notes),
        "findings": [_finding(finding) for finding in report.findings],
        "cameras": [_camera(seen) for seen in report.cameras],
        "holds": [
            {
                "number": order.number, "case": order.case, "why": order.why, "cameras": list(order.cameras),
                "from": format_us(order.interval.start_us), "to": format_us(order.interval.end_us), "by": order.placed.by,
                "until": None if order.until_us is None else format_us(order.until_us), "state": str(order.state(report.at_us)),
            }
            for order in report.holds
        ],
    }  # fmt: skip


def _finding(finding: Finding) -> dict[str, Any]:
    words = text(finding)
    return {
        "kind": str(finding.kind), "article": finding.article, "site": finding.site or None, "camera": finding.camera or None,
        "text": words.en, "text_zh": words.zh,
    }  # fmt: skip


def _camera(seen: Inspected) -> dict[str, Any]:
    whole, kept = seen.completeness, seen.retained
    return {
        "id": str(seen.camera.id), "number": seen.camera.number, "name": seen.camera.name, "site": seen.camera.site,
        "class": seen.site_class, "removed": _moment(seen.camera.removed_us) or None,
        "seconds_due": whole.due_us / US, "seconds_recorded": whole.recorded_us / US, "seconds_missing": whole.missing_us / US,
        "completeness": whole.share, "collecting": whole.share is None,
        "days": [
            {
                "day": day.day.isoformat(), "whole": day.whole, "seconds_due": day.due_us / US,
                "seconds_recorded": day.recorded_us / US,
            }
            for day in whole.days
        ],
        "missing": {reason: missing_us / US for reason, missing_us in whole.by_reason().items()},
        "gaps": [
            {"from": format_us(gap.start_us), "to": format_us(gap.end_us), "lasts": gap.lasting, "reason": gap.reason}
            for gap in whole.gaps
        ],
        "days_retained": kept.days, "days_required": kept.required_days, "retention": str(kept.keeping),
        "collecting_since": _moment(kept.since_us) or None,
        "clock_offset_seconds": _seconds(seen.clock_offset_us), "interconnect": seen.interconnect,
        "approval_ref": seen.approval_ref, "silent": seen.silent or None,
        "segments_overdue": seen.overdue[0],
    }  # fmt: skip


def camera_rows(report: Report) -> Iterator[tuple[object, ...]]:
    """One a camera, as `CAMERA_COLUMNS` names them."""
    said: dict[str, list[str]] = {}
    for finding in report.findings:
        said.setdefault(finding.camera, []).append(
            f"{title(finding).zh} {title(finding).en} ({article(finding.article).zh}): {text(finding).zh}"
        )
    for seen in report.cameras:
        whole, kept, worst = seen.completeness, seen.retained, seen.completeness.worst
        yield (
            seen.camera.id, seen.camera.number, seen.camera.name, seen.camera.site, seen.site_class,
            _moment(seen.camera.removed_us), format_us(report.span.start_us), format_us(report.span.end_us),
            whole.due_us / US, whole.recorded_us / US, whole.missing_us / US, _value(whole.share), _yes(whole.share is None),
            worst.day if worst else "", worst.recorded_us / worst.due_us if worst else "", len(whole.gaps), kept.days,
            kept.required_days, kept.keeping, _moment(kept.since_us), *_clock(seen.clock_offset_us), seen.interconnect,
            seen.approval_ref, seen.silent, "; ".join(said.get(seen.camera.id, ())),
        )  # fmt: skip


def day_rows(report: Report) -> Iterator[tuple[object, ...]]:
    """One a camera and local day. A day that is no whole one has no completeness yet."""
    for seen in report.cameras:
        for day in seen.completeness.days:
            share = day.recorded_us / day.due_us if day.whole else ""
            yield (
                seen.camera.id, seen.camera.number, seen.camera.site, day.day, _yes(day.whole), day.due_us / US,
                day.recorded_us / US, share,
            )  # fmt: skip


def gap_rows(report: Report) -> Iterator[tuple[object, ...]]:
    """One a gap."""
    for seen in report.cameras:
        for gap in seen.completeness.gaps:
            yield (
                seen.camera.id, seen.camera.number, seen.camera.site, format_us(gap.start_us), format_us(gap.end_us),
                _yes(gap.lasting), (gap.end_us - gap.start_us) / US, gap.reason,
            )  # fmt: skip


_SHEETS: Final[Mapping[str, tuple[tuple[str, ...], Callable[[Report], Iterator[tuple[object, ...]]]]]] = {
    "camera": (CAMERA_COLUMNS, camera_rows),
    "day": (DAY_COLUMNS, day_rows),
    "gap": (GAP_COLUMNS, gap_rows),
}


def as_csv(report: Report, sheet: str) -> bytes:
    """One of these sheets as a file for spreadsheets, no cell of which is a formula."""
    columns, rows = _SHEETS[sheet]
    return write_rows(columns, ([str(cell) for cell in row] for row in rows(report)))


def _moment(at_us: int | None) -> str:
    return "" if at_us is None else format_us(at_us)


def _seconds(duration_us: int | None) -> float | None:
    return None if duration_us is None else duration_us / US


def _value(value: float | None) -> object:
    return "" if value is None else value


def _clock(offset_us: int | None) -> tuple[object, str]:
    """Without a sign: a cell that begins with one is no number but a formula, and made inert."""
    if offset_us is None:
        return "", ""
    return abs(offset_us) / US, "behind" if offset_us < 0 else "ahead"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
