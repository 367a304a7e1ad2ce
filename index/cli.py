"""Commands about the index: `index …`, and the groups beside it put together. `init` is in `access/begin_cli.py`, `check` in `access/check_cli.py`."""

from __future__ import annotations

import click

from index.alarm_cli import alarm
from index.camera_cli import camera
from index.console import open_session
from index.hold_cli import hold
from index.key_cli import key as signing_key
from index.ledger_cli import ledger
from index.repair_cli import repair
from index.site_cli import site
from index.table_cli import export_cameras, export_sites, import_cameras, import_sites
from vault.console import (
    Session,
    counted,
    json_option,
    pass_session,
    plain,
    print_fields,
    print_json,
    print_table,
    size_text,
    telling,
)
from vault.errors import Damaged


@click.group()
def index() -> None:
    """The index: its size, and making it anew."""


@index.command("stat")
@json_option
@pass_session
def stat(session: Session, as_json: bool) -> None:
    """Show how large the index is, and what a minute of one camera costs in it."""
    from index.stat import index_stat

    with open_session(session) as node:
        found = index_stat(node.environment)
    each, oldest = found.bytes_per_camera_minute, found.oldest_reader
    if as_json:
        print_json(
            {
                "engine": found.engine, "segments": found.segments, "footage_bytes": found.footage_bytes,
                "camera_minutes": found.camera_minutes, "bytes_per_camera_minute": each, "used_bytes": found.used_bytes,
                "live_bytes": found.live_bytes, "file_bytes": found.file_bytes, "map_bytes": found.map_bytes,
                "headroom_bytes": found.headroom_bytes, "readers": found.readers,
                "oldest_reader": None if oldest is None else {"pid": oldest.pid, "transactions_behind": oldest.behind},
                "entries": found.entries, "table_bytes": found.table_bytes,
            }
        )  # fmt: skip
        return
    print_fields(
        {
            "engine": found.engine,
            "footage": f"{counted(found.segments, 'segment')}, {size_text(found.footage_bytes)}, {found.camera_minutes:,.1f} camera-minutes",
            "a camera-minute": None if each is None else f"{each:,.0f} bytes of index",
            "in use": f"{size_text(found.used_bytes)}, of which {size_text(found.live_bytes)} live",
            "allocated": size_text(found.file_bytes),
            "limit": f"{size_text(found.map_bytes)}, {size_text(found.headroom_bytes)} free",
            "readers": str(found.readers)
            if oldest is None
            else f"{found.readers}, the oldest is process {oldest.pid}, {counted(oldest.behind, 'transaction')} behind",
        }
    )
    rows = [[name, f"{count:,}", size_text(found.table_bytes[name])] for name, count in found.entries.items()]
    print_table(["table", "entries", "size"], rows, right=["entries", "size"])


@index.command("rebuild")
@click.option(
    "--no-hash",
    is_flag=True,
    help="Do not read for its hash what no manifest names; `check --level hash` passes those rows by.",
)
@pass_session
def rebuild(session: Session, no_hash: bool) -> None:
    """Make the index anew from what is in the store and the spool alone, and take it into use.

    The recorder must be stopped. Cut short, the same command goes on where it was. The old index stays beside the new one as
    index.old until the next rebuild.
    """
    from index.renew import renew

    folder = session.folder()
    done = renew(folder, session.config(folder), session.clock, telling(session), hash_bytes=not no_hash)
    click.echo(
        f"rebuilt from {counted(done.segments, 'segment')} ({size_text(done.size_bytes)}, {done.from_spool:,} of them in the spool), "
        f"{counted(done.cameras, 'camera')} and {counted(done.sites, 'site')}"
    )
    if done.open_files:
        click.echo(f"{counted(done.open_files, 'open file')} in the spool: the recorder takes them in when it starts")
    for key in done.absent:
        click.echo(
            f"missing {plain(key)}: a manifest names it, the store does not have it, and no list says that it was deleted",
            err=True,
        )
    for key, why in done.refused:
        click.echo(f"left out {plain(key)}: {plain(why)}", err=True)
    if done.refused or done.absent:
        raise Damaged(
            f"{counted(len(done.refused), 'object')} could not be taken into the index and {len(done.absent):,} are missing; "
            "those that are there stay where they are"
        )


for _group, _commands in ((camera, (import_cameras, export_cameras)), (site, (import_sites, export_sites))):
    for _command in _commands:
        _group.add_command(_command)

COMMANDS: tuple[click.Command, ...] = (repair, index, camera, site, hold, ledger, signing_key, alarm)
