"""The file of the tree's nodes, in the order in which they become whole: 32 bytes each, two for an entry on average.

It makes appending and proofs cheap and holds nothing of its own: it is made anew from the entries wherever it does not lead to
a signed root. So it is never synced. Who may write it is decided by whoever holds the ledger's lock.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from vault.files import FILE_MODE, write_all
from vault.ledger.merkle import HASH_BYTES, root


def nodes_before(size: int) -> int:
    """How many nodes are whole in a tree of `size` leaves."""
    return 2 * size - size.bit_count()


def place_of(level: int, index: int) -> int:
    """Where a node stands: behind the last leaf below it, once for each level."""
    return nodes_before(((index + 1) << level) - 1) + level


class HashFile:
    """Open for one piece of work. Raises OSError; EOFError for a node that is not in the file."""

    def __init__(self, path: Path, *, write: bool = True) -> None:
        how = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
        self._fd = os.open(path, how | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._fd)

    def node(self, level: int, index: int) -> bytes:
        return self._read(place_of(level, index), 1)

    def root(self, size: int) -> bytes:
        return root(self.node, size)

    def span(self, first: int, last: int) -> bytes:
        """All nodes that the leaves [first, last) completed, themselves among them."""
        return self._read(nodes_before(first), nodes_before(last) - nodes_before(first))

    def put(self, size: int, made: Sequence[bytes]) -> None:
        """`made`: the nodes that `merkle.extend` made of a tree of `size` leaves. What stood behind it is gone."""
        self.cut(size)
        write_all(self._fd, nodes_before(size) * HASH_BYTES, [b"".join(made)])

    def cut(self, size: int) -> None:
        """Back to a tree of `size` leaves."""
        os.ftruncate(self._fd, nodes_before(size) * HASH_BYTES)

    def _read(self, place: int, count: int) -> bytes:
        data = os.pread(self._fd, count * HASH_BYTES, place * HASH_BYTES)
        if len(data) != count * HASH_BYTES:
            raise EOFError(f"the file of hashes ends before node {place + count}")
        return data


def leaves_of(span: bytes, first: int, last: int) -> list[bytes]:
    """The leaves' own hashes in what `HashFile.span` gave."""
    begin = nodes_before(first)
    offsets = [(nodes_before(leaf) - begin) * HASH_BYTES for leaf in range(first, last)]
    return [span[offset : offset + HASH_BYTES] for offset in offsets]
