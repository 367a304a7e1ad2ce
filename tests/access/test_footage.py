"""What readers see: committed, doomed, growing and continuing segments as one."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from access.decode import picture
from access.footage import Footage
from access.snapshot import still_at
from index.node import Node, open_node
from index.pins import Pins
from tests.support.segments import START_US, Track, make_head, make_segment, video_track
from tests.support.streams import AccessUnit, encode_h264
from tests.support.vaults import make_vault, put_segment
from vault.clock import ManualClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import NotFound
from vault.grant import system_grant
from vault.ids import CameraNumber
from vault.source import OpenSource
from vault.store.memory import MemoryStore
from vault.store.s3http import StoreAway
from vault.timebase import US, Interval

GRANT = system_grant("test")
CAMERA = CameraNumber(1)
FRAME_US = 40_000

Picture = npt.NDArray[np.uint8]
UNITS = encode_h264(50, bframes=2)
LENGTH_US = len(UNITS) * FRAME_US


@pytest.fixture
def node(data_path: Path) -> Iterator[Node]:
    make_vault(data_path, [video_track(UNITS)], START_US, ["store", "spool", "open"])
    with open_node(DataFolder.open(data_path), Config(), ManualClock(START_US + 3 * LENGTH_US)) as opened:
        yield opened


def footage_of(node: Node) -> Footage:
    return Footage(node.environment, node.spool, node.store, node.clock)


def starts(node: Node, wanted: Interval) -> list[int]:
    with footage_of(node).parts(GRANT, CAMERA, wanted) as parts:
        return [part.start_us - START_US for part in parts]


class Away(MemoryStore):
    """A store that is asked by several at a time and does not answer."""

    at_once = 4

    def open(self, key: str) -> OpenSource:
        raise StoreAway(f"opening {key}: the store is not there")


def test_while_the_store_is_away_it_is_said_what_can_be_shown(node: Node) -> None:
    footage = Footage(node.environment, node.spool, Away(), node.clock)
    wanted = Interval(START_US, START_US + 3 * LENGTH_US)
    with pytest.raises(StoreAway, match="not there; while the store is away") as caught, footage.parts(GRANT, CAMERA, wanted):
        pass
    near = Interval(START_US + LENGTH_US, START_US + 3 * LENGTH_US)
    assert f"only {near} can be shown, from the spool" in str(caught.value)
    with footage.parts(GRANT, CAMERA, near) as parts:
        assert len(parts) == 2
    with (
        pytest.raises(StoreAway, match="nothing of it can be shown"),
        footage.parts(GRANT, CAMERA, Interval(START_US, START_US + 1)),
    ):
        pass


def test_tails_that_are_read_several_at_a_time_come_in_order(data_path: Path) -> None:
    make_vault(data_path, [video_track(UNITS)], START_US, ["store"] * 9)
    with open_node(DataFolder.open(data_path), Config(), ManualClock(START_US + 20 * LENGTH_US)) as node:
        both = threading.Barrier(3)

        class Slow(MemoryStore):
            at_once = 3

            def open(self, key: str) -> OpenSource:
                both.wait(30)
                return node.store.open(key)

        footage = Footage(node.environment, node.spool, Slow(), node.clock)
        with footage.parts(GRANT, CAMERA, Interval(START_US, START_US + 9 * LENGTH_US)) as parts:
            assert [part.start_us - START_US for part in parts] == [number * LENGTH_US for number in range(9)]


def test_parts_are_those_of_the_range_wherever_they_are(node: Node) -> None:
    assert starts(node, Interval(START_US, START_US + 3 * LENGTH_US)) == [0, LENGTH_US, 2 * LENGTH_US]
    assert starts(node, Interval(START_US + LENGTH_US, START_US + LENGTH_US + 1)) == [LENGTH_US]
    assert starts(node, Interval(START_US + 2 * LENGTH_US, START_US + 9 * LENGTH_US)) == [2 * LENGTH_US]
    assert starts(node, Interval(START_US - US, START_US)) == []


def test_a_doomed_segment_is_seen_no_more_though_its_file_is_in_the_spool(node: Node) -> None:
    rows = {row.key.start_us: row for row in node.catalog.pending()}
    key = rows[START_US + LENGTH_US].key
    # The vault's footage must be kept for days after its time; the clock of the doom lies behind them.
    outcome = node.catalog.doom([key], at_us=START_US + 400 * 86_400 * US, reason="retention")
    assert outcome.done
    assert starts(node, Interval(START_US, START_US + 3 * LENGTH_US)) == [0, 2 * LENGTH_US]


def test_what_is_on_its_way_to_the_disk_is_not_missing_yet(node: Node) -> None:
    assert isinstance(node.clock, ManualClock)
    node.clock.advance(2 * US)
    whole = Interval(START_US, START_US + 3 * LENGTH_US + 2 * US)
    assert footage_of(node).view(CAMERA, whole).gaps == ()
    node.clock.advance(20 * US)
    (gap,) = footage_of(node).view(CAMERA, Interval(START_US, whole.end_us + 20 * US)).gaps
    assert gap.start_us == START_US + 3 * LENGTH_US


def shown(movie: bytes) -> Picture:
    with av.open(io.BytesIO(picture(movie, "png"))) as container:
        return next(container.decode(video=0)).to_ndarray(format="gray")


def originals(units: list[AccessUnit]) -> list[Picture]:
    """Every picture of the stream in the order it is shown."""
    movie = make_segment([video_track(units)], head=make_head()).closed_bytes
    with av.open(io.BytesIO(movie)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def nearest(still_: Picture, units: list[AccessUnit]) -> int:
    """Which picture of the stream it is."""
    return int(np.argmin([float(np.mean(np.abs(still_.astype(int) - other))) for other in originals(units)]))


def part_of(track: Track, first: int, last: int) -> Track:
    """Samples `[first, last)` as a track that begins at 0."""
    origin = track.dts[first]
    dts = [at - origin for at in track.dts[first:last]]
    assert track.sync is not None
    return replace(
        track, dts=dts, samples=track.samples[first:last], sync=track.sync[first:last], end_dts=dts[-1] + 90_000 // 25
    )


@pytest.mark.parametrize("index", [0, 1, 2, 24, 25, 26, 48, 49])
@pytest.mark.parametrize("segment", [0, 2], ids=["stored", "open"])
def test_a_still_is_the_very_picture_that_stood_then(node: Node, segment: int, index: int) -> None:
    at_us = START_US + segment * LENGTH_US + index * FRAME_US
    for offset_us in (0, FRAME_US - 1):
        found = still_at(footage_of(node), GRANT, CAMERA, at_us + offset_us)
        assert found.at_us == at_us
        assert nearest(shown(found.movie), UNITS) == index


def test_there_is_no_still_where_nothing_was_recorded(node: Node) -> None:
    with pytest.raises(NotFound):
        still_at(footage_of(node), GRANT, CAMERA, START_US - 1)
    with pytest.raises(NotFound):
        still_at(footage_of(node), GRANT, CAMERA, START_US + 3 * LENGTH_US)


def test_a_segment_without_a_key_frame_brings_those_before_it_along(data_path: Path) -> None:
    units = encode_h264(75, gop=75)
    parts = [part_of(video_track(units), first, first + 25) for first in (0, 25, 50)]
    make_vault(data_path, [parts[0]], START_US, ["store"])
    with open_node(DataFolder.open(data_path), Config(), ManualClock(START_US + 4 * US)) as node:
        for at, part in enumerate(parts[1:], 1):
            put_segment(node, CAMERA, [part], START_US + at * US, state="store", sequence=at)
        late = Interval(START_US + 2 * US + 10 * FRAME_US, START_US + 3 * US)
        assert starts(node, late) == [0, US, 2 * US]
        assert nearest(shown(still_at(footage_of(node), GRANT, CAMERA, late.start_us).movie), units) == 60


def test_what_is_read_is_pinned_for_as_long_as_it_is_read(node: Node) -> None:
    pins = Pins(node.environment, node.clock)
    wanted = Interval(START_US, START_US + 1)
    with Footage(node.environment, node.spool, node.store, node.clock, "clip").parts(GRANT, CAMERA, wanted) as parts:
        assert parts
        (pin,) = pins.all()
        assert pin.owner.startswith("clip")
        (row,) = node.timeline.span(CAMERA, wanted)
        assert node.catalog.doom([row.key], at_us=row.min_until_us, reason="past its minimum").done
        assert node.catalog.mark_deleting([row.key], "b1").refused
    assert not pins.all()
    assert node.catalog.mark_deleting([row.key], "b1").done
