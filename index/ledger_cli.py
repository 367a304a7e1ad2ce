"""The commands `ledger …`: reading the audit ledger, and checking the whole of it. Nothing here writes one. `ledger forward` is
`index.forward_cli`'s."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import click

from index.console import open_session
from index.forward_cli import forward
from vault.console import MOMENT, Session, counted, json_option, pass_session, plain, print_json, print_table, progress
from vault.errors import Damaged, StoreError
from vault.ledger.entry import Kind
from vault.timebase import format_local, format_us

if TYPE_CHECKING:
    from vault.ledger.entry import Entry
    from vault.ledger.ledger import Ledger
    from vault.ledger.verify import Anchor, Report


MAX_KEPT = 1_000
"""Of the checkpoints in a file from elsewhere, the newest so many are compared."""

OWN_WORD = (
    "nobody but the ledger itself says that this is its key: compare the fingerprint with the one that was kept elsewhere, "
    "or give that one with --trust"
)


@click.group()
def ledger() -> None:
    """The audit ledger: who did what, when, provably."""


@ledger.command("show")
@click.option("--from", "from_us", type=MOMENT, help="Only what was done at this time or later.")
@click.option("--to", "to_us", type=MOMENT, help="Only what was done before this time.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice([str(kind) for kind in Kind]), help="May be repeated.")
@click.option("--camera", "camera", help="Only what names this camera: an id, or '#NUMBER'.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=1_000, show_default=True, help="The newest so many.")
@json_option
@pass_session
def show(
    session: Session,
    from_us: int | None,
    to_us: int | None,
    kinds: tuple[str, ...],
    camera: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show entries of the ledger, the oldest first."""
    found: deque[Entry] = deque(maxlen=limit)
    total = 0
    with open_session(session) as node, progress(session, "reading the ledger") as line:
        number = None if camera is None else node.cameras.get(camera).number
        for entry in node.ledger.entries():
            line.advance()
            if (
                (from_us is None or entry.time_us >= from_us)
                and (to_us is None or entry.time_us < to_us)
                and (not kinds or entry.kind in kinds)
                and (number is None or entry.concerns(number))
            ):
                found.append(entry)
                total += 1
    if as_json:
        print_json(
            [
                {
                    "sequence": entry.sequence, "time": format_us(entry.time_us), "id": entry.id, "kind": entry.kind,
                    "actor": entry.actor, "subject": entry.subject, "body": entry.body,
                }
                for entry in found
            ]
        )  # fmt: skip
        return
    from index.ledger_words import about, what

    rows = [
        [entry.sequence, format_local(entry.time_us), entry.kind, entry.actor, about(entry), what(entry)] for entry in found
    ]
    print_table(["number", "time", "kind", "by", "about", "what"], rows, right=["number"])
    if total > len(found):
        click.echo(f"{total - len(found):,} older ones are not shown; --limit shows more")


@ledger.command("verify")
@click.option(
    "--trust", "trusted", multiple=True, metavar="KEY",
    help="Trust this key only, as it was kept elsewhere: its fingerprint, or the file with its public key; accepts that it replaced "
    "a lost one. May be repeated.  [default: the private key's public half, else the ledger's own word]",
)  # fmt: skip
@click.option(
    "--kept", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file with checkpoints that were kept elsewhere: notes, or the log of whoever the ledger is forwarded to.",
)  # fmt: skip
@json_option
@pass_session
def verify(session: Session, trusted: tuple[str, ...], kept: Path | None, as_json: bool) -> None:
    """Check every entry of the ledger against its tree, the tree against every checkpoint (those beside it, the index's, the
    store's, those of --kept), and that each was signed by the key of its time.

    Only reads, may run beside a recorder, and needs no private key. It says against which public key it verified and whose word
    that is: without --trust and without the private key it is the ledger's own, and a ledger that was written anew as a whole, with
    another key, is found only by what index, store and --kept hold. Exit code 8 when an entry was edited, removed, moved, or the ledger was cut back
    or forked: the list says which and where.
    """
    from index.ledger_anchor import index_anchors, stored_anchors
    from vault.ledger.verify import Report
    from vault.ledger.verify import verify as verify_ledger
    from vault.ledger.verify_keys import is_statement

    fingerprints = [_fingerprint(text) for text in trusted]

    with open_session(session) as node:
        anchors, asked = index_anchors(node.environment), True
        try:
            anchors += stored_anchors(node.store)
        except StoreError as error:
            asked = False
            click.echo(f"the store was not asked for its checkpoints: {plain(str(error))}", err=True)
        if kept is not None:
            anchors += _anchors_in(kept, node.ledger)
        if asked and not anchors and not (node.folder.ledger.exists() or node.folder.ledger_key.exists()):
            # A data folder made before there were ledgers, in which nothing was changed since: the first entry makes the key.
            _print(Report(), 0, as_json)
            return
        with progress(session, "verifying the ledger") as line:
            done = 0

            def tell(step: str, seen: int) -> None:
                nonlocal done
                line.advance(seen - done)
                done = seen

            report = verify_ledger(node.folder.ledger, node.ledger.keys, anchors, tell, fingerprints)
    _print(report, sum(not is_statement(anchor.note) for anchor in anchors), as_json)
    if report.findings:
        raise Damaged(
            f"the ledger is not what was signed: {counted(len(report.findings), 'finding')}; the list above says where"
        )


