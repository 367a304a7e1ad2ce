"""RTCP as it comes and as we send it; the numbers of a receiver report after known losses."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from ingest.rtp import engine
from ingest.rtp.rtcp import (
    CanonicalName,
    Goodbye,
    Reception,
    ReportBlock,
    SenderReport,
    build_receiver_report,
    parse_compound,
    utc_us_of_ntp,
)
from tests.support.packetize import rtp
from tests.support.rtploop import Receiver
from vault.media import Codec

# 2026-11-22T10:30:00.25Z
UTC_US = 1_795_343_400_250_000
NTP = (1_795_343_400 + 2_208_988_800) << 32 | 1 << 30


def sender_report(ntp: int = NTP) -> bytes:
    return struct.pack(">BBHIQIII", 0x80, 200, 6, 7, ntp, 9000, 10, 1000)


def test_a_sender_report_gives_the_wall_clock_of_a_timestamp() -> None:
    assert parse_compound(sender_report()) == [SenderReport(7, UTC_US, 9000, 10, 1000, NTP >> 16 & 0xFFFFFFFF)]
    [no_clock] = parse_compound(sender_report(0))
    assert isinstance(no_clock, SenderReport)
    assert no_clock.utc_us is None


def test_ntp_time_goes_on_in_its_next_era() -> None:
    # 2036-02-07T06:28:16Z is second 0 of era 1; a clock at exactly 0 is one that does not know the time.
    assert utc_us_of_ntp(1) == 2_085_978_496_000_000
    assert utc_us_of_ntp(0xFFFFFFFF << 32) == 2_085_978_495_000_000
    assert utc_us_of_ntp(0) is None


def test_a_compound_is_read_to_its_end() -> None:
    sdes = struct.pack(">BBHI", 0x81, 202, 4, 7) + b"\x01\x04host\x02\x01n\x00\x00\x00"
    bye = struct.pack(">BBHI", 0x81, 203, 1, 7)
    empty_rr = struct.pack(">BBHI", 0x80, 201, 1, 7)
    assert parse_compound(sender_report() + sdes + empty_rr + bye)[1:] == [CanonicalName(7, "host"), Goodbye((7,))]


@given(st.binary(max_size=200))
def test_garbage_is_read_without_an_error(data: bytes) -> None:
    parse_compound(data)
    parse_compound(sender_report() + data)
    parse_compound(b"\x9f\xca\x00\x20" + data)


def test_a_receiver_report_is_a_compound_with_the_name() -> None:
    block = ReportBlock(7, 64, -2, 0x1_0000_0005, 33, 0xABCDEF01, 65_536)
    out = build_receiver_report(0x99, [block], "streamvault@cam-1")
    assert out[:8] == struct.pack(">BBHI", 0x81, 201, 7, 0x99)
    assert out[8:32] == struct.pack(">IIIIII", 7, 64 << 24 | 0xFFFFFE, 5, 33, 0xABCDEF01, 65_536)
    assert parse_compound(out) == [CanonicalName(0x99, "streamvault@cam-1")]
    assert len(out) % 4 == 0


@given(st.text(max_size=300), st.integers(0, 40))
def test_any_name_and_number_of_blocks_make_a_compound_that_reads_back(name: str, count: int) -> None:
    out = build_receiver_report(1, [ReportBlock(7, 0, 0, 0, 0, 0, 0)] * count, name)
    assert out[0] & 31 == min(count, 31)
    if name.encode()[:255].decode("utf-8", "replace") == name:
        assert parse_compound(out) == ([CanonicalName(1, name)] if name else [CanonicalName(1, "")])


def test_the_block_counts_losses_since_the_last_one_and_echoes_the_sender_report() -> None:
    receiver = Receiver(engine, [engine.VideoTrack(0, Codec.H264)])
    track, reception = receiver.tracks[0], Reception(90_000)
    assert reception.block(track, 0).fraction_lost == 0
    receiver.datagrams(rtp(65_530 + at, at, b"\x41\x9a", marker=True) for at in range(20) if at not in (3, 4, 9, 12, 15))
    [report] = parse_compound(sender_report())
    assert isinstance(report, SenderReport)
    reception.reported(report, 1_000_000)
    block = reception.block(track, 1_500_000)
    assert (block.ssrc, block.fraction_lost, block.lost, block.highest) == (0x51, 64, 5, 65_549)
    assert (block.last_report, block.delay) == (report.ntp_middle, 32_768)
    receiver.datagrams(rtp(65_550 + at, at, b"\x41\x9a", marker=True) for at in range(10))
    assert reception.block(track, 1_500_000).fraction_lost == 0


def test_jitter_is_nothing_for_a_steady_stream_and_something_for_an_unsteady_one() -> None:
    for swing, low, high in ((0, 0, 0), (20_000, 1000, 3600)):
        receiver = Receiver(engine, [engine.VideoTrack(0, Codec.H264)])
        track, reception = receiver.tracks[0], Reception(90_000)
        for at in range(100):
            # 40 ms apart, across the timestamp's wrap.
            receiver.datagrams([rtp(at, 0xFFFF0000 + at * 3600, b"\x41\x9a", marker=True)])
            reception.swept(track, at * 40_000 + swing * (at % 2))
        assert low <= reception.block(track, 0).jitter <= high
