"""The commands `camera import`, `camera export`, `site import`, `site export`: the registry as CSV files."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from index.camera_cli import DEFAULT_SITE, sealed
from index.console import open_session, raise_rows
from vault.console import Session, by_option, counted, options, pass_session, plain, write_output
from vault.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from index.camera_table import CameraLine
    from index.cameras import Camera
    from index.csv_table import Problem
    from vault.secrets import CredentialBox

import_options = options(
    click.argument("file", type=click.Path(path_type=Path, dir_okay=False)),
    click.option("--dry-run", is_flag=True, help="Check the file and change nothing."),
    by_option,
)
export_options = options(
    click.option(
        "-o", "--output", type=click.Path(path_type=Path, allow_dash=True), required=True, help="File to write; - is standard output."
    ),
    click.option("--force", is_flag=True, help="Overwrite the file if it is there."),
)  # fmt: skip


@click.command("import")
@import_options
@pass_session
def import_cameras(session: Session, file: Path, dry_run: bool, by: str) -> None:
    """Add all cameras of a CSV file, or none when one row of it is wrong.

    The first line names the columns: id and url, and if wanted site, name, transport, user, password, gb_code, interconnect,
    approval_ref, days, record. The text is UTF-8 or GB 18030. Problems are listed with their row, counted as a spreadsheet counts.
    """
    from index.camera_checks import transport_problem
    from index.camera_table import read_table
    from index.cameras import NewCamera
    from index.csv_table import Problem

    lines, problems = read_table(bytes_of(file))
    with open_session(session) as node:
        box = node.folder.credentials()
        there = node.cameras.list()
        taken, codes = {item.id for item in there}, {item.gb_code for item in there if item.gb_code}
        node.sites.ensure_default()
        sites = {site.id: site.at(session.now_us) for site in node.sites.list()}
        rows = []
        for line in lines:
            if line.id in taken:
                problems.append(Problem(line.row, "there is a camera of this id already"))
            at_site = sites.get(line.site or DEFAULT_SITE)
            if at_site is None:
                problems.append(Problem(line.row, f"there is no such site; known are {', '.join(sorted(sites)[:10])}"))
            elif 0 < line.days < (least := at_site.days(node.config.retention)):
                problems.append(Problem(line.row, f"days: its site is {at_site.demand}, kept for at least {least} days"))
            if line.gb_code in codes:
                problems.append(Problem(line.row, "another camera has this GB code"))
            codes.update([line.gb_code] if line.gb_code else [])
            credentials = (line.user, line.password or "") if line.user is not None else None
            try:
                url, secret = sealed(line.url, credentials, box)
            except UsageError as error:
                problems.append(Problem(line.row, str(error)))
                continue
            if unusable := transport_problem(url, line.transport):
                problems.append(Problem(line.row, unusable))
            rows.append(
                NewCamera(
                    line.id, url, secret, line.site or DEFAULT_SITE, line.name, line.transport, line.record, line.gb_code,
                    line.interconnect, line.approval_ref, line.days,
                )
            )  # fmt: skip
        refuse_problems(file, problems)
        if not dry_run:
            node.cameras.import_rows(rows, by)
    click.echo(f"{counted(len(rows), 'camera')} {'would be added' if dry_run else 'added'}")


@click.command("export")
@export_options
@click.option("--with-secrets", is_flag=True, help="Addresses and passwords in the clear; this goes into the ledger.")
@by_option
@pass_session
def export_cameras(session: Session, output: Path, force: bool, with_secrets: bool, by: str) -> None:
    """Write the cameras as a CSV file that `camera import` reads.

    Without --with-secrets there are no passwords in it, and what is secret in an address is blanked.
    """
    from index.camera_table import write_table
    from index.outbox import record
    from vault.ledger.entry import Kind, NewEntry

    with open_session(session) as node:
        cameras = [item.at(session.now_us) for item in node.cameras.list()]
        box = node.folder.credentials() if with_secrets else None
        if with_secrets:
            told = NewEntry(Kind.READ, by, {"registry": "cameras"}, {"what": "credentials exported", "cameras": len(cameras)})
            with node.environment.write("export credentials") as txn:
                record(txn, told, session.now_us)
            node.outbox.drain()
        data = write_table(_camera_line(item, box) for item in cameras)
    write_lines(output, data, force, len(cameras), "camera")


@click.command("import")
@import_options
@pass_session
def import_sites(session: Session, file: Path, dry_run: bool, by: str) -> None:
    """Add the sites of a CSV file, and set those that are there already: all of them, or none when one row is wrong.

    The first line names the columns: id and category, and if wanted any that `site export` writes. What a file has no column for
    stays as it is. Longer keeping holds at once, shorter keeping is announced. The text is UTF-8 or GB 18030. A file may hold
    20,000 sites; of a large one that is cut short, by a power cut perhaps, a part may be there: import it again.
    """
    from index.csv_table import Problem
    from index.site_table import read_table

    lines, problems = read_table(bytes_of(file))
    with open_session(session) as node:
        known = {item.id: item.at(session.now_us) for item in node.sites.list()}
        sites = []
        for line in lines:
            try:
                sites.append(line.site(known.get(line.id)))
            except UsageError as error:
                problems.append(Problem(line.row, str(error)))
        refuse_problems(file, problems)
        again = sum(item.id in known for item in sites)
        if not dry_run:
            node.sites.import_sites(sites, by)
            raise_rows(session, node)
    would = "would be " if dry_run else ""
    click.echo(f"{counted(len(sites) - again, 'site')} {would}added, {again:,} {would}set")


@click.command("export")
@export_options
@pass_session
def export_sites(session: Session, output: Path, force: bool) -> None:
    """Write the sites, as they are in force, as a CSV file that `site import` reads."""
    from index.site_table import write_table

    with open_session(session) as node:
        sites = [item.at(session.now_us) for item in node.sites.list()]
    write_lines(output, write_table(sites), force, len(sites), "site")


def _camera_line(item: Camera, box: CredentialBox | None) -> CameraLine:
    from index.camera_table import CameraLine
    from index.credentials import camera_url

    url, user, password = item.url, None, None
    if box is not None:
        whole = camera_url(item, box)
        url, user, password = whole.url, whole.user, whole.password
    return CameraLine(
        0, item.id, url, item.site, item.name, item.transport, user, password, item.gb_code, item.interconnect,
        item.approval_ref, item.days, item.enabled,
    )  # fmt: skip


def bytes_of(file: Path) -> bytes:
    """What is in a file to import, a byte more than may be at most. Raises UsageError, StoreError."""
    from index.csv_table import MAX_FILE_BYTES
    from vault.files import store_error

    try:
        with file.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{file}: no such file") from None
    except OSError as error:
        raise store_error(f"reading {file}", error) from error


def refuse_problems(file: Path, problems: Iterable[Problem]) -> None:
    """Raises ConfigError when there are any, after telling each."""
    from vault.secrets import redact

    found = sorted(problems, key=lambda problem: problem.row)
    for problem in found:
        click.echo(f"{file}: row {problem.row}: {redact(plain(problem.text))}", err=True)
    if found:
        raise ConfigError(f"{file}: {counted(len(found), 'problem')}; nothing was imported")


def write_lines(output: Path, data: bytes, force: bool, count: int, noun: str) -> None:
    """To the file, or to standard output, and how many of what on standard error. Raises UsageError, StoreError."""
    if output == Path("-"):
        sys.stdout.buffer.write(data)
    else:
        write_output(output, data, replace=force)
    click.echo(f"{counted(count, noun)} written to {output}", err=True)
