"""What the commands about people share: the node with its people, days and cameras by name, and how values are shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from index.console import open_session
from vault.console import Number, Session, options
from vault.errors import NotFound, UsageError
from vault.timebase import MAX_US, format_local, format_us

if TYPE_CHECKING:
    from access.people.model import Act, Application, Token, Unit, UnitGrant, User
    from access.people.people import People
    from access.people.tables import Names
    from index.node import Node
    from vault.ids import CameraNumber
    from vault.timebase import Interval

_F = TypeVar("_F", bound=Callable[..., Any])

ACTIONS = click.Choice(("view", "export"))
_MOST = 10**10 - 1
GRANT_NUMBER = Number("a grant's number, as `grant list` shows it", _MOST)
APPLICATION_NUMBER = Number("an application's number, as `application list` shows it", _MOST)
DAY_HELP = "a day as 2026-11-22 (of retention.time_zone, whole) or an instant"


@dataclass(frozen=True, slots=True)
class Desk:
    """Where people are kept, and what names and days mean there."""

    node: Node
    people: People
    names: Names


@contextmanager
def open_desk(session: Session) -> Iterator[Desk]:
    """The session's people; what was changed is in the ledger at the end."""
    from access.people.people import People
    from access.people.tables import Names

    with open_session(session) as node:

        def name(number: CameraNumber) -> str:
            try:
                camera = node.cameras.by_number(number)
            except NotFound:
                return f"#{number}"
            return f"#{number}" if camera.is_removed else camera.id

        names = Names(node.config.retention.zone, session.now_us, lambda id_: node.cameras.get(id_).number, name)
        yield Desk(node, People(node.registry, node.clock), names)


def scope_options(required: bool) -> Callable[[_F], _F]:
    """Which cameras' footage of when, and what may be done with it."""
    return options(
        click.option("--camera", "cameras", multiple=True, help="This camera. May be repeated."),
        click.option("--site", "sites", multiple=True, help="All cameras of this site. May be repeated."),
        click.option("--action", "actions", multiple=True, required=required, type=ACTIONS, help="May be repeated."),
        click.option("--from", "window_from", default="", help=f"The footage's begin: {DAY_HELP}. Without it there is none."),
        click.option("--to", "window_to", default="", help=f"The footage's end: {DAY_HELP}. Without it there is none."),
    )


valid_options = options(
    click.option("--valid-from", default="", help=f"From when on it holds: {DAY_HELP}.  [default: now]"),
    click.option("--valid-to", default="", help=f"Until when it holds: {DAY_HELP}. Without it, until it is revoked."),
)
"""For how long a grant holds."""


def scope_of(
    desk: Desk, cameras: tuple[str, ...], sites: tuple[str, ...], actions: tuple[str, ...], window_from: str, window_to: str
) -> dict[str, Any]:
    """What `scope_options` said, as `Permits` takes it. Raises UsageError, NotFound."""
    from vault.days import interval
    from vault.grant import Action

    return {
        "cameras": [desk.names.number(id_) for id_ in cameras],
        "sites": list(sites),
        "actions": [Action(action) for action in actions],
        "window": interval(window_from, window_to, desk.names.zone, desk.names.now_us),
    }


def valid_of(desk: Desk, valid_from: str, valid_to: str) -> Interval:
    """What `valid_options` said. Raises UsageError."""
    from vault.days import begin_us, end_us
    from vault.timebase import Interval

    zone, now_us = desk.names.zone, desk.node.clock.now_us()
    return Interval(
        begin_us(valid_from, zone, now_us) if valid_from else now_us, end_us(valid_to, zone, now_us) if valid_to else MAX_US
    )  # fmt: skip


def read_secret(from_stdin: bool, what: str, *, again: bool = False) -> str:
    """One line of standard input, or what a person types unseen, twice where it is new. Raises UsageError."""
    if from_stdin:
        try:
            line = sys.stdin.readline(1_000)
        except UnicodeDecodeError:
            raise UsageError(f"{what}: standard input is not UTF-8 text") from None
        if not line:
            raise UsageError(f"{what}: standard input ended before it")
        return line.rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError(f"{what}: nobody can be asked for it here: say --password-stdin and give it on standard input")
    answer: str = click.prompt(what, hide_input=True, confirmation_prompt=again, err=True)
    return answer


