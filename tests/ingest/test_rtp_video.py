"""Real H.264 and H.265 through our own packetizer and back: NAL units byte for byte, however the stream is cut."""

from __future__ import annotations

import random
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.rtp.flags import DAMAGED, KEY, PARAMS, RECOVERY
from tests.support.packetize import START_CODE, Packetizer, aggregation, fragments, interleave, rtp
from tests.support.rtploop import FORMS, Receiver, load
from tests.support.streams import AccessUnit, encode_h264, encode_h265
from vault.media import Codec

SPS, PPS, SEI = b"\x67\x42\x00\x1e\xab", b"\x68\xce\x3c\x80", b"\x06\x05\x02\xaa\xbb\x80"
IDR, SLICE = b"\x65\x88" + bytes(range(1, 200)), b"\x41\x9a" + bytes(range(1, 120))


@pytest.fixture(params=FORMS)
def inner(request: pytest.FixtureRequest) -> ModuleType:
    return load(request.param)


def h264(inner: ModuleType, **more: int) -> Receiver:
    return Receiver(inner, [inner.VideoTrack(0, Codec.H264, 96, **more)])


def packets_of(units: list[AccessUnit], mtu: int, *, h265: bool = False, aggregate: bool = True, base: int = 0) -> list[bytes]:
    sender = Packetizer(mtu, sequence=65_500)
    return [packet for unit in units for packet in sender.unit(unit.pts_90k + base, unit.nals, h265=h265, aggregate=aggregate)]


@pytest.mark.parametrize("mtu", [60, 300, 1400, 9000])
@pytest.mark.parametrize("aggregate", [True, False])
@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_every_nal_unit_of_a_real_stream_comes_out_as_it_was_encoded(
    inner: ModuleType, codec: Codec, aggregate: bool, mtu: int
) -> None:
    is_h265 = codec is Codec.H265
    units = encode_h265(aud=True) if is_h265 else encode_h264(slices=3, aud=True)
    receiver = Receiver(inner, [inner.VideoTrack(0, codec, 96)])
    receiver.stream(interleave(packets_of(units, mtu, h265=is_h265, aggregate=aggregate, base=0xFFFFFF00)))

    assert [unit.nals for unit in receiver.units] == [list(unit.nals) for unit in units]
    assert [unit.timestamp for unit in receiver.units] == [(unit.pts_90k + 0xFFFFFF00) & 0xFFFFFFFF for unit in units]
    assert [bool(unit.flags & KEY) for unit in receiver.units] == [unit.key for unit in units]
    assert [bool(unit.flags & PARAMS) for unit in receiver.units] == [unit.key for unit in units]
    assert not any(unit.flags & DAMAGED for unit in receiver.units)
    track = receiver.tracks[0]
    assert (track.lost, track.late, track.malformed, track.unsupported, track.resets) == (0, 0, 0, 0, 0)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_where_the_tcp_stream_is_cut_changes_nothing(inner: ModuleType, data: st.DataObject) -> None:
    units = encode_h264(frames=12, gop=6)
    stream = interleave(packets_of(units, 200))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    receiver = h264(inner)
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        receiver.stream(stream[start:end])
    assert b"".join(unit.data for unit in receiver.units) == b"".join(unit.sample for unit in units)


def test_a_stream_read_byte_by_byte_is_the_same(inner: ModuleType) -> None:
    units = encode_h264(frames=4, gop=2)
    receiver = h264(inner)
    receiver.arena_bytes = 20_000
    for byte in interleave(packets_of(units, 500)):
        receiver.stream(bytes((byte,)))
    assert [unit.data for unit in receiver.units] == [unit.sample for unit in units]


def test_a_lost_fragment_takes_its_whole_nal_unit_and_no_other(inner: ModuleType) -> None:
    rng = random.Random(7)
    for codec in (Codec.H264, Codec.H265):
        is_h265 = codec is Codec.H265
        units = encode_h265() if is_h265 else encode_h264(slices=3)
        sent = packets_of(units, 150, h265=is_h265)
        whole = {nal for unit in units for nal in unit.nals}
        receiver = Receiver(inner, [inner.VideoTrack(0, codec, 96)])
        kept = [packet for packet in sent[:-1] if rng.random() > 0.03] + sent[-1:]
        receiver.stream(interleave(kept))
        got = [nal for unit in receiver.units for nal in unit.nals]
        assert set(got) <= whole
        assert receiver.tracks[0].lost == len(sent) - len(kept)
        assert receiver.tracks[0].received == len(kept)
        full = {unit.pts_90k: unit for unit in units}
        for unit in receiver.units:
            if not unit.flags & DAMAGED:
                assert unit.data == full[unit.timestamp].sample


