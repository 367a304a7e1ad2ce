"""RTP headers, sequence accounting and the walk over interleaved frames; and garbage, which raises nothing and costs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import build_inner
from ingest.rtp import engine
from ingest.rtp.flags import DAMAGED, RESTARTED
from tests.support.packetize import Packetizer, interleave, rtp
from tests.support.rtploop import FORMS, Receiver, load
from vault.media import Codec

SLICE = b"\x41\x9a" + bytes(range(1, 50))


@pytest.fixture(params=FORMS)
def inner(request: pytest.FixtureRequest) -> ModuleType:
    return load(request.param)


def h264(inner: ModuleType, **more: int) -> Receiver:
    return Receiver(inner, [inner.VideoTrack(0, Codec.H264, 96, **more)])


@pytest.mark.parametrize(
    "shape",
    [
        {"csrcs": [1, 2, 3]},
        {"extension": b""},
        {"extension": b"abcd" * 3},
        {"padding": 9},
        {"csrcs": [1], "extension": b"abcd", "padding": 1},
    ],
)
def test_csrcs_extensions_and_padding_are_no_part_of_the_payload(inner: ModuleType, shape: dict[str, object]) -> None:
    receiver = h264(inner)
    receiver.datagrams([rtp(at, at, SLICE, marker=True, **shape) for at in range(2)])
    assert [unit.nals for unit in receiver.units] == [[SLICE]] * 2
    assert receiver.tracks[0].malformed == 0


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        rtp(1, 1, b"")[:11],
        b"\x00" + rtp(1, 1, SLICE)[1:],
        b"\xc0" + rtp(1, 1, SLICE)[1:],
        b"\x8f" + rtp(1, 1, SLICE[:40])[1:],
        b"\x90" + rtp(1, 1, b"abc")[1:],
        b"\x90" + rtp(1, 1, b"\xbe\xde\x00\xff" + SLICE)[1:],
        b"\xa0" + rtp(1, 1, SLICE + b"\xff")[1:],
    ],
    ids=["empty", "short", "version 0", "version 3", "csrcs", "extension cut", "extension too long", "padding too long"],
)
def test_headers_that_do_not_fit_their_packet_are_counted(inner: ModuleType, packet: bytes) -> None:
    receiver = h264(inner)
    receiver.datagrams([rtp(0, 0, SLICE, marker=True), packet, rtp(1, 1, SLICE, marker=True)])
    assert [unit.flags for unit in receiver.units] == [0, 0]
    assert receiver.tracks[0].malformed == 1


def test_a_packet_without_payload_counts_and_may_end_a_unit(inner: ModuleType) -> None:
    receiver = h264(inner)
    receiver.datagrams([rtp(0, 7, SLICE), rtp(1, 7, b"", marker=True), rtp(2, 8, b"", padding=4)])
    assert [(unit.timestamp, unit.nals) for unit in receiver.units] == [(7, [SLICE])]
    assert receiver.tracks[0].received == 3


def test_the_sequence_number_wraps_and_its_cycles_are_counted(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer(sequence=65_000)
    receiver.arena_bytes = 8 << 20
    receiver.stream(interleave(packet for at in range(70_000) for packet in sender.unit(at, [SLICE])))
    track = receiver.tracks[0]
    assert (track.highest, track.received, track.expected, track.lost) == (134_999, 70_000, 70_000, 0)
    assert len(receiver.units) == 70_000


def test_losses_late_packets_and_duplicates_are_counted_apart(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer(sequence=65_530)
    sent = [sender.unit(at, [SLICE])[0] for at in range(20)]
    order = [0, 1, 4, 3, 5, 5, 6, 10, 11]
    receiver.datagrams(sent[at] for at in order)
    track = receiver.tracks[0]
    assert [unit.timestamp for unit in receiver.units] == [0, 1, 4, 5, 6, 10, 11]
    assert [unit.timestamp for unit in receiver.units if unit.flags & DAMAGED] == [4, 10]
    assert (track.lost, track.late, track.received, track.expected) == (5, 2, 9, 12)


def test_a_sequence_that_begins_anew_is_a_reset_and_no_loss(inner: ModuleType) -> None:
    receiver = h264(inner)
    receiver.datagrams(rtp(at, at, SLICE, marker=True) for at in (10, 11, 30_000, 30_001))
    track = receiver.tracks[0]
    assert [(unit.timestamp, unit.flags) for unit in receiver.units] == [(10, 0), (11, 0), (30_000, DAMAGED), (30_001, 0)]
    assert (track.resets, track.lost, track.received, track.expected, track.highest) == (1, 0, 4, 4, 30_001)


def test_another_ssrc_cuts_the_unit_under_way_and_marks_the_next(inner: ModuleType) -> None:
    receiver = h264(inner)
    receiver.datagrams(
        [rtp(5, 100, SLICE), rtp(900, 100, SLICE, ssrc=9, marker=True), rtp(901, 101, SLICE, ssrc=9, marker=True)]
    )
    assert [(unit.timestamp, unit.flags) for unit in receiver.units] == [(100, DAMAGED), (100, DAMAGED | RESTARTED), (101, 0)]
    track = receiver.tracks[0]
    assert (track.ssrc, track.ssrc_changes, track.lost, track.received) == (9, 1, 0, 3)


def test_the_walk_stops_at_rtsp_text_and_at_a_frame_that_is_not_whole(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    whole = interleave(sender.unit(0, [SLICE]))
    assert receiver.stream(whole + b"RTSP/1.0 200 OK\r\n\r\n" + whole) == len(whole)
    receiver.rest = b""
    for kept in range(len(whole)):
        assert receiver.stream(whole[:kept]) == 0
        receiver.rest = b""
    assert receiver.stream(b"") == 0


def test_rtcp_is_handed_on_and_unknown_channels_are_passed_over(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    stream = (
        interleave([b"report"], 1)
        + interleave([b"x" * 70, b""], 200)
        + interleave(sender.unit(0, [SLICE]))
        + interleave([b""], 1)
    )
    assert receiver.stream(stream) == len(stream)
    assert receiver.control == [(1, b"report"), (1, b"")]
    assert len(receiver.units) == 1
    receiver.stream(interleave([b"r"] * 5000, 1))
    assert len(receiver.control) == 256


def test_several_tracks_keep_apart(inner: ModuleType) -> None:
    receiver = Receiver(inner, [inner.VideoTrack(0, Codec.H264), inner.G711Track(1, True), inner.OpaqueTrack(2)])
    senders = [Packetizer(), Packetizer(ssrc=2), Packetizer(ssrc=3)]
    for at in range(5):
        receiver.stream(
            interleave(senders[0].unit(at, [SLICE]))
            + interleave([senders[1].packet(at * 160, bytes([at]) * 160)], 2)
            + interleave([senders[2].packet(at, bytes([at]) * 9, True)], 4)
        )
    assert [[unit.timestamp for unit in receiver.units if unit.track == at] for at in range(3)] == [
        [0, 1, 2, 3, 4],
        [0, 160, 320, 480, 640],
        [0, 1, 2, 3, 4],
    ]


@pytest.mark.parametrize("bounds", [(-1, 5), (0, 11), (6, 5)])
def test_a_range_outside_the_buffer_is_the_callers_mistake(inner: ModuleType, bounds: tuple[int, int]) -> None:
    track = inner.VideoTrack(0, Codec.H264)
    with pytest.raises(ValueError, match="bytes"):
        inner.walk(bytearray(10), *bounds, [None] * 256, [], [])
    with pytest.raises(ValueError, match="bytes"):
        inner.feed_datagram(track, bytearray(10), *bounds, [])
    with pytest.raises(ValueError, match="3 channels"):
        inner.walk(bytearray(10), 0, 10, [None] * 3, [], [])


def test_an_arena_must_hold_what_is_carried_and_stays_as_it_is_until_carry(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    receiver.stream(interleave(sender.unit(0, [SLICE], marker=False)))
    track = receiver.tracks[0]
    assert track.carried_bytes == len(SLICE) + 4
    with pytest.raises(ValueError, match="carries"):
        track.begin(bytearray(10))
    arena = bytearray(100)
    track.begin(arena)
    with pytest.raises(BufferError):
        arena.extend(b"more")
    track.carry()
    arena.extend(b"more")
    receiver.stream(interleave(sender.unit(0, [SLICE])))
    assert [unit.nals for unit in receiver.units] == [[SLICE, SLICE]]


def test_a_unit_that_does_not_fit_into_the_arena_is_dropped(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    receiver.arena_bytes = 20
    receiver.stream(interleave(sender.unit(0, [SLICE]) + sender.unit(1, [b"\x41\x9a"])))
    assert [(unit.timestamp, unit.flags) for unit in receiver.units] == [(1, DAMAGED)]
    assert receiver.tracks[0].dropped_units == 1


def test_packets_outside_of_a_sweep_go_nowhere(inner: ModuleType) -> None:
    track = inner.VideoTrack(0, Codec.H264)
    frames: list[object] = []
    for at in range(3):
        packet = bytearray(rtp(at, at, SLICE, marker=True))
        inner.feed_datagram(track, packet, 0, len(packet), frames)
    assert frames == []
    assert track.dropped_units == 3


def tracks_of(inner: ModuleType) -> list[object]:
    return [
        inner.VideoTrack(0, Codec.H264, unit_limit=30_000), inner.VideoTrack(1, Codec.H265), inner.AacTrack(2, 1024, 13, 3, 3),
        inner.G711Track(3, False), inner.OpaqueTrack(4),
    ]  # fmt: skip


_payload = st.binary(max_size=60) | st.builds(
    lambda head, rest: bytes(head) + rest,
    st.lists(
        st.sampled_from([0, 1, 3, 6, 7, 24, 28, 0x7C, 0x85, 0x45, 0x05, 0x78, 0x60, 0x62, 0x01, 0x93, 0x13, 0x53, 16, 255]),
        max_size=8,
    ),
    st.binary(max_size=40),
)
_packet = st.binary(max_size=80) | st.builds(
    lambda sequence, timestamp, payload, marker, ssrc, first: (
        bytes((first,)) + rtp(sequence, timestamp, payload, marker=marker, ssrc=ssrc)[1:]
    ),
    st.integers(0, 8) | st.integers(0, 65_535),
    st.integers(0, 3),
    _payload,
    st.booleans(),
    st.integers(0, 9).map(lambda at: int(at == 9)),
    st.sampled_from([0x80] * 9 + [0xA0, 0x90, 0x82]),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sweeps=st.lists(st.lists(st.tuples(st.integers(0, 10), _packet), max_size=12), max_size=4))
@example(sweeps=[[(0, rtp(at, 0, b"\x7c\x85" + b"a" * 9)) for at in range(3)]] * 3)
def test_whatever_arrives_raises_nothing_and_both_forms_agree(sweeps: list[list[tuple[int, bytes]]]) -> None:
    seen = []
    for form in FORMS:
        inner = load(form)
        receiver = Receiver(inner, tracks_of(inner), arena_bytes=40_000)
        for sweep in sweeps:
            receiver.stream(b"".join(interleave([packet], channel) for channel, packet in sweep))
        counters = [
            (t.received, t.expected, t.lost, t.late, t.malformed, t.unsupported, t.dropped_units, t.carried_bytes, t.highest)
            for t in receiver.tracks
        ]  # fmt: skip
        for unit in receiver.units:
            if unit.track < 2:
                assert unit.nals
        seen.append((receiver.units, receiver.control, counters))
    assert seen[0] == seen[1]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    h265=st.booleans(),
    order=st.lists(st.integers(0, 40), max_size=60),
    harm=st.dictionaries(st.integers(0, 60), st.tuples(st.integers(0, 14), st.integers(0, 255)), max_size=3),
)
def test_packets_in_a_row_are_taken_as_one_by_one(
    inner: ModuleType, h265: bool, order: list[int], harm: dict[int, tuple[int, int]]
) -> None:
    sender = Packetizer(mtu=40)
    nal = (b"\x02\x01" if h265 else b"\x41\x9a") + bytes(range(200))
    whole = [packet for at in range(4) for packet in sender.unit(at * 3600, [nal], h265=h265)]
    packets = [bytearray(whole[at % len(whole)]) for at in (*range(20), *order)]
    for at, (where, value) in harm.items():
        if at < len(packets):
            packets[at][where] = value
    seen = []
    for receiver in [
        Receiver(inner, [inner.VideoTrack(0, Codec.H265 if h265 else Codec.H264, 96, unit_limit=500)]) for _ in "ab"
    ]:
        if seen:
            receiver.datagrams(packets)
        else:
            receiver.stream(interleave(packets))
        track = receiver.tracks[0]
        seen.append((receiver.units, track.received, track.expected, track.lost, track.malformed, track.carried_bytes))
    assert seen[0] == seen[1]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=500))
def test_walking_garbage_stops_within_it(inner: ModuleType, data: bytes) -> None:
    receiver = Receiver(inner, tracks_of(inner))
    assert 0 <= receiver.stream(b"$" + data) <= len(data) + 1


def test_the_environment_forces_the_source_in_a_new_process() -> None:
    command = "from ingest.rtp.engine import inner_kind, VideoTrack; print(inner_kind(), hasattr(VideoTrack, 'packet'))"
    done = subprocess.run(
        [sys.executable, "-c", command],
        env={**os.environ, "STREAMVAULT_INNER": "interpreted"},
        capture_output=True,
        text=True,
        check=True,
        cwd=build_inner.ROOT,
    )
    assert done.stdout.split() == ["interpreted", "True"]


def test_no_extension_in_place_is_older_than_its_source() -> None:
    for name in engine.COMPILED_MODULES:
        source = (build_inner.ROOT / name.replace(".", "/")).with_suffix(".py")
        newest = max(path.stat().st_mtime for path in (source, source.with_suffix(".pxd"), source.with_name("octets.pxd")))
        for built in source.parent.glob(f"{source.stem}.*.so"):
            assert built.stat().st_mtime >= newest, "the inner loop was changed: python build_inner.py"


def test_the_build_hook_compiles_what_the_engine_expects() -> None:
    assert build_inner.MODULES == engine.COMPILED_MODULES
    assert all((build_inner.ROOT / name.replace(".", "/")).with_suffix(".pxd").is_file() for name in build_inner.MODULES)
