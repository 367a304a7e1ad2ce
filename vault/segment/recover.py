"""Closing what a crash left open: a segment's file is cut back to its whole fragments and made a plain MP4.

Every step leaves a file that the next start takes up again; the states stand in FORMAT.md. Whoever calls this owns the
file: nobody else may be writing to it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from vault.errors import Damaged, NotFound, StoreError, StoreFull
from vault.media import SegmentFlag, SegmentInfo, SegmentTable, TrackTable
from vault.retain import Fixed
from vault.segment.boxes import u32
from vault.segment.movie import FREE_HEADER, HEADER_BYTES, HEADER_OFFSET, mdat_header
from vault.segment.private import encode_trailer
from vault.segment.read import Walk, end_of, read_closed, tail_length, walk_fragments
from vault.segment.tables import closing_moov
from vault.segment.walk import Run
from vault.source import ByteSource, FileSource

_PAGE = 4_096

Fix = Callable[[int], Fixed]
"""From where the segment ends: what its close fixes."""


def recover(path: Path, *, closed_us: int, site_class: str, fix: Fix) -> SegmentTable | None:
    """Make a closed segment of the file at `path`, durable when this returns; None when nothing whole is in it and the file may go.

    What a recorder's own close fixed is kept when its closing is whole; else the segment ends with its last whole fragment,
    carries `closed_us`, `site_class`, what `fix` says and RECOVERED. May be repeated at any time.
    Raises Damaged for a file that is no segment, or of another version (it is left as it was); StoreError, StoreFull.
    """
    try:
        with FileSource(path) as source:
            return _recover(path, source, closed_us, site_class, fix)
    except OSError as error:
        kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
        raise kind(f"closing {path} after a crash: {error.strerror}") from error


def _recover(path: Path, source: FileSource, closed_us: int, site_class: str, fix: Fix) -> SegmentTable | None:
    header = source.read(HEADER_OFFSET, HEADER_BYTES) if source.size >= HEADER_OFFSET + HEADER_BYTES else b""
    whole = _Whole(source)
    try:
        table = read_closed(source)
        # While the header is not overwritten nobody has made sure that what the tables speak of reached the disk.
        if header[4:8] != b"mdat" and not whole(table.tracks):
            raise Damaged(f"{path.name} has a closing and not all of the samples that it tells of")
        walk = None
        end_bytes = source.size - tail_length(source)
    except Damaged:
        try:
            walk = walk_fragments(source, whole)
        except NotFound:
            return None
        except Damaged:
            # A power cut may leave a new file its length and none of its bytes.
            if not any(source.read(0, min(source.size, _PAGE))):
                return None
            raise
        if walk.is_empty:
            return None
        end_bytes = walk.end_bytes
    if walk is None and header == mdat_header(end_bytes):
        return table
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if walk is not None:
            _close(fd, header, walk, closed_us, site_class, fix)
        # The header is overwritten only when all that it spans, and the tables behind it, are durable.
        os.fsync(fd)
        _write(fd, mdat_header(end_bytes), HEADER_OFFSET)
        os.fsync(fd)
    finally:
        os.close(fd)
    with FileSource(path) as closed:
        return read_closed(closed)


def _close(fd: int, header: bytes, walk: Walk, closed_us: int, site_class: str, fix: Fix) -> None:
    """Cut off what is torn and append the closing."""
    fixed = fix(end_of(walk))
    flags = walk.head.flags | fixed.flags | SegmentFlag.RECOVERED
    info = SegmentInfo(walk.head, end_of(walk), closed_us, site_class, fixed.min_until_us, flags)
    moov = closing_moov(walk.tracks, info)
    closing = moov + encode_trailer(moov, walk.end_bytes)
    if header != FREE_HEADER:
        # Closed once, and its tail is lost: first back to what an open file looks like.
        _write(fd, FREE_HEADER, HEADER_OFFSET)
        os.fsync(fd)
    os.ftruncate(fd, walk.end_bytes)
    _write(fd, closing, walk.end_bytes)


def _write(fd: int, data: bytes, offset: int) -> None:
    at = 0
    while at < len(data):
        at += os.pwrite(fd, memoryview(data)[at:], offset + at)


class _Whole:
    """Whether the video samples of a fragment, or of all, are chains of NAL units, as written; zeros that a power cut left are none."""

    __slots__ = ("_source",)

    def __init__(self, source: ByteSource) -> None:
        self._source = source

    def __call__(self, runs: Sequence[Run | TrackTable]) -> bool:
        return all(
            self._is_chain(offset, size)
            for run in runs
            if run.params.codec.is_video
            for offset, size in zip(run.offset.tolist(), run.size.tolist(), strict=True)
        )

    def _is_chain(self, offset: int, size: int) -> bool:
        end = offset + size
        while offset < end:
            if end - offset < 5:
                return False
            length = u32(self._source.read(offset, 4), 0)
            if not 0 < length <= end - offset - 4:
                return False
            offset += 4 + length
        return True
