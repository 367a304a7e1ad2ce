"""How a closed segment becomes a row, with all that it ends, splits and explains of the gaps. Inside somebody's transaction."""

from __future__ import annotations

from index.environment import WriteTxn
from index.gaps import carve, explain
from index.rows import NewRow, Place
from index.writes import SegmentWriter, epoch_of, put_epoch


def enter(txn: WriteTxn, segments: SegmentWriter, row: NewRow, place: Place, *, live: bool) -> str | None:
    """None when the row is there, by this call or before; else why it cannot be. `live` footage ends the gap that lasts, what
    was found later only splits it. An epoch above the camera's raises it."""
    why = segments.objection(txn, row)
    if why is not None:
        return why
    if row.key.epoch > epoch_of(txn, row.key.camera):
        put_epoch(txn, row.key.camera, row.key.epoch)
    if segments.insert(txn, row, place):
        carve(txn, row.key.camera, row.interval, live=live)
    if row.gap_before is not None:
        explain(txn, segments, row.key.camera, row.gap_before, row.key.start_us)
    return None
