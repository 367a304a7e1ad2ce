"""Rows for tests of the index: small, valid, and told apart by their start."""

from __future__ import annotations

from blake3 import blake3

from index.catalog import Catalog
from index.doom import Hold, delete_hold, doomed_under, put_hold
from index.rows import NewRow
from index.writes import SegmentWriter
from vault.ids import CameraNumber, SegmentKey
from vault.media import Codec, GapBefore, SegmentFlag, TrackParams
from vault.timebase import US, Interval

T0 = 1_795_305_600_000_000
"""2026-11-22T00:00:00Z."""
DAY_US = 86_400 * US
MINUTE_US = 60 * US
VIDEO = (TrackParams(Codec.H264, 90_000, (bytes.fromhex("6742c01e"), bytes.fromhex("68ce3c80")), 640, 480),)
CAMERA = CameraNumber(9901)
OTHER = CameraNumber(9902)


def new_row(
    camera: CameraNumber = CAMERA,
    start_us: int = T0,
    duration_us: int = MINUTE_US,
    epoch: int = 1,
    sequence: int = 0,
    *,
    min_until_us: int = T0 + 30 * DAY_US,
    gap_before: GapBefore | None = None,
    site_class: str = "general",
) -> NewRow:
    """A row whose hash and size depend on its key, so that rows cannot be mistaken for each other."""
    key = SegmentKey(camera, start_us, epoch, sequence)
    digest = blake3(key.object_key.encode()).digest()
    return NewRow(
        key,
        start_us + duration_us,
        1_000_000 + digest[0],
        digest,
        4_096 + digest[1],
        VIDEO,
        site_class,
        min_until_us,
        SegmentFlag.NONE,
        gap_before,
    )


def minutes(first: int, last: int) -> Interval:
    """From minute `first` to minute `last` of the tests' day."""
    return Interval(T0 + first * MINUTE_US, T0 + last * MINUTE_US)


def place_hold(catalog: Catalog, hold: Hold) -> None:
    """The row of a hold without its document, and what it spares."""
    with catalog.environment.write("hold") as txn:
        put_hold(txn, hold)
        keys = [row.key for row in doomed_under(txn, SegmentWriter(), hold)]
    catalog.spare(keys)


def lift_hold(catalog: Catalog, camera: CameraNumber, hold_id: str) -> bool:
    """False when there was none."""
    with catalog.environment.write("lift hold") as txn:
        return delete_hold(txn, camera, hold_id)
