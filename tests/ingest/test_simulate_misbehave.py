"""Each misbehaviour does what it says, seen through a plain socket."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ingest.simulate.encode import is_set, nal_type
from ingest.simulate.misbehave import Kind, parse_misbehaviour
from ingest.simulate.run import simulated
from ingest.simulate.trouble import renumbered_pps
from tests.support.simulate import SMALL, Client, Ended, Rtp, h264_nals, options
from vault.errors import UsageError
from vault.media import Codec


def _received(*misbehaviours: str, units: int = 30, **changes: object) -> list[Rtp]:
    """Packets of so many pictures of a camera that misbehaves."""
    with simulated(options(*misbehaviours, **changes)) as simulator, Client(simulator.url(1)) as client:
        client.play()
        return list(_pictures(client, units))


def _pictures(client: Client, units: int) -> Iterator[Rtp]:
    stamps: set[int] = set()
    for packet in client.packets():
        stamps.add(packet.stamp)
        if len(stamps) > units:
            return
        yield packet


def _steps(packets: list[Rtp]) -> list[int]:
    """Sequence number differences, signed."""
    return [((b.sequence - a.sequence + 0x8000) & 0xFFFF) - 0x8000 for a, b in itertools.pairwise(packets)]


def _ticks(packets: list[Rtp]) -> list[int]:
    """Timestamp differences where it changes, signed."""
    steps = (((b.stamp - a.stamp + 2**31) & 0xFFFFFFFF) - 2**31 for a, b in itertools.pairwise(packets))
    return [step for step in steps if step]


def test_a_well_behaved_camera_has_no_gap() -> None:
    packets = _received()
    assert set(_steps(packets)) == {1}
    assert set(_ticks(packets)) == {3600}


def test_drop_leaves_sequence_numbers_out() -> None:
    steps = _steps(_received("drop:rate=20%", units=60))
    assert max(steps) > 1
    assert min(steps) == 1


def test_reorder_lets_packets_trade_places() -> None:
    packets = _received("reorder:rate=20%", units=60)
    assert -1 in _steps(packets)
    numbers = sorted((packet.sequence - packets[0].sequence + 0x8000) & 0xFFFF for packet in packets)
    assert numbers[-1] - numbers[0] <= len(numbers) + 1


def test_duplicate_sends_some_packets_twice() -> None:
    steps = _steps(_received("duplicate:rate=20%", units=60))
    assert set(steps) == {0, 1}


def test_a_stall_leaves_a_hole_in_time_without_a_lost_packet() -> None:
    packets = _received("stall:after=0.5,for=0.6")
    assert set(_steps(packets)) == {1}
    assert sorted(set(_ticks(packets))) == [3600, 16 * 3600]


def test_a_late_stall_sends_everything_at_its_end() -> None:
    packets = _received("stall:after=0.5,for=0.6,late=1")
    assert set(_ticks(packets)) == {3600}
    waits = [after.at - before.at for before, after in itertools.pairwise(packets)]
    assert max(waits) > 0.3


@pytest.mark.parametrize("by", [-10, 3600])
def test_a_jump_moves_timestamps_once(by: int) -> None:
    packets = _received(f"jump:after=0.5,by={by}")
    assert [tick for tick in _ticks(packets) if tick != 3600] == [3600 + by * 90_000]
    assert set(_steps(packets)) == {1}


def test_a_wrap_comes_when_told() -> None:
    packets = _received("wrap:after=0.5")
    assert packets[0].stamp > packets[-1].stamp
    assert set(_ticks(packets)) == {3600}


def test_parameters_change_at_a_key_frame_and_back() -> None:
    nals = h264_nals(_received("params:after=0.3,every=1", units=50))
    kinds = [nal_type(Codec.H264, nal) for nal in nals]
    sets = [nal for nal in nals if nal_type(Codec.H264, nal) == 7]
    assert len(set(sets)) == 2
    assert sets[0] != sets[1]
    assert all(5 in kinds[index : index + 6] for index, kind in enumerate(kinds[:-6]) if kind == 7)


def test_a_parameter_change_inside_a_gop_is_another_pps_before_a_plain_picture() -> None:
    nals = h264_nals(_received("params:after=0.5,inside=1"))
    kinds = [nal_type(Codec.H264, nal) for nal in nals]
    odd = [index for index, kind in enumerate(kinds) if kind == 8 and kinds[index - 1] != 7]
    assert len(odd) == 1
    assert 1 in kinds[odd[0] : odd[0] + 3]
    assert 5 not in kinds[odd[0] : odd[0] + 3]


def test_ssrc_begins_anew_with_other_numbers() -> None:
    packets = _received("ssrc:after=0.5")
    assert len({packet.ssrc for packet in packets}) == 2
    assert max(map(abs, _ticks(packets))) > 3600


def test_key_frames_come_as_rarely_as_told() -> None:
    nals = h264_nals(_received("gop:every=3", units=80))
    kinds = [nal_type(Codec.H264, nal) for nal in nals if nal_type(Codec.H264, nal) in (1, 5)]
    assert [index for index, kind in enumerate(kinds) if kind == 5] == [0, 75]


def test_never_a_key_frame() -> None:
    kinds = {nal_type(Codec.H264, nal) for nal in h264_nals(_received("nokey"))}
    assert 1 in kinds
    assert 5 not in kinds
    assert 7 not in kinds


@pytest.mark.parametrize(("where", "in_sdp"), [("sdp", True), ("band", False)])
def test_parameter_sets_are_only_where_told(where: str, in_sdp: bool) -> None:
    with simulated(options(f"sets:where={where}")) as simulator, Client(simulator.url(1)) as client:
        assert ("sprop-parameter-sets" in client.ask("DESCRIBE").body) == in_sdp
        client.play()
        nals = h264_nals(list(_pictures(client, 12)))
    assert any(is_set(Codec.H264, nal) for nal in nals) != in_sdp


@pytest.mark.parametrize("reset", ["", ",reset=1"])
def test_close_ends_the_connection_as_often_as_told(reset: str) -> None:
    with simulated(options(f"close:after=0.3,times=1{reset}")) as simulator:
        with Client(simulator.url(1)) as client:
            client.play()
            with pytest.raises(Ended):
                list(client.frames())
        with Client(simulator.url(1)) as client:
            client.play()
            assert len(list(_pictures(client, 25))) > 25
        assert simulator.connections(1) == 2


def test_half_open_neither_sends_nor_answers_nor_closes() -> None:
    with simulated(options("halfopen:after=0.4")) as simulator, Client(simulator.url(1)) as client:
        client.play()
        client.sock.settimeout(1.0)
        with pytest.raises(TimeoutError):
            list(client.frames())
        with pytest.raises(TimeoutError):
            client.ask("OPTIONS")


def test_garbage_stands_between_two_frames() -> None:
    with simulated(options("garbage:after=0.4,bytes=300")) as simulator, Client(simulator.url(1)) as client:
        client.play()
        for _ in range(5000):
            head = client.raw(4)
            if head[0] != 0x24 or head[1] > 1:
                break
            client.raw(int.from_bytes(head[2:], "big"))
        else:
            pytest.fail("every byte was framed")


def test_refusal_after_a_time_is_for_every_request_and_for_new_connections() -> None:
    with simulated(options("unauthorized:after=0.3")) as simulator, Client(simulator.url(1)) as client:
        assert client.play().status == 200
        deadline = time.monotonic() + 20
        for _ in client.frames():
            status = client.ask("GET_PARAMETER").status
            if status == 401 or time.monotonic() > deadline:
                break
        assert status == 401
        with Client(simulator.url(1)) as other:
            assert other.ask("DESCRIBE").status == 401


def test_answers_are_odd_as_told() -> None:
    with simulated(options("lf", "cseq", "noparameter")) as simulator, Client(simulator.url(1)) as client:
        answer = client.ask("OPTIONS")
        assert b"\r" not in answer.raw
        assert answer.headers["CSeq"] != "1"
        assert "GET_PARAMETER" not in answer.headers["Public"]
        assert client.ask("GET_PARAMETER").status == 501
        assert client.play().status == 200


def test_media_comes_before_the_answer_to_play() -> None:
    with simulated(options("early")) as simulator, Client(simulator.url(1)) as client:
        client.play()
        assert any(channel == 0 for channel, _ in client.early)


def test_a_misbehaviour_concerns_only_its_cameras() -> None:
    with simulated(options("sets:where=band,cameras=2", cameras=2)) as simulator:
        for number, told in ((1, True), (2, False)):
            with Client(simulator.url(number)) as client:
                assert ("sprop-parameter-sets" in client.ask("DESCRIBE").body) == told


def test_h265_parameters_change_too() -> None:
    packets = _received("params:after=0.3", spec=replace(SMALL, codec=Codec.H265), units=30)
    sps = {packet.payload for packet in packets if packet.payload[0] >> 1 == 33}
    assert len(sps) == 2


def test_texts_of_misbehaviours() -> None:
    item = parse_misbehaviour("stall:after=10,for=5,every=60,late=1,cameras=1-3+7")
    assert (item.kind, item.after_s, item.for_s, item.every_s, item.late) == (Kind.STALL, 10, 5, 60, True)
    assert item.cameras == {1, 2, 3, 7}
    assert parse_misbehaviour("drop:rate=2.5%").rate == 0.025
    assert [item.active(int(at * 1e6)) for at in (9.9, 10, 14.9, 15, 70, 74.9, 75)] == [
        False,
        True,
        True,
        False,
        True,
        True,
        False,
    ]
    assert [item.count(int(at * 1e6)) for at in (9.9, 10, 69, 70)] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("text", "part"),
    [("stal", "stall"), ("stall:afer=1", "after"), ("drop:rate=x", "'x'"), ("jump:by=nan", "nan"), ("drop:cameras=0", "'0'"), ("sets:where=x", "'x'"), ("close:reset=maybe", "maybe"), ("garbage:bytes=-1", "-1")],
)  # fmt: skip
def test_a_wrong_text_names_what_is_known(text: str, part: str) -> None:
    with pytest.raises(UsageError, match=part):
        parse_misbehaviour(text)


def test_a_renumbered_pps_keeps_the_rest_of_its_bits() -> None:
    pps = bytes.fromhex("68ce3c80")
    changed = renumbered_pps(Codec.H264, pps, 1)
    assert changed[0] == 0x68
    before = f"{int.from_bytes(pps[1:], 'big'):b}".rstrip("0")
    after = f"{int.from_bytes(changed[1:], 'big'):0{8 * (len(changed) - 1)}b}".rstrip("0")
    assert after == "010" + before[1:]
