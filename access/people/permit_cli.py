"""The commands `application …` and `grant …`: what a unit asks for, what an administrator gives, and taking it back."""

from __future__ import annotations

from typing import Any

import click

from access.people.console import (
    APPLICATION_NUMBER,
    GRANT_NUMBER,
    act_text,
    application_json,
    application_state,
    grant_json,
    grant_state,
    open_desk,
    scope_of,
    scope_options,
    scope_text,
    valid_of,
    valid_options,
)
from vault.console import Session, by_option, json_option, pass_session, print_fields, print_json, print_table
from vault.days import span_shown
from vault.timebase import Interval

unit_option = click.option("--unit", "unit_id", help="Of this unit only.")


@click.group()
def application() -> None:
    """What units ask for. Another person than the asker decides."""


@application.command("add")
@click.argument("unit_id", metavar="UNIT")
@click.option("--work", required=True, help="For which work the footage is needed.")
@scope_options(required=True)
@by_option
@pass_session
def ask(session: Session, /, unit_id: str, work: str, by: str, **scope: Any) -> None:
    """Ask for footage in the name of a unit."""
    from access.people.permits import Permits

    with open_desk(session) as desk:
        made = Permits(desk.people).ask(unit_id, work=work, by=by, **scope_of(desk, **scope))
    click.echo(
        f"application {made.number} of unit {unit_id} is noted; another person decides: `application grant {made.number}`"
    )


@application.command("grant")
@click.argument("number", type=APPLICATION_NUMBER)
@click.option("--reason", default="", help="Why, if there is more to say than the work.")
@scope_options(required=False)
@valid_options
@by_option
@pass_session
def grant_application(
    session: Session, /, number: int, reason: str, valid_from: str, valid_to: str, by: str, **scope: Any
) -> None:  # fmt: skip
    """Grant what was asked for; with --camera, --site, --action, --from or --to less of it."""
    from access.people.permits import Permits

    with open_desk(session) as desk:
        said = scope_of(desk, **scope)
        less: dict[str, Any] = {"actions": said["actions"]} if said["actions"] else {}
        if said["cameras"] or said["sites"]:
            less |= {"cameras": said["cameras"], "sites": said["sites"]}
        if scope["window_from"] or scope["window_to"]:
            asked, span = desk.people.application(number).window, said["window"]
            less["window"] = Interval(
                span.start_us if scope["window_from"] else asked.start_us, span.end_us if scope["window_to"] else asked.end_us
            )  # fmt: skip
        valid = valid_of(desk, valid_from, valid_to)
        _, given = Permits(desk.people).grant(number, by=by, reason=reason, valid=valid, **less)
    click.echo(f"application {number} granted: grant {given.number} for unit {given.unit}")


@application.command("refuse")
@click.argument("number", type=APPLICATION_NUMBER)
@click.option("--reason", required=True, help="Why.")
@by_option
@pass_session
def refuse(session: Session, number: int, reason: str, by: str) -> None:
    """Refuse an application, with the reason."""
    from access.people.permits import Permits

    with open_desk(session) as desk:
        Permits(desk.people).refuse(number, by=by, reason=reason)
    click.echo(f"application {number} refused")


@application.command("list")
@unit_option
@click.option("--all", "decided", is_flag=True, help="Show those that are decided too.")
@json_option
@pass_session
def list_applications(session: Session, unit_id: str | None, decided: bool, as_json: bool) -> None:
    """List the applications that nobody decided yet."""
    with open_desk(session) as desk:
        found = [
            item
            for item in desk.people.applications()
            if (decided or item.granted is None) and (unit_id is None or item.unit == unit_id)
        ]
        shown = [application_json(desk, item) for item in found]
        rows = [
            [
                item.number, item.unit, scope_text(desk, item), ", ".join(sorted(item.actions)), span_shown(item.window),
                item.work, item.asked.by, application_state(item),
            ]
            for item in found
        ]  # fmt: skip
    if as_json:
        print_json(shown)
    else:
        print_table(["number", "unit", "for", "actions", "footage", "work", "asked by", "state"], rows, right=["number"])


