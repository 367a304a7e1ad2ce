"""The commands `camera …`: what the registry knows of cameras. Connecting to one (`camera probe`) is in `ingest/cli.py`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from index.console import open_session, raise_rows
from vault.console import (
    Moment,
    Session,
    by_option,
    counted,
    json_option,
    options,
    pass_session,
    print_fields,
    print_json,
    print_table,
    size_text,
)
from vault.errors import UsageError
from vault.timebase import format_local, format_us

if TYPE_CHECKING:
    from index.cameras import Camera
    from index.node import Node
    from index.status import LiveState
    from vault.secrets import CredentialBox

TRANSPORTS = ("auto", "tcp", "udp")
DEFAULT_SITE = "default"


credential_options = options(
    click.option(
        "--credentials-file", type=click.Path(path_type=Path, dir_okay=False), help="A file with one line USER:PASSWORD."
    ),
    click.option("--ask", is_flag=True, help="Ask for user and password."),
    click.option("--credentials-stdin", "from_stdin", is_flag=True, help="Read one line USER:PASSWORD from standard input."),
)
"""The ways to give credentials that leave no trace in a shell's history or a list of processes."""


def given_credentials(credentials_file: Path | None, ask: bool, from_stdin: bool) -> tuple[str, str] | None:
    """User and password from wherever the call says, None when it says nothing. Raises UsageError, StoreError."""
    from index.credentials import MAX_CREDENTIAL_CHARS, parse_credentials
    from vault.files import store_error

    if (credentials_file is not None) + ask + from_stdin > 1:
        raise UsageError("give credentials in one way only: --credentials-file, --ask or --credentials-stdin")
    if credentials_file is not None:
        try:
            with credentials_file.open(encoding="utf-8") as file:
                return parse_credentials(file.read(MAX_CREDENTIAL_CHARS + 2))
        except UnicodeDecodeError:
            raise UsageError(f"{credentials_file}: is not UTF-8 text") from None
        except FileNotFoundError:
            raise UsageError(f"{credentials_file}: no such file") from None
        except OSError as error:
            raise store_error(f"reading {credentials_file}", error) from error
    if from_stdin:
        return parse_credentials(sys.stdin.readline(MAX_CREDENTIAL_CHARS + 2))
    if ask:
        user = click.prompt("User", err=True)
        return parse_credentials(f"{user}:{click.prompt('Password', hide_input=True, err=True)}")
    return None


def sealed(url: str, credentials: tuple[str, str] | None, box: CredentialBox) -> tuple[str, str | None]:
    """The address to show and the sealed one. Credentials given apart take the place of those in the address."""
    from index.credentials import address_of, seal_url, with_credentials

    url = address_of(url)
    made = seal_url(with_credentials(url, *credentials) if credentials else url, box)
    return made.url, made.secret


registered_options = options(
    click.option("--gb-code", help="Its 20 digits by GB/T 28181."),
    click.option("--interconnect", type=click.Choice(("gb28181", "other")), help="How it is connected, if not as its site."),
    click.option("--approval-ref", help="Reference of the approval of another interconnect than GB/T 28181."),
    click.option("--days", type=int, help="For how long its footage is kept, if longer than its site's; 0 is as its site's."),
    by_option,
)
"""What the rule wants to be known of a camera, each None where nothing is said; and who says so."""


@click.group()
def camera() -> None:
    """The cameras to record."""


@camera.command("add")
@click.argument("camera_id", metavar="ID")
@click.argument("url")
@registered_options
@click.option("--site", default=DEFAULT_SITE, show_default=True, help="Where it stands.")
@click.option("--name", default="", help="What people call it.")
@click.option("--transport", type=click.Choice(TRANSPORTS), default="auto", show_default=True, help="How RTP is carried.")
@credential_options
@pass_session
def add(
    session: Session, /, camera_id: str, url: str, site: str, name: str, transport: str,
    credentials_file: Path | None, ask: bool, from_stdin: bool, by: str, **said: Any,
) -> None:  # fmt: skip
    """Add a camera; a running `serve` begins to record it within seconds.

    URL is rtsp:// or rtsps://, rtp:// for packets that come by themselves, file:// with the path of an SDP file or a movie, or
    what libav fetches (rtmp://, http:// and their TLS forms). A user and password in it are taken out and stored encrypted, but
    stay in the history of your shell: better give them by one of the --credentials options or --ask.
    """
    from index.cameras import NewCamera

    credentials = given_credentials(credentials_file, ask, from_stdin)
    with open_session(session) as node:
        public, secret = sealed(url, credentials, node.folder.credentials())
        if site == DEFAULT_SITE:
            node.sites.ensure_default()
        added = node.cameras.add(NewCamera(camera_id, public, secret, site, name, transport, **_given(said)), by)
    click.echo(f"camera {added.id} added, number {added.number}, {added.url}")


