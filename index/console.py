"""What the commands of every package share that have a node open. What none of them needs a node for is in `vault.console`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from vault.console import Session, counted, progress
from vault.errors import StreamvaultError

if TYPE_CHECKING:
    from index.node import Node


@contextmanager
def open_session(session: Session) -> Iterator[Node]:
    """The node of the session's data folder; what was done to its registry is in the ledger at the end."""
    from index.node import open_node

    folder = session.folder()
    with open_node(folder, session.config(folder), session.clock) as node:
        yield node
        _tell_ledger(node)


def _tell_ledger(node: Node) -> None:
    """Bring into the ledger what waits for it. What was done is done, so that where it cannot be is only said."""
    if not node.outbox.waiting():
        return
    try:
        node.outbox.drain()
    except StreamvaultError as error:
        click.echo(f"what was done waits to be written in the ledger: {error}", err=True)


def raise_rows(session: Session, node: Node) -> None:
    """Bring what was raised into the footage that exists; cut short, it is in force all the same and goes on later."""
    from index.raising import Raising

    with progress(session, "raising minima") as line:
        raised = Raising(node.environment, node.clock).run(line.advance)
    if raised:
        click.echo(f"footage that exists is kept for longer now: {counted(raised, 'segment')}", err=True)
