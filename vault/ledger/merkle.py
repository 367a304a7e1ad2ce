"""The Merkle tree of RFC 6962 §2.1: hashes, roots, proofs and their verification. Values in, values out.

Nodes are asked for by level and index: the node at level L and index I is the hash over the 2^L leaves from I·2^L on, all of
them there. Whatever else a tree needs is put together from these, at most one a level.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

EMPTY_ROOT = hashlib.sha256().digest()
HASH_BYTES = 32

NodeAt = Callable[[int, int], bytes]
"""The whole node at `level` and `index`."""


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def peaks(node_at: NodeAt, size: int) -> list[bytes]:
    """The roots of the largest whole subtrees of a tree of `size` leaves, the largest first: all that appending needs."""
    found, begin = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            found.append(node_at(level, begin >> level))
            begin += 1 << level
    return found


def root_of_peaks(found: Sequence[bytes]) -> bytes:
    """The root over these peaks."""
    if not found:
        return EMPTY_ROOT
    root = found[-1]
    for left in reversed(found[:-1]):
        root = node_hash(left, root)
    return root


def root(node_at: NodeAt, size: int) -> bytes:
    """The tree's head at `size` leaves (RFC 6962 §2.1)."""
    return root_of_peaks(peaks(node_at, size))


def extend(found: list[bytes], size: int, leaves: Iterable[bytes]) -> list[bytes]:
    """Append leaf hashes to a tree of `size` leaves: `found`, its peaks, become those of the longer one.

    Returns every node that became whole, each leaf followed by the nodes that it completes, lowest first.
    """
    made = []
    for at, node in enumerate(leaves, size):
        made.append(node)
        while at & 1:
            node = node_hash(found.pop(), node)
            made.append(node)
            at >>= 1
        found.append(node)
    return made


def inclusion_proof(node_at: NodeAt, index: int, size: int) -> list[bytes]:
    """The audit path of leaf `index` in the tree of `size` leaves, lowest first (RFC 6962 §2.1.1)."""
    return _path(node_at, index, 0, size)


def consistency_proof(node_at: NodeAt, first: int, second: int) -> list[bytes]:
    """That the tree of `first` leaves is the beginning of the one of `second` (RFC 6962 §2.1.2)."""
    return [] if first == 0 else _subproof(node_at, first, 0, second, True)


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> bool:
    """Whether `path` leads from the leaf to the root (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, node = index, size - 1, leaf
    for other in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            node = node_hash(other, node)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, other)
        at, last = at >> 1, last >> 1
    return last == 0 and node == expected


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether `path` proves the one tree to be the beginning of the other (RFC 9162 §2.1.4.2)."""
    if not 0 <= first <= second:
        return False
    if first in (0, second):
        return not path and first_root == (second_root if first else EMPTY_ROOT)
    # A first tree that is whole is itself the first node of the path.
    nodes = [first_root, *path] if first & (first - 1) == 0 else list(path)
    if not nodes:
        return False
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = nodes[0]
    for other in nodes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(other, old), node_hash(other, new)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, other)
        at, last = at >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _range(node_at: NodeAt, begin: int, end: int) -> bytes:
    """MTH over the leaves [begin, end), where `begin` is a multiple of the least power of two not below their count."""
    count = end - begin
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return node_at(level, begin >> level)
    middle = begin + _split(count)
    return node_hash(_range(node_at, begin, middle), _range(node_at, middle, end))


def _split(count: int) -> int:
    """The greatest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def _path(node_at: NodeAt, index: int, begin: int, end: int) -> list[bytes]:
    if end - begin == 1:
        return []
    middle = begin + _split(end - begin)
    if index < middle:
        return [*_path(node_at, index, begin, middle), _range(node_at, middle, end)]
    return [*_path(node_at, index, middle, end), _range(node_at, begin, middle)]


def _subproof(node_at: NodeAt, first: int, begin: int, end: int, whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962 §2.1.2 over the leaves [begin, end); `first` counts leaves from the tree's beginning."""
    if first == end:
        return [] if whole else [_range(node_at, begin, end)]
    middle = begin + _split(end - begin)
    if first <= middle:
        return [*_subproof(node_at, first, begin, middle, whole), _range(node_at, middle, end)]
    return [*_subproof(node_at, first, middle, end, False), _range(node_at, begin, middle)]
