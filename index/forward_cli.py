"""The command `ledger forward status`: how far the forwarding of the ledger is. Forwarding itself is `index.forwarder`'s."""

from __future__ import annotations

import click

from index.console import open_session
from vault.console import Session, json_option, pass_session, print_fields, print_json
from vault.errors import NotFound
from vault.timebase import US, format_local, format_us


@click.group("forward")
def forward() -> None:
    """Sending the ledger to somebody else's log, as `[forward]` says."""


@forward.command("status")
@json_option
@pass_session
def status(session: Session, as_json: bool) -> None:
    """Show how far the receiver is, and what waits for it.

    `read` is what its process has read; `settled` is what is not sent again, whatever becomes of it.
    """
    from index.forwarder import forwarded
    from vault.syslog import SyslogAddress

    with open_session(session) as node:
        if not node.config.forward.address:
            raise NotFound("the ledger is forwarded to nobody: forward.address names a receiver")
        found = forwarded(node.environment, str(SyslogAddress.parse(node.config.forward.address)))
        newest = node.ledger.newest()
    size = 0 if newest is None else newest.checkpoint.size
    waiting, age_us = max(0, size - found.read), found.age_us(session.now_us)
    if as_json:
        print_json(
            {
                "receiver": found.receiver, "entries": size, "read": found.read, "settled": found.settled, "waiting": waiting,
                "behind_since": None if found.behind_since_us is None else format_us(found.behind_since_us),
                "behind_seconds": age_us / US, "error": found.error or None,
            }
        )  # fmt: skip
        return
    since = None if found.behind_since_us is None else f"since {format_local(found.behind_since_us)}"
    print_fields(
        {
            "receiver": found.receiver,
            "read": f"{found.read:,} of {size:,} entries; {found.settled:,} are settled",
            "waiting": f"{waiting:,} {since or ''}".strip(),
            "error": found.error or None,
        }
    )
