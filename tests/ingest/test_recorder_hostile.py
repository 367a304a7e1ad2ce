"""A camera that sends anything at all: the recorder stays whole, its segments can be closed, and its memory is bounded."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ingest.rtp.flags import KEY
from tests.support.recording import SECOND, Unit, aac_track, h264_track, opaque_track, stage
from vault.segment.read import read_closed
from vault.source import FileSource

timestamps = st.one_of(
    st.integers(0, (1 << 32) - 1), st.integers(0, 400_000), st.sampled_from([0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
)
units = st.builds(
    Unit,
    track=st.sampled_from([0, 0, 0, 1, 1, 2]),
    timestamp=timestamps,
    data=st.binary(min_size=1, max_size=12),
    flags=st.sampled_from([0, 0, 0, KEY, KEY, 2, 3, 4, 5, 20, 21, 31]),
    at_us=st.just(0),
)
acts = st.one_of(
    st.tuples(st.just("sweep"), st.lists(units, min_size=1, max_size=30)),
    st.tuples(st.just("sweep"), st.lists(units, min_size=1, max_size=30)),
    st.tuples(st.just("sweep"), st.lists(units, min_size=1, max_size=30)),
    st.tuples(st.just("wait"), st.sampled_from([1, 40_000, SECOND, 3 * SECOND, 20 * SECOND, 400 * SECOND])),
    st.tuples(st.just("step"), st.sampled_from([-3600 * SECOND, 3600 * SECOND, SECOND])),
    st.tuples(st.just("report"), st.tuples(st.integers(0, 2), st.integers(0, 1 << 62), timestamps)),
    st.tuples(st.just("reconnect"), st.none()),
    st.tuples(st.just("grant"), st.none()),
)


@given(st.lists(acts, max_size=40), st.booleans())
def test_whatever_a_camera_sends_the_segments_are_whole_and_can_be_read(
    tmp_path_factory: object, script: list[tuple[str, object]], grants: bool
) -> None:
    on = stage(nominal_s=4)
    on.grants = grants
    make = lambda: [h264_track(), aac_track(), opaque_track()]  # noqa: E731
    on.begin(make())
    for act, value in script:
        if act == "sweep":
            on.clock.advance(200_000)
            on.sweep(value)  # type: ignore[arg-type]
            assert on.buffers_back == on.buffers_given
        elif act == "wait":
            on.clock.advance(value)  # type: ignore[arg-type]
        elif act == "step":
            on.clock.step(value)  # type: ignore[arg-type]
            on.recorder.host_clock_stepped()
        elif act == "report":
            on.recorder.sender_report(*value)  # type: ignore[misc]
        elif act == "reconnect":
            on.end()
            on.begin(make())
        elif on.recorder._epoch_asked:
            on.grant()
    on.end()
    on.check()
    folder: Path = tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    for segment in on.segments:
        path = segment.write(folder / "hostile.mp4")
        with FileSource(path) as source:
            table = read_closed(source)
        assert [len(track.dts) for track in table.tracks] == [len(samples) for samples in segment.samples]
        assert table.info.interval.duration_us <= 20 * SECOND
