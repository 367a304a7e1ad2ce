"""The footage of a camera as readers see it: committed segments and what is being recorded right now, as one.

Finding and opening only. What is made of the parts is in `vault.splice`; who may ask is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from access.pool import PooledSource, SourcePool
from index.catalog import Catalog
from index.environment import Environment
from index.timeline import Timeline, View
from vault.clock import Clock
from vault.errors import Damaged, NotFound
from vault.ids import CameraNumber
from vault.segment.read import read_closed, read_open
from vault.splice.part import Part
from vault.splice.pieces import reaches_back
from vault.spool import Spool
from vault.store.interface import ObjectStore
from vault.timebase import Interval

REACH_US = 3_000_000
"""Footage can be read at most this long after it was shown to the camera."""

_MAX_LEAD_IN = 64
"""A camera that sent no key frame for longer than so many segments is shown from its next one."""


@dataclass(frozen=True, slots=True)
class Footage:
    """Over one node's index, spool and store; the caller owns and closes those. Reads only."""

    environment: Environment
    spool: Spool
    store: ObjectStore
    clock: Clock

    def view(self, camera: CameraNumber, wanted: Interval) -> View:
        """Runs, gaps and expired time of a range, up to the newest whole fragment. Raises StoreError."""
        with ExitStack() as stack:
            growing = [part.table.info.interval for part in self._growing(camera, stack)]
        # What is on its way from the camera to the disk is not missing yet.
        due_us = max([self.clock.now_us() - REACH_US, *(interval.end_us for interval in growing)])
        return Timeline(self.environment).view(camera, wanted, growing, due_us)

    @contextmanager
    def parts(self, camera: CameraNumber, wanted: Interval) -> Iterator[list[Part]]:
        """Every segment that shares an instant with the range, in order of start, and before them those that its first picture
        is decoded from. Their bytes can be read until the `with` ends.

        Raises Damaged for a segment that is not what its row says, StoreError.
        """
        with ExitStack() as stack:
            # The spool is listed before the index is asked, so that a file that closes in between is missed by neither.
            growing = [part for part in self._growing(camera, stack) if part.table.info.interval.overlaps(wanted)]
            pool = stack.enter_context(SourcePool(self.spool, self.store))
            rows = Timeline(self.environment).span(camera, wanted)
            parts = [Part(read_closed(source), source) for row in rows for source in [PooledSource(pool, row)]]
            committed = {row.key for row in rows}
            parts += [part for part in growing if part.table.info.head.key not in committed]
            parts.sort(key=lambda part: part.table.info.head.key)
            yield self._lead_in(camera, parts, wanted, pool) + parts

    def _lead_in(self, camera: CameraNumber, parts: list[Part], wanted: Interval, pool: SourcePool) -> list[Part]:
        """Segments before the range that hold what its first picture is decoded from, when its own does not."""
        lead: list[Part] = []
        while parts and len(lead) < _MAX_LEAD_IN and reaches_back((lead or parts)[0], wanted.start_us):
            row = Timeline(self.environment).find(camera, (lead or parts)[0].start_us - 1)
            if row is None or row.key >= (lead or parts)[0].table.info.head.key:
                break
            source = PooledSource(pool, row)
            lead.insert(0, Part(read_closed(source), source))
        return lead

    def _growing(self, camera: CameraNumber, stack: ExitStack) -> list[Part]:
        """What stands in the spool and in no row yet, as far as whole fragments reach; open until the stack ends."""
        catalog = Catalog(self.environment)
        found: list[Part] = []
        for key in self.spool.list_keys(camera):
            # A row in any state has the say: of a doomed segment nothing is shown.
            if catalog.row(key) is not None:
                continue
            try:
                source = stack.enter_context(self.spool.open_source(key))
                found.append(Part(read_open(source, self.clock.now_us()), source))
            except (NotFound, Damaged):
                # Not found: it went to the store since the listing. Damaged: nothing whole is in it yet.
                continue
        return found
