"""From a time to the segments that hold it, and a camera's time as runs, gaps and expired stretches. Reads only.

Read transactions are short: a long range is read in pieces, each from its own snapshot. Doomed rows are not seen.
Where footage of two epochs overlaps, the runs are one.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from index.environment import Environment, ReadTxn, Table
from index.gaps import COVER_TOLERANCE_US, expired_over, gaps_over
from index.rows import KEY, ROW, SegmentRow, State, short_rows
from index.writes import SegmentWriter, usage_of
from vault.ids import CameraNumber
from vault.timebase import MAX_US, Interval, subtract, union

UNKNOWN: Final = "unknown"
"""The reason of time without footage that no gap row explains."""

_PIECE_ROWS = 20_000
_KEYS = np.dtype([("camera", ">u4"), ("start", ">u8"), ("epoch", ">u4")])
_ROWS = np.dtype(
    {
        "names": ["state", "duration", "size"],
        "formats": ["u1", "<u4", "<u8"],
        "offsets": [1, 12, 24],
        "itemsize": ROW.size,
    }
)
_COMMITTED = int(State.COMMITTED)
_GLANCE = struct.Struct("<xB10xI")
"""State and duration of a row."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Time without footage inside the range that was asked for, and why. `lasting`: its end is only the range's end."""

    start_us: int
    end_us: int
    reason: str
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """A camera's range, taken apart: nothing of it is in two lists, and from the first recording on nothing in none."""

    runs: tuple[Interval, ...]
    gaps: tuple[Gap, ...]
    expired: tuple[Interval, ...]


