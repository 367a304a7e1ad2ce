"""Commands about what goes and when: `retention plan|apply|explain` and `clock show|confirm`. What they do is in the modules they import."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from index.console import open_session
from vault.console import (
    MOMENT,
    Session,
    counted,
    json_option,
    pass_session,
    print_fields,
    print_json,
    print_table,
    size_text,
)
from vault.errors import Refused
from vault.timebase import format_local, format_us

if TYPE_CHECKING:
    from index.node import Node
    from retention.sweep import Report


@click.group()
def retention() -> None:
    """What goes and what stays: the plan, carrying it out, and why."""


@retention.command("plan")
@json_option
@pass_session
def plan(session: Session, as_json: bool) -> None:
    """Show what a run would do now with everything whose minimum is past. Changes nothing."""
    with open_session(session) as node:
        _show_plan(node, as_json)


@retention.command("apply")
@click.option("--dry-run", is_flag=True, help="Print the very plan, and change nothing.")
@click.option(
    "--confirm", metavar="PLAN-ID", help="Carry out the plan that a run stopped at because it was more than foretold."
)
@click.option("--by", metavar="PERSON", help="Who confirms; for the ledger.")
@json_option
@pass_session
def apply(session: Session, dry_run: bool, confirm: str | None, by: str | None, as_json: bool) -> None:
    """Do what is due: doom what has expired, delete what was doomed an hour ago.

    `serve` does this by itself. Exit code 4 when nothing may be deleted now.
    """
    import threading

    from index.outbox import actor_here
    from retention.service import Retention

    with open_session(session) as node:
        if dry_run:
            _show_plan(node, as_json)
            return
        service = Retention(node, threading.Event())
        if confirm:
            service.confirm(confirm, by or actor_here())
        report = service.run_once()
        if as_json:
            print_json(_report_json(report))
        else:
            _show_report(report)
    if report.stopped:
        raise Refused(report.stopped)
    if report.halt is not None:
        raise Refused(
            f"{report.halt.due} segments are due and {report.halt.foretold} were foretold; look at `retention plan`, then say "
            f"`retention apply --confirm {report.halt.plan}`"
        )


@retention.command("explain")
@click.argument("camera_id", metavar="CAMERA")
@click.option("--at", "at_us", type=MOMENT, required=True, help="The instant.")
@json_option
@pass_session
def explain_command(session: Session, camera_id: str, at_us: int, as_json: bool) -> None:
    """Say why the footage of this instant is still here, or is gone, and by which article."""
    from retention.explain import explain

    with open_session(session) as node:
        camera = node.cameras.get(camera_id)
        found = explain(node, camera.number, at_us)
    if as_json:
        print_json(
            {
                "camera": camera.id,
                "at": format_us(at_us),
                "found": [
                    {
                        "state": item.state, "reason": item.reason, "article": item.article,
                        "object": item.row.key.object_key if item.row else None,
                        "class": item.row.site_class if item.row else None,
                        "min_until": _instant(item.row.min_until_us) if item.row else None,
                        "days": item.days or None,
                    }
                    for item in found
                ],
            }
        )  # fmt: skip
        return
    for item in found:
        print_fields(
            {
                "state": item.state,
                "reason": item.reason,
                "by": item.article or None,
                "object": item.row.key.object_key if item.row else None,
                "class": item.row.site_class if item.row else None,
                "minimum": None if item.row is None else _instant(item.row.min_until_us) or "not known",
                "days": item.days or None,
            }
        )


@click.group()
def clock() -> None:
    """Whether the host's clock is believed: footage is deleted by it."""


@clock.command("show")
@json_option
@pass_session
def show(session: Session, as_json: bool) -> None:
    """Show the time, whether it is believed and why, and how much footage waits for it."""
    from index.clockwatch import ClockWatch
    from index.expiry import expiry_sums

    with open_session(session) as node:
        watch = ClockWatch(node.environment, session.clock)
        verdict, state, cameras = watch.look(), watch.state(), watch.cameras()
        with node.environment.read() as txn:
            unknown = sum(item.segments for item in expiry_sums(txn, 0))
    known_us, now_us = state.known.confirmed_us if state.known else None, session.clock.now_us()
    fields: dict[str, Any] = {
        "now": format_us(now_us),
        "confirmed": verdict.confirmed,
        "why": verdict.why,
        "latest_confirmed": _instant(known_us or 0),
        "unconfirmed_since": _instant(state.since_us or 0),
        "segments_without_minimum": unknown,
        "cameras_that_tell_a_time": cameras.voting,
        "cameras_with_this_time": cameras.agreeing,
        "cameras_with_another_time": cameras.disagreeing,
    }
    if as_json:
        print_json(fields)
    else:
        print_fields(
            {name.replace("_", " "): value for name, value in fields.items()}
            | {
                "confirmed": "yes" if verdict.confirmed else "no",
                "now": format_local(now_us),
                "latest confirmed": format_local(known_us) if known_us else None,
                "unconfirmed since": format_local(state.since_us) if state.since_us else None,
            }
        )


