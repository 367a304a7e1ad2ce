"""A hundred days of two hundred cameras on an injected clock, a segment an hour each, end to end but for the bytes."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from index.alarms import Alarms
from index.check import check_expiry, check_overlaps, check_removal, check_usage
from index.rows import NewRow, Place
from retention.deleter import GRACE_US
from tests.support.indexing import T0, VIDEO
from tests.support.retaining import DAY_US, DAYS, HOUR_US, Kept, open_kept
from vault.clock import ManualClock
from vault.ids import CameraNumber, SegmentKey
from vault.media import SegmentFlag
from vault.retain import min_until_us
from vault.store.interface import Failures, ObjectStat
from vault.store.memory import MemoryStore

CAMERAS, DAYS_LONG, HOURS_A_TICK = 200, 100, 3


class WatchedStore(MemoryStore):
    """Refuses, as the test's failure, to delete what is inside its minimum."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.minimum: dict[str, int] = {}
        self.gone: dict[str, int] = {}
        self.folders: dict[str, set[str]] = defaultdict(set)

    def put_bytes(self, key: str, data: bytes) -> None:
        super().put_bytes(key, data)
        self.folders[key.rpartition("/")[0]].add(key)

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        """By folder: looking through half a million names for each listing is no part of what is tried here."""
        whole = prefix.rstrip("/")
        if whole in self.folders:
            return iter([ObjectStat(key, 1, 0) for key in sorted(self.folders[whole])])
        return super().list(prefix)

    def delete(self, keys: Iterable[str]) -> Failures:
        wanted = list(keys)
        now_us = self.clock.now_us()
        for key in wanted:
            if key in self.minimum:
                assert now_us >= self.minimum[key] + GRACE_US, f"{key} is deleted too early"
                self.gone[key] = now_us
            self.folders[key.rpartition("/")[0]].discard(key)
        return super().delete(wanted)


@pytest.fixture
def memory_folder(tmp_path: Path) -> Iterator[Path]:
    """Where a sync costs nothing, if there is such a place: this is not about disks."""
    if os.access("/dev/shm", os.W_OK):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
            yield Path(name) / "data"
    else:
        yield tmp_path / "data"


def class_of(camera: int) -> str:
    return "key" if camera % 2 else "general"


@pytest.mark.slow
def test_a_hundred_days_of_two_hundred_cameras(memory_folder: Path) -> None:
    with open_kept(memory_folder) as opened:
        clock = opened.clock
        store = WatchedStore(clock)
        kept = Kept(dataclasses.replace(opened.node, store=store), opened.ledger, clock)
        zone = kept.node.config.retention.zone
        deleted = 0
        for tick in range(DAYS_LONG * 24 // HOURS_A_TICK):
            rows = []
            for hour in range(HOURS_A_TICK):
                start_us = T0 + (tick * HOURS_A_TICK + hour) * HOUR_US
                end_us = start_us + HOUR_US
                until = {name: min_until_us(end_us, end_us, days, zone) for name, days in DAYS.items()}
                for camera in range(1, CAMERAS + 1):
                    key = SegmentKey(CameraNumber(camera), start_us, 1, 0)
                    site_class = class_of(camera)
                    store.put_bytes(key.object_key, b"x")
                    store.minimum[key.object_key] = until[site_class]
                    rows.append(NewRow(key, end_us, 1, bytes(32), 1, VIDEO, site_class, until[site_class], SegmentFlag.NONE))
            kept.node.catalog.commit(rows, adopt=True, place=Place.STORE)
            clock.advance(HOURS_A_TICK * HOUR_US)
            report = kept.run()
            assert report.halt is None
            deleted += report.deleted.segments
        now_us = clock.now_us()
        late_us = now_us - DAY_US - GRACE_US
        assert not [key for key, until_us in store.minimum.items() if until_us < late_us and key not in store.gone]
        assert all(at_us <= store.minimum[key] + DAY_US + GRACE_US for key, at_us in store.gone.items())
        assert {item.key for item in store.list("segments/")} == store.minimum.keys() - store.gone.keys()
        assert deleted == len(store.gone)
        key_days, general_days = (
            sum(class_of(SegmentKey.parse(key).camera) == name for key in store.gone) for name in ("key", "general")
        )
        assert key_days >= 8 * 24 * CAMERAS // 2
        assert general_days >= 68 * 24 * CAMERAS // 2
        done = [entry for entry in kept.entries() if entry.kind == "deleted"]
        assert sum(int(str(entry.body["segments"])) for entry in done) == deleted
        for check in (check_usage, check_expiry, check_overlaps, check_removal):
            assert list(check(kept.node.environment)) == []
        assert Alarms(kept.node.environment).lasting() == []
