"""Removal inside somebody's transaction: holds, doom, spare, deleting, erase. For `index.catalog` only.

It refuses what I4 forbids whatever the caller decided: what is held, what is inside its minimum, what has no minimum yet.
Which segments should go, and when each step may follow the other, is retention's business.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from index.environment import ReadTxn, Table, WriteTxn
from index.gaps import expire, explain
from index.minima import pending_raises, raised
from index.pins import pinning
from index.restoring import keeps_everything
from index.rows import CAMERA, KEY, SegmentRow, State, segment_key
from index.writes import SegmentWriter
from vault.errors import Damaged, UsageError
from vault.ids import CameraNumber, SegmentKey
from vault.media import GapBefore
from vault.timebase import Interval, format_local

BEHIND = b"behind-store"
"""In the meta table: the index was found to be older than its store (`index.behind`)."""

_HOLD_VERSION = 2


@dataclass(frozen=True, slots=True)
class Sentence:
    """Why a segment goes, by which rule, since when; `batch` once its deletion has begun, else empty."""

    at_us: int
    reason: str
    rule: str
    batch: str = ""

    def pack(self) -> bytes:
        return _packed(self)

    @classmethod
    def unpack(cls, raw: bytes) -> Sentence:
        try:
            fields = json.loads(raw)
            return cls(int(fields["at_us"]), str(fields["reason"]), str(fields["rule"]), str(fields["batch"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged("a row of the list of doomed segments cannot be read; run `check`") from error


@lru_cache(maxsize=64)
def _packed(sentence: Sentence) -> bytes:
    """A run has one sentence for thousands of segments."""
    fields = {"at_us": sentence.at_us, "reason": sentence.reason, "rule": sentence.rule, "batch": sentence.batch}
    return json.dumps(fields, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Hold:
    """Footage of this camera and time must not be deleted, before `until_us` where it has one."""

    id: str
    camera: CameraNumber
    interval: Interval
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step did (repeats included) and what it refused, each with why."""

    done: tuple[SegmentKey, ...] = ()
    refused: tuple[tuple[SegmentKey, str], ...] = ()

    @classmethod
    def of(cls, results: Sequence[tuple[SegmentKey, str | None]]) -> Outcome:
        """From each segment's objection, None where there was none."""
        return cls(
            tuple(key for key, why in results if why is None), tuple((key, why) for key, why in results if why is not None)
        )

    def joined(self, other: Outcome) -> Outcome:
        return Outcome(self.done + other.done, self.refused + other.refused)


def put_hold(txn: WriteTxn, hold: Hold) -> None:
    fields = {
        "version": _HOLD_VERSION, "start_us": hold.interval.start_us, "end_us": hold.interval.end_us, "until_us": hold.until_us,
    }  # fmt: skip
    txn.put(Table.HOLDS, CAMERA.pack(hold.camera) + hold.id.encode(), json.dumps(fields, separators=(",", ":")).encode())


def delete_hold(txn: WriteTxn, camera: CameraNumber, hold_id: str) -> bool:
    return txn.delete(Table.HOLDS, CAMERA.pack(camera) + hold_id.encode())


def holds_of(txn: ReadTxn, camera: CameraNumber) -> Iterator[Hold]:
    prefix = CAMERA.pack(camera)
    for raw_key, raw in txn.scan(Table.HOLDS, prefix):
        if not raw_key.startswith(prefix):
            return
        try:
            fields = json.loads(raw)
            interval = Interval(int(fields["start_us"]), int(fields["end_us"]))
            # Version 1 knew no end of a hold.
            until = None if fields["version"] == 1 else fields["until_us"]
            yield Hold(raw_key[4:].decode(), camera, interval, None if until is None else int(until))
        except (ValueError, KeyError, TypeError, UsageError) as error:
            raise Damaged(f"a hold on camera {camera} cannot be read; nothing of it is deleted until it can") from error


def holding(txn: ReadTxn, row: SegmentRow, at_us: int) -> Hold | None:
    """A hold that keeps this segment at `at_us`."""
    return next(
        (
            hold
            for hold in holds_of(txn, row.key.camera)
            if hold.interval.overlaps(row.interval) and (hold.until_us is None or at_us < hold.until_us)
        ),
        None,
    )


def objection_to_all(txn: ReadTxn) -> str | None:
    """Why every segment must stay, None when each is to be asked: what keeps footage may not all be in this index."""
    if txn.get(Table.META, BEHIND) is not None:
        return "the index is older than its store and may have forgotten what keeps it; run `streamvault index rebuild`"
    return keeps_everything(txn)


def objection_to_doom(txn: ReadTxn, row: SegmentRow, now_us: int) -> str | None:
    """Why this segment must stay (I4), None when it may go."""
    unknown = objection_to_all(txn)
    if unknown is not None:
        return unknown
    min_until_us = raised(txn, row)
    if min_until_us == 0:
        return "its minimum is not known yet, which means keep"
    if now_us < min_until_us:
        return f"it is inside its minimum until {format_local(min_until_us)}"
    hold = holding(txn, row, now_us)
    return f"hold {hold.id} keeps it" if hold else None