@clock.command("confirm")
@click.option("--by", metavar="PERSON", help="Who says so; for the ledger.")
@pass_session
def confirm_clock(session: Session, by: str | None) -> None:
    """Say that the host's clock is right. Compare it with another one first: footage is deleted by it."""
    import threading

    from index.outbox import actor_here
    from retention.service import Retention

    with open_session(session) as node:
        service = Retention(node, threading.Event())
        now_us, fixed = service.confirm_clock(by or actor_here())
    click.echo(f"the clock is confirmed: {format_local(now_us)}; {counted(fixed, 'segment')} got a minimum")


def _instant(us: int) -> str | None:
    return format_us(us) if us else None


def _show_plan(node: Node, as_json: bool) -> None:
    from index.clockwatch import ClockWatch
    from index.environment import Table
    from index.expiry import complete_expiry
    from retention.decide import Fate
    from retention.expired import plans
    from retention.policy import rules_of

    complete_expiry(node.environment)
    now_us = node.clock.now_us()
    confirmed = ClockWatch(node.environment, node.clock).look().confirmed
    sums: Counter[tuple[str, str, str, str]] = Counter()
    sizes: Counter[tuple[str, str, str, str]] = Counter()
    items = []
    for made in plans(node.environment, rules_of(node.config.retention), now_us, node.clock.mono_us()):
        for item in made.items:
            if as_json:
                items.append(
                    {
                        "object": item.row.key.object_key, "fate": str(item.fate), "reason": item.reason, "article": item.article,
                        "class": item.row.site_class, "bytes": item.row.size_bytes, "min_until": format_us(item.row.min_until_us),
                    }
                )  # fmt: skip
            name = str(item.fate), item.row.site_class, item.reason, item.article
            sums[name] += 1
            sizes[name] += item.row.size_bytes
    with node.environment.read() as txn:
        waiting = txn.entries(Table.DOOMED)
    if as_json:
        print_json({"at": format_us(now_us), "clock_confirmed": confirmed, "doomed_already": waiting, "items": items})
        return
    rows = [[*name, f"{count:,}", size_text(sizes[name])] for name, count in sums.items()]
    if rows:
        print_table(["fate", "class", "reason", "by", "segments", "size"], rows, right=["segments", "size"])
    going = sum(count for name, count in sums.items() if name[0] == Fate.GO)
    click.echo(f"{counted(going, 'segment')} would be doomed; {counted(waiting, 'segment')} doomed already")
    if not confirmed:
        click.echo("nothing is doomed while the clock is not confirmed; see `streamvault clock show`")


def _report_json(report: Report) -> dict[str, Any]:
    return {
        "at": format_us(report.at_us),
        "stopped": report.stopped or None,
        "halted": report.halt.plan if report.halt else None,
        "doomed": report.doomed,
        "doomed_bytes": report.doomed_bytes,
        "kept": dict(report.kept),
        "deleted": report.deleted.segments,
        "deleted_bytes": report.deleted.size_bytes,
        "waiting": report.deleted.waiting,
        "set_aside": [{"object": key, "reason": why} for key, why in report.deleted.failed],
        "oldest_overdue": _instant(report.oldest_us),
    }


def _show_report(report: Report) -> None:
    click.echo(f"doomed {counted(report.doomed, 'segment')}, {size_text(report.doomed_bytes)}")
    for why, count in report.kept.items():
        click.echo(f"kept {counted(count, 'segment')}: {why}")
    click.echo(
        f"deleted {counted(report.deleted.segments, 'segment')}, {size_text(report.deleted.size_bytes)}; "
        f"{report.deleted.waiting:,} doomed and waiting"
    )
    for key, why in report.deleted.failed:
        click.echo(f"not deleted, tried again later: {key}: {why}", err=True)


COMMANDS: tuple[click.Command, ...] = (retention, clock)
