"""The arithmetic of a splice against plain models: which recording is seen when, ticks on a grid, silence that decodes."""

from __future__ import annotations

import itertools

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.streams import encode_aac
from vault.errors import NotFound
from vault.ids import CameraNumber, SegmentKey
from vault.media import Chunks, Codec, SegmentFlag, SegmentHead, SegmentInfo, SegmentTable, TrackParams, TrackTable
from vault.segment.params import aac_params
from vault.source import BytesSource
from vault.splice.cover import cover, order
from vault.splice.part import Gaps, Part
from vault.splice.plan import plan_clip
from vault.splice.silence import silent_sample
from vault.splice.ticks import on_grid, run_lengths
from vault.timebase import Interval

VIDEO = TrackParams(
    Codec.H264,
    90_000,
    (bytes.fromhex("674d0028eca03c0113f2e02d4040405000003e90000ea60e8c000f4240003d093bcb8280"), bytes.fromhex("68ee3c80")),
    1920,
    1080,
)


def made_up(
    start_us: int, frames: int, *, epoch: int = 1, sequence: int = 0, gop: int = 5, rate_ppm: float = 0.0, reorder: bool = False
) -> Part:
    """A segment whose samples are four bytes that name themselves: enough for everything but a decoder."""
    key = SegmentKey(CameraNumber(990100001), start_us, epoch, sequence)
    dts = np.arange(frames, dtype=np.int64) * 3600
    cts = None
    if reorder:
        # P and b in turn: each b is decoded behind the P that follows it.
        rank = np.arange(frames)
        for at in range(frames - 2):
            if at % gop % 2 == 1 and at % gop < gop - 1:
                rank[at], rank[at + 1] = at + 1, at
        cts = ((rank - np.arange(frames)) * 3600).astype(np.int32)
    sync = np.arange(frames) % gop == 0
    size, offset = np.full(frames, 4, np.uint32), np.arange(frames, dtype=np.int64) * 4
    head = SegmentHead(key, "cam-1", rate_ppm, None, SegmentFlag.NONE)
    end_us = start_us + round(frames * 3600 * (1e6 + rate_ppm) / 90_000)
    info = SegmentInfo(head, end_us, end_us, "default", 0, SegmentFlag.NONE)
    table = TrackTable(VIDEO, dts, cts, size, Chunks.of(offset, size), sync, frames * 3600)
    data = b"".join((start_us // 1000 * 100 + n & 0xFFFFFFFF).to_bytes(4, "big") for n in range(frames))
    return Part(SegmentTable(info, (table,), len(data)), BytesSource(data))


SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12), st.integers(1, 4)), max_size=12)


@given(SPANS)
def test_at_each_instant_the_newest_epoch_with_footage_is_seen(spans: list[tuple[int, int, int]]) -> None:
    parts = order([made_up(a * 40_000, n, epoch=epoch, sequence=s) for s, (a, n, epoch) in enumerate(spans)])

    covers = cover(parts)

    assert all(left.end_us <= right.start_us for left, right in itertools.pairwise(covers))
    for frame in range(60):
        at = frame * 40_000 + 20_000
        holding = [part.table.info.head.key for part in parts if part.start_us <= at < part.end_us]
        best = max(holding, key=lambda key: (key.epoch, key.start_us, key.sequence), default=None)
        seen = [parts[item.index].table.info.head.key for item in covers if item.start_us <= at < item.end_us]
        assert seen == ([] if best is None else [best])


@given(SPANS, st.integers(0, 50), st.integers(1, 50), st.booleans(), st.sampled_from(list(Gaps)))
def test_time_never_runs_backwards_and_nothing_outside_the_range_is_shown(
    spans: list[tuple[int, int, int]], first: int, length: int, reorder: bool, gaps: Gaps
) -> None:
    parts = [made_up(a * 40_000, n, epoch=epoch, sequence=s, reorder=reorder) for s, (a, n, epoch) in enumerate(spans)]
    wanted = Interval(first * 40_000, (first + length) * 40_000)
    available = any(
        wanted.start_us <= at < wanted.end_us for part in parts for at in part.instants_us(part.table.tracks[0]).tolist()
    )
    try:
        clip = plan_clip(parts, wanted, gaps)
    except NotFound:
        # Where recordings overlap, the pictures of the range may be those that are not seen.
        assert not available or len(spans) > 1
        return
    assert available
    assert wanted.start_us <= clip.interval.start_us < clip.interval.end_us <= wanted.end_us
    assert clip.held.start_us <= clip.interval.start_us
    assert len(clip.read(0, clip.size)) == clip.size
    # Every entry of stts lasts; a time that did not rise would stand there as a huge or zero duration.
    at = clip.head.index(b"stts")
    count = int.from_bytes(clip.head[at + 8 : at + 12], "big")
    entries = np.frombuffer(clip.head, ">u4", 2 * count, at + 12).reshape(-1, 2)
    assert (entries[:, 1] > 0).all()
    assert (entries[:, 1] < 60 * 3600).all()


@given(
    st.lists(st.floats(3, 10_000), min_size=1, max_size=60),
    st.floats(-1e9, 1e9),
)
def test_ticks_rise_and_are_within_one_of_the_truth(steps: list[float], start: float) -> None:
    exact = start + np.concatenate(([0.0], np.cumsum(steps)))

    ticks = on_grid(exact, -(1 << 60))

    assert (np.diff(ticks) > 0).all()
    assert np.abs(ticks - exact).max() <= 1.01 + 1e-6 * abs(start) / 1e6


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60), st.integers(0, 100))
def test_times_that_stumble_still_rise_above_the_floor(steps: list[float], floor: int) -> None:
    ticks = on_grid(np.cumsum(steps), floor)

    assert (np.diff(ticks) > 0).all()
    assert ticks[0] >= floor


def test_a_fast_camera_needs_few_entries() -> None:
    exact = np.arange(1500) * 3600 * 1.000035
    counts, values = run_lengths(np.diff(on_grid(exact, 0)))

    # Rounded one by one there would be an entry more for each third picture.
    assert len(counts) < 200
    assert set(values.tolist()) <= {3600, 3602}


@given(st.lists(st.integers(0, 3), max_size=50))
def test_run_lengths_unroll_to_what_they_were(values: list[int]) -> None:
    counts, runs = run_lengths(np.array(values, np.int64))

    assert np.repeat(runs, counts).tolist() == values
    assert all(left != right for left, right in itertools.pairwise(runs.tolist()))


@pytest.mark.parametrize("channels", [1, 2])
def test_silent_aac_decodes_to_silence(channels: int) -> None:
    params = aac_params(encode_aac(0.5, channels=channels).config)
    sample = silent_sample(params, 1024)
    assert sample is not None
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = params.sets[0]

    frames = [frame for _ in range(5) for frame in decoder.decode(av.Packet(sample))]

    assert [frame.samples for frame in frames] == [1024] * 5
    assert all(float(np.abs(frame.to_ndarray()).max()) == 0.0 for frame in frames)


def test_silence_that_we_cannot_make_is_none() -> None:
    assert silent_sample(TrackParams(Codec.AAC, 48_000, (b"\x09\x90",), channels=2), 1024) is None
    assert silent_sample(TrackParams(Codec.OPAQUE, 90_000), 3600) is None
