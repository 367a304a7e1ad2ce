"""Rows for the index's benchmarks: cameras that record a segment a minute, all of them in the order of time."""

from __future__ import annotations

from collections.abc import Iterator

from blake3 import blake3

from index.rows import NewRow
from vault.ids import CameraNumber, SegmentKey
from vault.media import Codec, SegmentFlag, TrackParams
from vault.timebase import US

START_US = 1_795_000_000_000_000
MINUTE_US = 60 * US
DAY_US = 86_400 * US
FIRST_CAMERA = 990_100_000
PARAMS = (
    TrackParams(Codec.H264, 90_000, (bytes.fromhex("674d0028eca03c0113f2e02d40"), bytes.fromhex("68ee3c80")), 1920, 1080),
    TrackParams(Codec.AAC, 48_000, (bytes.fromhex("1190"),), channels=2),
)


def camera(at: int) -> CameraNumber:
    return CameraNumber(FIRST_CAMERA + at)


def start_of(at: int, minute: int) -> int:
    """Cameras are staggered over the minute, as the cutter does it, and no two minutes are exactly alike."""
    return START_US + minute * MINUTE_US + at * 290_000 + (minute * 7919 + at * 31) % 40_000


def row_of(at: int, minute: int) -> NewRow:
    """The segment that camera number `at` closes in this minute; it ends where the next one begins."""
    start_us = start_of(at, minute)
    return NewRow(
        SegmentKey(camera(at), start_us, 1, minute),
        start_of(at, minute + 1),
        30_000_000 + (minute * 131 + at) % 500_000,
        blake3(start_us.to_bytes(8, "big") + at.to_bytes(4, "big")).digest(),
        14_000 + minute % 100,
        PARAMS,
        "general",
        START_US + 31 * DAY_US + minute // 1440 * DAY_US,
        SegmentFlag.NONE,
    )


def minutes_of(cameras: int, rows: int) -> Iterator[list[NewRow]]:
    """One list for each minute, until there are at least `rows`."""
    for minute in range(-(-rows // cameras)):
        yield [row_of(at, minute) for at in range(cameras)]
