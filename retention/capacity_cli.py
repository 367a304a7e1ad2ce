"""Commands for planners: `capacity report`, `capacity forecast`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from index.console import open_session
from retention.steps_shown import show_steps, steps_json
from vault.console import (
    Moment,
    Session,
    json_option,
    pass_session,
    print_fields,
    print_json,
    print_table,
    progress,
    size_text,
    write_output,
)
from vault.errors import UsageError

if TYPE_CHECKING:
    from retention.forecast import Forecast, State
    from retention.planner import Assumptions

_BY = ("site_class", "site", "camera_id", "day")
_UTC_MOMENT = Moment(UTC)
"""The figures are of whole days of UTC: a day that is typed is one of them."""
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def capacity() -> None:
    """How much is kept, how fast it grows, and how long the store lasts."""


@capacity.command("report")
@click.option("--from", "from_us", type=_UTC_MOMENT, help="Begin of the time, by the day.  [default: 30 days ago]")
@click.option("--to", "to_us", type=_UTC_MOMENT, help="End of the time, by the day.  [default: now]")
@click.option(
    "--by", type=click.Choice(_BY), multiple=True, default=("site_class", "site"), show_default=True, help="Group by."
)
@click.option("--csv", "csv_path", type=_FILE, help="Write the rows to a CSV file.")
@click.option("--parquet", "parquet_path", type=_FILE, help="Write the hours that it is made of to a Parquet file.")
@click.option("--chart", type=_FILE, help="Draw what was kept of each class day by day, as .svg or .png.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@json_option
@pass_session
def report(
    session: Session, from_us: int | None, to_us: int | None, by: tuple[str, ...], csv_path: Path | None,
    parquet_path: Path | None, chart: Path | None, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Show bytes, seconds recorded and seconds missing of whole days (UTC), by class and site.

    Days that are over are read from the figures in the store (capacity/hourly/, Parquet), today from the index.
    """
    from retention import planner
    from retention.chart import format_of, usage_chart

    kind = format_of(chart) if chart else ""
    stop = _day(to_us or session.now_us) + timedelta(days=1)
    first = _day(from_us) if from_us is not None else stop - timedelta(days=31)
    with open_session(session) as node, progress(session, "reading figures"):
        rows = planner.report(node, first, stop, list(by))
        file = planner.hours_file(node, first, stop) if parquet_path else b""
        picture = usage_chart(planner.usage(node, first, stop), kind) if chart else b""
    shown = [_row(row, by) for row in rows]
    if parquet_path:
        write_output(parquet_path, file, replace=force)
    if chart:
        write_output(chart, picture, replace=force)
    if csv_path:
        write_output(csv_path, _as_csv(shown), replace=force)
    if as_json:
        print_json({"from": first.isoformat(), "to": stop.isoformat(), "by": list(by), "rows": shown})
    elif not shown:
        click.echo(f"nothing was to be recorded from {first} to {stop}")
    else:
        names = [*by, "cameras", "bytes", "Mbit/s", "recorded h", "missing h", "completeness"]
        table = [
            [
                *(row[name] for name in by), row["cameras"], size_text(row["bytes"]), _number(row["bit_rate"], 1e6),
                f"{row['seconds_recorded'] / 3600:,.1f}", f"{row['seconds_missing'] / 3600:,.1f}", _percent(row["completeness"]),
            ]
            for row in shown
        ]  # fmt: skip
        print_table(names, table, right=names[len(by) :])
        click.echo(f"whole days of UTC, {first} until before {stop}; Mbit/s: of one camera while it is recorded")


def _row(row: dict[str, Any], by: tuple[str, ...]) -> dict[str, Any]:
    recorded, missing = row["seconds_recorded"], row["seconds_missing"]
    group = {name: value.isoformat() if isinstance(value := row[name], date) else value for name in by}
    return {
        **group,
        "cameras": row["cameras"],
        "bytes": row["bytes"],
        "bit_rate": row["bytes"] * 8 / recorded if recorded else None,
        "seconds_recorded": recorded,
        "seconds_missing": missing,
        "completeness": recorded / (recorded + missing) if recorded + missing else None,
    }


