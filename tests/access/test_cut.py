"""Nothing that a grant does not cover is in a clip's file, wherever its window lies among key frames and reordered pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access.cut import cut_clip
from access.footage import Footage
from access.snapshot import still_at
from index.node import Node, open_node
from tests.support.segments import START_US, video_track
from tests.support.streams import encode_h264
from tests.support.vaults import make_vault
from vault.clock import ManualClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import NotFound
from vault.grant import Grant, Refusal, system_grant
from vault.ids import CameraNumber
from vault.timebase import Interval

CAMERA = CameraNumber(1)
FRAME_US = 40_000
FRAMES = 50
GOP = 25
WHOLE = Interval(START_US, START_US + 3 * FRAMES * FRAME_US)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Three segments of two seconds, a key frame each second, pictures reordered."""
    path: Path = tmp_path_factory.mktemp("cut") / "data"
    make_vault(path, [video_track(encode_h264(FRAMES, GOP, bframes=3))], START_US, ["store", "spool", "open"])
    with open_node(DataFolder.open(path), Config(), ManualClock(WHOLE.end_us)) as opened:
        yield opened


def grant_of(window: Interval) -> Grant:
    return replace(system_grant("test"), camera=CAMERA, window=window)


def span(first: int, last: int) -> Interval:
    return Interval(START_US + first * FRAME_US, START_US + last * FRAME_US)


def cut(node: Node, window: Interval, wanted: Interval) -> tuple[Interval, Interval, tuple[str, ...], int]:
    """What is shown, what is held, the notes, and how many pictures a decoder makes of it."""
    grant = grant_of(window)
    with Footage(node.environment, node.spool, node.store, node.clock).parts(grant, CAMERA, wanted) as parts:
        clip = cut_clip(parts, grant, CAMERA, wanted)
        data = clip.read(0, clip.size)
    with av.open(io.BytesIO(data), mode="r") as container:
        assert isinstance(container, av.container.InputContainer)
        shown = sum(1 for frame in container.decode(video=0) if frame.pts is not None and frame.pts >= 0)
    return clip.interval, clip.held, clip.notes, shown


@settings(max_examples=25)
@given(first=st.integers(0, 140), length=st.integers(1, 60), before=st.integers(0, 30), behind=st.integers(0, 5))
def test_whatever_the_window_nothing_outside_it_is_held(node: Node, first: int, length: int, before: int, behind: int) -> None:
    last = min(first + length, 3 * FRAMES)
    wanted, window = span(first, last), span(max(0, first - before), last + behind)
    try:
        interval, held, notes, shown = cut(node, window, wanted)
    except (NotFound, Refusal):
        # Then no key frame is in what is wanted, or it stands alone with pictures that lie behind the window.
        assert first // GOP == (last - 1) // GOP or last - (last - 1) // GOP * GOP <= 4
        return
    assert window.start_us <= held.start_us
    assert held.end_us <= window.end_us
    assert wanted.start_us <= interval.start_us < interval.end_us <= wanted.end_us
    assert shown == round(interval.duration_us / FRAME_US)
    if interval != wanted:
        assert any("outside what is allowed" in note for note in notes)


def test_where_the_key_frame_lies_in_the_window_nothing_is_left_out(node: Node) -> None:
    interval, held, notes, shown = cut(node, WHOLE, span(30, 70))
    assert (interval, held.start_us, shown) == (span(30, 70), START_US + 25 * FRAME_US, 40)
    assert notes == ()


def test_a_range_that_leaves_the_window_is_refused_before_anything_is_opened(node: Node) -> None:
    grant = grant_of(span(10, 20))
    footage = Footage(node.environment, node.spool, node.store, node.clock)
    for wanted in (span(9, 20), span(10, 21)):
        with pytest.raises(Refusal, match="was asked for"), footage.parts(grant, CAMERA, wanted):
            pass
    with pytest.raises(Refusal, match="another camera"), footage.parts(grant, CameraNumber(2), span(10, 20)):
        pass


def test_a_picture_that_began_or_hangs_on_what_is_before_the_window_is_not_shown(node: Node) -> None:
    footage = Footage(node.environment, node.spool, node.store, node.clock)
    key_us = START_US + GOP * FRAME_US
    assert still_at(footage, grant_of(span(25, 50)), CAMERA, key_us + FRAME_US // 2).at_us == key_us
    half = Interval(key_us + FRAME_US // 2, WHOLE.end_us)
    with pytest.raises(Refusal):
        still_at(footage, grant_of(half), CAMERA, half.start_us)
    with pytest.raises((Refusal, NotFound)):
        still_at(footage, grant_of(span(30, 50)), CAMERA, START_US + 35 * FRAME_US)
