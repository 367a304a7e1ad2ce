"""RTP packets made from access units, and their stamping."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.simulate.encode import Unit
from ingest.simulate.feed import LoopFeed, strips_of
from ingest.simulate.loop import Loop, LoopTrack, make_loop
from ingest.simulate.packets import MAX_RTP_BYTES, Strip, Timing, payloads, segment_runs, sender_report
from tests.support.simulate import SMALL, Rtp, h264_nals, loop_cache, parse_rtp
from vault.media import Codec, TrackParams

_nal = st.builds(
    lambda head, body: bytes([head]) + body,
    st.sampled_from([0x67, 0x68, 0x06, 0x65, 0x41, 0x01]),
    st.binary(min_size=1, max_size=5000),
)


def _split(block: bytes) -> list[Rtp]:
    out = []
    while block:
        assert block[0] == 0x24
        size = int.from_bytes(block[2:4], "big")
        out.append(parse_rtp(block[1], block[4 : 4 + size]))
        block = block[4 + size :]
    return out


@given(st.lists(st.lists(_nal, min_size=1, max_size=5), min_size=1, max_size=4), st.booleans(), st.integers(0, 65535))
def test_h264_access_units_come_back_whole_from_their_packets(units: list[list[bytes]], aggregate: bool, sequence: int) -> None:
    made = [Unit(tuple(nals), index, index, index == 0) for index, nals in enumerate(units)]
    strip = Strip(Codec.H264, made, 96, aggregate)
    stamps = tuple(1000 + index for index in range(len(made)))
    packets = _split(bytes(strip.stamp(0, len(made), Timing(sequence, stamps, 0xDEADBEEF), 6)))
    assert h264_nals(packets) == [nal for nals in units for nal in nals]
    assert [packet.sequence for packet in packets] == [(sequence + index) & 0xFFFF for index in range(len(packets))]
    assert {(packet.channel, packet.ssrc, packet.payload_type) for packet in packets} == {(6, 0xDEADBEEF, 96)}
    assert [packet.stamp for packet in packets if packet.marker] == list(stamps)
    assert all(len(packet.payload) + 12 <= MAX_RTP_BYTES for packet in packets)
    assert strip.payload_bytes(0, len(made)) == sum(len(packet.payload) for packet in packets)


def test_h265_fragments_carry_the_type_in_the_third_byte() -> None:
    nal = bytes([19 << 1, 1]) + bytes(3000)
    made = payloads(Codec.H265, [nal])
    assert [item[0] >> 1 for item in made] == [49, 49, 49]
    assert [item[2] for item in made] == [0x80 | 19, 19, 0x40 | 19]
    assert bytes([19 << 1, 1]) + b"".join(item[3:] for item in made) == nal


def test_small_h265_units_share_an_aggregation_packet() -> None:
    sets = [bytes([kind << 1, 1, kind]) for kind in (32, 33, 34)]
    (packet,) = payloads(Codec.H265, sets, aggregate=True)
    assert packet == bytes([48 << 1, 1]) + b"".join(b"\0\x03" + item for item in sets)


def test_aac_frames_have_their_size_in_front_and_g711_is_as_it_is() -> None:
    assert payloads(Codec.AAC, [bytes(100)]) == [b"\x00\x10" + (100 << 3).to_bytes(2, "big") + bytes(100)]
    assert payloads(Codec.ALAW, [b"abc"]) == [b"abc"]


@given(st.lists(st.integers(1, 4), max_size=200))
def test_segment_runs_cover_all_packets_and_only_their_last_is_smaller(sizes: list[int]) -> None:
    if not sizes:
        return
    runs = segment_runs(sizes)
    assert [number for first, last in runs for number in range(first, last)] == list(range(len(sizes)))
    for first, last in runs:
        assert last - first <= 44
        assert all(sizes[number] == sizes[first] for number in range(first, last - 1))
        assert sizes[last - 1] <= sizes[first]


def test_a_sender_report_holds_the_wall_clock_as_ntp() -> None:
    report = sender_report(7, 1_000_000_500_000, 2**32 + 5, 3, 4)
    assert report[1] == 200
    assert int.from_bytes(report[8:12], "big") == 1_000_000 + 2_208_988_800
    assert int.from_bytes(report[12:16], "big") == 1 << 31
    assert int.from_bytes(report[16:20], "big") == 5
    assert len(report) % 4 == 0


def test_a_feed_sends_each_unit_once_in_order_whatever_the_ticks() -> None:
    loop = make_loop(SMALL, loop_cache())
    strips = strips_of(loop)
    for step_us in (7_000, 40_000, 333_000, 2_500_000):
        feed = LoopFeed(loop, strips, 0, lambda bits: (1 << bits) - 100)
        packets = []
        for now_us in range(0, 5_000_001, step_us):
            for burst in feed.take(now_us, 0):
                packets += _split(bytes(burst.strip.stamp(burst.first, burst.last, burst.timing, 0)))
        assert [packet.sequence for packet in packets] == [(65436 + index) & 0xFFFF for index in range(len(packets))]
        marks = [packet.stamp for packet in packets if packet.marker]
        assert marks == [(2**32 - 100 + 3600 * index) & 0xFFFFFFFF for index in range(len(marks))]
        assert len(marks) == 5_000_000 // step_us * step_us // 40_000 + 1
        whole = [nal for unit in loop.video.units for nal in unit.nals]
        assert h264_nals(packets)[: len(whole)] == whole


def test_a_feed_that_stood_still_for_long_leaves_units_out_without_a_lost_packet() -> None:
    loop = make_loop(SMALL, loop_cache())
    feed = LoopFeed(loop, strips_of(loop), 0, lambda bits: 0)
    (before,) = feed.take(0, 0)
    assert feed.take(30_000_000, 0) == []
    (after,) = feed.take(30_040_000, 0)
    assert after.timing.sequence == before.strip.packets(before.first, before.last)
    assert after.timing.stamps == (3600 * 751,)


def test_what_rtp_info_foretells_is_the_first_packet_after_the_next_key() -> None:
    loop = make_loop(SMALL, loop_cache())
    feed = LoopFeed(loop, strips_of(loop), 0, lambda bits: 5)
    feed.take(130_000, 0)
    (told,) = feed.next_packets()
    for burst in feed.take(4_000_000, 0):
        due_us = burst.first_key()
        if due_us is not None:
            started = burst.from_due(due_us)
            assert started is not None
            assert (started.timing.sequence, started.timing.stamps[0]) == (told.sequence, told.stamp)
            assert due_us == 400_000
            return
    pytest.fail("no key unit came")


def test_a_loop_without_a_key_lets_listeners_in_at_once() -> None:
    units = tuple(Unit((b"\x41x",), index * 3600, index * 3600, False) for index in range(5))
    loop = Loop((LoopTrack(TrackParams(Codec.H264, 90_000), units, 5 * 3600),))
    feed = LoopFeed(loop, strips_of(loop), 0, lambda bits: 0)
    feed.take(0, 0)
    assert feed.next_packets()[0].stamp == 3600
