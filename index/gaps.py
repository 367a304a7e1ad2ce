"""Gap rows inside somebody's transaction: opened, closed, split and trimmed by footage. They never overlap each other.

A gap that lasts has an open end. Live footage that begins at or after its start ends it; footage found later (an adopted
spool file) only splits it, because it says nothing about now. For `index.catalog` only.
"""

from __future__ import annotations

from index.environment import ReadTxn, Table, WriteTxn
from index.rows import MOMENT, GapRow, pack_gap, unpack_gap
from index.stale import mark_time
from index.writes import SegmentWriter, note_first
from vault.ids import CameraNumber
from vault.media import GapBefore
from vault.timebase import MAX_US, Interval, subtract

COVER_TOLERANCE_US = 1_000
"""Shorter holes are rounding, not loss: no camera sends frames a millisecond apart."""


def gaps_over(txn: ReadTxn, camera: CameraNumber, start_us: int, end_us: int) -> list[GapRow]:
    """Gap rows that share an instant with the range, in order, not clipped."""
    found: list[GapRow] = []
    before = txn.last_before(Table.GAPS, MOMENT.pack(camera, start_us))
    if before is not None and MOMENT.unpack(before[0])[0] == camera:
        gap = unpack_gap(*before)
        if gap.end_us is None or gap.end_us > start_us:
            found.append(gap)
    found.extend(unpack_gap(*item) for item in txn.scan(Table.GAPS, MOMENT.pack(camera, start_us), MOMENT.pack(camera, end_us)))
    return found


def lasting_gap(txn: ReadTxn, camera: CameraNumber) -> GapRow | None:
    """The gap that is open now. It is the camera's last one: nothing is written behind an open end."""
    last = txn.last_before(Table.GAPS, MOMENT.pack(camera, MAX_US + 1))
    if last is None or MOMENT.unpack(last[0])[0] != camera:
        return None
    gap = unpack_gap(*last)
    return gap if gap.end_us is None else None


def open_gap(txn: WriteTxn, segments: SegmentWriter, camera: CameraNumber, start_us: int, reason: str) -> None:
    """From `start_us` on nothing is recorded. The same reason again changes nothing; another one splits at `start_us`."""
    note_first(txn, camera, start_us)
    lasting = lasting_gap(txn, camera)
    if lasting is not None:
        if lasting.reason == reason:
            return
        start_us = max(start_us, lasting.start_us)
        put_gap(txn, camera, GapRow(lasting.start_us, start_us, lasting.reason))
    for piece in _unexplained(txn, segments, camera, Interval(start_us, MAX_US)):
        put_gap(txn, camera, GapRow(piece.start_us, None if piece.end_us == MAX_US else piece.end_us, reason))


def close_gap(txn: WriteTxn, camera: CameraNumber, end_us: int) -> GapRow | None:
    """End the gap that lasts; None when none does. One that would end before it began is taken back."""
    lasting = lasting_gap(txn, camera)
    if lasting is None:
        return None
    closed = GapRow(lasting.start_us, max(end_us, lasting.start_us), lasting.reason)
    put_gap(txn, camera, closed)
    return closed


def carve(txn: WriteTxn, camera: CameraNumber, footage: Interval, *, live: bool) -> None:
    """Take the footage's time out of the gap rows."""
    for gap in gaps_over(txn, camera, footage.start_us, footage.end_us):
        _delete(txn, camera, gap)
        put_gap(txn, camera, GapRow(gap.start_us, footage.start_us, gap.reason))
        ended = live and gap.end_us is None and footage.start_us >= gap.start_us
        if not ended and (gap.end_us is None or gap.end_us > footage.end_us):
            put_gap(txn, camera, GapRow(footage.end_us, gap.end_us, gap.reason))


def explain(txn: WriteTxn, segments: SegmentWriter, camera: CameraNumber, before: GapBefore, end_us: int) -> None:
    """Write down a gap that is over, as far as neither footage nor another gap row accounts for it."""
    if before.start_us < end_us:
        note_first(txn, camera, before.start_us)
        for piece in _unexplained(txn, segments, camera, Interval(before.start_us, end_us)):
            put_gap(txn, camera, GapRow(piece.start_us, piece.end_us, before.reason))


def expired_over(txn: ReadTxn, camera: CameraNumber, start_us: int, end_us: int) -> list[Interval]:
    """Time whose footage was erased, as far as it shares an instant with the range; not clipped."""
    found: list[Interval] = []
    before = txn.last_before(Table.EXPIRED, MOMENT.pack(camera, start_us))
    items = [before] if before is not None else []
    items.extend(txn.scan(Table.EXPIRED, MOMENT.pack(camera, start_us), MOMENT.pack(camera, end_us)))
    for raw_key, raw in items:
        number, from_us = MOMENT.unpack(raw_key)
        until_us = int.from_bytes(raw, "little")
        if number == camera and until_us > start_us:
            found.append(Interval(from_us, until_us))
    return found


def expire(txn: WriteTxn, camera: CameraNumber, interval: Interval, *, told: bool = False) -> None:
    """Remember that footage of this time was erased, in one row with the erased time that it touches. `told`: its manifest says
    the same."""
    start_us, end_us = interval.start_us, interval.end_us
    near = expired_over(txn, camera, max(0, start_us - COVER_TOLERANCE_US - 1), min(MAX_US, end_us + COVER_TOLERANCE_US + 1))
    for old in near:
        start_us, end_us = min(start_us, old.start_us), max(end_us, old.end_us)
        txn.delete(Table.EXPIRED, MOMENT.pack(camera, old.start_us))
        mark_time(txn, camera, old.start_us)
    if near or not told:
        mark_time(txn, camera, start_us)
    txn.put(Table.EXPIRED, MOMENT.pack(camera, start_us), end_us.to_bytes(8, "little"))


def _unexplained(txn: ReadTxn, segments: SegmentWriter, camera: CameraNumber, range_: Interval) -> list[Interval]:
    known = [row.interval for row in segments.rows_over(txn, camera, range_)]
    known.extend(expired_over(txn, camera, range_.start_us, range_.end_us))
    known.extend(
        Interval(gap.start_us, MAX_US if gap.end_us is None else gap.end_us)
        for gap in gaps_over(txn, camera, range_.start_us, range_.end_us)
    )
    return subtract(range_, known)


def put_gap(txn: WriteTxn, camera: CameraNumber, gap: GapRow, *, told: bool = False) -> None:
    """Write the gap, or wipe the row of its start when nothing of it is left. `told`: its manifest says the same."""
    if gap.end_us is not None and gap.end_us <= gap.start_us:
        _delete(txn, camera, gap)
        return
    if not told:
        mark_time(txn, camera, gap.start_us)
    txn.put(Table.GAPS, MOMENT.pack(camera, gap.start_us), pack_gap(gap.end_us, gap.reason))


def _delete(txn: WriteTxn, camera: CameraNumber, gap: GapRow) -> None:
    if txn.delete(Table.GAPS, MOMENT.pack(camera, gap.start_us)):
        mark_time(txn, camera, gap.start_us)
