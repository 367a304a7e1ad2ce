"""The commands `register list` and `register export`: who looked at footage or took it, when, why, and where it went."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from access.door_cli import as_option, principal_of
from index.console import open_session
from vault.console import (
    MOMENT,
    Session,
    counted,
    gathered,
    json_option,
    pass_session,
    print_json,
    print_table,
    progress,
    size_text,
    write_output,
)
from vault.errors import StreamvaultError, UsageError
from vault.timebase import Interval, format_local

if TYPE_CHECKING:
    from access.people.model import Principal
    from access.register import Row, Wanted
    from index.node import Node
    from retention.inspect_words import Words
    from vault.grant import Refusal
    from vault.ledger.canonical import Value
    from vault.ledger.entry import Entry

_DAYS: Final = 30
FORMATS: Final = ("csv", "parquet", "html")
MAX_ROWS: Final = 200_000
"""In one file; a book of more is printed month by month."""

MAX_PAGE_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say."""

    as_user: str
    from_us: int | None
    to_us: int | None
    unit: str | None
    person: str
    camera: str | None
    case: str
    still_open: bool
    unindexed: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What is shown, and what it was made of."""

    node: Node
    principal: Principal
    asked: Interval
    wanted: Wanted
    rows: Iterator[Row]
    names: dict[int, str]


chosen = gathered(
    "asked", Asked,
    as_option,
    click.option("--from", "from_us", type=MOMENT, help=f"Asked for at this time or later.  [default: {_DAYS} local days before today]"),
    click.option("--to", "to_us", type=MOMENT, help="Asked for before this time.  [default: now]"),
    click.option("--unit", help="For this using unit."),
    click.option("--person", default="", help="By this person: a user, a name or a staff number."),
    click.option("--camera", help="Of this camera: an id, or '#NUMBER'."),
    click.option("--case", default="", help="In this case."),
    click.option("--open", "still_open", is_flag=True, help="Only what has not ended."),
    click.option("--unindexed", is_flag=True, help="Read every entry of the ledger instead of an index over it."),
)  # fmt: skip
"""The options by which rows are chosen, as one argument `asked`."""


@click.group("register")
def register_group() -> None:
    """The register of footage that was looked at or taken 调取登记册."""


@register_group.command("list")
@chosen
@click.option("--limit", type=click.IntRange(1, MAX_ROWS), default=1_000, show_default=True, help="The newest so many.")
@click.option("--lang", "language", type=click.Choice(("zh", "en")), default="en", show_default=True, help="Language.")
@json_option
@pass_session
def list_rows(session: Session, asked: Asked, limit: int, language: str, as_json: bool) -> None:
    """Show who looked at footage or took it, the oldest first: what was asked for in the time, and how it ended.

    What has not ended reads `open`. The columns of --json are those of `register export`.
    """
    from access.register_rows import as_json as value

    with _looking(session, asked, "list") as found:
        total, newest = 0, deque["Row"](maxlen=limit)
        for row in found.rows:
            newest.append(row)
            total += 1
        names = found.names
    if as_json:
        print_json([value(row, names) for row in newest])
        return
    _print(newest, names, language)
    if total > len(newest):
        click.echo(f"{total - len(newest):,} older ones are not shown; --limit shows more")


@register_group.command("export")
@chosen
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="What to write.  [default: what the file's name ends with]")
@click.option("--lang", "language", type=click.Choice(("both", "zh", "en")), default="both", show_default=True, help="Of HTML.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@pass_session
def export_rows(session: Session, asked: Asked, output: Path, form: str | None, language: str, force: bool) -> None:
    """Write the register: CSV for spreadsheets, Parquet for programs, HTML to print on A4 as the book that the rule asks for.

    That it was written out goes into the ledger, with the file's SHA-256.
    """
    form = form or output.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise UsageError(f"{output}: name a file that ends in .csv, .parquet or .html, or say --format")
    most = MAX_PAGE_ROWS if form == "html" else MAX_ROWS
    with _looking(session, asked, "export") as found:
        rows = []
        for row in found.rows:
            rows.append(row)
            if len(rows) > most:
                raise UsageError(f"more than {most:,} rows for one {form} file; choose a shorter time by --from and --to")
        data = _written(session, found, rows, form, language)
        write_output(output, data, replace=force)
        _note_export(found, data, len(rows))
    click.echo(f"{output}: {counted(len(rows), 'row')}, {size_text(len(data))}", err=True)


@contextmanager
def _looking(session: Session, asked: Asked, what: str) -> Iterator[Found]:
    """The rows that were asked for, as far as whoever asks may see them."""
    from access.register import Wanted, rows, seen_by
    from index.register import Register
    from vault.grant import Refusal

    with open_session(session) as node:
        begin_us = _default_from(node) if asked.from_us is None else asked.from_us
        span = Interval(begin_us, session.now_us if asked.to_us is None else asked.to_us)
        principal = None
        try:
            principal = principal_of(node, asked.as_user)
            number = None if asked.camera is None else int(node.cameras.get(asked.camera).number)
            wanted = seen_by(principal, Wanted(asked.unit, asked.person, number, asked.case, still_open=asked.still_open))
        except Refusal as refusal:
            _note_refusal(node, principal, asked, span, refusal)
            raise
        register = Register(node.environment, node.ledger)
        names = {int(camera.number): str(camera.id) for camera in node.cameras.list(removed=True)}
        with progress(session, "reading the ledger") as line:
            if asked.unindexed:
                deeds: Iterator[list[Entry]] = iter(list(register.unindexed(span, wanted.unit, line.advance)))
            else:
                register.fill(line.advance)
                deeds = register.deeds(span, wanted.unit)
        yield Found(node, principal, span, wanted, rows(deeds, wanted), names)


def _default_from(node: Node) -> int:
    from datetime import timedelta

    from retention.completeness import day_start_us
    from vault.retain import local_day

    zone = node.config.retention.zone
    return day_start_us(local_day(node.clock.now_us(), zone) - timedelta(days=_DAYS), zone)


def _written(session: Session, found: Found, rows: list[Row], form: str, language: str) -> bytes:
    from access.register_rows import as_csv, as_parquet

    if form == "csv":
        return as_csv(rows, found.names)
    if form == "parquet":
        return as_parquet(rows, found.names)
    from access.register_page import Book, page

    signed = found.node.ledger.newest()
    wanted = found.wanted
    # It may be newer than what is printed, and covers all of that too.
    basis = ("", 0, "") if signed is None else (signed.checkpoint.origin, signed.checkpoint.size, signed.checkpoint.root.hex())
    said = {"person": wanted.person, "case": wanted.case, "camera": "", "user": wanted.user, "open": "yes" * wanted.still_open}
    said["camera"] = "" if wanted.camera is None else found.names.get(wanted.camera, f"#{wanted.camera}")
    book = Book(
        rows, found.asked, _unit_name(found.node, wanted.unit), ", ".join(f"{name}: {value}" for name, value in said.items() if value),
        session.now_us, found.principal.actor, *basis,
    )  # fmt: skip
    return page(book, found.names, found.node.config.retention.zone, language).encode()


def _unit_name(node: Node, unit: str | None) -> str:
    """As people know it: its id and its name."""
    from access.people.people import People
    from vault.errors import NotFound

    if not unit:
        return ""
    with suppress(NotFound, UsageError):
        return f"{unit} {People(node.registry, node.clock).unit(unit).name}".strip()
    return unit


def _note_export(found: Found, data: bytes, rows: int) -> None:
    """In the ledger: who wrote the register out."""
    body: dict[str, Value] = {"outcome": "done", "rows": rows, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    _note(found.node, found.principal, found.wanted.unit, found.asked, body)


def _note_refusal(node: Node, principal: Principal | None, asked: Asked, span: Interval, refusal: Refusal) -> None:
    """In the ledger: who was not let see it. Where nobody has proven who they are, the host's operator tried."""
    from access.people.login import operator, tried_as
    from access.people.people import People
    from index.texts import cleaned

    body: dict[str, Value] = {
        "outcome": "refused",
        "code": refusal.code,
        "article": refusal.article,
        "reason": str(refusal)[:500],
    }
    tried = tried_as(People(node.registry, node.clock), asked.as_user) if principal is None else {}
    _note(node, principal or operator(), cleaned(asked.unit[:64]) if asked.unit else None, span, body | tried)


