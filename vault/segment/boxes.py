"""Boxes of the ISO base media file format (ISO/IEC 14496-12 §4.2): writing them, and walking them within bounds.

What a box means does not belong here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from vault.errors import Damaged

MAX_CHILDREN = 1_000
"""More boxes side by side than this are refused: no box of ours holds so many, and a hostile one would only cost time."""

_HEADER = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")


class Span(NamedTuple):
    """A box found: its type, where it begins, where its content begins and where it ends (offsets into the bytes walked)."""

    kind: bytes
    start: int
    body: int
    end: int


_span = tuple.__new__


def box(kind: bytes, *parts: bytes) -> bytes:
    """One box: 32-bit size, type, content."""
    body = b"".join(parts)
    return _HEADER.pack(len(body) + 8, kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """One box with a version and 24 bits of flags (ISO/IEC 14496-12 §4.2.2)."""
    return box(kind, _U32.pack(version << 24 | flags), *parts)


def children(data: bytes, start: int, end: int) -> Iterator[Span]:
    """The boxes side by side in `data[start:end]`, which they must fill exactly. Raises Damaged."""
    at = start
    for _ in range(MAX_CHILDREN + 1):
        if at == end:
            return
        if end - at < 8:
            raise Damaged(f"{end - at} bytes are left over behind the last box at offset {at}")
        size, kind = _HEADER.unpack_from(data, at)
        body = at + 8
        if size == 1 and end - at >= 16:
            (size,) = _LARGE.unpack_from(data, body)
            body += 8
        if size < body - at or size > end - at:
            raise Damaged(f"box {kind!r} at offset {at} says it has {size} bytes; {end - at} are there")
        yield Span(kind, at, body, at + size)
        at += size
    raise Damaged(f"more than {MAX_CHILDREN} boxes side by side at offset {start}")


def by_kind(data: bytes, start: int, end: int) -> dict[bytes, Span]:
    """The boxes in `data[start:end]` by type; the first one where a type occurs twice. Bounds and errors are those of `children`."""
    # A day's clip comes here 10,000 times: a loop of its own, without a generator, takes half as long. Whatever is not a plain
    # box that fits is left to `children`, which knows large ones and says what is wrong.
    found: dict[bytes, Span] = {}
    unpack, at = _HEADER.unpack_from, start
    for _ in range(MAX_CHILDREN):
        if end - at < 8:
            break
        size, kind = unpack(data, at)
        if not 8 <= size <= end - at:
            break
        if kind not in found:
            found[kind] = _span(Span, (kind, at, at + 8, at + size))
        at += size
    if at != end:
        found.clear()
        for span in children(data, start, end):
            found.setdefault(span.kind, span)
    return found


def need(found: dict[bytes, Span], kind: bytes, min_bytes: int) -> Span:
    """The box of this type with at least `min_bytes` of content. Raises Damaged."""
    span = found.get(kind)
    if span is None:
        raise Damaged(f"box {kind!r} is missing")
    if span.end - span.body < min_bytes:
        raise Damaged(
            f"box {kind!r} at offset {span.start} is too short: {span.end - span.body} bytes of content, {min_bytes} needed"
        )
    return span


def u16(data: bytes, at: int) -> int:
    """Unsigned 16 bits, big-endian. The caller has checked that they are there."""
    return data[at] << 8 | data[at + 1]


def u32(data: bytes, at: int) -> int:
    """Unsigned 32 bits, big-endian. The caller has checked that they are there."""
    return int(_U32.unpack_from(data, at)[0])


def u64(data: bytes, at: int) -> int:
    """Unsigned 64 bits, big-endian. The caller has checked that they are there."""
    return int(_U64.unpack_from(data, at)[0])
