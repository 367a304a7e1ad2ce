"""Commands about the data folder and its index: `init`, `camera …`. The cameras' own are in `index/camera_cli.py`."""

from __future__ import annotations

import click

from index.camera_cli import camera
from vault.console import Session, pass_session


@click.command()
@pass_session
def init(session: Session) -> None:
    """Make the data folder with its keys, its index and the site `default` (30 days).

    The folder is open to its owner only. Back up keys/credentials.key: without it the cameras' passwords are lost.
    """
    from index.node import open_node
    from vault.datafolder import DataFolder

    folder = DataFolder.init(session.data_path)
    with open_node(folder, session.config(folder), session.clock) as node:
        node.sites.ensure_default()
    click.echo(f"data folder {folder.path} is ready; add a camera with `streamvault camera add ID URL`")


COMMANDS: tuple[click.Command, ...] = (init, camera)
