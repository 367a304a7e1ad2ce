"""Small real segments for the machine of retention: closed ones by what their close fixed, and open ones that a crash left."""

from __future__ import annotations

import os

from tests.support.index_vault import ALAW
from vault.ids import SegmentKey
from vault.media import SegmentFlag as Flag
from vault.media import SegmentHead, SegmentInfo
from vault.segment.build import SegmentBuilder, TrackRun
from vault.spool import Spool, append


def closed_bytes(
    key: SegmentKey, size: int, *, end_us: int, closed_us: int, site_class: str, until_us: int, flags: Flag
) -> bytes:
    """A closed segment with one sample of so many bytes."""
    builder, head, data = _begun(key, size)
    data += builder.closing(SegmentInfo(head, end_us, closed_us, site_class, until_us, flags), [size])
    offset, header = builder.mdat_header()
    return data[:offset] + header + data[offset + len(header) :]


def leave_open(spool: Spool, key: SegmentKey, size: int) -> None:
    """As a recorder leaves a file that is killed after its first fragment."""
    fd = spool.create(key)
    append(fd, 0, [_begun(key, size)[2]])
    os.close(fd)


def _begun(key: SegmentKey, size: int) -> tuple[SegmentBuilder, SegmentHead, bytes]:
    head = SegmentHead(key, f"cam-{key.camera}", 0.0, None, Flag.NONE)
    builder = SegmentBuilder(head, [ALAW])
    data = builder.opening()
    return builder, head, data + builder.fragment([TrackRun(0, [0], None, [size], None)]) + bytes([0xD5]) * size
