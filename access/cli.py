"""The commands of this package put together, and `timeline`: when there is footage, and of which none is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from access.look_cli import footage_of
from index.console import open_session
from vault.console import (
    MOMENT,
    Session,
    duration_text,
    json_option,
    pass_session,
    print_json,
    print_table,
    terminal_width,
)  # fmt: skip
from vault.timebase import Interval, format_local, format_us

if TYPE_CHECKING:
    from index.timeline import View

MAX_TABLE_ROWS = 200


@click.command()
@click.argument("camera_id", metavar="CAMERA")
@click.option("--from", "start_us", type=MOMENT, default="now-1h", show_default=True, help="Begin, included.")
@click.option("--to", "end_us", type=MOMENT, default="now", show_default=True, help="End, not included.")
@json_option
@pass_session
def timeline(session: Session, camera_id: str, start_us: int, end_us: int, as_json: bool) -> None:
    """Show when a camera was recorded, and why not where it was not."""
    wanted = Interval(start_us, end_us)
    with open_session(session) as node:
        camera = node.cameras.get(camera_id)
        view = footage_of(node, "timeline").view(camera.number, wanted)
    if as_json:
        print_json(
            {
                "camera": camera.id,
                "start": format_us(wanted.start_us),
                "end": format_us(wanted.end_us),
                "runs": [{"start": format_us(run.start_us), "end": format_us(run.end_us)} for run in view.runs],
                "gaps": [
                    {"start": format_us(gap.start_us), "end": format_us(gap.end_us), "reason": gap.reason} for gap in view.gaps
                ],
            }
        )
    else:
        _draw(camera.id, wanted, view)


def _draw(camera_id: str, wanted: Interval, view: View) -> None:
    from index.picture import LEGEND, bar, scale

    width = max(20, min(terminal_width(), 160))
    click.echo(camera_id)
    click.echo(bar(wanted, view.runs, [Interval(gap.start_us, gap.end_us) for gap in view.gaps], width))
    click.echo(scale(wanted, width))
    click.echo(LEGEND)
    rows = [(run.start_us, run.end_us, "recorded") for run in view.runs]
    rows += [(gap.start_us, gap.end_us, f"gap: {gap.reason}{' (goes on)' if gap.lasting else ''}") for gap in view.gaps]
    rows += [(gone.start_us, gone.end_us, "expired") for gone in view.expired]
    if not rows:
        click.echo("nothing was recorded, and nothing was to be")
        return
    table = [
        [format_local(start_us, exact=True), format_local(end_us, exact=True), duration_text(end_us - start_us), what]
        for start_us, end_us, what in sorted(rows)[:MAX_TABLE_ROWS]
    ]
    print_table(["from", "to", "length", "what"], table, right=["length"])
    if len(rows) > MAX_TABLE_ROWS:
        click.echo(f"{len(rows) - MAX_TABLE_ROWS:,} more are left out; --json has all of them")


COMMANDS: tuple[click.Command, ...] = (timeline,)
