"""What a received packet costs in the inner loop, compiled and interpreted: `pytest benchmarks/bench_rtp.py`.

One round is one second of a camera: 25 pictures, 4 Mbit/s, in packets of 1,400 bytes. `us_per_packet` is in the extra
columns of `--benchmark-json`; figures and machine stand in benchmarks/README.md.
"""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import pytest

from tests.support.packetize import Packetizer, aac_hbr, interleave
from tests.support.rtploop import FORMS, load
from vault.media import Codec

KEY_BYTES, PICTURE_BYTES = 80_000, 17_500
ARENA_BYTES = 2 << 20


def pictures(first: int) -> list[bytes]:
    """NAL units of incompressible bytes without start codes, the first of them an IDR picture's."""
    filler = random.Random(1).randbytes(KEY_BYTES).replace(b"\0", b"\x55")
    return [bytes((first if at == 0 else 0x41, 0x9A)) + filler[: KEY_BYTES if at == 0 else PICTURE_BYTES] for at in range(25)]


def second() -> list[bytes]:
    sender = Packetizer()
    return [packet for at, nal in enumerate(pictures(0x65)) for packet in sender.unit(at * 3600, [nal])]


@pytest.fixture(params=FORMS)
def inner(request: pytest.FixtureRequest) -> ModuleType:
    return load(request.param)


def measure(benchmark: Any, once: Any, packets: int, rounds: int = 300) -> None:
    benchmark.pedantic(once, rounds=rounds, warmup_rounds=3)
    if benchmark.stats:
        benchmark.extra_info["us_per_packet"] = round(benchmark.stats.stats.min / packets * 1e6, 4)


def test_h264_over_tcp(benchmark: Any, inner: ModuleType) -> None:
    packets = second()
    stream, arena = bytearray(interleave(packets)), bytearray(ARENA_BYTES)
    track = inner.VideoTrack(0, Codec.H264)
    channels = [track, inner.RTCP] + [None] * 254

    def once() -> None:
        frames: list[Any] = []
        # The same second again: its sequence numbers are a reset to the track, once a round.
        track.begin(arena)
        assert inner.walk(stream, 0, len(stream), channels, frames, []) == len(stream)
        track.carry()
        assert len(frames) == 25

    measure(benchmark, once, len(packets))


def test_h264_over_udp_in_order(benchmark: Any, inner: ModuleType) -> None:
    packets = second()
    stream, arena = bytearray(b"".join(packets)), bytearray(ARENA_BYTES)
    track = inner.VideoTrack(0, Codec.H264)
    bounds, at = [], 0
    for packet in packets:
        bounds.append((at, at + len(packet)))
        at += len(packet)

    def once() -> None:
        frames: list[Any] = []
        track.begin(arena)
        for start, end in bounds:
            inner.feed_datagram(track, stream, start, end, frames)
        track.carry()
        assert len(frames) == 25

    measure(benchmark, once, len(packets))


def test_aac_over_tcp(benchmark: Any, inner: ModuleType) -> None:
    sender = Packetizer()
    # More packets than a late one may be late: each round is a reset.
    stream = bytearray(interleave(sender.packet(at * 1024, aac_hbr([b"\x21" * 170]), True) for at in range(200)))
    track, arena = inner.AacTrack(0, 1024, 13, 3, 3), bytearray(ARENA_BYTES)
    channels = [track] + [None] * 255

    def once() -> None:
        frames: list[Any] = []
        track.begin(arena)
        inner.walk(stream, 0, len(stream), channels, frames, [])
        track.carry()
        assert len(frames) == 200

    measure(benchmark, once, 200)


def test_begin_and_carry_with_half_a_picture(benchmark: Any, inner: ModuleType) -> None:
    packets = second()[:8]
    track, arena = inner.VideoTrack(0, Codec.H264), bytearray(ARENA_BYTES)
    track.begin(arena)
    for packet in packets:
        inner.feed_datagram(track, packet, 0, len(packet), [])
    track.carry()

    def once() -> None:
        track.begin(arena)
        track.carry()

    benchmark.pedantic(once, rounds=300, iterations=100)
    assert track.carried_bytes > 10_000


def test_the_floor_one_copy_of_the_bytes(benchmark: Any) -> None:
    packets = second()
    stream = bytearray(interleave(packets))
    arena = bytearray(len(stream))

    def once() -> None:
        arena[:] = stream

    measure(benchmark, once, len(packets))
