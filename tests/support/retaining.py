"""A node for tests of retention: data folder, ledger and a clock that stands, with small objects in the place of footage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from index.check import check_expiry, check_overlaps, check_readable, check_removal, check_usage
from index.check_objects import Level, ObjectCheck
from index.node import Node, open_node
from index.rows import NewRow, Place
from retention.deleter import GRACE_US
from retention.sweep import Report, Sweep
from tests.support.indexing import CAMERA, T0, VIDEO
from vault.clock import ManualClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.ids import CameraNumber, SegmentKey
from vault.ledger.entry import Entry
from vault.ledger.ledger import Ledger
from vault.media import SegmentFlag
from vault.retain import min_until_us
from vault.spool import append
from vault.store.interface import NewObject
from vault.timebase import US

MINUTE_US = 60 * US
HOUR_US = 3_600 * US
DAY_US = 24 * HOUR_US
DAYS = {"key": 90, "general": 30, "viewing": 92}


@dataclass
class Kept:
    """A node with its ledger; `trusted` False is a clock that is not confirmed."""

    node: Node
    ledger: Ledger
    clock: ManualClock
    trusted: bool = True
    _sweep: Sweep | None = field(default=None)

    @property
    def sweep(self) -> Sweep:
        if self._sweep is None:
            self._sweep = Sweep(self.node, self.ledger, lambda: self.clock.now_us() if self.trusted else None)
        return self._sweep

    def restart(self) -> None:
        """Whatever a run kept in memory is gone."""
        self._sweep = None

    def run(self) -> Report:
        return self.sweep.run_once()

    def run_through_grace(self) -> Report:
        """Doom, wait for the grace, delete."""
        self.run()
        self.clock.advance(GRACE_US)
        return self.run()

    def put(
        self,
        starts_us: list[int],
        camera: CameraNumber = CAMERA,
        *,
        site_class: str = "general",
        until_us: int | None = None,
        place: Place = Place.STORE,
        duration_us: int = MINUTE_US,
        padding_bytes: int = 0,
    ) -> list[SegmentKey]:
        """Segments that begin at these instants, committed, with their objects."""
        rows: list[NewRow] = []
        objects: list[NewObject] = []
        zone = self.node.config.retention.zone
        for start_us in starts_us:
            key, data = SegmentKey(camera, start_us, 1, 0), b"footage of %d at %d" % (camera, start_us) + bytes(padding_bytes)
            end_us = start_us + duration_us
            until = min_until_us(end_us, end_us, DAYS[site_class], zone) if until_us is None else until_us
            digest = blake3(data).digest()
            rows.append(NewRow(key, end_us, len(data), digest, 1, VIDEO, site_class, until, SegmentFlag.NONE))
            fd = self.node.spool.create(key)
            append(fd, 0, [data])
            os.close(fd)
            objects.append(NewObject(key.object_key, self.node.spool.path_of(key), digest))
        if place is Place.STORE:
            assert self.node.store.put_files(objects) == []
        self.node.catalog.commit(rows, adopt=True, place=place)
        if place is Place.STORE:
            for row in rows:
                self.node.spool.remove(row.key)
        return [row.key for row in rows]

    def there(self) -> set[SegmentKey]:
        """Whose object is in the store."""
        return {SegmentKey.parse(item.key) for item in self.node.store.list("segments/")}

    def entries(self) -> list[Entry]:
        return list(self.ledger.entries())

    def findings(self, level: Level = Level.HASH) -> list[str]:
        """What `check` says, in short."""
        environment = self.node.environment
        found = [
            *check_readable(environment),
            *check_overlaps(environment),
            *check_removal(environment),
            *check_usage(environment),
            *check_expiry(environment),
            *ObjectCheck(environment, self.node.store, self.node.spool, level, self.clock.now_us()).findings(),
        ]
        return [f"{item.invariant} {item.message}" for item in found]


@contextmanager
def open_kept(folder: Path, now_us: int = T0, config: Config | None = None) -> Iterator[Kept]:
    """Made where it is not there yet."""
    clock = ManualClock(now_us, 10 * DAY_US)
    new = not (folder / "VERSION").exists()
    opened = DataFolder.init(folder) if new else DataFolder.open(folder)
    with open_node(opened, config or Config(), clock, create=new) as node:
        yield Kept(node, Ledger(opened.ledger, opened.ledger_key, clock), clock)