@camera.command("list")
@click.option("--all", "removed", is_flag=True, help="Show removed cameras too.")
@json_option
@pass_session
def list_(session: Session, removed: bool, as_json: bool) -> None:
    """List the cameras, and what a running recorder says of each."""
    with open_session(session) as node:
        cameras = node.cameras.list(removed=removed)
        live = _live(node, session.now_us, cameras)
    if as_json:
        print_json([_as_json(item, live.get(item.number)) for item in cameras])
    else:
        rows = [
            [item.id, item.number, item.site, item.name, item.transport, _state(item, live.get(item.number)), item.url]
            for item in cameras
        ]
        print_table(["id", "number", "site", "name", "transport", "state", "url"], rows, right=["number"])


@camera.command("show")
@click.argument("camera_id", metavar="ID")
@json_option
@pass_session
def show(session: Session, camera_id: str, as_json: bool) -> None:
    """Show one camera, what is stored of it, and what a running recorder says of it.

    ID may be '#NUMBER': that camera, though it was removed and another has its id now.
    """
    with open_session(session) as node:
        item = node.cameras.get(camera_id)
        usage = node.catalog.usage(item.number)
        gap = node.catalog.lasting_gap(item.number)
        live = _live(node, session.now_us, [item]).get(item.number)
    if as_json:
        stored = {"segments": usage.segments, "size_bytes": usage.size_bytes, "duration_us": usage.duration_us}
        missing = None if gap is None else {"start": format_us(gap.start_us), "end": None, "reason": gap.reason}
        print_json(_as_json(item, live) | {"stored": stored, "gap": missing})
        return
    print_fields(
        {
            "id": item.id, "number": item.number, "url": item.url, "credentials": "stored" if item.secret else "none",
            "site": item.site, "days": item.days or None, "announced": _announced(item), "GB code": item.gb_code or None,
            "stood at": _stood(item), "interconnect": item.interconnect or None, "approval ref": item.approval_ref or None, "name": item.name or None, "transport": item.transport, "state": _state(item, live),
            "added": format_local(item.added_us),
            "removed": None if item.removed_us is None else format_local(item.removed_us),
            "to record since": None if item.first_record_us is None else format_local(item.first_record_us),
            "stored": f"{counted(usage.segments, 'segment')}, {size_text(usage.size_bytes)}",
            "recorded to": None if live is None or live.recorded_to_us is None else format_local(live.recorded_to_us),
            "packets lost": live.lost_packets if live else None,
            "gap": None if gap is None else f"since {format_local(gap.start_us)}: {gap.reason}",
        }
    )  # fmt: skip


