"""The footage of a camera as readers see it: committed segments and what is being recorded right now, as one.

Finding and opening only. What is made of the parts is in `access.cut`; who may ask is decided in `access.authorize`, and the Grant
that says so is held to here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from access.pool import PooledSource, SourcePool
from index.environment import Environment
from index.growing import growing, growing_intervals
from index.pins import Pinned, Pins
from index.rows import Place, SegmentRow
from index.timeline import Timeline, View
from vault.clock import Clock
from vault.errors import StoreError
from vault.grant import Grant
from vault.ids import CameraNumber
from vault.segment.read import read_closed
from vault.splice.part import Part
from vault.splice.pieces import reaches_back
from vault.spool import Spool
from vault.store.interface import ObjectStore
from vault.timebase import Interval, union

REACH_US = 3_000_000
"""Footage can be read at most this long after it was shown to the camera."""

_MAX_SHOWN = 3
_MAX_LEAD_IN = 64
"""A camera that sent no key frame for longer than so many segments is shown from its next one."""


@dataclass(frozen=True, slots=True)
class Footage:
    """Over one node's index, spool and store; the caller owns and closes those. Reads only, and pins what it reads.

    `owner`: what is reading, for whoever waits for the pin to end.
    """

    environment: Environment
    spool: Spool
    store: ObjectStore
    clock: Clock
    owner: str = "reader"

    def view(self, camera: CameraNumber, wanted: Interval) -> View:
        """Runs, gaps and expired time of a range, up to the newest whole fragment. Raises StoreError."""
        open_now = growing_intervals(self.environment, self.spool, camera, self.clock.now_us())
        # What is on its way from the camera to the disk is not missing yet.
        due_us = max([self.clock.now_us() - REACH_US, *(interval.end_us for interval in open_now)])
        return Timeline(self.environment).view(camera, wanted, open_now, due_us)

    def nearest(self, camera: CameraNumber, wanted: Interval) -> tuple[int | None, int | None]:
        """Where footage ends before a range that has none, and where it begins again; None where it does not. Raises StoreError."""
        before_us, after_us = Timeline(self.environment).nearest(camera, wanted)
        open_now = growing_intervals(self.environment, self.spool, camera, self.clock.now_us())
        ends = [before_us, *(interval.end_us for interval in open_now if interval.end_us <= wanted.start_us)]
        begins = [after_us, *(interval.start_us for interval in open_now if interval.start_us >= wanted.end_us)]
        return (
            max((us for us in ends if us is not None), default=None),
            min((us for us in begins if us is not None), default=None),
        )

    @contextmanager
    def parts(self, grant: Grant, camera: CameraNumber, wanted: Interval) -> Iterator[list[Part]]:
        """Every segment that shares an instant with the range, in order of start, and before them those that its first picture
        is decoded from, as far as the grant's window reaches. Their bytes can be read until the `with` ends, at most six hours.
        A part is a whole segment: what is shown of it is held to the window by `access.cut`.

        Raises Refusal where the grant does not cover all that is wanted, Damaged for a segment that is not what its row says, StoreError.
        """
        grant.check(camera, wanted)
        with (
            # Before the rows are looked up, or deletion could come between the two.
            Pinned(Pins(self.environment, self.clock), self.clock, camera, wanted, self.owner) as pinned,
            growing(self.environment, self.spool, camera, self.clock.now_us(), grant) as found,
            SourcePool(self.spool, self.store, grant) as pool,
        ):
            rows = Timeline(self.environment).span(camera, wanted)
            try:
                parts = _closed_parts(rows, pool, self.store.at_once)
            except StoreError as error:
                raise _with_what_is_near(error, rows, [table.info.interval for table, _ in found], wanted) from error
            committed = {row.key for row in rows}
            parts += [
                Part(table, source)
                for table, source in found
                if table.info.interval.overlaps(wanted) and table.info.head.key not in committed
            ]
            parts.sort(key=lambda part: part.table.info.head.key)
            yield self._lead_in(grant, parts, wanted, pool, pinned) + parts

    def _lead_in(self, grant: Grant, parts: list[Part], wanted: Interval, pool: SourcePool, pinned: Pinned) -> list[Part]:
        """Segments before the range that hold what its first picture is decoded from, when its own does not."""
        lead: list[Part] = []
        wanting = bool(parts) and reaches_back(parts[0], wanted.start_us)
        while wanting and len(lead) < _MAX_LEAD_IN:
            first = (lead or parts)[0]
            pinned.reach(first.start_us - 1)
            row = Timeline(self.environment).find(first.table.info.head.key.camera, first.start_us - 1)
            if row is None or row.key >= first.table.info.head.key or row.end_us <= grant.window.start_us:
                break
            source = PooledSource(pool, row)
            lead.insert(0, Part(read_closed(source, row.tail_bytes), source))
            video = lead[0].table.video
            wanting = video is not None and not video.sync.any()
        return lead


def _closed_parts(rows: Sequence[SegmentRow], pool: SourcePool, at_once: int) -> list[Part]:
    """Each segment's tables, in order. Of a bucket several are read at a time; the first that cannot be read ends it."""

    def one(row: SegmentRow) -> Part:
        source = PooledSource(pool, row)
        return Part(read_closed(source, row.tail_bytes), source)

    stored = sum(row.place is Place.STORE for row in rows)
    if min(at_once, stored) < 2:
        return [one(row) for row in rows]
    with ThreadPoolExecutor(min(at_once, stored), thread_name_prefix="tails") as threads:
        return list(threads.map(one, rows))


def _with_what_is_near(
    error: StoreError, rows: Sequence[SegmentRow], open_now: Sequence[Interval], wanted: Interval
) -> StoreError:
    """The store's error, and what of the range can be shown without it: what is still in the spool."""
    near = [row.interval for row in rows if row.place is Place.SPOOL]
    inside = [part for interval in (*near, *open_now) if (part := interval.intersection(wanted)) is not None]
    shown = [str(part) for part in union(inside)]
    more = f" and {len(shown) - _MAX_SHOWN} more" if len(shown) > _MAX_SHOWN else ""
    text = f"only {', '.join(shown[:_MAX_SHOWN])}{more} can be shown, from the spool" if shown else "nothing of it can be shown"
    return type(error)(f"{error}; while the store is away, of the range asked for {text}")
