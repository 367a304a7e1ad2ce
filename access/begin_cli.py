"""The commands that make a data folder: `init` and `demo`. Here, and not in the packages whose work they are, since a folder
begins with its first administrator."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vault.console import Session, log_level_option, pass_session, stop_on_signals

if TYPE_CHECKING:
    from index.node import Node


@click.command()
@pass_session
def init(session: Session) -> None:
    """Make the data folder with its keys, its index, the site `default` (30 days) and the user `admin`.

    The password of `admin` is printed once and must be changed: `user password admin --own`. The folder is open to its owner only.
    Back up the folder keys: without it the cameras' passwords are lost, and the ledger cannot go on.
    """
    from index.node import init_node

    folder = init_node(session.data_path, session.config, session.clock, first_user)
    click.echo(f"data folder {folder.path} is ready; add a camera with `streamvault camera add ID URL`")


@click.command()
@log_level_option("error")
@pass_session
def demo(session: Session, log_level: str) -> None:
    """Record four simulated cameras, and say what to try meanwhile.

    The cameras are encoded live, with their name and the running UTC time in the picture. Data go to ./demo-data unless
    --data says otherwise; a second start goes on there.
    """
    from ingest.demo import DEFAULT_DATA, run_demo
    from vault import logs

    logs.setup(log_level)
    data = session.data or DEFAULT_DATA
    with stop_on_signals() as stop:
        run_demo(data, stop, session.clock, lambda ids: _say_what_to_try(data, ids), first_user)
    click.echo(f"stopped; what was recorded is in {data}")


def first_user(node: Node) -> None:
    """Make `admin`, and print the password before the folder counts as made: one that nobody was told is made anew."""
    from access.people.admins import FIRST, first_administrator
    from access.people.people import People

    password = first_administrator(People(node.registry, node.clock))
    click.echo(f"user {FIRST}, password {password} (shown once; change it with `user password {FIRST} --own`)")
    sys.stdout.flush()


# Every look at footage is on record, at a demonstration's too.
_OCCASION = "--purpose other --why 'first look' --case demo --destination here --person me --staff-number 0"


def _say_what_to_try(data: Path, ids: list[str]) -> None:
    """The commands as they can be typed here: with the path of this very program where it is not on the PATH."""
    program = "streamvault" if shutil.which("streamvault") else os.path.relpath(sys.argv[0])
    base = f"{program} --data {data}"
    click.echo(f"recording {', '.join(ids)} into {data}; stop with Ctrl-C. In another terminal try:")
    for line in (
        "camera list",
        f"timeline {ids[0]} --from now-5m --to now",
        f"clip {ids[0]} --from now-20s --to now-5s -o clip.mp4 {_OCCASION}",
        f"snapshot {ids[2]} --at now -o now.jpg {_OCCASION}",
        "ledger show",
        "index stat",
        "check",
    ):
        click.echo(f"  {base} {line}")


COMMANDS: tuple[click.Command, ...] = (init, demo)