def scope_text(desk: Desk, said: Application | UnitGrant) -> str:
    """Cameras and sites for people."""
    return ", ".join([*map(desk.names.name, said.cameras), *(f"site {site}" for site in said.sites)])


def span_json(span: Interval) -> dict[str, str | None]:
    """Open ends are null."""
    return {
        "from": format_us(span.start_us) if span.start_us > 0 else None,
        "to": format_us(span.end_us) if span.end_us < MAX_US else None,
    }


def act_json(act: Act | None) -> dict[str, str] | None:
    return None if act is None else {"by": act.by, "at": format_us(act.at_us)}


def act_text(act: Act | None) -> str | None:
    return None if act is None else f"{act.by}, {format_local(act.at_us)}"


def unit_json(desk: Desk, unit: Unit, users: list[User]) -> dict[str, Any]:
    from access.people.lacks import lacks_of

    return {
        "id": unit.id, "name": unit.name, "agreement": unit.agreement,
        "valid_from": format_us(unit.valid_from_us) if unit.valid_from_us > 0 else None,
        "valid_to": None if unit.valid_to_us is None else format_us(unit.valid_to_us),
        "scope": unit.scope, "rules_ref": unit.rules_ref, "leader": unit.leader,
        "terminals": [{"address": item.address, "place": item.place, "person": item.person} for item in unit.terminals],
        "viewing_camera": None if unit.viewing_camera is None else desk.names.name(unit.viewing_camera),
        "approval": unit.approval, "disabled": unit.disabled,
        "removed": None if unit.removed_us is None else format_us(unit.removed_us),
        "users": [user.id for user in users if user.unit == unit.id],
        "lacks": [{"what": lack.what, "article": lack.article} for lack in lacks_of(unit, users, desk.names.now_us)],
    }  # fmt: skip


def user_json(user: User) -> dict[str, Any]:
    return {
        "id": user.id, "role": str(user.role), "unit": user.unit or None, "real_name": user.real_name,
        "staff_number": user.staff_number, "trained_on": user.trained_on or None, "password": bool(user.password_hash),
        "password_set": format_us(user.password_set_us) if user.password_hash else None, "must_change": user.must_change,
        "disabled": user.disabled, "removed": None if user.removed_us is None else format_us(user.removed_us),
    }  # fmt: skip


def application_json(desk: Desk, item: Application) -> dict[str, Any]:
    return {
        "number": item.number, "unit": item.unit, "sites": list(item.sites), "cameras": [desk.names.name(n) for n in item.cameras],
        "actions": sorted(item.actions), "window": span_json(item.window), "work": item.work, "asked": act_json(item.asked),
        "decided": act_json(item.decided), "granted": item.granted, "reason": item.reason, "grant": item.grant,
    }  # fmt: skip


def grant_json(desk: Desk, item: UnitGrant) -> dict[str, Any]:
    return {
        "number": item.number, "unit": item.unit, "sites": list(item.sites), "cameras": [desk.names.name(n) for n in item.cameras],
        "actions": sorted(item.actions), "window": span_json(item.window), "valid": span_json(item.valid),
        "state": grant_state(desk, item), "application": item.application, "why": item.why, "given": act_json(item.given),
        "revoked": act_json(item.revoked),
    }  # fmt: skip


def token_json(desk: Desk, item: Token) -> dict[str, Any]:
    return {
        "id": item.id, "user": item.user, "actions": sorted(item.actions), "state": token_state(desk, item),
        "expires": format_us(item.expires_us), "made": act_json(item.made), "revoked": act_json(item.revoked),
    }  # fmt: skip


def grant_state(desk: Desk, item: UnitGrant) -> str:
    now_us = desk.names.now_us
    if item.revoked is not None:
        return "revoked"
    return "over" if item.valid.end_us <= now_us else "in force" if item.valid.start_us <= now_us else "not yet"


def application_state(item: Application) -> str:
    return "open" if item.granted is None else f"granted, grant {item.grant}" if item.granted else "refused"


def token_state(desk: Desk, item: Token) -> str:
    return "revoked" if item.revoked is not None else "over" if item.expires_us <= desk.names.now_us else "in force"


def user_state(user: User) -> str:
    if user.removed_us is not None:
        return "removed"
    if user.disabled:
        return "disabled"
    return "no password" if not user.password_hash else "must change the password" if user.must_change else "enabled"
