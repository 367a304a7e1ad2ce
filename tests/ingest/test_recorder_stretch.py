"""Units taken in stretches are recorded as they would be one by one, whatever a camera sends."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.rtp.flags import DAMAGED, KEY, PARAMS, RESTARTED
from ingest.tracks import RecordedTrack, Stretch
from tests.support.recording import SECOND, Stage, Unit, aac_track, h264_track, stage
from tests.support.rtploop import FORMS, load

STEPS = (3600, 3600, 3600, 3600, 3601, 90, 0, -7200, 3 * 90_000, -(1 << 31), 1 << 30)

camera_sends = st.lists(
    st.tuples(
        st.sampled_from((0, 0, 0, 1)),
        st.sampled_from(STEPS),
        st.sampled_from((0, 0, 0, 0, 0, KEY, KEY | PARAMS, DAMAGED, RESTARTED)),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=120,
)


def recorded(sent: list[tuple[int, int, int, int]], per_sweep: int, bframes: int) -> Stage:
    on = stage(nominal_s=2)
    on.begin([h264_track(bframes), aac_track()])
    stamps = [1 << 31, 0]
    units: list[Unit] = []
    first = [(0, 3600, KEY, 30), (0, 3600, 0, 30), (1, 1024, 0, 5), *[(0, 3600, 0, 30)] * 3]
    for number, (track, step, flags, size) in enumerate([*first, *sent]):
        stamps[track] += step if track == 0 else 1024
        units.append(Unit(track, stamps[track], bytes([number & 0xFF]) * size, flags, 0))
        if len(units) == per_sweep:
            on.clock.advance(per_sweep * SECOND // 25)
            on.sweep(units)
            units = []
    on.sweep(units)
    on.recorder.end("test")
    on.drain()
    return on


@settings(max_examples=150, deadline=None)
@given(sent=camera_sends, per_sweep=st.integers(1, 30), bframes=st.sampled_from((0, 0, 2)))
def test_a_stretch_is_recorded_as_its_units_are_one_by_one(
    sent: list[tuple[int, int, int, int]], per_sweep: int, bframes: int
) -> None:
    together = recorded(sent, per_sweep, bframes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecordedTrack, "follow", lambda self, frames, at, index, limit, others: Stretch(at, [], [], []))
        singly = recorded(sent, per_sweep, bframes)
    assert together.events == singly.events
    assert len(together.segments) == len(singly.segments)
    for one, other in zip(together.segments, singly.segments, strict=True):
        assert one.opened == other.opened or (one.opened.head, one.opened.tracks) == (other.opened.head, other.opened.tracks)
        assert one.samples == other.samples
        assert one.file == other.file
        assert one.finished is not None
        assert other.finished is not None
        assert (one.finished.end_us, one.finished.end_dts, one.finished.flags) == (
            other.finished.end_us,
            other.finished.end_dts,
            other.finished.flags,
        )


@pytest.fixture(params=FORMS)
def inner(request: pytest.FixtureRequest) -> ModuleType:
    return load(request.param)


@pytest.mark.parametrize(
    "odd",
    [
        (0, 3 * 3600, 500, 100, KEY),
        (0, 2 * 3600, 500, 100, 0),
        (0, 2 * 3600 + 10, 500, 100, 0),
        (0, 2 * 3600 - 1, 500, 100, 0),
        (0, 2 * 3600 + 90_000, 500, 100, 0),
        (0, 3600 * 30, 500, 100, 0),
    ],
    ids=["flag", "same time", "least step", "back", "gap", "limit"],
)
def test_a_stretch_ends_where_a_unit_is_out_of_the_ordinary(inner: ModuleType, odd: tuple[int, int, int, int, int]) -> None:
    sound = (1, 77, 0, 10, KEY)
    frames = [(0, 3600, 0, 200, 0), sound, (0, 7200, 200, 300, 0), odd, (0, 4 * 3600, 600, 1, 0)]
    others: list[object] = []
    ticks: list[int] = []
    sizes: list[int] = []
    spans: list[tuple[int, int]] = []
    media = 5 << 32
    assert inner.stretch(frames, 0, 0, media, 0, 10, 90_000, media + 30 * 3600, others, ticks, sizes, spans) == 3
    assert (others, ticks, sizes, spans) == ([sound], [media + 3600, media + 7200], [200, 300], [(0, 500)])


def test_a_stretch_goes_over_the_wrap_of_timestamps_and_holes_between_units(inner: ModuleType) -> None:
    frames = [(0, 0xFFFFFFFF, 10, 5, 0), (0, 3599, 15, 5, 0), (0, 7199, 40, 2, 0)]
    ticks: list[int] = []
    spans: list[tuple[int, int]] = []
    stop = inner.stretch(frames, 0, 0, 10_000, 0xFFFFFFFF - 3600, 10, 90_000, 1 << 62, [], ticks, [], spans)
    assert (stop, ticks, spans) == (3, [13_600, 17_200, 20_800], [(10, 20), (40, 42)])
