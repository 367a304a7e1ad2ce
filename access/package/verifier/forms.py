"""What the verifier knows of a package's bytes: names, .tar headers, JSON, keys, signatures, proofs. Files are read elsewhere.

Only the standard library of Python 3.8 may be used here: see `access.package.bundle`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable
from typing import Any, NamedTuple

MAX_FILES = 100_000
MAX_LIST_BYTES = 64 * 1024 * 1024
MAX_TEXT_BYTES = 4 * 1024 * 1024
MAX_GROUPS = 700_000
MAX_COMMAS = 3_000_000
MAX_FINDINGS = 100
PIECE_BYTES = 1024 * 1024
MANIFEST = "manifest-sha256.txt"
TAG_MANIFEST = "tagmanifest-sha256.txt"
SIGNATURE = "tagmanifest-sha256.txt.sig"
CUSTODY = "data/custody.json"
REPORT = "data/report.html"
MEDIA = "data/media/"
BAGIT = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
TAGS = frozenset(
    {"bagit.txt", "bag-info.txt", MANIFEST, "verify.py"}
    | {"proof/checkpoint", "proof/public.pem", "proof/intent.json", "proof/completion.json"}
)
MAYBE_TAGS = frozenset({"proof/approval.json", "proof/keys"})
TEXTS = (TAGS | MAYBE_TAGS | {TAG_MANIFEST, SIGNATURE, CUSTODY}) - {"verify.py"}
LISTS = frozenset({MANIFEST, TAG_MANIFEST, CUSTODY})
TAR_END = bytes(1024)

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}"
NAME = re.compile(rf"(?:{_PART}/){{0,3}}{_PART}")
_NOTE = re.compile(
    r"(([!-*,-~]{1,100})\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n[^\n]{1,80}\n)"
    r"\n\u2014 ([!-*,-~]{1,100}) ([A-Za-z0-9+/]{91}=)\n"
)
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/]{59}=)\n-----END PUBLIC KEY-----\n")
# RFC 8410 §4: what stands before the 32 bytes of an Ed25519 key.
_SPKI = bytes.fromhex("302a300506032b6570032100")
# RFC 8032 §7.1, test 2: whoever can verify Ed25519 says yes to it.
_KNOWN = (
    bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
    b"\x72",
    bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    ),
)


class CannotVerify(Exception):
    """`openssl` is missing or too old."""


class Finding(NamedTuple):
    """`kind`: what is wrong, one of `KINDS`; `where`: a file of the package, empty for the whole; `message`: exactly what."""

    kind: str
    where: str
    message: str


class Findings:
    """What is wrong with one package, in the order in which it was found; at most so many."""

    def __init__(self) -> None:
        self.all: list[Finding] = []

    def note(self, kind: str, where: str, message: str) -> None:
        if len(self.all) < MAX_FINDINGS:
            self.all.append(Finding(kind, shown(where), shown(message)))


class File(NamedTuple):
    """A file that was read. `data`: of a text, None of anything else and of one that is too long."""

    size: int
    sha256: str
    data: bytes | None


class Checkpoint(NamedTuple):
    """A ledger's size and root, and who says so. `text`: what is signed."""

    origin: str
    size: int
    root: bytes
    text: bytes
    key_name: bytes
    signature: bytes