@application.command("show")
@click.argument("number", type=APPLICATION_NUMBER)
@json_option
@pass_session
def show_application(session: Session, number: int, as_json: bool) -> None:
    """Show one application."""
    with open_desk(session) as desk:
        item = desk.people.application(number)
        shown, cameras, window = application_json(desk, item), scope_text(desk, item), span_shown(item.window)
    if as_json:
        print_json(shown)
        return
    print_fields(
        {
            "number": item.number, "unit": item.unit, "for": cameras, "actions": ", ".join(sorted(item.actions)),
            "footage": window, "work": item.work, "asked": act_text(item.asked), "state": application_state(item),
            "decided": act_text(item.decided), "reason": item.reason or None,
        }
    )  # fmt: skip


@click.group()
def grant() -> None:
    """What units may do with which footage."""


@grant.command("add")
@click.argument("unit_id", metavar="UNIT")
@click.option("--why", required=True, help="Why it is given without an application.")
@scope_options(required=True)
@valid_options
@by_option
@pass_session
def add(session: Session, /, unit_id: str, why: str, valid_from: str, valid_to: str, by: str, **scope: Any) -> None:
    """Give a unit a grant without an application."""
    from access.people.permits import Permits

    with open_desk(session) as desk:
        valid = valid_of(desk, valid_from, valid_to)
        given = Permits(desk.people).add(unit_id, why=why, valid=valid, by=by, **scope_of(desk, **scope))
    click.echo(f"grant {given.number} given to unit {unit_id}")


@grant.command("list")
@unit_option
@click.option("--all", "ended", is_flag=True, help="Show those that are revoked or over too.")
@json_option
@pass_session
def list_(session: Session, unit_id: str | None, ended: bool, as_json: bool) -> None:
    """List the grants that hold, or will."""
    with open_desk(session) as desk:
        found = [
            item
            for item in desk.people.grants()
            if (ended or grant_state(desk, item) in ("in force", "not yet")) and (unit_id is None or item.unit == unit_id)
        ]
        shown = [grant_json(desk, item) for item in found]
        rows = [
            [
                item.number, item.unit, scope_text(desk, item), ", ".join(sorted(item.actions)), span_shown(item.window),
                span_shown(item.valid), item.application, grant_state(desk, item),
            ]
            for item in found
        ]  # fmt: skip
    if as_json:
        print_json(shown)
    else:
        columns = ["number", "unit", "for", "actions", "footage", "valid", "application", "state"]
        print_table(columns, rows, right=["number", "application"])


@grant.command("show")
@click.argument("number", type=GRANT_NUMBER)
@json_option
@pass_session
def show(session: Session, number: int, as_json: bool) -> None:
    """Show one grant."""
    with open_desk(session) as desk:
        item = desk.people.grant(number)
        shown, cameras = grant_json(desk, item), scope_text(desk, item)
        window, valid = span_shown(item.window), span_shown(item.valid)
    if as_json:
        print_json(shown)
        return
    print_fields(
        {
            "number": item.number, "unit": item.unit, "for": cameras, "actions": ", ".join(sorted(item.actions)),
            "footage": window, "valid": valid, "state": shown["state"], "application": item.application,
            "why": item.why or None, "given": act_text(item.given), "revoked": act_text(item.revoked),
        }
    )  # fmt: skip


@grant.command("revoke")
@click.argument("number", type=GRANT_NUMBER)
@by_option
@pass_session
def revoke(session: Session, number: int, by: str) -> None:
    """Take a grant back, at once: whoever reads footage by it is stopped within seconds."""
    from access.people.permits import Permits

    with open_desk(session) as desk:
        gone = Permits(desk.people).revoke(number, by)
    click.echo(f"grant {number} of unit {gone.unit} revoked")