def _fingerprint(text: str) -> str:
    """Of a fingerprint, a PEM, or a file with either. Raises UsageError, which quotes no file: it may be that of a secret."""
    from vault.errors import UsageError
    from vault.signing.ed25519 import MAX_PEM_BYTES
    from vault.signing.signer import fingerprint_of

    try:
        return fingerprint_of(text)
    except UsageError:
        try:
            with Path(text).open("rb") as file:
                data = file.read(MAX_PEM_BYTES)
        except (OSError, ValueError):
            data = None
        if data is None:
            raise
    try:
        return fingerprint_of(data.decode("utf-8", "replace"))
    except UsageError:
        raise UsageError(f"{text[:200]}: holds neither a public key of Ed25519 in PEM form nor a fingerprint") from None


def _anchors_in(path: Path, ledger: Ledger) -> list[Anchor]:
    """The checkpoints of this ledger in a file from elsewhere. Raises NotFound where there is none, StoreError."""
    from vault.errors import NotFound
    from vault.files import store_error
    from vault.ledger.message import MAX_KEPT_BYTES, notes_in
    from vault.ledger.verify import Anchor

    try:
        with path.open("rb") as file:
            # The newest stand at the end.
            file.seek(max(0, path.stat().st_size - MAX_KEPT_BYTES))
            text = file.read(MAX_KEPT_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise store_error(f"reading {path}", error) from error
    newest = ledger.newest()
    found = [one for one in notes_in(text) if newest is None or one.checkpoint.origin == newest.checkpoint.origin]
    if not found:
        raise NotFound(f"{path}: holds no checkpoint of this ledger")
    newest_last = sorted(found, key=lambda one: one.checkpoint.size)
    return [Anchor(str(path), one.note) for one in newest_last[-MAX_KEPT:]]


def _print(report: Report, anchors: int, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "entries": report.entries, "unsigned": report.unsigned, "checkpoints": report.checkpoints, "kept_elsewhere": anchors,
                "keys": [] if report.succession is None else [
                    {"fingerprint": span.public.fingerprint, "after": span.after, "until": span.until}
                    for span in report.succession.spans
                ],
                "verified_against": None if report.trust is None else {
                    "fingerprint": report.trust.fingerprint, "word_of": report.trust.source, "where": report.trust.where,
                },
                "findings": [
                    {
                        "what": str(finding.what), "first": finding.first, "last": finding.last, "where": finding.where,
                        "message": finding.message,
                    }
                    for finding in report.findings
                ],
            }
        )  # fmt: skip
    elif report.findings:
        rows = [[item.what, item.first, item.last, item.where, item.message] for item in report.findings]
        print_table(["what", "from", "to", "where", "message"], rows, right=["from", "to"])
    else:
        more = f"; {report.unsigned} behind them wait to be signed" if report.unsigned else ""
        click.echo(
            f"entries: {report.entries:,}, every one as it was signed; {counted(report.checkpoints, 'checkpoint')} agree, "
            f"{anchors} of them kept elsewhere{more}"
        )
    if report.trust is not None and not as_json:
        click.echo(f"verified against {plain(str(report.trust))}")
    if report.trust is not None and report.trust.is_own_word:
        click.echo(OWN_WORD, err=True)


ledger.add_command(forward)
