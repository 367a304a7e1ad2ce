"""What a package says, held against itself: manifests, signature, checkpoint, proofs, entries, custody, media. Nothing is read here.

Only the standard library of Python 3.8 may be used here: see `access.package.bundle`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from access.package.verifier.forms import (
    BAGIT,
    CUSTODY,
    MANIFEST,
    MAX_FILES,
    MAYBE_TAGS,
    MEDIA,
    NAME,
    REPORT,
    SIGNATURE,
    TAG_MANIFEST,
    TAGS,
    CannotVerify,
    File,
    Findings,
    dig,
    fingerprint,
    grouped,
    included,
    items,
    leaf_hash,
    parsed,
    public_key,
    read_note,
    signed_by,
)
from access.package.verifier.keys import Span, Untrusted, checkpoint_key, spans_of, trusted

SAID = ("purpose", "why", "case", "destination", "person", "staff_number", "approval_ref")
_LINE = re.compile(r"([0-9a-f]{64})  ([ -~]{1,400})")
_HASH = re.compile(r"[0-9a-f]{64}")
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class Look:
    """One package, read. `facts`: what it says of itself, for people; proven only where nothing was found."""

    def __init__(self, files: dict[str, File], findings: Findings, trust: Iterable[str], succession: bytes) -> None:
        self.facts: dict[str, Any] = {}
        self._files = files
        self._note = findings.note
        self._trusts = frozenset(trust)
        self._succession = succession
        self._root: tuple[int, bytes] | None = None

    def all(self, root: str, time: int) -> None:
        """`root` and `time`: of a .tar; empty and -1 of a folder."""
        payload, tags = self._listed(MANIFEST, payload=True), self._listed(TAG_MANIFEST, payload=False)
        self._compare(payload, tags)
        custody = self._json(CUSTODY)
        self._custody(custody, payload, root, time)
        self._tag_texts(custody, payload)
        try:
            self._signatures()
        except CannotVerify as error:
            self._note("openssl", "", str(error))
        intent, completion = self._entry("proof/intent.json"), self._entry("proof/completion.json")
        approval = self._entry("proof/approval.json") if "proof/approval.json" in self._files else None
        if custody is not None:
            self._agree(custody, intent, completion, approval)

    # Files against the manifests.

    def _text(self, path: str) -> bytes | None:
        """The bytes of a text; None where it lacks, which the manifests say, or is too long to be one."""
        file = self._files.get(path)
        if file is not None and file.data is None:
            self._note("form", path, f"{file.size} bytes are more than it can have")
        return file.data if file else None

    def _listed(self, name: str, *, payload: bool) -> dict[str, str]:
        """The hashes of a manifest (RFC 8493 §2.1.3), by path."""
        found: dict[str, str] = {}
        before, folded = "", set()
        data = self._text(name)
        if data is None:
            if name not in self._files:
                self._note("missing", name, "a package has one")
            return found
        if data.count(b"\n") > MAX_FILES:
            self._note("form", name, f"it has more than {MAX_FILES} lines")
            return found
        lines = data.decode("utf-8", "replace").split("\n")
        if lines.pop() != "":
            self._note("form", name, "its last line has no end")
        for number, line in enumerate(lines, 1):
            match = _LINE.fullmatch(line)
            path = match[2] if match else ""
            if match is None or not NAME.fullmatch(path) or path.startswith("data/") is not payload:
                self._note("form", name, f"line {number} is none that a package has: {line[:100]}")
            elif path in found or path.lower() in folded:
                self._note("duplicate", name, f"line {number}: {path} is there already, in other letters perhaps")
            elif path < before:
                self._note("order", name, f"line {number}: {path} stands behind {before}")
            if match is not None:
                found.setdefault(path, match[1])
                before = path
                folded.add(path.lower())
        return found

    def _compare(self, payload: dict[str, str], tags: dict[str, str]) -> None:
        listed = dict(payload)
        listed.update(tags)
        for path in (CUSTODY, REPORT):
            if path not in payload:
                self._note("missing", MANIFEST, f"it does not list {path}")
        for path in sorted(TAGS - set(tags)):
            self._note("missing", TAG_MANIFEST, f"it does not list {path}")
        for path in sorted(set(tags) - TAGS - MAYBE_TAGS):
            self._note("extra", TAG_MANIFEST, f"it lists {path}, which no package has")
        here = {file.sha256: path for path, file in self._files.items() if path not in listed}
        renamed = set()
        for path in sorted(listed):
            file = self._files.get(path)
            if file is None and listed[path] in here:
                renamed.add(here[listed[path]])
                self._note("renamed", path, f"its bytes are there under another name, {here[listed[path]]}")
            elif file is None:
                self._note("missing", path, "the manifest lists it")
            elif file.sha256 != listed[path]:
                self._note("changed", path, f"its SHA-256 is {file.sha256}, the manifest says {listed[path]}")
        for path in sorted(set(self._files) - set(listed) - renamed - {TAG_MANIFEST, SIGNATURE}):
            self._note("extra", path, "no manifest lists it")
        if SIGNATURE not in self._files:
            self._note("missing", SIGNATURE, "the package is not signed")

    def _tag_texts(self, custody: Any, payload: dict[str, str]) -> None:
        """RFC 8493 §2.1.1 and §2.2.2: what follows from the rest."""
        if self._text("bagit.txt") not in (BAGIT, None):
            self._note("form", "bagit.txt", "it is not the text that BagIt 1.0 demands")
        size = sum(self._files[path].size for path in payload if path in self._files)
        self.facts.update(files=len(payload), bytes=size)
        text, made_us = self._text("bag-info.txt"), dig(custody, "made_us")
        if text is None or type(made_us) is not int:
            return
        lines = {
            "Bag-Software-Agent": dig(custody, "software"),
            "Bagging-Date": moment(made_us)[:10],
            "External-Identifier": dig(custody, "export"),
            "Payload-Oxum": f"{size}.{len(payload)}",
        }
        told = text.decode("utf-8", "replace").split("\n")
        for number, (label, value) in enumerate(lines.items()):
            if number >= len(told) or told[number] != f"{label}: {value}":
                self._note("form", "bag-info.txt", f"line {number + 1} is not {label}: {value}")
        if told[4:] != [""]:
            self._note("form", "bag-info.txt", f"it has {len(told) - 1} lines, a package's has 4")

    # Who signed it.

    def _signatures(self) -> None:
        pem, note = self._text("proof/public.pem"), self._text("proof/checkpoint")
        if pem is None:
            return
        try:
            key = public_key(pem)
        except ValueError:
            self._note("form", "proof/public.pem", "it is no public key of Ed25519 in PEM form")
            return
        self.facts.update(fingerprint=fingerprint(key), trusted=bool(self._trusts))
        listing, signature = self._text(TAG_MANIFEST), self._text(SIGNATURE)
        signed = listing is not None and signature is not None
        if signed and (len(signature or b"") != 64 or not signed_by(key, listing or b"", signature or b"")):
            self._note("signature", SIGNATURE, f"the key in proof/public.pem did not sign {TAG_MANIFEST}")
        if note is None:
            return
        try:
            checkpoint = read_note(note)
        except ValueError:
            self._note("form", "proof/checkpoint", "it is no signed checkpoint")
            return
        self._root = checkpoint.size, checkpoint.root
        self.facts.update(ledger=checkpoint.origin, entries=checkpoint.size, checkpoint=note.decode())
        try:
            spans = self._spans(checkpoint.origin, key)
        except Untrusted as error:
            self._note("key", "proof/keys" if "proof/keys" in self._files else "proof/public.pem", str(error))
            return
        if key not in [span.key for span in spans]:
            self._note("key", "proof/public.pem", f"it is none of the keys of the ledger {checkpoint.origin}")
        maker = checkpoint_key(spans, checkpoint)
        if maker is None:
            self._note("checkpoint", "proof/checkpoint", "the ledger's key did not sign it")
        if self._trusts:
            self._trust(spans, {key, maker or key}, checkpoint.origin)

    def _spans(self, origin: str, key: bytes) -> list[Span]:
        own = self._text("proof/keys") or b""
        if not self._succession:
            return spans_of(origin, own, key)
        # What the receiver has may be longer than what the package was given.
        if not self._succession.startswith(own) and not own.startswith(self._succession):
            raise Untrusted("these keys followed each other otherwise than the succession that is known says")
        return spans_of(origin, max(own, self._succession, key=len), key)

    def _trust(self, spans: list[Span], keys: set[bytes], origin: str) -> None:
        known = trusted(spans, self._trusts)
        for key in sorted(keys - set(known)):
            why = (
                "no key that is trusted vouches for it"
                if known
                else "it is another installation's, or the office has a newer key now: then --succession shows it"
            )
            trust = ", ".join(sorted(map(grouped, self._trusts))[:3])
            self._note("key", "proof/public.pem", f"signed by {origin}, {grouped(fingerprint(key))}, not by {trust}: {why}")

    # What the ledger says.

    def _json(self, path: str) -> Any:
        data = self._text(path)
        try:
            return None if data is None else parsed(data)
        except ValueError as error:
            self._note("form", path, f"it is not the JSON that a package has: {error}")
            return None

    def _entry(self, path: str) -> Any:
        """The ledger's entry of a proof, where it is proven."""
        proof = self._json(path)
        line, index, nodes = dig(proof, "entry"), dig(proof, "index"), items(proof, "path")
        if proof is None or self._root is None:
            return None
        size, root = self._root
        right = (
            isinstance(line, str)
            and type(index) is int
            and len(nodes) < 64
            and set(proof) == {"entry", "index", "size", "path"}
        )
        if not right or not all(isinstance(node, str) and _HASH.fullmatch(node) for node in nodes):
            self._note("form", path, "it is no proof of an entry")
            return None
        if dig(proof, "size") != size:
            self._note(
                "proof",
                path,
                f"it is for a ledger of {shown_number(dig(proof, 'size'))} entries, the checkpoint for one of {size}",
            )
            return None
        if not included(leaf_hash(line.encode("utf-8", "replace")), index, size, map(bytes.fromhex, nodes), root):
            self._note("proof", path, f"the entry that it shows, number {index}, is not in the ledger of the checkpoint")
            return None
        try:
            entry = parsed(line.encode())
        except ValueError:
            entry = None
        if dig(entry, "sequence") != index or dig(entry, "kind") != "export":
            self._note("proof", path, f"entry {index} is no entry of an export")
            return None
        return entry

    def _agree(self, custody: Any, intent: Any, completion: Any, approval: Any) -> None:
        deed = dig(custody, "deed")
        subject = {"export": dig(custody, "export"), "cameras": [dig(one, "number") for one in items(custody, "cameras")]}
        span = {"action": "export", "start_us": dig(custody, "start_us"), "end_us": dig(custody, "end_us"), "refers": deed}
        asked: dict[str, Any] = {name: dig(custody, name) for name in SAID}
        asked.update(span, outcome="asked", authority=dig(custody, "authority"))
        manifest = self._files.get(MANIFEST)
        done = dict(
            span,
            outcome="done",
            sha256=manifest.sha256 if manifest else "",
            bytes=self.facts["bytes"],
            files=self.facts["files"],
        )
        if intent is not None:
            self._fields("proof/intent.json", intent, "", {"id": deed, "actor": dig(custody, "actor")})
            who = {name: dig(custody, name) or None for name in ("unit", "user")}
            self._fields("proof/intent.json", intent, "subject", dict(subject, **who))
            self._fields("proof/intent.json", intent, "body", asked)
        if completion is not None:
            self._fields("proof/completion.json", completion, "subject", subject)
            again = {name: asked[name] for name in SAID if dig(completion, "body", name) is not None}
            self._fields("proof/completion.json", completion, "body", dict(done, **again))
        if approval is not None:
            self._fields("proof/approval.json", approval, "", {"actor": dig(custody, "approver")})
            self._fields("proof/approval.json", approval, "subject", {"export": subject["export"]})
            self._fields("proof/approval.json", approval, "body", {"action": "export", "outcome": "approved"})
        elif dig(custody, "approver") and "proof/approval.json" not in self._files:
            self._note("missing", "proof/approval.json", "the custody names who approved, and nothing proves it")
        self.facts.update({name: dig(custody, name) for name in ("export", "start_us", "end_us", "unit_name", "actor", *SAID)})
        self.facts["cameras"] = [f"{dig(one, 'id')} {dig(one, 'name') or ''}".strip() for one in items(custody, "cameras")]
        sources = [source for one in items(custody, "cameras") for source in items(one, "sources")]
        self.facts["damaged"] = sum(dig(source, "damaged") is True for source in sources)
        self.facts["sequences"] = [dig(entry, "sequence") for entry in (intent, approval, completion) if entry]

    def _fields(self, proof: str, entry: Any, part: str, expected: dict[str, Any]) -> None:
        told = dig(entry, part) if part else entry
        for name, value in expected.items():
            found = dig(told, name)
            if name == "cameras":
                found, value = sorted(map(str, items(told, name))), sorted(map(str, value))
            if type(found) is not type(value) or found != value:
                where = MANIFEST if name in ("sha256", "bytes", "files") else CUSTODY
                self._note("custody", where, f"{name} is {str(found)[:80]!r} in {proof} and {str(value)[:80]!r} in the package")

    # What was taken.

    def _custody(self, custody: Any, payload: dict[str, str], root: str, time: int) -> None:
        if custody is None:
            return
        export, made_us = dig(custody, "export"), dig(custody, "made_us")
        if dig(custody, "format") != 1:
            self._note("form", CUSTODY, "it has another version than this verifier knows")
        if root and root != export:
            self._note("name", "", f"its files are in {root}, and the export is {str(export)[:80]}")
        if time >= 0 and (type(made_us) is not int or time != made_us // 1_000_000):
            self._note("container", "", f"its files' time is {time}, and the package was made at {str(made_us)[:20]} µs")
        named = {}
        for camera in items(custody, "cameras"):
            for told in items(camera, "files"):
                path, file = dig(told, "path"), self._files.get(str(dig(told, "path")))
                if str(path) in named:
                    self._note("duplicate", CUSTODY, f"it names {str(path)[:100]} twice")
                named[str(path)] = told
                if not str(path).startswith(f"{MEDIA}c{dig(camera, 'number')}-"):
                    self._note(
                        "custody", CUSTODY, f"{str(path)[:100]} is not a name of camera {str(dig(camera, 'id'))[:80]}'s files"
                    )
                if payload.get(str(path)) != dig(told, "sha256"):
                    self._note("custody", str(path), "the custody and the manifest have different hashes of it")
                if file is not None and file.size != dig(told, "bytes"):
                    self._note(
                        "custody", str(path), f"it has {file.size} bytes, the custody says {str(dig(told, 'bytes'))[:20]}"
                    )
        for path in sorted(set(payload) - set(named) - {CUSTODY, REPORT}):
            self._note("extra", path, "the custody does not name it")


def shown_number(value: Any) -> str:
    return str(value)[:20]


def moment(at_us: Any) -> str:
    """ISO 8601 in UTC, empty for what is no time."""
    try:
        return (_EPOCH + timedelta(microseconds=at_us)).isoformat(sep=" ", timespec="milliseconds")
    except (OverflowError, TypeError, ValueError):
        return ""
