"""Long lists that entries of the ledger refer to by their hash: the object keys of a deleted batch.

A list is text, a line each, in the order of its bytes; it is named by the SHA-256 of that text and kept compressed (gzip, which
`zcat` reads). It is durable before the entry that names it, and an entry stands for exactly that list.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vault.errors import Damaged, NotFound, UsageError
from vault.files import make_folder, store_error, sync_folder, write_new_file
from vault.ledger.canonical import Value

MAX_LINES = 100_000
MAX_BYTES = 32 * 1024 * 1024
_NAME = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ListRef:
    """What an entry says of a list: the hash of its text, and how many lines it has."""

    sha256: str
    count: int

    @property
    def value(self) -> dict[str, Value]:
        """As it stands in an entry's body, under `list`."""
        return {"sha256": self.sha256, "count": self.count}


def write_list(folder: Path, lines: Iterable[str]) -> ListRef:
    """Keep a list beside the ledger in `folder`, durable; the same lines again change nothing. Raises UsageError, StoreFull,
    StoreError."""
    ordered = sorted(line.encode() for line in lines)
    text = b"".join(line + b"\n" for line in ordered)
    if len(ordered) > MAX_LINES or len(text) > MAX_BYTES or text.count(b"\n") != len(ordered):
        raise UsageError(
            f"a list of the ledger has at most {MAX_LINES} lines and {MAX_BYTES} bytes, and no line break in a line"
        )
    ref = ListRef(hashlib.sha256(text).hexdigest(), len(ordered))
    path = _path(folder, ref.sha256)
    try:
        for part in (folder, folder / "lists", path.parent):
            if not part.is_dir():
                make_folder(part)
                sync_folder(part.parent)
        # No time in it, so that the same list is the same file.
        with contextlib.suppress(FileExistsError):
            write_new_file(path, gzip.compress(text, mtime=0))
    except OSError as error:
        raise store_error(f"keeping a list of {ref.count} lines beside the ledger {folder}", error) from error
    return ref


def read_list(folder: Path, sha256: str) -> list[str]:
    """The lines of a list. Raises NotFound, Damaged, StoreError."""
    if not _NAME.fullmatch(sha256):
        raise Damaged(f"{sha256[:80]!r} does not name a list of the ledger")
    path = _path(folder, sha256)
    try:
        with gzip.open(path) as file:
            text = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"{path}: a list of the ledger is missing") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise Damaged(f"{path}: a list of the ledger cannot be read") from None
    except OSError as error:
        raise store_error(f"reading the list {path}", error) from error
    if hashlib.sha256(text).hexdigest() != sha256:
        raise Damaged(f"{path}: a list of the ledger was changed")
    return text.decode().splitlines()


def _path(folder: Path, sha256: str) -> Path:
    return folder / "lists" / sha256[:2] / f"{sha256}.gz"
