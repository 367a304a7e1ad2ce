"""The commands `… import` and `… export` of units, terminals, users and grants: people as CSV files."""

from __future__ import annotations

from pathlib import Path

import click

from access.people.console import open_desk
from index.table_cli import bytes_of, export_options, import_options, take, tell_import, write_lines
from vault.console import Session, pass_session


@click.command("import")
@import_options
@pass_session
def import_units(session: Session, file: Path, dry_run: bool, as_json: bool, by: str) -> None:
    """Add the units of a CSV file, and change those that are there already: all of them, or none when one row is wrong.

    The first line names the columns: id, and any that `unit export` writes. What a file has no column for stays as it is; terminals
    have a file of their own. The text is UTF-8 or GB 18030.
    """
    from access.people.tables import read_units, unit_of_line
    from access.people.units import Units

    lines, problems = read_units(bytes_of(file))
    with open_desk(session) as desk:
        known = {unit.id: unit for unit in desk.people.units()}
        units = Units(desk.people)
        imported = take(
            file, lines, problems, lambda line: unit_of_line(line, known.get(line.id), desk.names),
            lambda items, dry: units.import_units(items, by, dry_run=dry), dry_run,
        )  # fmt: skip
    tell_import("unit", imported, dry_run, as_json)


@click.command("export")
@export_options
@pass_session
def export_units(session: Session, output: Path, force: bool) -> None:
    """Write the units as a CSV file that `unit import` reads; `unit terminal export` writes their terminals."""
    from access.people.tables import write_units

    with open_desk(session) as desk:
        units = desk.people.units()
        data = write_units(units, desk.names)
    write_lines(output, data, force, len(units), "unit")


@click.command("import")
@import_options
@pass_session
def import_terminals(session: Session, file: Path, dry_run: bool, as_json: bool, by: str) -> None:
    """Declare the terminals of a CSV file, and change those that are declared: all of them, or none when one row is wrong.

    The first line names the columns: unit, address, place, person. None is taken back. The text is UTF-8 or GB 18030.
    """
    from access.people.tables import read_terminals, terminal_of_line
    from access.people.units import Units

    lines, problems = read_terminals(bytes_of(file))
    with open_desk(session) as desk:
        units = Units(desk.people)
        imported = take(
            file, lines, problems, terminal_of_line, lambda items, dry: units.put_terminals(items, by, dry_run=dry), dry_run
        )  # fmt: skip
    tell_import("terminal", imported, dry_run, as_json)


@click.command("export")
@export_options
@pass_session
def export_terminals(session: Session, output: Path, force: bool) -> None:
    """Write the terminals of all units as a CSV file that `unit terminal import` reads."""
    from access.people.tables import write_terminals

    with open_desk(session) as desk:
        units = desk.people.units()
    write_lines(output, write_terminals(units), force, sum(len(unit.terminals) for unit in units), "terminal")


@click.command("import")
@import_options
@pass_session
def import_users(session: Session, file: Path, dry_run: bool, as_json: bool, by: str) -> None:
    """Add the users of a CSV file, and change those that are there already: all of them, or none when one row is wrong.

    The first line names the columns: id and role, and any that `user export` writes. Who is new has no password until
    `user password`; who is there keeps theirs. The text is UTF-8 or GB 18030.
    """
    from access.people.tables import read_users, user_of_line
    from access.people.users import Users

    lines, problems = read_users(bytes_of(file))
    with open_desk(session) as desk:
        known = {user.id: user for user in desk.people.users()}
        users = Users(desk.people)
        imported = take(
            file, lines, problems, lambda line: user_of_line(line, known.get(line.id)),
            lambda items, dry: users.import_users(items, by, dry_run=dry), dry_run,
        )  # fmt: skip
    tell_import("user", imported, dry_run, as_json)


@click.command("export")
@export_options
@pass_session
def export_users(session: Session, output: Path, force: bool) -> None:
    """Write the users as a CSV file that `user import` reads, without their passwords."""
    from access.people.tables import write_users

    with open_desk(session) as desk:
        users = desk.people.users()
    write_lines(output, write_users(users), force, len(users), "user")


@click.command("import")
@import_options
@pass_session
def import_grants(session: Session, file: Path, dry_run: bool, as_json: bool, by: str) -> None:
    """Give the grants of a CSV file: all of them, or none when one row is wrong.

    The first line names the columns: id, unit and actions, and any that `grant export` writes. A row without an id is a new grant;
    one with the id of a grant must say what that says, for a grant never changes. Several cameras, sites or actions stand in one
    cell with a space between. The text is UTF-8 or GB 18030.
    """
    from access.people.permits import Permits
    from access.people.tables import grant_of_line, read_grants

    lines, problems = read_grants(bytes_of(file))
    with open_desk(session) as desk:
        permits = Permits(desk.people)
        imported = take(
            file, lines, problems, lambda line: grant_of_line(line, desk.names),
            lambda items, dry: permits.import_grants(items, by, dry_run=dry), dry_run,
        )  # fmt: skip
    tell_import("grant", imported, dry_run, as_json)


@click.command("export")
@export_options
@pass_session
def export_grants(session: Session, output: Path, force: bool) -> None:
    """Write the grants that nobody revoked as a CSV file that `grant import` reads."""
    from access.people.tables import write_grants

    with open_desk(session) as desk:
        grants = [grant for grant in desk.people.grants() if grant.revoked is None]
        data = write_grants(grants, desk.names)
    write_lines(output, data, force, len(grants), "grant")