def _note(node: Node, principal: Principal, unit: str | None, span: Interval, body: dict[str, Value]) -> None:
    """By way of the outbox: where the ledger cannot be written just now, it waits there."""
    from index.outbox import record
    from index.register import NO_FOOTAGE
    from vault.ledger.entry import Kind, NewEntry

    subject: dict[str, Value] = {"user": principal.user.id} if principal.user else {}
    subject |= {"unit": unit} if unit else {}
    whole: dict[str, Value] = {"action": NO_FOOTAGE, "start_us": span.start_us, "end_us": span.end_us, **body}
    with node.environment.write("note use of the register", frees=True) as txn:
        record(txn, NewEntry(Kind.READ, principal.actor, subject, whole), node.clock.now_us())
    with suppress(StreamvaultError):
        node.outbox.drain()


def _print(rows: deque[Row], names: dict[int, str], language: str) -> None:
    from access.register_rows import called
    from access.register_words import LABELS, action, outcome, purpose

    def said(words: Words) -> str:
        return words.zh if language == "zh" else words.en

    labels = ("asked", "unit", "taker", "cameras", "footage", "purpose", "case", "destination", "outcome")
    table = []
    for row in rows:
        cameras = [called(number, names) for number in row.cameras]
        ended = said(outcome(row.outcome)) + (f" {row.article}" if row.article else "")
        size = "" if row.size_bytes is None else f" {size_text(row.size_bytes)}"
        table.append(
            [
                format_local(row.asked_us), row.unit, " / ".join(filter(None, (row.taker, row.staff_number))) or row.actor,
                ", ".join(cameras[:4]) + (f" +{len(cameras) - 4}" if len(cameras) > 4 else ""), _footage(row),
                f"{said(action(row.action))}: {said(purpose(row.purpose))}", row.case, row.destination, ended + size,
            ]
        )  # fmt: skip
    print_table([said(LABELS[name]) for name in labels], table)


def _footage(row: Row) -> str:
    if row.start_us is None or row.end_us is None:
        return ""
    begin, end = format_local(row.start_us), format_local(row.end_us)
    return f"{begin} – {end[11:] if end[:10] == begin[:10] else end}"


COMMANDS: tuple[click.Command, ...] = (register_group,)
