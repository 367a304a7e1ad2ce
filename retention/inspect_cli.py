"""The command for inspectors: `inspect report`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from index.console import open_session
from vault.console import (
    MOMENT,
    Session,
    json_option,
    pass_session,
    plain,
    print_json,
    print_table,
    progress,
    write_output,
)
from vault.days import end_shown
from vault.timebase import US, Interval, local_zone

if TYPE_CHECKING:
    from index.node import Node
    from retention.inspect_words import Words
    from retention.inspection import Inspected, Report

_FILE = click.Path(path_type=Path, dir_okay=False)
_DAYS = 30


@click.group("inspect")
def inspect_group() -> None:
    """What an inspection asks for: completeness, days kept, approvals, findings."""


@inspect_group.command("report")
@click.option("--from", "from_us", type=MOMENT, help=f"Begin of the time.  [default: {_DAYS} local days before today]")
@click.option("--to", "to_us", type=MOMENT, help="End of the time.  [default: now]")
@click.option("--site", "sites", multiple=True, help="Of this site only; may be repeated.")
@click.option("--class", "site_class", type=click.Choice(("key", "general", "viewing")), help="Of this class only.")
@click.option(
    "--least",
    type=click.FloatRange(0, 100),
    default=98.0,
    show_default=True,
    help="Completeness in % below which it is a finding.",
)
@click.option(
    "--clock", "clock_seconds", type=click.FloatRange(0, 86_400), default=3.0, show_default=True,
    help="Clock offset in seconds above which it is a finding.",
)  # fmt: skip
@click.option("--csv", "csv_path", type=_FILE, help="Write a CSV file for spreadsheets.")
@click.option(
    "--csv-by", "sheet", type=click.Choice(("camera", "day", "gap")), default="camera", show_default=True,
    help="What a row of it is.",
)  # fmt: skip
@click.option("--html", "html_path", type=_FILE, help="Write a page to print.")
@click.option(
    "--lang", "language", type=click.Choice(("both", "zh", "en")), default="both", show_default=True, help="Language."
)
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@json_option
@pass_session
def report(
    session: Session, from_us: int | None, to_us: int | None, sites: tuple[str, ...], site_class: str | None, least: float,
    clock_seconds: float, csv_path: Path | None, sheet: str, html_path: Path | None, language: str, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Show what is wrong, by which article, and how each camera stands.

    Completeness is seconds recorded out of those that should have been, by camera and local day. Days kept, approvals, alarms and
    holds are those of now.
    """
    from retention.inspect_look import Scope, inspect
    from retention.inspect_rows import as_csv
    from retention.inspect_rows import as_json as values
    from retention.inspection import Limits

    limits = Limits(least / 100, round(clock_seconds * US))
    with open_session(session) as node:
        span = Interval(_default_from(node) if from_us is None else from_us, session.now_us if to_us is None else to_us)
        with progress(session, "inspecting cameras", len(node.cameras.list(removed=True))) as line:
            made = inspect(node, span, Scope(sites, site_class or ""), limits, line.advance)
    if csv_path:
        write_output(csv_path, as_csv(made, sheet), replace=force)
        click.echo(f"{csv_path} written", err=True)
    if html_path:
        from retention.inspect_page import page

        write_output(html_path, page(made, language).encode(), replace=force)
        click.echo(f"{html_path} written", err=True)
    if as_json:
        print_json(values(made))
    else:
        _show(made, "zh" if language == "zh" else "en")


def _default_from(node: Node) -> int:
    from datetime import timedelta

    from retention.completeness import day_start_us
    from vault.retain import local_day

    zone = node.config.retention.zone
    return day_start_us(local_day(node.clock.now_us(), zone) - timedelta(days=_DAYS), zone)


def _show(made: Report, language: str) -> None:
    from retention.inspect_words import CLASSES, LABELS, article, text, title
    from retention.inspection import length_text, percent_text, seconds_text

    def said(words: Words) -> str:
        return words.zh if language == "zh" else words.en

    def label(*names: str) -> list[str]:
        return [said(LABELS[name]) for name in names]

    if made.findings:
        rows = [
            [said(article(item.article)), said(title(item)), " / ".join(filter(None, (item.site, item.camera))), said(text(item))]
            for item in made.findings
        ]  # fmt: skip
        print_table(label("article", "finding", "where", "what"), rows)
    else:
        click.echo(said(LABELS["no_findings"]))
    names = label("camera", "site", "class", "completeness", "worst", "missing", "retained", "state", "clock")
    cameras = []
    for seen in made.cameras:
        whole, kept, worst = seen.completeness, seen.retained, seen.completeness.worst
        cameras.append(
            [
                seen.camera.id, seen.camera.site, said(CLASSES[seen.site_class]),
                said(LABELS["collecting"]) if whole.share is None else percent_text(whole.recorded_us, whole.due_us),
                f"{worst.day} {percent_text(worst.recorded_us, worst.due_us)}" if worst and worst.missing_us else "",
                f"{len(whole.gaps)} × {length_text(whole.missing_us)}" if whole.gaps else "",
                f"{kept.days} / {kept.required_days}", _state(seen, said),
                "" if seen.clock_offset_us is None else seconds_text(seen.clock_offset_us),
            ]
        )  # fmt: skip
    print_table(names, cameras, right=[*names[3:7], names[8]])
    for order in made.holds:
        until = said(LABELS["until_released"]) if order.until_us is None else end_shown(order.until_us)
        click.echo(plain(f"{said(LABELS['holds'])} {order.number}: {order.case}, {order.why}; {said(LABELS['until'])} {until}"))
    for note in (said(LABELS["definition"]), *made.notes):
        click.echo(plain(note))


def _state(seen: Inspected, said: Callable[[Words], str]) -> str:
    from retention.inspect_words import KEEPINGS, LABELS
    from vault.retain import local_day

    if seen.retained.since_us is None:
        return said(KEEPINGS[seen.retained.keeping])
    return f"{said(LABELS['collecting_since'])} {local_day(seen.retained.since_us, local_zone())}"


COMMANDS: tuple[click.Command, ...] = (inspect_group,)
