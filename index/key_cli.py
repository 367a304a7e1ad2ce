"""The commands `key …`: the key that signs the ledger and packages, shown to whoever has to check them, and followed by another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from index.console import open_session
from vault.console import Session, by_option, json_option, pass_session, plain, print_fields, print_json, print_table
from vault.errors import StoreError, StreamvaultError, UsageError
from vault.timebase import format_local, format_us

if TYPE_CHECKING:
    from index.node import Node
    from vault.ledger.checkpoint import Checkpoint
    from vault.ledger.succession import SignedStatement

BACKUP = "write the new fingerprint down where it was written down before, and back the new key up"


@click.group()
def key() -> None:
    """The key that signs the ledger and packages."""


@key.command("show")
@click.option(
    "--qr", metavar="FILE.svg|FILE.png|terminal",
    help="The public key as a QR code, into a file or on the terminal.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace the file.")
@json_option
@pass_session
def show(session: Session, qr: str | None, force: bool, as_json: bool) -> None:
    """Show the public key, its fingerprint, and the keys before it.

    Whoever receives packages keeps the fingerprint, from another way than the packages come. Nothing secret is shown.
    """
    from vault.signing.signer import grouped

    if qr is not None and not (qr == "terminal" or qr.endswith((".svg", ".png"))):
        raise UsageError(f"--qr {qr[:80]!r} is neither a file that ends in .svg or .png nor the word terminal")
    if qr == "terminal" and as_json:
        raise UsageError("--qr terminal and --json would both be on standard output; say one of them")
    with open_session(session) as node:
        found = node.ledger.succession()
        try:
            place = node.ledger.signer().place
        except StreamvaultError as error:
            place = f"not at hand: {error}"
        old_files = node.ledger.keys.old_files
    head = found.head
    if qr == "terminal":
        from vault.signing.qr import qr_lines

        click.echo(qr_lines(head.pem.decode()), color=True)
    elif qr is not None:
        from vault.console import write_output
        from vault.signing.qr import qr_file

        write_output(Path(qr), qr_file(head.pem.decode(), qr[-3:]), replace=force)
    if as_json:
        print_json(
            {
                "ledger": found.origin, "fingerprint": head.fingerprint, "public_pem": head.pem.decode(), "place": place,
                "earlier": [_earlier(one) for one in found.statements], "statements": found.note,
                "old_files": [str(path) for path in old_files],
            }
        )  # fmt: skip
        return
    if qr == "terminal":
        return
    fields = {"ledger": found.origin, "fingerprint": grouped(head.fingerprint), "private key": plain(place)}
    if old_files:
        fields["earlier keys' files"] = plain(", ".join(map(str, old_files)))
    print_fields(fields)
    click.echo(f"\n{head.pem.decode()}", nl=False)
    if found.statements:
        click.echo()
        rows = [
            [one.statement.number, grouped(one.statement.old.fingerprint), one.statement.size, one.statement.how,
             format_local(one.statement.time_us), one.statement.by, one.statement.why]
            for one in found.statements
        ]  # fmt: skip
        print_table(["number", "earlier key", "up to size", "how it ended", "time", "by", "why"], rows, right=["number"])


@key.command("rotate")
@click.option("--why", default="planned", show_default=True, help="As the ledger notes it.")
@click.option("--keep-old", is_flag=True, help="Keep the old key's file, under another name; else it is taken away.")
@by_option
@pass_session
def rotate(session: Session, why: str, keep_old: bool, by: str) -> None:
    """Let a new key follow, made where `signing.kind` of the configuration says. A recorder may run meanwhile.

    The old key signs that the new one follows, so whoever trusted it may go on. Moving between file, environment and token is a
    rotation too. Stopped at any moment, the ledger goes on; run it again if `key show` shows the old key still.
    """
    with open_session(session) as node:
        node.outbox.drain()
        old = node.ledger.signer()
        signed = node.ledger.rotate(by, why, keep_old=keep_old, expected=_anchor(node))
        _tell(node, signed)
        if old.place.startswith("the file"):
            return
        click.echo(f"the earlier key is still in {plain(old.place)}; nothing needs it any more: take it away", err=True)


@key.command("replace")
@click.option("--lost", is_flag=True, required=True, help="Say that the old key cannot sign any more.")
@click.option("--why", required=True, help="What became of it, as the ledger notes it and `ledger verify` tells for good.")
@by_option
@pass_session
def replace(session: Session, lost: bool, why: str, by: str) -> None:
    """Let a new key follow one that is lost, which nothing proves: a break.

    Try the backup of the old key first. `ledger verify` tells of the break, with who and why, until it is told by `--trust` that the new
    key is right; whoever receives packages must be given the new fingerprint by hand.
    """
    with open_session(session) as node:
        signed = node.ledger.replace_lost_key(by, why, expected=_anchor(node))
        _tell(node, signed)
        node.outbox.drain()


def _anchor(node: Node) -> Checkpoint | None:
    from index.ledger_anchor import anchor

    with node.environment.read() as txn:
        return anchor(txn)


def _tell(node: Node, signed: SignedStatement) -> None:
    """Index and store hear of it now, the person too."""
    from index.ledger_anchor import keep_anchor, keep_succession
    from vault.signing.signer import grouped

    one, waits = signed.statement, ""
    if (newest := node.ledger.newest()) is not None:
        keep_anchor(node.environment, newest)
    try:
        keep_succession(node.store, node.ledger.succession())
    except StoreError as error:
        waits = str(error)
    finally:
        # Behind the rest, which a reader of the output that went away must not prevent; and said in any case.
        place = plain(node.ledger.signer().place)
        click.echo(f"from entry {one.size} on the ledger is signed by {grouped(one.new.fingerprint)}, in {place}")
        click.echo(BACKUP)
    if waits:
        click.echo(f"the store was not told, the recorder does it later: {plain(waits)}", err=True)


def _earlier(signed: SignedStatement) -> dict[str, object]:
    one = signed.statement
    return {
        "fingerprint": one.old.fingerprint, "public_pem": one.old.pem.decode(), "until": one.size, "how": str(one.how),
        "time": format_us(one.time_us), "by": one.by, "why": one.why,
    }  # fmt: skip