@camera.command("set")
@click.argument("camera_id", metavar="ID")
@click.option(
    "--url", help="A new address. At another host, without new credentials, the stored ones go: they were for the old one."
)
@registered_options
@click.option("--keep", is_flag=True, help="Take back the shorter keeping that was announced.")
@click.option("--site", help="Where it stands.")
@click.option("--since", type=Moment(), help="Since when it stands there; from now on when left out.")
@click.option("--name", help="What people call it.")
@click.option("--transport", type=click.Choice(TRANSPORTS), help="How RTP is carried.")
@click.option("--record/--no-record", "enabled", default=None, help="Whether to record it.")
@click.option("--no-credentials", is_flag=True, help="Forget the stored credentials.")
@credential_options
@pass_session
def set_(
    session: Session, /, camera_id: str, url: str | None, site: str | None, name: str | None, transport: str | None,
    enabled: bool | None, no_credentials: bool, credentials_file: Path | None, ask: bool, from_stdin: bool,
    since: int | None, keep: bool, by: str, **said: Any,
) -> None:  # fmt: skip
    """Change what is said of a camera.

    Longer keeping, by --days or by another site, holds at once, for the footage that exists too. Shorter keeping is announced: it
    takes effect 24 hours later, for what is recorded from then on, and --keep takes it back until then.

    By the site where a camera stood is decided who may see what it recorded there: say --since where a move is told later than made,
    or had been told too early.
    """
    from index.cameras import KEEP
    from index.credentials import address_of, camera_url, readdressed
    from vault.secrets import join_url

    credentials = given_credentials(credentials_file, ask, from_stdin)
    if no_credentials and credentials:
        raise UsageError("--no-credentials together with new credentials means nothing; leave one out")
    if not (credentials or no_credentials or keep) and all(
        value is None for value in (url, site, since, name, transport, enabled, *said.values())
    ):
        raise UsageError("say what should change; `camera set --help` lists it")
    secret: Any = KEEP
    lost = ""
    with open_session(session) as node:
        if url or credentials or no_credentials:
            box, old = node.folder.credentials(), node.cameras.get(camera_id)
            if no_credentials:
                url, secret = sealed(join_url(address_of(url) if url else camera_url(old, box).url, None, None), None, box)
            elif (made := readdressed(old, url or old.url, credentials, box)) is not None:
                url, secret = made.url, made.secret
            else:
                url, secret = sealed(str(url), None, box)
                lost = "; its stored credentials were for its old host and are forgotten: give those for the new one"
        if keep:
            node.cameras.keep(camera_id, by)
        changed = node.cameras.set(
            camera_id, url=url, secret=secret, site=site, name=name, transport=transport, enabled=enabled, since_us=since,
            by=by, **_given(said),
        )  # fmt: skip
        raise_rows(session, node)
    click.echo(f"camera {changed.id} changed" + (f"; {_announced(changed)}" if changed.lowering else "") + lost)


@camera.command("remove")
@click.argument("camera_id", metavar="ID")
@by_option
@pass_session
def remove(session: Session, camera_id: str, by: str) -> None:
    """End a camera's recording. What was recorded stays, and so does its number."""
    with open_session(session) as node:
        removed = node.cameras.remove(camera_id, by)
    click.echo(
        f"camera {removed.id} is recorded no more; its footage stays, under '#{removed.number}' too when its id is given anew"
    )


def _given(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None}


def _announced(item: Camera) -> str | None:
    low = item.lowering
    return None if low is None else f"site {low.site}, days {low.days or 'as its site'}, from {format_local(low.from_us)}"


def _stood(item: Camera) -> str | None:
    """Nothing of a camera that stands where it always did."""
    words = [f"{stay.site} since {format_local(stay.from_us)}" if stay.from_us else stay.site for stay in item.stays]
    return None if words == [item.site] else ", ".join(words) or "not known"


def _live(node: Node, now_us: int, cameras: Sequence[Camera]) -> dict[int, LiveState]:
    """What a running recorder says, by camera number; one that should record and is not known to it yet is starting."""
    from index.status import STATUS_FILE, LiveState, read_status

    said = read_status(node.folder.run / STATUS_FILE, now_us)
    if said is None:
        return {}
    return {item.number: LiveState() for item in cameras if item.records} | said


def _state(item: Camera, live: LiveState | None) -> str:
    """`recording`, or why not; without a running recorder only whether it should."""
    if item.is_removed:
        return "removed"
    if not item.enabled:
        return "off"
    if live is None:
        return "on, no recorder runs"
    return f"{live.state}: {live.why}" if live.why and live.state != "recording" else live.state


def _as_json(item: Camera, live: LiveState | None) -> dict[str, Any]:
    now, low = None, item.lowering
    if live is not None:
        to_us = live.recorded_to_us
        now = {
            "state": live.state, "why": live.why, "recorded_to": None if to_us is None else format_us(to_us),
            "lost_packets": live.lost_packets, "received_bytes": live.received_bytes,
        }  # fmt: skip
    return {
        "id": item.id, "number": item.number, "url": item.url, "credentials": item.secret is not None, "site": item.site,
        "gb_code": item.gb_code, "interconnect": item.interconnect, "approval_ref": item.approval_ref, "days": item.days,
        "announced": low and {"site": low.site, "days": low.days, "from": format_us(low.from_us), "by": low.by},
        "stays": [{"site": stay.site, "from": format_us(stay.from_us) if stay.from_us else None} for stay in item.stays],
        "name": item.name, "transport": item.transport, "state": "removed" if item.is_removed else "on" if item.enabled else "off",
        "added": format_us(item.added_us), "removed": None if item.removed_us is None else format_us(item.removed_us),
        "first_record": None if item.first_record_us is None else format_us(item.first_record_us), "live": now,
    }  # fmt: skip
