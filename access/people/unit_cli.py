"""The commands `unit …`: using units, what they declared, and the terminals they look from."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from access.people.console import DAY_HELP, Desk, open_desk, unit_json
from vault.console import (
    Session,
    by_option,
    json_option,
    options,
    pass_session,
    print_fields,
    print_json,
    print_table,
    text_options,
)
from vault.days import begin_shown, end_shown
from vault.errors import UsageError

if TYPE_CHECKING:
    from access.people.model import Unit, User

_TEXTS = {
    "name": "What it is called.",
    "agreement": "Number of the sharing agreement.",
    "scope": "What it declared that it uses footage for.",
    "rules_ref": "Reference of its own security rules.",
    "leader": "Its responsible leader.",
}


unit_options = options(
    text_options(_TEXTS),
    click.option("--valid-from", help=f"The agreement's begin: {DAY_HELP}."),
    click.option("--valid-to", help=f"The agreement's end: {DAY_HELP}."),
    click.option("--viewing-camera", help="The camera that shows its operators; an empty text is none."),
    click.option("--approval/--no-approval", default=None, help="Whether its exports wait for a second person."),
)
"""What may be said of a unit, each None where nothing is said."""


@click.group()
def unit() -> None:
    """The units that use footage."""


@unit.command("add")
@click.argument("unit_id", metavar="ID")
@unit_options
@by_option
@pass_session
def add(session: Session, /, unit_id: str, by: str, **said: Any) -> None:
    """Add a unit. Its id is never given to another."""
    from access.people.model import Unit
    from access.people.units import Units

    with open_desk(session) as desk:
        added = Units(desk.people).add(_with(desk, Unit(unit_id), said), by)
        lacks = _lacks(desk, added, [])
    click.echo(f"unit {added.id} added" + (f"; it lacks {lacks}" if lacks else ""))


@unit.command("set")
@click.argument("unit_id", metavar="ID")
@unit_options
@click.option("--disable/--enable", "disabled", default=None, help="Whether its users are kept from signing in. At once.")
@by_option
@pass_session
def set_(session: Session, /, unit_id: str, by: str, **said: Any) -> None:
    """Change what is said of a unit."""
    from access.people.units import Units

    if all(value is None for value in said.values()):
        raise UsageError("say what should change; `unit set --help` lists it")
    with open_desk(session) as desk:
        changed = Units(desk.people).change(unit_id, lambda old: _with(desk, old, said), by)
    click.echo(f"unit {changed.id} changed")


@unit.command("list")
@click.option("--all", "removed", is_flag=True, help="Show removed units too.")
@json_option
@pass_session
def list_(session: Session, removed: bool, as_json: bool) -> None:
    """List the units, and what each lacks of what the rule asks."""
    with open_desk(session) as desk:
        users: dict[str, list[User]] = defaultdict(list)
        for user in desk.people.users():
            users[user.unit].append(user)
        found = [(item, unit_json(desk, item, users[item.id])) for item in desk.people.units(removed=removed)]
        lacks = {item.id: _lacks(desk, item, users[item.id]) for item, _ in found}
    if as_json:
        print_json([shown for _, shown in found])
        return
    rows = [
        [
            item.id, item.name, item.agreement, begin_shown(item.valid_from_us), end_shown(item.valid_to_us), len(item.terminals), len(shown["users"]),
            _state(item), lacks[item.id],
        ]
        for item, shown in found
    ]  # fmt: skip
    columns = ["id", "name", "agreement", "from", "to", "terminals", "users", "state", "lacks"]
    print_table(columns, rows, right=["terminals", "users"])


@unit.command("show")
@click.argument("unit_id", metavar="ID")
@json_option
@pass_session
def show(session: Session, unit_id: str, as_json: bool) -> None:
    """Show one unit."""
    with open_desk(session) as desk:
        users, item = desk.people.users(), desk.people.unit(unit_id)
        shown, lacks = unit_json(desk, item, users), _lacks(desk, item, users)
        shown["grants"] = [grant.number for grant in desk.people.grants_of(unit_id)]
    if as_json:
        print_json(shown)
        return
    print_fields(
        {name.replace("_", " "): shown[name] or None for name in ("id", "name", "agreement")}
        | {"valid from": begin_shown(item.valid_from_us) or None, "valid to": end_shown(item.valid_to_us) or None}
        | {"state": _state(item), "approval": "by a second person" if item.approval else "none"}
        | {name.replace("_", " "): shown[name] or None for name in ("scope", "rules_ref", "leader", "viewing_camera")}
        | {"users": ", ".join(shown["users"]) or None, "grants": ", ".join(map(str, shown["grants"])) or None}
        | {f"terminal {at.address}": f"{at.place}, {at.person}" for at in item.terminals}
        | {"lacks": lacks or None}
    )


@unit.command("remove")
@click.argument("unit_id", metavar="ID")
@by_option
@pass_session
def remove(session: Session, unit_id: str, by: str) -> None:
    """Remove a unit that has neither users nor grants. What was noted of it stays, and its id is given to none again."""
    from access.people.units import Units

    with open_desk(session) as desk:
        Units(desk.people).remove(unit_id, by)
    click.echo(f"unit {unit_id} removed")


@unit.group("terminal")
def terminal() -> None:
    """The machines that a unit declared: it sees footage from these only."""


@terminal.command("add")
@click.argument("unit_id", metavar="UNIT")
@click.argument("address")
@click.option("--place", required=True, help="Where it stands.")
@click.option("--person", required=True, help="Who answers for it.")
@by_option
@pass_session
def add_terminal(session: Session, unit_id: str, address: str, place: str, person: str, by: str) -> None:
    """Declare a terminal, or set the one of this address. ADDRESS is an IP address or a network (10.1.2.0/24)."""
    from access.people.model import Terminal
    from access.people.units import Units

    with open_desk(session) as desk:
        known = Units(desk.people).put_terminal(unit_id, Terminal(address, place, person), by)
    click.echo(f"terminal {address} of unit {unit_id} {'set' if known else 'declared'}")


@terminal.command("remove")
@click.argument("unit_id", metavar="UNIT")
@click.argument("address")
@by_option
@pass_session
def remove_terminal(session: Session, unit_id: str, address: str, by: str) -> None:
    """Take a terminal back, at once."""
    from access.people.units import Units

    with open_desk(session) as desk:
        Units(desk.people).drop_terminal(unit_id, address, by)
    click.echo(f"terminal {address} of unit {unit_id} removed")


@terminal.command("list")
@click.argument("unit_id", metavar="[UNIT]", required=False)
@json_option
@pass_session
def list_terminals(session: Session, unit_id: str | None, as_json: bool) -> None:
    """List the terminals, of one unit or of all."""
    with open_desk(session) as desk:
        units = desk.people.units() if unit_id is None else [desk.people.unit(unit_id)]
    rows = [[item.id, at.address, at.place, at.person] for item in units for at in item.terminals]
    if as_json:
        print_json([dict(zip(("unit", "address", "place", "person"), row, strict=True)) for row in rows])
    else:
        print_table(["unit", "address", "place", "person"], rows)


def _with(desk: Desk, base: Unit, said: dict[str, Any]) -> Unit:
    """The unit with what was said of it; an empty text is nothing."""
    from vault.days import begin_us, end_us

    zone, now_us = desk.names.zone, desk.names.now_us
    changes: dict[str, Any] = {
        name: said[name] for name in (*_TEXTS, "approval", "disabled") if said.get(name) is not None
    }  # fmt: skip
    if (begin := said["valid_from"]) is not None:
        changes["valid_from_us"] = begin_us(begin, zone, now_us) if begin else 0
    if (end := said["valid_to"]) is not None:
        changes["valid_to_us"] = end_us(end, zone, now_us) if end else None
    if (camera := said["viewing_camera"]) is not None:
        changes["viewing_camera"] = desk.names.number(camera) if camera else None
    return replace(base, **changes)


def _lacks(desk: Desk, item: Unit, users: list[User]) -> str:
    from access.people.lacks import lacks_of

    return ", ".join(f"{lack.what} ({lack.article})" for lack in lacks_of(item, users, desk.names.now_us))


def _state(item: Unit) -> str:
    return "removed" if item.removed_us is not None else "disabled" if item.disabled else "enabled"