def test_the_unit_after_a_lost_one_is_marked_damaged_too(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    sent = [sender.unit(at * 3600, [SLICE])[0] for at in range(4)]
    receiver.stream(interleave([sent[0], sent[2], sent[3]]))
    assert [(unit.timestamp, unit.flags & DAMAGED) for unit in receiver.units] == [(0, 0), (7200, DAMAGED), (10800, 0)]


def test_parameter_sets_with_a_timestamp_and_marker_of_their_own_join_the_next_picture(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    receiver.stream(interleave(sender.unit(100, [SPS, PPS]) + sender.unit(200, [SEI], marker=False)))
    assert receiver.units == []
    receiver.stream(interleave(sender.unit(300, [IDR])))
    assert [unit.nals for unit in receiver.units] == [[SPS, PPS, SEI, IDR]]
    assert [(unit.timestamp, unit.flags) for unit in receiver.units] == [(300, KEY | PARAMS)]


def test_without_marker_bits_a_unit_ends_where_the_timestamp_changes(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    for at in range(3):
        receiver.stream(interleave(sender.unit(at, [SLICE, SLICE], aggregate=False, marker=False)))
    assert [(unit.timestamp, unit.nals) for unit in receiver.units] == [(0, [SLICE, SLICE]), (1, [SLICE, SLICE])]


def test_a_marker_behind_every_slice_does_not_split_a_picture_of_one_sweep(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    second = b"\x41\x5a" + SLICE[2:]
    for at in range(2):
        receiver.stream(interleave(sender.unit(at, [SLICE]) + sender.unit(at, [second]) + sender.unit(at, [second])))
    assert [unit.nals for unit in receiver.units] == [[SLICE, second, second]] * 2


def test_a_recovery_point_is_seen_behind_other_sei_messages(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    # User data with an emulation prevention byte that its size does not count.
    before = b"\x05\x04\x01\x00\x00\x03\x01"
    receiver.stream(
        interleave(
            sender.unit(0, [b"\x06\x06\x01\xc4\x80", SLICE]) + sender.unit(1, [b"\x06" + before + b"\x06\x01\xc4\x80", SLICE])
        )
    )
    receiver.stream(interleave(sender.unit(2, [b"\x06\x01\x01\x06\x80", SLICE])))
    assert [unit.flags for unit in receiver.units] == [RECOVERY, RECOVERY, 0]


@pytest.mark.parametrize("code", [START_CODE, START_CODE[1:]])
def test_start_codes_inside_a_payload_are_taken_for_what_they_are(inner: ModuleType, code: bytes) -> None:
    receiver, sender = h264(inner), Packetizer()
    joined = code.join([SPS, PPS, SEI, IDR])
    for at, payloads in enumerate(
        ([code + joined], [joined], fragments(joined, 60), fragments(b"\x65" + code + joined, 60), [aggregation([joined])])
    ):
        last = len(payloads) - 1
        receiver.stream(interleave([sender.packet(at, one, i == last) for i, one in enumerate(payloads)]))
    assert [unit.nals for unit in receiver.units] == [[SPS, PPS, SEI, IDR]] * 5
    assert all(unit.flags == KEY | PARAMS for unit in receiver.units)


def test_a_stream_is_trusted_only_until_start_codes_show_in_its_parameter_sets(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer(60)
    for at in range(100):
        receiver.stream(interleave(sender.unit(at, [SLICE])))
    receiver.stream(
        interleave(sender.unit(100, [START_CODE.join([SPS, PPS])]) + sender.unit(101, [START_CODE.join([SLICE, SLICE])]))
    )
    assert receiver.units[-1].nals == [SPS, PPS, SLICE, SLICE]


def test_h265_start_codes_inside_a_payload_are_found_late_too(inner: ModuleType) -> None:
    vps, sps, slice_ = b"\x40\x01\x0c", b"\x42\x01\x01", b"\x02\x01\xd0" + bytes(range(1, 90))
    receiver = Receiver(inner, [inner.VideoTrack(0, Codec.H265)])
    sender = Packetizer(60)
    for at in range(100):
        receiver.stream(interleave(sender.unit(at, [slice_], h265=True)))
    receiver.stream(interleave([sender.packet(101, START_CODE + START_CODE.join([vps, sps, slice_]), True)]))
    assert receiver.units[-1].nals == [vps, sps, slice_]


def test_fragments_whose_end_bit_is_missing_are_whole_when_no_packet_is(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    pieces = [bytes((piece[0], piece[1] & ~0x40)) + piece[2:] for piece in fragments(IDR, 60)]
    receiver.stream(interleave([sender.packet(0, piece) for piece in pieces] + sender.unit(1, [SLICE])))
    assert [unit.nals for unit in receiver.units] == [[IDR], [SLICE]]


def test_fragments_without_a_start_are_not_stored(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    pieces = fragments(IDR, 60)
    receiver.stream(interleave([sender.packet(0, piece) for piece in pieces[1:]] + sender.unit(0, [SLICE])))
    assert [(unit.nals, unit.flags) for unit in receiver.units] == [([SLICE], DAMAGED)]


def test_a_marker_inside_a_fragmented_nal_unit_is_not_believed(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    receiver.stream(interleave([sender.packet(0, piece, True) for piece in fragments(IDR, 60)]))
    assert [unit.nals for unit in receiver.units] == [[IDR]]


@pytest.mark.parametrize("kind", [25, 26, 27, 29, 30, 31])
def test_payload_structures_that_reorder_nal_units_are_counted_and_damage_the_unit(inner: ModuleType, kind: int) -> None:
    receiver, sender = h264(inner), Packetizer()
    receiver.stream(interleave([sender.packet(0, bytes((kind,)) + IDR), *sender.unit(0, [SLICE])]))
    assert [(unit.nals, unit.flags) for unit in receiver.units] == [([SLICE], DAMAGED)]
    assert receiver.tracks[0].unsupported == 1


@pytest.mark.parametrize("inside", [b"\x78\x00\x02\x41\x9a", b"\x7c\x85\x01", b"\x00\x01\x02"])
def test_aggregates_and_fragments_inside_aggregates_or_fragments_are_not_stored(inner: ModuleType, inside: bytes) -> None:
    receiver, sender = h264(inner), Packetizer()
    receiver.stream(
        interleave(
            [sender.packet(0, aggregation([inside, SLICE])), *(sender.packet(0, one) for one in fragments(inside + IDR, 60))]
        )
    )
    receiver.stream(interleave(sender.unit(0, [SLICE])))
    assert [(unit.nals, unit.flags) for unit in receiver.units] == [([SLICE, SLICE], DAMAGED)]


def test_a_stap_whose_lengths_do_not_fit_keeps_what_was_whole(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    receiver.stream(interleave([sender.packet(0, aggregation([SLICE, IDR])[:-1], True)]))
    assert [(unit.nals, unit.flags) for unit in receiver.units] == [([SLICE], DAMAGED)]
    assert receiver.tracks[0].malformed == 1


def test_a_unit_above_its_bound_is_dropped_and_the_next_one_says_so(inner: ModuleType) -> None:
    receiver, sender = h264(inner, unit_limit=5000), Packetizer(1000)
    receiver.stream(interleave(sender.unit(0, [b"\x65" + b"\x77" * 6000]) + sender.unit(1, [SLICE]) + sender.unit(2, [SLICE])))
    assert [(unit.timestamp, unit.nals, unit.flags) for unit in receiver.units] == [(1, [SLICE], DAMAGED), (2, [SLICE], 0)]
    assert receiver.tracks[0].dropped_units == 1


def test_an_endless_row_of_parameter_sets_stays_bounded(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    for at in range(40):
        receiver.stream(interleave(sender.unit(at * 100 + i, [b"\x67" + b"\x31" * 1200])[0] for i in range(20)))
        assert receiver.tracks[0].carried_bytes < 300_000
    assert receiver.tracks[0].dropped_units == 3


def test_units_of_too_many_nal_units_are_dropped(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer(60_000)
    receiver.stream(interleave(sender.unit(0, [b"\x41\x9a"] * 5000) + sender.unit(1, [SLICE])))
    assert [(unit.timestamp, unit.flags) for unit in receiver.units] == [(1, DAMAGED)]


def test_a_packet_of_another_payload_type_is_no_loss(inner: ModuleType) -> None:
    receiver, sender = h264(inner), Packetizer()
    first = sender.unit(0, [SLICE])
    other = rtp(sender.sequence, 0, b"\x00" * 20, payload_type=13)
    sender.sequence += 1
    receiver.stream(interleave([*first, other, *sender.unit(1, [SLICE])]))
    assert [unit.flags for unit in receiver.units] == [0, 0]
    assert (receiver.tracks[0].other_payload, receiver.tracks[0].lost) == (1, 0)