def _checked_adds(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    from retention.forecast import add_of

    return tuple(text for text in values if _parses(add_of, text))


def _checked_store(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    from retention.forecast import store_of

    return value if value is None or _parses(store_of, value) else None


def _parses(parse: Callable[[str], object], text: str) -> bool:
    """True. Raises click.BadParameter, which names the option, before anything is read."""
    try:
        parse(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from error
    return True


@capacity.command("forecast")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How far to look.")
@click.option(
    "--add",
    "adds",
    multiple=True,
    metavar="N@CLASS:RATE",
    callback=_checked_adds,
    help="What if there were more cameras: 500@key:4M.",
)
@click.option(
    "--store", metavar="SIZE", callback=_checked_store, help="What if the store held another size: +200T, -50T, 400T."
)
@click.option("--chart", type=_FILE, help="Draw what is stored day by day, as .svg or .png.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@json_option
@pass_session
def forecast(
    session: Session, days: int, adds: tuple[str, ...], store: str | None, chart: Path | None, force: bool, as_json: bool
) -> None:
    """Say how many days of each class the store can hold, when it is full, what is short of what is demanded, and when each step
    of running out of room would come."""
    from retention.chart import format_of, stored_chart
    from retention.forecast import forecast as look_ahead
    from retention.forecast import steps_ahead, what_if
    from retention.planner import state as gather

    kind = format_of(chart) if chart else ""
    with open_session(session) as node, progress(session, "reading figures"):
        retention = node.config.retention
        found, assumed = gather(node)
    least = {name: retention.days(name) for name in ("key", "general", "viewing")}
    state = what_if(found, adds, store, least)
    seen = look_ahead(state, days)
    ahead = steps_ahead(state, session.now_us, days)
    today = _day(session.now_us)
    if chart:
        write_output(chart, stored_chart(today, seen.stored, state.capacity_bytes, seen.need_bytes, kind), replace=force)
    if as_json:
        print_json(_as_json(state, seen, assumed, today, adds, store) | {"steps": steps_json(state, ahead)})
    else:
        _show(state, seen, assumed, today, adds, store)
        click.echo()
        show_steps(state, ahead, days)


def _as_json(
    state: State, seen: Forecast, assumed: Assumptions, today: date, adds: tuple[str, ...], store: str | None
) -> dict[str, Any]:
    from vault.timebase import format_us

    return {
        "classes": [
            {
                "site_class": load.site_class, "cameras": load.cameras, "bytes_a_day": load.bytes_a_day,
                "days_demanded": load.days, "days_held": None if seen.held_days is None else seen.held_days[load.site_class],
                "need_bytes": load.need_bytes,
            }
            for load in state.loads
        ],
        "stored_bytes": state.stored_bytes,
        "capacity_bytes": state.capacity_bytes,
        "need_bytes": seen.need_bytes,
        "shortfall_bytes": seen.shortfall_bytes,
        "full_on": None if seen.full_day is None else (today + timedelta(days=seen.full_day)).isoformat(),
        "assumed": {
            "intake_from": format_us(assumed.rate_from_us), "intake_to": format_us(assumed.rate_to_us),
            "capacity": assumed.capacity, "add": list(adds), "store": store,
        },
    }  # fmt: skip


def _show(state: State, seen: Forecast, assumed: Assumptions, today: date, adds: tuple[str, ...], store: str | None) -> None:
    from vault.timebase import format_local

    held = seen.held_days
    rows = [
        [
            load.site_class, load.cameras, size_text(load.bytes_a_day), load.days, size_text(load.need_bytes),
            "unknown" if held is None else f"{held[load.site_class]:,.1f}",
        ]
        for load in state.loads
    ]  # fmt: skip
    names = ["class", "cameras", "a day", "days demanded", "needs", "days the store holds"]
    print_table(names, rows, right=names[1:])
    full = "unknown" if state.capacity_bytes is None else f"not within {len(seen.stored)} days"
    if seen.full_day is not None:
        full = f"{today + timedelta(days=seen.full_day)}, in {seen.full_day} days"
    short = seen.shortfall_bytes
    print_fields(
        {
            "stored now": size_text(state.stored_bytes),
            "the store holds": "unknown" if state.capacity_bytes is None else size_text(state.capacity_bytes),
            "all classes need": size_text(seen.need_bytes),
            "full on": full,
            "shortfall": "unknown" if short is None else "none" if not short else f"{short / 1e12:,.3f} TB",
        }
    )
    click.echo()
    click.echo(f"assumed: intake as from {format_local(assumed.rate_from_us)} to {format_local(assumed.rate_to_us)};")
    click.echo(f"         the store's size is {assumed.capacity}; each class keeps its days and no more; nothing is held")
    for text in (*(f"{add} more" for add in adds), *([f"a store of {store}"] if store else [])):
        click.echo(f"what if: {text}")


def _day(moment_us: int) -> date:
    from retention.tally import DAY_US, day_of

    return day_of(moment_us // DAY_US)


def _as_csv(rows: list[dict[str, Any]]) -> bytes:
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue().encode()


def _number(value: float | None, unit: float) -> str:
    return "" if value is None else f"{value / unit:,.2f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f} %"


COMMANDS: tuple[click.Command, ...] = (capacity,)
