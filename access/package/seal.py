"""The seal of a package: proofs from the ledger, tag files and the signature over them. Raises OSError; the builder says of what.

Bytes: `access/package/PACKAGE.md`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from access.package.bundle import verifier
from access.package.durable import remove_below
from vault.errors import Busy, Damaged, UsageError
from vault.files import make_folder, replace_file, sync_folder
from vault.ledger.canonical import canonical
from vault.ledger.ledger import Ledger, Proof
from vault.signing.signer import Signer

MANIFEST: Final = "manifest-sha256.txt"
TAG_MANIFEST: Final = "tagmanifest-sha256.txt"
SIGNATURE: Final = TAG_MANIFEST + ".sig"
BAGIT: Final = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
PROOFS: Final = {"asked": "intent", "approved": "approval", "done": "completion"}
"""By the outcome that an entry tells, the name of the file with its proof."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRIES = 100


def prove_together(ledger: Ledger, sequences: Sequence[int]) -> list[Proof]:
    """Proofs of several entries against one checkpoint. Raises what `Ledger.prove` raises."""
    for _ in range(_TRIES):
        proofs = [ledger.prove(sequence) for sequence in sequences]
        # Another process may have appended between two of them.
        if len({proof.signed.note for proof in proofs}) == 1:
            return proofs
    raise Busy("the ledger grows faster than it can be proved; try again")


def proof_json(proof: Proof) -> bytes:
    """`proof/….json`: the entry's line as text, where it stands, and its audit path."""
    return canonical(
        {
            "entry": proof.entry.line.decode(),
            "index": proof.entry.sequence,
            "size": proof.signed.checkpoint.size,
            "path": [node.hex() for node in proof.path],
        }
    )


def seal(package: Path, proofs: Sequence[Proof], signer: Signer, succession: bytes) -> None:
    """See `PackageBuilder.seal`. The signature comes last: without it nothing is a package."""
    custody = json.loads((package / "data" / "custody.json").read_bytes())
    manifest = (package / MANIFEST).read_bytes()
    tags = {
        "bagit.txt": BAGIT,
        "bag-info.txt": _bag_info(package, custody, manifest),
        MANIFEST: manifest,
        "proof/checkpoint": _one_note(proofs),
        "proof/public.pem": signer.public_pem,
        "verify.py": verifier(),
        **_proof_files(proofs),
    }
    if succession:
        tags["proof/keys"] = succession
    listing = "".join(f"{hashlib.sha256(tags[path]).hexdigest()}  {path}\n" for path in sorted(tags)).encode()
    make_folder(package / "proof")
    (package / SIGNATURE).unlink(missing_ok=True)
    for path, data in tags.items():
        if path != MANIFEST:
            replace_file(package / path, data)
    remove_below(package / "proof", {package / path for path in tags})
    replace_file(package / TAG_MANIFEST, listing)
    replace_file(package / SIGNATURE, signer.sign(listing))
    sync_folder(package)


def _one_note(proofs: Sequence[Proof]) -> bytes:
    notes = {proof.signed.note for proof in proofs}
    if len(notes) != 1:
        raise UsageError("the proofs of a package are all against one checkpoint: use prove_together")
    return notes.pop().encode()


def _proof_files(proofs: Sequence[Proof]) -> dict[str, bytes]:
    found = {f"proof/{PROOFS[str(proof.entry.body['outcome'])]}.json": proof_json(proof) for proof in proofs}
    if len(found) != len(proofs) or not {"proof/intent.json", "proof/completion.json"} <= set(found):
        raise UsageError("a package holds the proofs of its intent and completion, and of its approval where there is one")
    return found


def _bag_info(package: Path, custody: dict[str, object], manifest: bytes) -> bytes:
    """RFC 8493 §2.2.2."""
    paths = [line.partition("  ")[2] for line in manifest.decode().splitlines()]
    total = sum((package / path).stat().st_size for path in paths)
    made_us = custody["made_us"]
    if not isinstance(made_us, int):
        raise Damaged(f"{package}: its custody is not the one that was written")
    day = (_EPOCH + timedelta(microseconds=made_us)).date().isoformat()
    lines = {
        "Bag-Software-Agent": custody["software"],
        "Bagging-Date": day,
        "External-Identifier": custody["export"],
        "Payload-Oxum": f"{total}.{len(paths)}",
    }
    return "".join(f"{label}: {value}\n" for label, value in lines.items()).encode()
