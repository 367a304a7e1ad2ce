"""The commands `export …`: asked for, decided on, taken up again, given up, listed. What they do is in `access.export.engine`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from access.door_cli import Said, as_option, entered, occasion_of, occasion_options, principal_of
from index.console import open_session
from vault.console import (
    MOMENT,
    Session,
    counted,
    json_option,
    pass_session,
    plain,
    print_fields,
    print_json,
    print_table,
    progress,
    size_text,
)
from vault.errors import NotFound, StreamvaultError, UsageError
from vault.timebase import Interval, format_local, format_us, parse_time

if TYPE_CHECKING:
    from access.door import Door
    from access.export.engine import Exports
    from access.export.job import Job
    from access.package.container import Delivered, Form
    from access.people.model import Principal

NICE = 10
"""An export gives way to recording."""
PASSWORD = "STREAMVAULT_EXPORT_PASSWORD"

password_options = click.option(
    "--ask-password", is_flag=True,
    help=f"Ask for the password of an encrypted package. Else it is taken from {PASSWORD}, or made and shown once.",
)  # fmt: skip
damaged_option = click.option(
    "--allow-damaged", is_flag=True, help="Go on where a segment is not what was recorded, and say so in the custody."
)


@click.group(name="export")
def export() -> None:
    """Hand footage out on record: a package that anyone can verify offline.

    Each export says who takes it, what for and where it goes; its ledger entry is durable before anything is read.
    """


@export.command()
@click.argument("camera_ids", metavar="CAMERA...", nargs=-1, required=True)
@click.option("--from", "start_us", type=MOMENT, required=True, help="Begin, included.")
@click.option("--to", "end_us", type=MOMENT, required=True, help="End, not included.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True,
    help="What is handed out: a new folder or file, or a folder that is there, to put it in.",
)  # fmt: skip
@click.option(
    "--form", type=click.Choice(["folder", "tar", "encrypted"]),
    help="A folder, one .tar file, or that encrypted to a password.  [default: by the name of the output]",
)  # fmt: skip
@click.option("--original", is_flag=True, help="Take whole segments as they are stored, not a cut.")
@click.option(
    "--gaps", type=click.Choice(["keep", "squeeze"]), default="keep", show_default=True,
    help="Where nothing was recorded: let the last picture stand, or leave the time out. Each gap is listed either way.",
)  # fmt: skip
@damaged_option
@password_options
@json_option
@occasion_options
@pass_session
def create(
    session: Session,
    camera_ids: tuple[str, ...],
    start_us: int,
    end_us: int,
    output: Path,
    form: str | None,
    original: bool,
    gaps: str,
    allow_damaged: bool,
    ask_password: bool,
    as_json: bool,
    said: Said,
) -> None:
    """Take a range of one or more cameras, with its custody, proofs and signature.

    A range of more than two hours becomes a file for each hour. Frames that decoding needs before a cut are in the file, not
    shown, and named. What cuts an export short leaves it to be taken up again with `export resume` within a day.
    """
    from access.export.job import Wish
    from access.package.container import Form, form_named
    from vault.splice.part import Gaps

    wanted, shape = Interval(start_us, end_us), Form(form) if form else form_named(output)
    with open_session(session) as node:
        numbers = tuple(dict.fromkeys(node.cameras.get(camera_id).number for camera_id in camera_ids))
        door, who = entered(node, said, "export", numbers, wanted)
        exports = _tidied(door)
        occasion = occasion_of(door, who, said, "export", numbers, wanted)
        wish = Wish(numbers, wanted, str(output.absolute()), shape, original, Gaps(gaps), allow_damaged)
        password = _password(shape, ask_password)
        for job in exports.left(who):
            click.echo(f"export {job.id} is not finished: `export resume {job.id}` or `export abort {job.id}`", err=True)
        job = exports.ask(who, wish, occasion)
        if job.step.value == "waiting":
            _report_waiting(exports, job, as_json)
            return
        _run(session, exports, who, job, password, as_json)


@export.command()
@click.argument("export_id", metavar="[ID]", required=False)
@damaged_option
@password_options
@as_option
@json_option
@pass_session
def resume(
    session: Session, export_id: str | None, allow_damaged: bool, ask_password: bool, as_user: str, as_json: bool
) -> None:
    """Take up an export that was cut short or that was approved. Without ID: the only one there is."""
    with _exports(session, as_user, export_id) as (_, exports, who):
        job = exports.get(export_id) if export_id else _only(exports.unfinished(who))
        password = None if job.step.ended else _password(job.wish.form, ask_password)
        _run(session, exports, who, job, password, as_json, allow_damaged)


@export.command()
@click.argument("export_id", metavar="ID")
@as_option
@json_option
@pass_session
def approve(session: Session, export_id: str, as_user: str, as_json: bool) -> None:
    """Let an export of a unit go ahead, as the second person; whoever asked for it takes it up then."""
    with _exports(session, as_user, export_id) as (_, exports, who):
        job = exports.approve(export_id, who)
        _report(exports, job, f"export {job.id} is approved; {job.actor} takes it with `export resume {job.id}`", as_json)


@export.command()
@click.argument("export_id", metavar="ID")
@click.option("--why", required=True, help="Why not.")
@as_option
@json_option
@pass_session
def refuse(session: Session, export_id: str, why: str, as_user: str, as_json: bool) -> None:
    """Refuse an export of a unit, as the second person."""
    with _exports(session, as_user, export_id) as (_, exports, who):
        job = exports.refuse(export_id, who, why)
        _report(exports, job, f"export {job.id} is refused", as_json)


@export.command()
@click.argument("export_id", metavar="ID")
@click.option("--why", default="given up", show_default=True, help="Why.")
@as_option
@json_option
@pass_session
def abort(session: Session, export_id: str, why: str, as_user: str, as_json: bool) -> None:
    """Give up an export that is not finished; what was taken so far is removed."""
    from access.export.job import Step

    with _exports(session, as_user, export_id) as (_, exports, who):
        job = exports.abort(export_id, who, why)
        text = "had been handed over whole"
        if job.step is not Step.DONE:
            text = f"is given up; {size_text(job.left_bytes)} of it had left"
        _report(exports, job, f"export {job.id} {text}", as_json)


@export.command(name="list")
@click.option("--unfinished", is_flag=True, help="Only those that are not at their end.")
@as_option
@json_option
@pass_session
def list_(session: Session, unfinished: bool, as_user: str, as_json: bool) -> None:
    """List exports of the last 90 days; the register has all of them."""
    with _exports(session, as_user) as (_, exports, who):
        jobs = [job for job in exports.seen_by(who) if not (unfinished and job.step.ended)]
        found = [_about(exports, job) for job in jobs]
    if as_json:
        print_json(found)
        return
    rows = [
        [
            job.id, job.step, job.unit, job.actor, _few(about["cameras"]), format_local(job.wish.interval.start_us),
            format_local(job.wish.interval.end_us), job.wish.target,
        ]
        for job, about in zip(jobs, found, strict=True)
    ]  # fmt: skip
    print_table(["export", "step", "unit", "by", "cameras", "from", "to", "target"], rows)


@export.command()
@click.argument("export_id", metavar="ID")
@as_option
@json_option
@pass_session
def show(session: Session, export_id: str, as_user: str, as_json: bool) -> None:
    """Show one export: what was asked for, why, and how far it is."""
    with _exports(session, as_user, export_id) as (_, exports, who):
        about = _about(exports, exports.seen(export_id, who))
    if as_json:
        print_json(about)
    else:
        print_fields(
            {
                name.removesuffix("_bytes").replace("_", " "): _shown(name, value)
                for name, value in about.items()
                if value not in (None, "", [])
            }
        )


COMMANDS: tuple[click.Command, ...] = (export,)


@contextmanager
def _exports(session: Session, as_user: str, export_id: str | None = None) -> Iterator[tuple[Door, Exports, Principal]]:
    """Who asks, and the exports. A refused sign-in is on record where it is about one of them."""
    from access.door import Door
    from access.export.engine import Exports
    from access.people.login import operator, tried_as
    from access.people.people import People
    from vault.grant import Refusal

    with open_session(session) as node:
        door = Door(node)
        try:
            who = principal_of(node, as_user)
        except Refusal as refusal:
            with suppress(NotFound, UsageError):
                if export_id:
                    wish = Exports(door).get(export_id).wish
                    more = tried_as(People(node.registry, node.clock), as_user)
                    door.refused(operator(), "export", wish.cameras, wish.interval, refusal, more=more)
            raise
        yield door, _tidied(door), who


def _tidied(door: Door) -> Exports:
    """The exports; what nobody came back for is closed first."""
    from access.export.engine import Exports
    from access.export.tidying import tidy

    try:
        for job in tidy(door):
            click.echo(f"export {job.id} was closed: {job.why}", err=True)
    except StreamvaultError as error:
        # A ledger or store that is away is no reason to show nothing; what needs them says so itself.
        click.echo(f"old exports were not looked at: {plain(str(error))}", err=True)
    return Exports(door)


def _run(
    session: Session,
    exports: Exports,
    who: Principal,
    job: Job,
    password: str | None,
    as_json: bool,
    allow_damaged: bool = False,
) -> None:
    from vault.grant import Refusal

    heard: set[str] = set()

    def said(text: str) -> None:
        if text not in heard:
            heard.add(text)
            click.echo(f"export {job_id}: {text}", err=True)

    job_id = job.id
    os.nice(NICE)
    try:
        with progress(session, f"export {job.id}", exports.expected_bytes(job)) as line:
            job, made = exports.run(job.id, who, password=password, allow_damaged=allow_damaged, told=line.advance, said=said)
    except (StreamvaultError, KeyboardInterrupt) as error:
        with suppress(StreamvaultError):
            # A refusal says itself what it waits for, or whose the export is.
            if not (isinstance(error, Refusal) and error.code != "lapsed") and not exports.get(job_id).step.ended:
                said(f"is not finished; `export resume {job_id}` takes it up again within a day")
        raise
    _tell_password(made)
    lines = [
        f"{made.path}: {size_text(made.size_bytes)}, {counted(job.files, 'file')}; export {job.id}",
        f"SHA-256 of its manifest, as the ledger has it: {job.manifest_sha256}",
    ]
    _report(exports, job, "\n".join(lines), as_json)


def _tell_password(made: Delivered) -> None:
    if made.password is not None:
        click.echo(f"password of the package, shown once and kept nowhere: {made.password}", err=True)


def _report(exports: Exports, job: Job, text: str, as_json: bool) -> None:
    if as_json:
        print_json(_about(exports, job))
    else:
        click.echo(plain_lines(text))


def plain_lines(text: str) -> str:
    return "\n".join(plain(line) for line in text.split("\n"))


def _report_waiting(exports: Exports, job: Job, as_json: bool) -> None:
    other = f"an administrator, an investigator or another of unit {job.unit}"
    then = f"`export approve {job.id}`, then `export resume {job.id}`"
    _report(exports, job, f"export {job.id} waits for a second person ({other}): {then}", as_json)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _about(exports: Exports, job: Job) -> dict[str, Any]:
    wish, said = job.wish, job.said
    return {
        "export": job.id,
        "step": str(job.step),
        "actor": job.actor,
        "user": job.user,
        "unit": job.unit,
        "authority": list(job.authority),
        "approved_by": job.approved.by if job.approved else None,
        "cameras": exports.names(job),
        "start": format_us(wish.interval.start_us),
        "end": format_us(wish.interval.end_us),
        "form": str(wish.form),
        "original": wish.original,
        "gaps": str(wish.gaps),
        "allow_damaged": wish.allow_damaged,
        "target": wish.target,
        "purpose": str(said.purpose),
        "why": said.why,
        "case": said.case,
        "destination": said.destination,
        "person": said.taker,
        "staff_number": said.staff_number,
        "approval_ref": said.approval_ref,
        "asked": format_us(job.asked_us),
        "changed": format_us(job.changed_us),
        "size_bytes": job.size_bytes,
        "files": job.files,
        "manifest_sha256": job.manifest_sha256,
        "left_bytes": job.left_bytes,
        "ended_because": job.why,
    }


def _shown(name: str, value: object) -> object:
    """A field as people read it: times, sizes and words as in tables."""
    if name in ("start", "end", "asked", "changed"):
        return format_local(parse_time(str(value), 0), exact=name in ("start", "end"))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_bytes") and isinstance(value, int):
        return size_text(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _password(form: Form, ask: bool) -> str | None:
    """None: one is made. Never an option: options are seen in the list of processes."""
    from access.package.container import Form

    if form is not Form.ENCRYPTED:
        return None
    if ask:
        if not sys.stdin.isatty():
            raise UsageError(f"there is no terminal to ask for the password; put it into {PASSWORD}")
        return str(click.prompt("Password of the package", hide_input=True, confirmation_prompt=True, err=True))
    return os.environ.get(PASSWORD) or None


def _only(jobs: list[Job]) -> Job:
    if len(jobs) != 1:
        names = ", ".join(job.id for job in jobs)
        raise UsageError(f"name the export: {names}" if jobs else "there is no export to take up")
    return jobs[0]