class Timeline:
    """Over one environment; cheap to make, thread-safe as the environment is."""

    def __init__(self, environment: Environment) -> None:
        self._env = environment
        self._segments = SegmentWriter()

    def find(self, camera: CameraNumber, at_us: int) -> SegmentRow | None:
        """The segment that holds this instant; where several do, the one that began last."""
        key = KEY.pack(camera, at_us + 1, 0)
        with self._env.read() as txn:
            item = txn.last_before(Table.SEGMENTS, key)
            if item is None:
                return None
            # Nearly always the segment that began last is the one, and then nothing else is looked at.
            row = self._segments.row(txn, *item)
            if row.end_us > at_us and row.key.camera == camera and row.state is State.COMMITTED:
                return row
            oldest_us = at_us - usage_of(txn, camera).longest_us
            for earlier in txn.before(Table.SEGMENTS, item[0]):
                number, start_us, _ = KEY.unpack(earlier[0])
                if number != camera or start_us < oldest_us:
                    break
                if _holds(earlier, camera, at_us):
                    return self._segments.row(txn, *earlier)
        return None

    def nearest(self, camera: CameraNumber, interval: Interval) -> tuple[int | None, int | None]:
        """Where committed footage ends before a range that has none, and where it begins again; None where it does not."""
        begin, end = KEY.pack(camera, interval.start_us, 0), KEY.pack(camera, interval.end_us, 0)
        with self._env.read() as txn:
            earlier = (_span(item) for item in txn.before(Table.SEGMENTS, begin) if _is_seen(item))
            later = (_span(item) for item in txn.scan(Table.SEGMENTS, end, KEY.pack(camera + 1, 0, 0)) if _is_seen(item))
            number, _, before_us = next(earlier, (0, 0, 0))
            after = next(later, None)
        return before_us if number == camera else None, after[1] if after else None

    def last_end_us(self, camera: CameraNumber) -> int | None:
        """Where the camera's newest segment ends, whatever its state; None when it has none."""
        with self._env.read() as txn:
            last = txn.last_before(Table.SEGMENTS, KEY.pack(camera, 2**64 - 1, 2**32 - 1))
            row = None if last is None else self._segments.row(txn, *last)
        return row.end_us if row is not None and row.key.camera == camera else None

    def span(self, camera: CameraNumber, interval: Interval) -> list[SegmentRow]:
        """Every segment that shares an instant with the range, by start, then epoch."""
        found: list[SegmentRow] = []
        at = self._first_key(camera, interval)
        while at is not None:
            with self._env.read() as txn:
                items, at = _piece(txn, at, KEY.pack(camera, interval.end_us, 0))
                rows = (self._segments.row(txn, raw_key, raw) for raw_key, raw in items)
                found.extend(row for row in rows if row.state is State.COMMITTED and row.end_us > interval.start_us)
        return found

    def weights(self, camera: CameraNumber, interval: Interval) -> npt.NDArray[np.int64]:
        """Start, end and bytes of each segment that shares an instant with the range: three rows of one column each segment."""
        found = [np.zeros((3, 0), dtype=np.int64)]
        at = self._first_key(camera, interval)
        while at is not None:
            with self._env.read() as txn:
                items, at = _piece(txn, at, KEY.pack(camera, interval.end_us, 0))
            if items:
                starts = np.frombuffer(b"".join(item[0] for item in items), _KEYS)["start"].astype(np.int64)
                rows = np.frombuffer(short_rows([item[1] for item in items]), _ROWS)
                all_three = np.stack([starts, starts + rows["duration"], rows["size"].astype(np.int64)])
                found.append(all_three[:, (rows["state"] == _COMMITTED) & (all_three[1] > interval.start_us)])
        return np.concatenate(found, axis=1)

    def runs(self, camera: CameraNumber, interval: Interval, open_intervals: Sequence[Interval] = ()) -> list[Interval]:
        """Footage without holes, clipped to the range. Holes under a millisecond are rounding and do not part a run.

        `open_intervals`: what is being recorded now and not committed yet, as the spool's open files tell.
        """
        footage, _ = self._covered(camera, interval)
        return _joined([*footage, *open_intervals], interval)

    def gaps(
        self,
        camera: CameraNumber,
        interval: Interval,
        open_intervals: Sequence[Interval] = (),
        now_us: int | None = None,
    ) -> list[Gap]:
        """As `view(...).gaps`."""
        return list(self.view(camera, interval, open_intervals, now_us).gaps)

    def expired(self, camera: CameraNumber, interval: Interval) -> list[Interval]:
        """Time whose footage was removed, without what other footage still shows."""
        return list(self.view(camera, interval).expired)

    def view(
        self,
        camera: CameraNumber,
        interval: Interval,
        open_intervals: Sequence[Interval] = (),
        now_us: int | None = None,
    ) -> View:
        """The range as runs, gaps and expired time.

        Gaps carry the reason of their row, or `unknown` where the camera was to record and no row says why it did not.
        Nothing is missing yet after `now_us`, so give it when the range may reach beyond.
        """
        # Gaps before footage, erased time after it: what is committed or erased in between is then seen twice, not never.
        with self._env.read() as txn:
            first_us = usage_of(txn, camera).first_us
            gap_rows = gaps_over(txn, camera, interval.start_us, interval.end_us)
        footage, doomed = self._covered(camera, interval)
        with self._env.read() as txn:
            erased = expired_over(txn, camera, interval.start_us, interval.end_us)
        runs = _joined([*footage, *open_intervals], interval)
        gone = _clip(_without(_joined([*erased, *doomed], interval), runs))
        until_us = interval.end_us if now_us is None else min(interval.end_us, now_us)
        due = _due(interval.start_us, until_us, first_us, [*runs, *gone])
        spans: list[Interval] = []
        gaps: list[Gap] = []
        for row in gap_rows:
            # Its commit will end a gap that lasts; what is being recorded does so already.
            resumed_us = min((part.start_us for part in open_intervals if part.start_us >= row.start_us), default=MAX_US)
            end_us = resumed_us if row.end_us is None else row.end_us
            if end_us <= row.start_us:
                continue
            span = Interval(row.start_us, end_us)
            spans.append(span)
            lasts = row.end_us is None
            gaps.extend(Gap(p.start_us, p.end_us, row.reason, lasts and p.end_us == until_us) for p in _inside(due, span))
        gaps.extend(Gap(piece.start_us, piece.end_us, UNKNOWN) for piece in _clip(_without(due, spans)))
        return View(tuple(runs), _same_reason_joined(gaps), tuple(gone))

    def _first_key(self, camera: CameraNumber, interval: Interval) -> bytes | None:
        with self._env.read() as txn:
            longest = usage_of(txn, camera).longest_us
        return KEY.pack(camera, max(0, interval.start_us - longest), 0) if longest else None

    def _covered(self, camera: CameraNumber, interval: Interval) -> tuple[list[Interval], list[Interval]]:
        """Runs of committed rows and of doomed ones, reaching outside the range where their segments do."""
        spans: tuple[list[Interval], list[Interval]] = [], []
        at = self._first_key(camera, interval)
        stop = KEY.pack(camera, interval.end_us, 0)
        while at is not None:
            with self._env.read() as txn:
                items, at = _piece(txn, at, stop)
            if items:
                starts = np.frombuffer(b"".join(item[0] for item in items), _KEYS)["start"].astype(np.int64)
                rows = np.frombuffer(short_rows([item[1] for item in items]), _ROWS)
                ends = starts + rows["duration"]
                seen = rows["state"] == State.COMMITTED
                spans[0].extend(_runs_of(starts[seen], ends[seen]))
                if not seen.all():
                    spans[1].extend(_runs_of(starts[~seen], ends[~seen]))
        return spans


