"""Segment, usage and epoch rows inside somebody's transaction. For `index.catalog` and its parts only: they decide, this writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from index.environment import ReadTxn, Table, WriteTxn
from index.expiry import ExpiryTally
from index.interned import Interned, InternedText
from index.locks import owe_term
from index.minima import raised_at_entry
from index.rows import (
    CAMERA,
    KEY,
    MAX_SEGMENT_US,
    PENDING_KEY,
    NewRow,
    Place,
    SegmentRow,
    State,
    Usage,
    altered,
    pack_row,
    pack_usage,
    pending_key,
    repack_row,
    segment_key,
    unpack_row,
    unpack_usage,
)
from index.stale import mark_segment
from vault.errors import NotFound
from vault.ids import CameraNumber, SegmentKey
from vault.timebase import MAX_US, Interval, format_local
from vault.trackjson import encode_params


class _Tally:
    """What a transaction changes of the sums over rows, written once at its end: a batch has many rows of few cameras."""

    __slots__ = ("expiry", "txn", "usage")

    def __init__(self, txn: WriteTxn) -> None:
        self.txn = txn
        self.usage: dict[CameraNumber, list[int]] = {}
        self.expiry = ExpiryTally()

    def count(self, row: SegmentRow, sign: int) -> None:
        size = sign * row.size_bytes
        sums = self.usage.get(row.key.camera)
        if sums is None:
            sums = self.usage[row.key.camera] = [0] * 7
        sums[0] += sign
        sums[1] += size
        sums[2] += sign * (row.end_us - row.key.start_us)
        if row.state is not State.COMMITTED:
            sums[3] += sign
            sums[4] += size
        else:
            self.expiry.count(row.min_until_us, row.key.camera, row.key.start_us, sign, row.size_bytes)
        if row.place is Place.SPOOL:
            sums[5] += sign
            sums[6] += size

    def write(self, txn: WriteTxn) -> None:
        for camera, sums in self.usage.items():
            was = usage_of(txn, camera)
            put_usage(
                txn,
                camera,
                replace(
                    was,
                    segments=was.segments + sums[0],
                    size_bytes=was.size_bytes + sums[1],
                    duration_us=was.duration_us + sums[2],
                    doomed_segments=was.doomed_segments + sums[3],
                    doomed_bytes=was.doomed_bytes + sums[4],
                    spool_segments=was.spool_segments + sums[5],
                    spool_bytes=was.spool_bytes + sums[6],
                ),
            )
        self.expiry.write(txn)


class SegmentWriter:
    """Segment rows with what always changes together with them: interned values, the upload list, usage, expiry."""

    def __init__(self) -> None:
        self.params = Interned(Table.PARAMS, 4)
        self.classes = InternedText(Table.CLASSES, 2)
        self._tally: _Tally | None = None

    def _counted(self, txn: WriteTxn) -> _Tally:
        """The tally of this transaction. One transaction at a time: the environment's lock sees to it."""
        if self._tally is None or self._tally.txn is not txn:
            self._tally = _Tally(txn)
            txn.before_commit(self._tally.write)
        return self._tally

    def row(self, txn: ReadTxn, raw_key: bytes, raw: bytes) -> SegmentRow:
        return unpack_row(raw_key, raw, lambda at: self.classes.text(txn, at))

    def get(self, txn: ReadTxn, key: SegmentKey) -> SegmentRow | None:
        """The row of exactly this key, sequence included."""
        raw_key = segment_key(key)
        raw = txn.get(Table.SEGMENTS, raw_key)
        row = None if raw is None else self.row(txn, raw_key, raw)
        return row if row is not None and row.key == key else None

    def objection(self, txn: ReadTxn, new: NewRow) -> str | None:
        """Why the row cannot be written (I3 and the bounds of its fields), None when it can. A repeat is not an objection."""
        duration = new.end_us - new.key.start_us
        if not 0 < duration <= MAX_SEGMENT_US:
            return f"lasts {duration} µs; a segment lasts more than 0 and at most {MAX_SEGMENT_US}"
        if len(new.blake3) != 32 or not 0 < new.tail_bytes < 2**32 or not 0 < new.size_bytes < 2**63 or new.min_until_us < 0:
            return "its hash is not 32 bytes, or a size or time is out of bounds"
        if new.counted_us is not None and not 0 <= new.counted_us <= MAX_US:
            return "its days count from outside the years 1970 to 9999"
        same = txn.get(Table.SEGMENTS, segment_key(new.key))
        if same is not None:
            row = self.row(txn, segment_key(new.key), same)
            if (row.key, row.end_us, row.size_bytes, row.blake3) != (new.key, new.end_us, new.size_bytes, new.blake3):
                return "another segment of this camera, start and epoch is committed already"
            return None
        return self._overlap(txn, new)

    def _overlap(self, txn: ReadTxn, new: NewRow) -> str | None:
        camera, start_us, epoch = new.key.camera, new.key.start_us, new.key.epoch
        longest = unpack_usage(txn.get(Table.USAGE, CAMERA.pack(camera))).longest_us
        # Rows of one epoch do not overlap each other, so the nearest one before and the nearest after decide.
        for raw_key, raw in txn.before(Table.SEGMENTS, KEY.pack(camera, start_us, 0)):
            number, at_us, other = KEY.unpack(raw_key)
            if number != camera or at_us + longest <= start_us:
                break
            if other == epoch:
                end_us = self.row(txn, raw_key, raw).end_us
                if end_us > start_us:
                    return (
                        f"overlaps the segment at {format_local(at_us, exact=True)} of the same epoch by {end_us - start_us} µs"
                    )
                break
        for raw_key, _ in txn.scan(Table.SEGMENTS, KEY.pack(camera, start_us + 1, 0), KEY.pack(camera, new.end_us, 0)):
            at_us, other = KEY.unpack(raw_key)[1:]
            if other == epoch:
                return f"overlaps the segment at {format_local(at_us, exact=True)} of the same epoch by {new.end_us - at_us} µs"
        return None

    def insert(self, txn: WriteTxn, new: NewRow, place: Place) -> bool:
        """Write the row; False when it is there already. The caller has asked `objection`."""
        raw_key = segment_key(new.key)
        if txn.get(Table.SEGMENTS, raw_key) is not None:
            return False
        params_id = self.params.intern(txn, encode_params(new.params))
        row = SegmentRow(
            new.key,
            new.end_us,
            new.size_bytes,
            new.blake3,
            new.tail_bytes,
            params_id,
            new.site_class,
            raised_at_entry(txn, new),
            new.flags,
            place,
            State.COMMITTED,
            new.counted_us,
        )
        self.put(txn, row)
        if place is Place.STORE and row.min_until_us > new.min_until_us:
            # Raised since it was put.
            owe_term(txn, raw_key)
        if place is Place.SPOOL:
            txn.put(Table.PENDING, pending_key(new.key), b"")
        mark_segment(txn, new.key.camera, new.key.start_us)
        widen(txn, new.key.camera, new.key.start_us, new.end_us - new.key.start_us)
        return True

    def put(self, txn: WriteTxn, row: SegmentRow) -> None:
        """A row that is not there yet, written and counted; what follows from it is the caller's."""
        class_id = self.classes.intern(txn, row.site_class.encode()[:64])
        txn.put(Table.SEGMENTS, segment_key(row.key), pack_row(row, class_id))
        self._counted(txn).count(row, 1)

    def change(
        self,
        txn: WriteTxn,
        row: SegmentRow,
        *,
        place: Place | None = None,
        state: State | None = None,
        min_until_us: int | None = None,
        counted_us: int | None = None,
    ) -> SegmentRow:
        """The row in another place or state or with another minimum, counted anew. `counted_us`: what a new minimum counts from."""
        until_us = row.min_until_us if min_until_us is None else min_until_us
        changed = altered(
            row, place or row.place, state or row.state, until_us, row.counted_us if counted_us is None else counted_us
        )  # fmt: skip
        if (changed.place, changed.state, until_us) != (row.place, row.state, row.min_until_us):
            raw_key = segment_key(row.key)
            raw = txn.get(Table.SEGMENTS, raw_key)
            if raw is None:
                raise NotFound(f"{row.key.object_key}: its row went away while it was changed")
            txn.put(Table.SEGMENTS, raw_key, repack_row(raw, changed))
            if until_us > row.min_until_us:
                owe_term(txn, raw_key)
            if changed.place is not row.place:
                self.list_upload(txn, raw_key, changed)
            tally = self._counted(txn)
            tally.count(row, -1)
            tally.count(changed, 1)
            if (changed.place, until_us) != (row.place, row.min_until_us):
                mark_segment(txn, row.key.camera, row.key.start_us)
        return changed

    def remove(self, txn: WriteTxn, row: SegmentRow) -> None:
        txn.delete(Table.SEGMENTS, segment_key(row.key))
        txn.delete(Table.PENDING, pending_key(row.key))
        txn.delete(Table.DOOMED, segment_key(row.key))
        mark_segment(txn, row.key.camera, row.key.start_us)
        self._counted(txn).count(row, -1)

    def list_upload(self, txn: WriteTxn, raw_key: bytes, row: SegmentRow | None) -> None:
        """The list of uploads as this row has it; None: there is no such row."""
        camera, start_us, epoch = KEY.unpack(raw_key)
        listed = PENDING_KEY.pack(start_us, camera, epoch)
        if row is not None and row.place is Place.SPOOL:
            txn.put(Table.PENDING, listed, b"")
        else:
            txn.delete(Table.PENDING, listed)

    def recount(self, txn: WriteTxn, camera: CameraNumber) -> None:
        """The camera's counters as its rows make them; the two bounds only widen."""
        before, made = usage_of(txn, camera), sum_of(txn, camera)
        firsts = [at for at in (before.first_us, made.first_us) if at is not None]
        longest_us = max(before.longest_us, made.longest_us)
        put_usage(txn, camera, replace(made, longest_us=longest_us, first_us=min(firsts, default=None)))

    def rows_over(self, txn: ReadTxn, camera: CameraNumber, interval: Interval) -> Iterator[SegmentRow]:
        """Rows of any state that share an instant with `interval`, in order of start."""
        longest = usage_of(txn, camera).longest_us
        first, stop = KEY.pack(camera, max(0, interval.start_us - longest), 0), KEY.pack(camera, interval.end_us, 0)
        for raw_key, raw in txn.scan(Table.SEGMENTS, first, stop):
            row = self.row(txn, raw_key, raw)
            if row.end_us > interval.start_us:
                yield row


