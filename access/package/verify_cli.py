"""The commands `verify` and `verifier`: what the verifier in a package does, and whether this installation's ledger still goes on
from the package; and the verifier as a file of its own.

The looking itself is `access/package/verifier`, and so is what is said of it.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vault.console import Session, json_option, pass_session, plain, print_json, progress, write_output
from vault.errors import Damaged, NotFound, UsageError

if TYPE_CHECKING:
    from access.package.verifier.command import Verdict
    from vault.ledger.ledger import Ledger
    from vault.ledger.succession import Succession
    from vault.ledger.verify_keys import Trust

_DEPTH = 4

OWN_WORD = (
    "nobody but the data folder's ledger itself says that this is the office's key: compare the fingerprint with the one that was "
    "kept elsewhere, or give that one with --key"
)


@click.command()
@click.argument("package", type=click.Path(path_type=Path))
@click.option(
    "--key", "keys", multiple=True, metavar="KEY",
    help="Trust this key only: its fingerprint, or the file with its public key. May be repeated.  [default: those of the data "
    "folder's ledger]",
)  # fmt: skip
@click.option(
    "--succession", type=click.Path(path_type=Path), help="The file that shows how the keys of its office followed each other."
)
@click.option(
    "--password-file", help="Where the password of an encrypted package is; - is standard input. Else it is asked for."
)
@json_option
@pass_session
def verify(
    session: Session, package: Path, keys: tuple[str, ...], succession: Path | None, password_file: str | None, as_json: bool
) -> int:
    """Verify a package that was handed out: a folder, a .tar, or a .tar.enc.

    As verify.py in the package does. Beside the data folder it came from, whether the ledger still holds what it held then, and
    which key was trusted on whose word. No private key is needed.
    Exit code 8 for a package that was damaged or changed, 4 for one of another installation, 7 where it could not be looked at.
    """
    from access.package.verifier.command import NoPassword, ask, content, examine, told, trusted_key

    try:
        trust = {trusted_key(text) for text in keys}
        known = content(str(succession)) if succession else b""
    except (OSError, ValueError) as error:
        raise UsageError(
            str(error) if isinstance(error, ValueError) else f"what --key or --succession names cannot be read: {error}"
        ) from None
    ledger, word = _own_ledger(session), None
    if ledger is not None and not trust:
        own = ledger.succession()
        word = _word(own, ledger)
        trust = {span.public.fingerprint for span in own.spans}
        known = known or own.note.encode()
    lock = threading.Lock()
    with progress(session, "verifying", _bytes(package)) as line:

        def more(count: int) -> None:
            with lock:
                line.advance(count)

        try:
            verdict = examine(str(package), trust, lambda: ask(password_file), more, known)
        except NoPassword as error:
            raise UsageError(str(error)) from None
    if ledger is not None:
        verdict = _grown(verdict, ledger)
    document, lines = verdict.document(), told(verdict, str(package))
    if word is not None:
        document["verified_against"] = {"fingerprint": word.fingerprint, "word_of": word.source, "where": word.where}
        lines.append(f"所信任的公钥 trusted: {plain(str(word))}")
    if as_json:
        print_json(document)
    else:
        click.echo("\n".join(lines))
    if word is not None and word.is_own_word:
        click.echo(OWN_WORD, err=True)
    return verdict.exit_code


def _own_ledger(session: Session) -> Ledger | None:
    """The ledger of the data folder, where there is one with an entry. Raises what opening it raises."""
    from vault.datafolder import DataFolder
    from vault.ledger.ledger import Ledger

    try:
        folder = DataFolder.open(session.data_path)
    except NotFound:
        if session.data is not None:
            raise
        return None
    ledger = Ledger(folder.ledger, folder.signing_keys(session.config(folder)), session.clock)
    return None if ledger.newest() is None else ledger


def _word(own: Succession, ledger: Ledger) -> Trust:
    """Whose word it is that these are the ledger's keys."""
    from vault.ledger.verify_keys import trust_in

    word, vouched = trust_in(own, ledger.keys.held(), ())
    return word if vouched else trust_in(own, (), ())[0]


def _grown(verdict: Verdict, ledger: Ledger) -> Verdict:
    """With what this installation's ledger says of the package's checkpoint; another ledger's is not its to judge."""
    from access.package.verifier.forms import Finding
    from vault.ledger.checkpoint import parse_note

    try:
        signed = parse_note(str(verdict.facts.get("checkpoint", "")))
    except Damaged:
        return verdict
    newest = ledger.newest()
    if newest is None or signed.checkpoint.origin != newest.checkpoint.origin:
        return verdict
    try:
        ledger.prove_growth(signed.checkpoint)
    except (Damaged, NotFound) as error:
        return verdict._replace(findings=[*verdict.findings, Finding("ledger", "", str(error))])
    return verdict


def _bytes(package: Path) -> int | None:
    """How much there is to read, as far as it can be told."""
    try:
        if not package.is_dir():
            return package.stat().st_size
        size, folders = 0, [(package, 1)]
        while folders:
            folder, depth = folders.pop()
            with os.scandir(folder) as entries:
                for entry in entries:
                    size += entry.stat(follow_symlinks=False).st_size
                    # No package has more; of folders in folders without end the verifier says what is wrong.
                    if depth < _DEPTH and entry.is_dir(follow_symlinks=False):
                        folders.append((Path(entry.path), depth + 1))
        return size
    except OSError:
        return None


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The file to write.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def verifier(output: Path, force: bool) -> None:
    """Write verify.py, for whoever receives packages, and show its SHA-256.

    Hand it over by itself, with the fingerprint that `key show` shows: the copy in a package comes from whoever packed it.
    """
    import hashlib

    from access.package.bundle import verifier as joined

    data = joined()
    write_output(output, data, replace=force)
    click.echo(f"{output}: SHA-256 {hashlib.sha256(data).hexdigest()}")


COMMANDS: tuple[click.Command, ...] = (verify, verifier)