def _holds(item: tuple[bytes, bytes], camera: CameraNumber, at_us: int) -> bool:
    """Whether a row that begins at or before this instant is the camera's, is to be seen, and ends after it."""
    number, start_us, _ = KEY.unpack(item[0])
    state, duration = _GLANCE.unpack_from(item[1])
    return bool(number == camera and state == _COMMITTED and start_us + duration > at_us)


def _is_seen(item: tuple[bytes, bytes]) -> bool:
    return bool(_GLANCE.unpack_from(item[1])[0] == _COMMITTED)


def _span(item: tuple[bytes, bytes]) -> tuple[int, int, int]:
    """Camera, start and end of a row."""
    number, start_us, _ = KEY.unpack(item[0])
    return number, start_us, start_us + _GLANCE.unpack_from(item[1])[1]


def _piece(txn: ReadTxn, first: bytes, stop: bytes) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
    """At most `_PIECE_ROWS` rows, and the key to go on from, None at the end."""
    items: list[tuple[bytes, bytes]] = []
    for item in txn.scan(Table.SEGMENTS, first, stop):
        if len(items) == _PIECE_ROWS:
            return items, item[0]
        items.append(item)
    return items, None


def _runs_of(starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> list[Interval]:
    """Intervals in order of start, joined where they overlap or nearly touch."""
    if not len(starts):
        return []
    reach = np.maximum.accumulate(ends)
    breaks = np.flatnonzero(starts[1:] > reach[:-1] + COVER_TOLERANCE_US)
    first = np.concatenate(([0], breaks + 1))
    last = np.concatenate((breaks, [len(starts) - 1]))
    return [Interval(int(a), int(b)) for a, b in zip(starts[first], reach[last], strict=True)]


def _joined(intervals: list[Interval], within: Interval) -> list[Interval]:
    """Disjoint, in order, clipped; holes of at most the tolerance are filled."""
    out: list[Interval] = []
    for item in union(intervals):
        if out and item.start_us <= out[-1].end_us + COVER_TOLERANCE_US:
            out[-1] = Interval(out[-1].start_us, item.end_us)
        else:
            out.append(item)
    return [part for item in out if (part := item.intersection(within))]


def _without(parts: list[Interval], holes: list[Interval]) -> list[Interval]:
    """What of `parts` (disjoint, in order) no hole covers. One pass over both, for days of short runs."""
    out: list[Interval] = []
    ordered = union(holes)
    at = 0
    for part in parts:
        while at < len(ordered) and ordered[at].end_us <= part.start_us:
            at += 1
        stop = at
        while stop < len(ordered) and ordered[stop].start_us < part.end_us:
            stop += 1
        out.extend(subtract(part, ordered[at:stop]))
    return out


def _clip(parts: list[Interval]) -> list[Interval]:
    """Without the slivers that rounding leaves."""
    return [part for part in parts if part.duration_us > COVER_TOLERANCE_US]


def _inside(parts: list[Interval], span: Interval) -> list[Interval]:
    """What of `parts` (disjoint, in order) lies in the span."""
    at = bisect.bisect_right(parts, span.start_us, key=lambda part: part.end_us)
    out: list[Interval] = []
    while at < len(parts) and (piece := parts[at].intersection(span)):
        out.append(piece)
        at += 1
    return out


def _due(start_us: int, end_us: int, first_us: int | None, accounted: list[Interval]) -> list[Interval]:
    """Time in which the camera was to record and is not accounted for."""
    if first_us is None or max(start_us, first_us) >= end_us:
        return []
    return _clip(subtract(Interval(max(start_us, first_us), end_us), accounted))


def _same_reason_joined(gaps: list[Gap]) -> tuple[Gap, ...]:
    out: list[Gap] = []
    for gap in sorted(gaps, key=lambda gap: gap.start_us):
        if out and out[-1].end_us == gap.start_us and out[-1].reason == gap.reason:
            out[-1] = Gap(out[-1].start_us, gap.end_us, gap.reason, gap.lasting)
        else:
            out.append(gap)
    return tuple(out)