class Doomer:
    """Committed to doomed, for many rows of one sentence. What keeps a camera's footage is looked up once a transaction: nothing
    else writes meanwhile."""

    def __init__(self, segments: SegmentWriter, sentence: Sentence) -> None:
        self._segments = segments
        self._sentence = sentence
        self._txn: WriteTxn | None = None
        self._unkept: dict[CameraNumber, bool] = {}

    def doom(self, txn: WriteTxn, row: SegmentRow) -> str | None:
        """None, or why not. A repeat keeps the first sentence."""
        if row.state is not State.COMMITTED:
            return None
        if txn is not self._txn:
            self._txn, self._unkept = txn, {}
        unkept = self._unkept.get(row.key.camera)
        if unkept is None:
            unkept = self._unkept[row.key.camera] = _keeps_nothing(txn, row.key.camera)
        if not (unkept and 0 < row.min_until_us <= self._sentence.at_us):
            why_not = objection_to_doom(txn, row, self._sentence.at_us)
            if why_not is not None:
                return why_not
        self._segments.change(txn, row, state=State.DOOMED)
        txn.put(Table.DOOMED, segment_key(row.key), self._sentence.pack())
        return None


def _keeps_nothing(txn: ReadTxn, camera: CameraNumber) -> bool:
    """Whether nothing but its minimum can keep a segment of this camera."""
    if objection_to_all(txn) is not None:
        return False
    return next(holds_of(txn, camera), None) is None and not pending_raises(txn, camera)


def spare(txn: WriteTxn, segments: SegmentWriter, row: SegmentRow) -> str | None:
    """Doomed back to committed; None, or why not."""
    if row.state is State.DELETING:
        return "its deletion has begun"
    if row.state is State.DOOMED:
        segments.change(txn, row, state=State.COMMITTED)
        txn.delete(Table.DOOMED, segment_key(row.key))
    return None


def mark_deleting(txn: WriteTxn, segments: SegmentWriter, row: SegmentRow, batch: str, mono_us: int) -> str | None:
    """Doomed to deleting, unless a hold, a raise or a pin came in between; None, or why not. A repeat must name the same batch.

    What a hold or a raise keeps is spared here too: whoever made it may have been cut short before that. What has expired is
    asked of the moment of the doom, which was a confirmed one.
    """
    raw = txn.get(Table.DOOMED, segment_key(row.key))
    if row.state is State.COMMITTED or raw is None:
        return "it is not doomed"
    sentence = Sentence.unpack(raw)
    if row.state is State.DELETING:
        return None if sentence.batch == batch else f"batch {sentence.batch} is deleting it"
    why_not = objection_to_doom(txn, row, sentence.at_us)
    if why_not is not None:
        spare(txn, segments, row)
        return why_not
    pin = pinning(txn, row, mono_us)
    if pin:
        return f"{pin.owner} is reading it"
    segments.change(txn, row, state=State.DELETING)
    txn.put(Table.DOOMED, segment_key(row.key), replace(sentence, batch=batch).pack())
    return None


def erase(txn: WriteTxn, segments: SegmentWriter, row: SegmentRow) -> str | None:
    """Deleting to gone; its time reads `expired` from now on. None, or why not."""
    if row.state is not State.DELETING:
        return "its deletion has not begun"
    segments.remove(txn, row)
    expire(txn, row.key.camera, row.interval)
    return None


def lose(txn: WriteTxn, segments: SegmentWriter, row: SegmentRow, at_us: int, reason: str | None) -> str | None:
    """A committed row whose bytes are gone, to a gap, or to expired time without a reason; None, or why not."""
    if row.state is not State.COMMITTED:
        return "it is on its way out already"
    hold = holding(txn, row, at_us)
    if hold:
        return f"hold {hold.id} keeps it"
    segments.remove(txn, row)
    if reason is None:
        expire(txn, row.key.camera, row.interval)
    else:
        explain(txn, segments, row.key.camera, GapBefore(row.key.start_us, reason), row.end_us)
    return None


def relist(txn: WriteTxn, segments: SegmentWriter, raw_key: bytes) -> None:
    """What the lists of uploads and removals say of a row, made as the row has it. In doubt it is committed: keep."""
    raw, sentence = txn.get(Table.SEGMENTS, raw_key), txn.get(Table.DOOMED, raw_key)
    row = None if raw is None else segments.row(txn, raw_key, raw)
    if row is not None and row.state is not State.COMMITTED:
        forbidden = sentence is not None and objection_to_doom(txn, row, Sentence.unpack(sentence).at_us) is not None
        if sentence is None or (forbidden and row.state is State.DOOMED):
            row = segments.change(txn, row, state=State.COMMITTED)
    if row is None or row.state is State.COMMITTED:
        txn.delete(Table.DOOMED, raw_key)
    segments.list_upload(txn, raw_key, row)


def doomed_under(txn: ReadTxn, segments: SegmentWriter, hold: Hold) -> list[SegmentRow]:
    """Doomed and deleting rows that the hold covers."""
    found = []
    for raw_key, _ in txn.scan(Table.DOOMED, KEY.pack(hold.camera, 0, 0), KEY.pack(hold.camera, hold.interval.end_us, 0)):
        raw = txn.get(Table.SEGMENTS, raw_key)
        row = None if raw is None else segments.row(txn, raw_key, raw)
        if row is not None and row.end_us > hold.interval.start_us:
            found.append(row)
    return found