def sum_of(txn: ReadTxn, camera: CameraNumber) -> Usage:
    """The usage that a camera's rows make."""
    segments = SegmentWriter()
    sums: dict[str, int] = defaultdict(int)
    longest, first = 0, None
    for raw_key, raw in txn.scan(Table.SEGMENTS, CAMERA.pack(camera), CAMERA.pack(camera) + b"\xff" * 13):
        row = segments.row(txn, raw_key, raw)
        duration = row.end_us - row.key.start_us
        sums["segments"] += 1
        sums["size_bytes"] += row.size_bytes
        sums["duration_us"] += duration
        if row.state is not State.COMMITTED:
            sums["doomed_segments"] += 1
            sums["doomed_bytes"] += row.size_bytes
        if row.place is Place.SPOOL:
            sums["spool_segments"] += 1
            sums["spool_bytes"] += row.size_bytes
        longest = max(longest, duration)
        first = row.key.start_us if first is None else first
    return Usage(**sums, longest_us=longest, first_us=first)


def usage_of(txn: ReadTxn, camera: CameraNumber) -> Usage:
    return unpack_usage(txn.get(Table.USAGE, CAMERA.pack(camera)))


def put_usage(txn: WriteTxn, camera: CameraNumber, usage: Usage) -> None:
    txn.put(Table.USAGE, CAMERA.pack(camera), pack_usage(usage))


def note_first(txn: WriteTxn, camera: CameraNumber, at_us: int) -> None:
    """From `at_us` on the camera is to record; an earlier moment that is known already stays."""
    widen(txn, camera, at_us, 0)


def widen(txn: WriteTxn, camera: CameraNumber, first_us: int, longest_us: int) -> None:
    """The bounds of the camera's usage, to hold these too."""
    usage = usage_of(txn, camera)
    if usage.first_us is None or first_us < usage.first_us or longest_us > usage.longest_us:
        first = first_us if usage.first_us is None else min(usage.first_us, first_us)
        put_usage(txn, camera, replace(usage, first_us=first, longest_us=max(usage.longest_us, longest_us)))


def epoch_of(txn: ReadTxn, camera: CameraNumber) -> int:
    """The camera's current epoch, 0 when no process ever took it."""
    raw = txn.get(Table.EPOCHS, CAMERA.pack(camera))
    return 0 if raw is None else int(CAMERA.unpack(raw)[0])


def put_epoch(txn: WriteTxn, camera: CameraNumber, epoch: int) -> None:
    txn.put(Table.EPOCHS, CAMERA.pack(camera), CAMERA.pack(epoch))
