"""AAC, G.711 and payloads nobody understands: every byte comes out, in samples with the right timestamps."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.rtp.flags import DAMAGED
from tests.support.packetize import Packetizer, aac_fragments, aac_hbr, interleave
from tests.support.rtploop import FORMS, Receiver, load
from tests.support.streams import encode_aac, encode_alaw, encode_ulaw


@pytest.fixture(params=FORMS)
def inner(request: pytest.FixtureRequest) -> ModuleType:
    return load(request.param)


def aac(inner: ModuleType, ticks: int = 1024) -> Receiver:
    return Receiver(inner, [inner.AacTrack(0, ticks, 13, 3, 3, 96)])


def g711(inner: ModuleType, **more: int) -> Receiver:
    return Receiver(inner, [inner.G711Track(0, True, payload_type=96, **more)])


@pytest.mark.parametrize("together", [1, 2, 5])
def test_aac_units_come_out_one_by_one_each_with_its_own_time(inner: ModuleType, together: int) -> None:
    frames = [frame.data for frame in encode_aac().frames]
    receiver, sender = aac(inner), Packetizer()
    base = 0xFFFFFFFF - 5000
    for at in range(0, len(frames), together):
        receiver.stream(interleave([sender.packet(base + at * 1024, aac_hbr(frames[at : at + together]), True)]))
    assert [unit.data for unit in receiver.units] == frames
    assert [unit.timestamp for unit in receiver.units] == [(base + at * 1024) & 0xFFFFFFFF for at in range(len(frames))]
    assert not any(unit.flags for unit in receiver.units)


def test_an_aac_unit_in_fragments_is_put_together_over_sweeps(inner: ModuleType) -> None:
    receiver, sender = aac(inner), Packetizer()
    units = [bytes([at]) * 900 for at in range(1, 4)]
    for at, unit in enumerate(units):
        pieces = aac_fragments(unit, 250)
        for i, piece in enumerate(pieces):
            receiver.stream(interleave([sender.packet(at * 1024, piece, i == len(pieces) - 1)]))
    assert [(unit.timestamp, unit.data) for unit in receiver.units] == [(at * 1024, unit) for at, unit in enumerate(units)]


@pytest.mark.parametrize("lost", range(5))
def test_an_aac_unit_that_lost_a_fragment_goes_whole(inner: ModuleType, lost: int) -> None:
    receiver, sender = aac(inner), Packetizer()
    whole = sender.packet(0, aac_hbr([b"a" * 50]), True)
    packets = [sender.packet(1024, piece) for piece in aac_fragments(b"b" * 900, 250)] + [
        sender.packet(2048, aac_hbr([b"c" * 50]), True)
    ]
    receiver.stream(interleave([whole, *packets[:lost], *packets[lost + 1 :], sender.packet(3072, aac_hbr([b"d" * 50]), True)]))
    whole_ones = [b"a" * 50, b"b" * 900, b"c" * 50, b"d" * 50]
    assert [unit.data for unit in receiver.units] == [one for at, one in enumerate(whole_ones) if at != (2 if lost == 4 else 1)]
    assert [bool(unit.flags & DAMAGED) for unit in receiver.units] == (
        [False, False, True] if lost == 4 else [False, True, False]
    )


@pytest.mark.parametrize(
    "payload",
    [
        b"\x00",
        b"\xff\xff",
        b"\x00\x20\x00\x08",
        b"\x00\x20\x00\x50\x00\x50abcdefghijk",
        b"\x00\x10\xff\xf8a",
        b"\x00\x10\x00\x09ab",
    ],
    ids=["no length", "headers too long", "headers cut", "second unit too long", "endless", "interleaved"],
)
def test_aac_packets_that_break_the_standard_damage_what_follows(inner: ModuleType, payload: bytes) -> None:
    receiver, sender = aac(inner), Packetizer()
    receiver.stream(
        interleave(
            [
                sender.packet(0, payload),
                sender.packet(1024, aac_hbr([b"ok"]), True),
                sender.packet(2048, aac_hbr([b"ok"]), True),
            ]
        )
    )
    assert [(unit.data, unit.flags) for unit in receiver.units][-2:] == [(b"ok", DAMAGED), (b"ok", 0)]


@pytest.mark.parametrize("widths", [(6, 2, 2), (13, 3, 0), (1, 0, 0), (32, 32, 32), (9, 1, 4)])
def test_headers_of_any_width_are_read(inner: ModuleType, widths: tuple[int, int, int]) -> None:
    size_bits, index_bits, delta_bits = widths
    units = [b"u" * min(size, 2**size_bits - 1) for size in (1, 60, 33)]
    headers = "".join(
        format(len(unit), f"0{size_bits}b") + "0" * (delta_bits if at else index_bits) for at, unit in enumerate(units)
    )
    packed = (int(headers, 2) << -len(headers) % 8).to_bytes((len(headers) + 7) // 8)
    receiver, sender = Receiver(inner, [inner.AacTrack(0, 1024, *widths)]), Packetizer()
    receiver.stream(interleave([sender.packet(0, len(headers).to_bytes(2) + packed + b"".join(units), True)]))
    assert [unit.data for unit in receiver.units] == units


@pytest.mark.parametrize("wrong", [(1024, 0, 3, 3), (1024, 33, 3, 3), (1024, 13, -1, 3), (1024, 13, 3, 40), (0, 13, 3, 3)])
def test_header_sizes_that_cannot_be_are_refused(inner: ModuleType, wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="no AAC stream"):
        inner.AacTrack(0, *wrong)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 700), min_size=1, max_size=20), sweep=st.integers(1, 5))
def test_g711_packets_of_any_length_become_samples_of_20_ms(inner: ModuleType, sizes: list[int], sweep: int) -> None:
    coded = b"".join(frame.data for frame in encode_alaw().frames)[: sum(sizes)]
    receiver, sender, packets, at = g711(inner), Packetizer(), [], 0
    for size in sizes:
        packets.append(sender.packet(0xFFFFF000 + at, coded[at : at + size]))
        at += size
    for first in range(0, len(packets), sweep):
        receiver.stream(interleave(packets[first : first + sweep]))
    assert {len(unit.data) for unit in receiver.units} <= {160}
    assert b"".join(unit.data for unit in receiver.units) == coded[: len(coded) // 160 * 160]
    assert [unit.timestamp for unit in receiver.units] == [
        (0xFFFFF000 + 160 * i) & 0xFFFFFFFF for i in range(len(receiver.units))
    ]
    assert receiver.tracks[0].carried_bytes == len(coded) % 160


def test_g711_left_over_before_a_jump_of_time_ends_in_silence(inner: ModuleType) -> None:
    for alaw, silence in ((True, b"\xd5"), (False, b"\xff")):
        receiver, sender = Receiver(inner, [inner.G711Track(0, alaw)]), Packetizer()
        receiver.stream(interleave([sender.packet(1000, b"a" * 200), sender.packet(50_000, b"b" * 160)]))
        assert [(unit.timestamp, unit.data) for unit in receiver.units] == [
            (1000, b"a" * 160),
            (1160, b"a" * 40 + silence * 120),
            (50_000, b"b" * 160),
        ]


def test_g711_timestamps_a_few_ticks_off_lose_no_byte(inner: ModuleType) -> None:
    receiver, sender = g711(inner), Packetizer()
    receiver.stream(interleave(sender.packet(at * 331, bytes([at]) * 330) for at in range(16)))
    assert b"".join(unit.data for unit in receiver.units) == b"".join(bytes([at]) * 330 for at in range(16))


def test_g711_says_after_which_loss_it_goes_on(inner: ModuleType) -> None:
    receiver, sender = g711(inner), Packetizer()
    sent = [sender.packet(at * 240, bytes([at]) * 240) for at in range(4)]
    receiver.stream(interleave([sent[0], *sent[2:]]))
    assert [(unit.timestamp, len(unit.data), unit.flags) for unit in receiver.units] == [
        (0, 160, 0),
        (160, 160, 0),
        (480, 160, DAMAGED),
        (640, 160, 0),
        (800, 160, 0),
    ]


def test_stereo_and_wideband_g711_keep_20_ms_too(inner: ModuleType) -> None:
    receiver, sender = g711(inner, rate=16_000, channels=2), Packetizer()
    receiver.stream(interleave(sender.packet(at * 320, bytes([at]) * 640) for at in range(3)))
    assert [(unit.timestamp, len(unit.data)) for unit in receiver.units] == [(0, 640), (320, 640), (640, 640)]
    with pytest.raises(ValueError, match="no G"):
        inner.G711Track(0, True, 44_101)
    with pytest.raises(ValueError, match="no G"):
        inner.G711Track(0, True, 8000, 0)


def test_real_ulaw_in_any_packets_is_the_same_bytes(inner: ModuleType) -> None:
    coded = b"".join(frame.data for frame in encode_ulaw().frames)
    receiver, sender = g711(inner), Packetizer()
    receiver.stream(interleave(sender.packet(at, coded[at : at + 1024]) for at in range(0, len(coded), 1024)))
    assert b"".join(unit.data for unit in receiver.units) == coded[: len(coded) // 160 * 160]


def test_unknown_payloads_of_one_timestamp_are_one_sample(inner: ModuleType) -> None:
    receiver, sender = Receiver(inner, [inner.OpaqueTrack(0)]), Packetizer()
    receiver.stream(interleave([sender.packet(1, b"<a>"), sender.packet(1, b"</a>", True)]))
    receiver.stream(interleave([sender.packet(2, b"x" * 300), sender.packet(3, b"y")]))
    framed = b"\x00\x03<a>\x00\x04</a>"
    assert [(unit.timestamp, unit.data) for unit in receiver.units] == [(1, framed), (2, b"\x01\x2c" + b"x" * 300)]


def test_an_endless_unknown_sample_is_dropped(inner: ModuleType) -> None:
    receiver, sender = Receiver(inner, [inner.OpaqueTrack(0)], arena_bytes=3 << 20), Packetizer()
    for _ in range(30):
        receiver.stream(interleave([sender.packet(1, b"x" * 60_000)]))
        assert receiver.tracks[0].carried_bytes <= 1 << 20
    assert receiver.tracks[0].dropped_units == 1