def shown(text: object) -> str:
    """Text from a package as it may stand on a terminal, in a log, on one line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(text)[:300])


def is_text(path: str, size: int) -> bool:
    """Whether the bytes of that file are looked at, and not only their hash."""
    return path in TEXTS and size <= (MAX_LIST_BYTES if path in LISTS else MAX_TEXT_BYTES)


def tar_header(name: str, size: int, time: int) -> bytes:
    """The one header that a file has in a package's .tar: POSIX ustar; sizes from 8 GiB on in base 256, as GNU and others do.

    Raises ValueError for a name that no package has, OverflowError for a size or time beyond all.
    """
    raw, prefix = name.encode("ascii"), b""
    if len(raw) > 100:
        cut = raw.index(b"/", len(raw) - 101)
        raw, prefix = raw[cut + 1 :], raw[:cut]
    if len(prefix) > 155 or not 0 <= time < 1 << 33:
        raise ValueError("too long")
    length = b"%011o\0" % size if size < 1 << 33 else b"\x80" + size.to_bytes(11, "big")
    zero = b"0000000\0"
    head = raw.ljust(100, b"\0") + b"0000644\0" + zero + zero + length + b"%011o\0" % time
    tail = b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + zero + zero + prefix.ljust(155, b"\0") + bytes(12)
    return head + b"%06o\0 " % (sum(head) + 8 * 32 + sum(tail)) + tail


def read_header(block: bytes) -> tuple[str, int, int]:
    """Name, size and time. Raises ValueError for a block that `tar_header` does not write."""
    name = (block[345:500].rstrip(b"\0") + b"/" + block[:100].rstrip(b"\0")).lstrip(b"/").decode("ascii")
    size = int.from_bytes(block[125:136], "big") if block[124:125] == b"\x80" else int(block[124:135], 8)
    time = int(block[136:147], 8)
    if size < 0 or size >= 1 << 63 or tar_header(name, size, time) != block:
        raise ValueError("another header")
    return name, size, time


def parsed(data: bytes) -> Any:
    """Canonical JSON (RFC 8785 without fractions). Raises ValueError for any other text."""

    def number(text: str) -> int:
        if len(text) > 17:
            raise ValueError("too long a number")
        return int(text)

    def refused(text: str) -> None:
        raise ValueError("a number that no package has")

    # A text of some MB could else be told to become some GB of lists.
    if data.count(b"{") + data.count(b"[") > MAX_GROUPS or data.count(b",") > MAX_COMMAS:
        raise ValueError("more in it than a package has")
    try:
        value = json.loads(data.decode(), parse_int=number, parse_float=refused, parse_constant=refused)
        again = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except RecursionError:
        raise ValueError("nested too deep") from None
    if again != data:
        raise ValueError("not in canonical form")
    return value


def dig(value: Any, *names: str) -> Any:
    """A field of a field; None where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def items(value: Any, name: str) -> list[Any]:
    """A field that is a list; empty where there is none."""
    found = dig(value, name)
    return found if isinstance(found, list) else []


def leaf_hash(line: bytes) -> bytes:
    return hashlib.sha256(b"\0" + line).digest()


def included(node: bytes, index: int, size: int, path: Iterable[bytes], root: bytes) -> bool:
    """Whether the audit path leads from the leaf's hash to the root (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last = index, size - 1
    for other in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            node = hashlib.sha256(b"\1" + other + node).digest()
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\1" + node + other).digest()
        at, last = at >> 1, last >> 1
    return last == 0 and node == root


def read_note(data: bytes) -> Checkpoint:
    """A signed checkpoint (C2SP tlog-checkpoint). Raises ValueError."""
    match = _NOTE.fullmatch(data.decode()) if len(data) < 1024 else None
    if match is None or match[2] != match[5]:
        raise ValueError("no checkpoint")
    root, signature = base64.b64decode(match[4]), base64.b64decode(match[6])
    # Base64 has several spellings of the same bytes; one of them is ours.
    if base64.b64encode(root).decode() != match[4] or base64.b64encode(signature).decode() != match[6]:
        raise ValueError("no checkpoint")
    return Checkpoint(match[2], int(match[3]), root, match[1].encode(), signature[:4], signature[4:])


def public_key(pem: bytes) -> bytes:
    """The 32 bytes of a key in PEM form. Raises ValueError."""
    match = _PEM.fullmatch(pem)
    raw = base64.b64decode(match[1]) if match else b""
    if raw[:12] != _SPKI or len(raw) != 44:
        raise ValueError("no public key of Ed25519")
    return raw[12:]


def fingerprint(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


def grouped(print_: str) -> str:
    """A fingerprint as people compare it."""
    return " ".join(print_[at : at + 4] for at in range(0, len(print_), 4))


def signed_by(key: bytes, data: bytes, signature: bytes) -> bool:
    """Whether the key's owner signed exactly that (Ed25519, RFC 8032). Raises CannotVerify."""
    try:
        able = _openssl_can()
        right = able and _openssl_says(key, data, signature)
    except OSError as error:
        raise CannotVerify(f"the command openssl cannot be run: {error.strerror}") from None
    if not able:
        raise CannotVerify("this openssl cannot verify Ed25519: version 3.0 or newer is needed")
    return right


@functools.lru_cache
def _openssl_can() -> bool:
    key, data, signature = _KNOWN
    # One that says yes to everything cannot either.
    return _openssl_says(key, data, signature) and not _openssl_says(key, b"\x73", signature)


def _openssl_says(key: bytes, data: bytes, signature: bytes) -> bool:
    pem = b"-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n" % base64.b64encode(_SPKI + key)
    call = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key", "-in", "data", "-sigfile", "signature"]
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        for name, content in (("key", pem), ("data", data), ("signature", signature)):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        nothing = subprocess.DEVNULL
        return subprocess.run(call, cwd=folder, stdin=nothing, stdout=nothing, stderr=nothing, check=False).returncode == 0
