"""Datagrams out of order, twice, from strangers; and a real socket with joined datagrams."""

from __future__ import annotations

import random
import socket
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.rtp.datagrams import MAX_READ_BYTES, prepare, read
from ingest.rtp.engine import VideoTrack
from ingest.rtp.flags import DAMAGED
from ingest.rtp.reorder import MAX_WAIT_US, ReorderBuffer
from tests.support.packetize import Packetizer, rtp
from tests.support.streams import encode_h264
from vault.media import Codec

SLICE = b"\x41\x9a" + bytes(range(1, 50))


class Line:
    """A track behind a reorder buffer, and what has come out of it."""

    def __init__(self, **bounds: int) -> None:
        self.track = VideoTrack(0, Codec.H264)
        self.buffer = ReorderBuffer(self.track, **bounds)
        self.samples: list[bytes] = []
        self.timestamps: list[int] = []
        self.flags: list[int] = []

    def sweep(self, packets: list[bytes], now_us: int = 0) -> None:
        arena = bytearray(1 << 20)
        frames: list[tuple[int, int, int, int, int]] = []
        self.track.begin(arena)
        for packet in packets:
            self.buffer.push(bytearray(b"??" + packet), 2, 2 + len(packet), frames, now_us)
        self.buffer.flush(frames, now_us)
        for _, timestamp, offset, size, flags in frames:
            self.samples.append(bytes(arena[offset : offset + size]))
            self.timestamps.append(timestamp)
            self.flags.append(flags)
        self.track.carry()

    def joined(self, packets: list[bytes], step: int) -> None:
        """The packets, each `step` bytes long but the last, in one buffer."""
        arena, buf = bytearray(1 << 20), bytearray(b"".join(packets))
        frames: list[tuple[int, int, int, int, int]] = []
        self.track.begin(arena)
        self.buffer.push_joined(buf, 0, len(buf), step, frames, 0)
        self.timestamps += [timestamp for _, timestamp, _, _, _ in frames]
        self.track.carry()


def sent_slices(count: int) -> list[bytes]:
    sender = Packetizer(sequence=65_530)
    return [sender.unit(at, [SLICE])[0] for at in range(count)]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), reach=st.integers(1, 12))
def test_packets_shuffled_within_reach_and_doubled_come_out_as_sent(seed: int, reach: int) -> None:
    rng = random.Random(seed)
    units = encode_h264(frames=8, gop=4)
    sender = Packetizer(120, sequence=65_500)
    packets = [packet for unit in units for packet in sender.unit(unit.pts_90k, unit.nals)]
    order = sorted(range(1, len(packets)), key=lambda at: at + rng.random() * reach)
    line = Line()
    mixed = [packets[0]] + [packets[at] for at in order for _ in range(1 + (rng.random() < 0.1))]
    for at in range(0, len(mixed), 7):
        line.sweep(mixed[at : at + 7])
    assert line.samples == [unit.sample for unit in units]
    assert line.track.lost == line.track.late == 0


def test_a_missing_packet_is_waited_for_so_long_and_no_longer() -> None:
    sent, line = sent_slices(4), Line()
    line.sweep([sent[0], sent[2]], 1000)
    line.sweep([sent[3]], 1000 + MAX_WAIT_US - 1)
    assert line.timestamps == [0]
    line.sweep([], 1000 + MAX_WAIT_US)
    assert (line.timestamps, line.flags) == ([0, 2, 3], [0, DAMAGED, 0])
    line.sweep([sent[1]], 1000 + MAX_WAIT_US)
    assert (line.timestamps, line.buffer.duplicates, line.track.lost) == ([0, 2, 3], 1, 1)


def test_joined_datagrams_are_what_they_would_be_one_by_one() -> None:
    sent = sent_slices(40)
    step = len(sent[0])
    order = [0, 1, 2, 4, 3, 5, 6, 6, 7, 8, 9, 12, 10, 11, *range(13, 39)]
    line = Line()
    for at in range(0, len(order), 6):
        line.joined([sent[i] for i in order[at : at + 6]], step)
    line.joined([sent[39], rtp(65_530 + 40, 40, SLICE[:9], marker=True)], step)
    assert line.timestamps == list(range(41))
    assert (line.track.lost, line.track.late, line.buffer.duplicates) == (0, 0, 1)


def test_joined_garbage_is_passed_over() -> None:
    line = Line()
    line.joined([sent_slices(1)[0][:11], b"x" * 11, b"\x80"], 11)
    line.joined([bytes(500)], 1)
    assert line.timestamps == []


def test_what_waits_is_bounded_in_packets_and_bytes() -> None:
    sent = sent_slices(200)
    line = Line(max_packets=10)
    line.sweep([sent[0], *sent[2:12]])
    assert line.timestamps == [0]
    line.sweep([sent[12]])
    assert line.timestamps == [0, *range(2, 13)]
    line = Line(max_bytes=2000)
    line.sweep([sent[0], *sent[2:60]])
    assert line.timestamps[-1] == 59


def test_a_stray_packet_changes_nothing_and_a_stream_begun_anew_is_followed() -> None:
    sent, line = sent_slices(4), Line()
    other = [rtp(30_000 + at, 500 + at, SLICE, marker=True, ssrc=9) for at in range(3)]
    line.sweep([sent[0], other[0], sent[1], rtp(20_000, 7, SLICE, marker=True), sent[2]])
    assert (line.timestamps, line.track.ssrc_changes, line.buffer.strays) == ([0, 1, 2], 0, 1)
    line.sweep(other)
    assert (line.timestamps[3:], line.track.ssrc_changes) == ([500, 501, 502], 1)
    line.sweep([rtp(at, at, SLICE, marker=True, ssrc=9) for at in (10, 11, 12)])
    assert (line.timestamps[6:], line.track.resets) == ([10, 11, 12], 1)


@given(
    st.lists(st.binary(max_size=40) | st.builds(rtp, st.integers(0, 65_535), st.integers(0, 5), st.just(SLICE)), max_size=80)
)
def test_garbage_raises_nothing(packets: list[bytes]) -> None:
    Line(max_packets=5).sweep(packets)


def test_datagrams_of_a_real_socket_arrive_whole_joined_or_not() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs:
        ours.bind(("127.0.0.1", 0))
        granted = prepare(ours)
        assert granted.buffer_bytes > 0
        assert granted.joins
        view = memoryview(bytearray(MAX_READ_BYTES))
        assert read(ours, view) is None
        theirs.connect(ours.getsockname())
        # UDP_SEGMENT: one call, datagrams of 1,000 bytes; the last is shorter.
        theirs.setsockopt(17, 103, 1000)
        theirs.send(b"".join(bytes([at]) * 1000 for at in range(9)) + b"end")
        got: list[bytes] = []
        deadline = time.monotonic() + 20
        while len(got) < 10 and time.monotonic() < deadline:
            one = read(ours, view)
            if one is not None:
                assert one.address == theirs.getsockname()
                got += [
                    bytes(view[at : min(at + one.step_bytes, one.size_bytes)])
                    for at in range(0, one.size_bytes, one.step_bytes)
                ]
        assert got == [*(bytes([at]) * 1000 for at in range(9)), b"end"]


def test_a_peer_that_is_not_there_is_no_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs:
        theirs.bind(("127.0.0.1", 0))
        ours.connect(theirs.getsockname())
        theirs.close()
        prepare(ours)
        ours.send(b"anyone?")
        assert read(ours, memoryview(bytearray(MAX_READ_BYTES))) is None
