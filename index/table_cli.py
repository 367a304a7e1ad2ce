"""The commands `camera import`, `camera export`, `site import`, `site export`: the registry as CSV files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from index.camera_cli import DEFAULT_SITE, sealed
from index.console import open_session, raise_rows
from vault.console import Session, by_option, counted, json_option, options, pass_session, plain, print_json, write_output
from vault.errors import ConfigError, StreamvaultError, UsageError

if TYPE_CHECKING:
    from index.batch import Outcome
    from index.camera_table import CameraLine
    from index.cameras import Camera, NewCamera
    from index.csv_table import Problem
    from vault.secrets import CredentialBox

_OPTIONAL = ("name", "transport", "gb_code", "interconnect", "approval_ref", "days")
"""Columns that a file need not have, called as the camera's fields."""

_T = TypeVar("_T")
_LineT = TypeVar("_LineT", bound="Line")

import_options = options(
    click.argument("file", type=click.Path(path_type=Path, dir_okay=False)),
    click.option("--dry-run", is_flag=True, help="Check the file, say what would become of its rows, and change nothing."),
    json_option,
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
def import_cameras(session: Session, file: Path, dry_run: bool, as_json: bool, by: str) -> None:
    """Add the cameras of a CSV file, and change those that are there already: all of them, or none when one row is wrong.

    The first line names the columns: id and url, and if wanted any that `camera export` writes. What a file has no column for stays
    as it is, and so do numbers, footage, the site where a row names none, and the credentials of a camera whose row has no password,
    while its address is at the same host and its user the same. A camera that is as its row says is left. A new site means from now on; `camera set --since`
    tells an earlier time. The text is UTF-8 or GB 18030. A file may hold 20,000 cameras; of a large one that is cut short, by a
    power cut perhaps, a part may be there: import it again.
    """
    from index.camera_import import import_cameras as put
    from index.camera_table import read_table

    lines, problems = read_table(bytes_of(file))
    with open_session(session) as node:
        box = node.folder.credentials()
        node.sites.ensure_default()
        known = {str(item.id): item.at(session.now_us) for item in node.cameras.list()}
        imported = take(
            file, lines, problems, lambda line: _camera_of(line, known.get(line.id), box),
            lambda items, dry: put(node.cameras, items, by, dry_run=dry).outcomes, dry_run,
        )  # fmt: skip
        raise_rows(session, node)
    tell_import("camera", imported, dry_run, as_json)


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
def import_sites(session: Session, file: Path, dry_run: bool, as_json: bool, by: str) -> None:
    """Add the sites of a CSV file, and change those that are there already: all of them, or none when one row is wrong.

    The first line names the columns: id and category, and if wanted any that `site export` writes. What a file has no column for
    stays as it is. Longer keeping holds at once, shorter keeping is announced. The text is UTF-8 or GB 18030. A file may hold
    20,000 sites; of a large one that is cut short, by a power cut perhaps, a part may be there: import it again.
    """
    from index.site_table import read_table

    lines, problems = read_table(bytes_of(file))
    with open_session(session) as node:
        known = {item.id: item.at(session.now_us) for item in node.sites.list()}
        imported = take(
            file, lines, problems, lambda line: line.site(known.get(line.id)),
            lambda items, dry: node.sites.import_sites(items, by, dry_run=dry), dry_run,
        )  # fmt: skip
        raise_rows(session, node)
    tell_import("site", imported, dry_run, as_json)


@click.command("export")
@export_options
@pass_session
def export_sites(session: Session, output: Path, force: bool) -> None:
    """Write the sites, as they are in force, as a CSV file that `site import` reads."""
    from index.site_table import write_table

    with open_session(session) as node:
        sites = [item.at(session.now_us) for item in node.sites.list()]
    write_lines(output, write_table(sites), force, len(sites), "site")


def _camera_of(line: CameraLine, old: Camera | None, box: CredentialBox) -> NewCamera:
    """The camera as the row says; what the file has no column for stays as it is. Raises UsageError, Damaged."""
    from index.cameras import NewCamera
    from index.credentials import camera_url, readdressed

    credentials = (line.user, line.password or "") if line.user is not None else None
    if old is not None and credentials and not line.password and line.user == camera_url(old, box).user:
        # Of the password the row says nothing: lists go about without.
        credentials = None
    if old is None:
        url, secret = sealed(line.url, credentials, box)
    else:
        made = readdressed(old, line.url, credentials, box)
        if made is None:
            raise UsageError(
                "the camera is at another host now, and its stored credentials were for the old one: give user and password"
            )
        url, secret = made.url, made.secret
    new = NewCamera(
        line.id, url, secret, line.site or DEFAULT_SITE, line.name, line.transport, line.record, line.gb_code, line.interconnect,
        line.approval_ref, line.days,
    )  # fmt: skip
    if old is None:
        return new
    unsaid = {name for name in _OPTIONAL if name not in line.said}
    kept: dict[str, Any] = {name: getattr(old, name) for name in unsaid}
    return replace(
        new, site=line.site or old.site, enabled=line.record if "record" in line.said else old.enabled, **kept
    )  # fmt: skip


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


class Line(Protocol):
    """What a reader of files makes of a row."""

    @property
    def row(self) -> int: ...

    @property
    def id(self) -> str: ...


Imported = Sequence[tuple["Line", "Outcome"]]


def take(
    file: Path,
    lines: Sequence[_LineT],
    problems: list[Problem],
    made: Callable[[_LineT], _T],
    put: Callable[[Sequence[_T], bool], Sequence[Outcome]],
    dry_run: bool,
) -> Imported:
    """What `put` does with what `made` makes of the lines. Raises ConfigError after telling every problem with its row."""
    from index.batch import Rejected
    from index.csv_table import Problem

    taken, items = [], []
    for line in lines:
        try:
            items.append(made(line))
            taken.append(line)
        except StreamvaultError as error:
            problems.append(Problem(line.row, str(error)))
    outcomes: Sequence[Outcome] = ()
    try:
        # With a problem known already the others are looked for all the same, and nothing is changed.
        outcomes = put(items, dry_run or bool(problems))
    except Rejected as rejected:
        problems += [Problem(taken[at].row, text) for at, text in rejected.problems]
    refuse_problems(file, problems)
    return list(zip(taken, outcomes, strict=True))


def tell_import(noun: str, imported: Imported, dry_run: bool, as_json: bool) -> None:
    """How many rows became what, or would; as JSON each of them."""
    from index.batch import Outcome

    counts = {str(outcome): sum(found is outcome for _, found in imported) for outcome in Outcome}
    if as_json:
        rows = [{"row": line.row, "id": line.id, "outcome": outcome} for line, outcome in imported]
        print_json({"dry_run": dry_run, **counts, "rows": rows})
        return
    would = "would be " if dry_run else ""
    added, changed, left = counts.values()
    click.echo(f"{counted(added, noun)} {would}added, {changed:,} {would}changed, {left:,} left as they are")


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
