"""The row of a closed segment, from what its own tail says: for whoever takes in an object that no row knows."""

from __future__ import annotations

from index.check_objects import UNKNOWN_HASH, digest_of
from index.rows import NewRow
from vault.errors import Damaged
from vault.ids import SegmentKey
from vault.media import SegmentTable
from vault.retain import counted_us
from vault.segment.read import read_closed, tail_length
from vault.source import ByteSource


def closed_table(key: SegmentKey, source: ByteSource) -> SegmentTable:
    """The tables of a segment that must be this one. Raises Damaged for anything else."""
    table = read_closed(source)
    said = table.info.head.key
    if said != key:
        raise Damaged(f"it says of itself that it is {said.object_key}")
    return table


def closed_row(key: SegmentKey, source: ByteSource, *, hash_bytes: bool = True) -> NewRow:
    """The row that commits it, its hash as of now, for which all of it is read; without `hash_bytes` it is unknown. Raises Damaged."""
    table = closed_table(key, source)
    info = table.info
    return NewRow(
        key,
        info.end_us,
        table.file_size,
        digest_of(source) if hash_bytes else UNKNOWN_HASH,
        tail_length(source),
        tuple(track.params for track in table.tracks),
        info.site_class,
        info.min_until_us,
        info.flags,
        info.head.gap_before,
        counted_us(info.end_us, info.closed_us, info.min_until_us, info.flags),
    )
