"""Bare RTP over real sockets of this machine: whose packets are taken, where reports go, and what is said when nothing comes."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ingest.arenas import READ_LIMIT_BYTES, Arenas
from ingest.connect import Resolver
from ingest.plainrtp import PlainRtpSource
from ingest.source import Frame, Report
from tests.support.feeds import free_port
from tests.support.node import wait_until
from tests.support.packetize import rtp
from vault.clock import SystemClock
from vault.errors import SourceError, SourceRefused

CLOCK = SystemClock()
SSRC = 0x1234
# RFC 3550 §6.4.1: no report blocks, NTP time 2026-01-01T00:00:00Z, RTP timestamp 3,200.
REPORT = (
    b"\x80\xc8\x00\x06"
    + SSRC.to_bytes(4, "big")
    + (2_208_988_800 + 1_767_225_600).to_bytes(4, "big")
    + bytes(4)
    + (3200).to_bytes(4, "big")
    + bytes(8)
)


class Listener:
    """A source driven the simplest way, and a sender with an address of its own."""

    def __init__(self, url: str, connect_us: int = 20_000_000) -> None:
        self.resolver, self.pool = Resolver(), ThreadPoolExecutor(1)
        self.source = PlainRtpSource(self.resolver, lambda: self.pool, url, connect_us=connect_us, mono_us=CLOCK.mono_us())
        self.frames: list[Frame] = []
        self.reports: list[Report] = []
        self._arenas = Arenas()

    def step(self) -> PlainRtpSource:
        """One look at everything."""
        self.source.service(CLOCK.mono_us())
        if self.source.playing:
            arenas = self._arenas.take([True] * len(self.source.tracks), self.source.carried())
            self.source.sweep(arenas, self.frames, READ_LIMIT_BYTES, CLOCK.mono_us())
            self._arenas.give_back(arenas)
            self.reports += self.source.reports()
        return self.source

    def fail(self) -> SourceError:
        wait_until(lambda: self.step().failure, 10)
        assert self.source.failure is not None
        return self.source.failure


@contextlib.contextmanager
def listening(url: str, **options: int) -> Iterator[Listener]:
    made = Listener(url, **options)
    try:
        made.step()
        yield made
    finally:
        made.source.close()
        made.pool.shutdown()
        made.resolver.close()


@contextlib.contextmanager
def sender(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind((host, 0))
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        yield made


def sound(number: int, payload_type: int = 8) -> bytes:
    """20 ms of A-law."""
    return rtp(number, number * 160, bytes([number & 0xFF]) * 160, payload_type=payload_type, ssrc=SSRC)


def test_a_static_payload_type_needs_no_query_and_the_first_packet_is_not_lost() -> None:
    port = free_port()
    with listening(f"rtp://127.0.0.1:{port}") as it, sender() as one:
        for number in range(5):
            one.sendto(sound(number), ("127.0.0.1", port))
        wait_until(lambda: it.step() and len(it.frames) == 5, 10)
        assert [str(track.codec) for track in it.source.tracks] == ["alaw"]
        assert [frame[1] for frame in it.frames] == [0, 160, 320, 480, 640]


@pytest.mark.parametrize(("query", "taken"), [("", 2), ("?source=127.0.0.1", 2), ("?source=any", 3), ("?source=127.0.0.2", 1)])
def test_the_first_sender_is_kept_unless_the_address_says_otherwise(query: str, taken: int) -> None:
    port = free_port()
    with listening(f"rtp://0.0.0.0:{port}{query}") as it, sender() as one, sender("127.0.0.2") as two:
        one.sendto(sound(0), ("127.0.0.1", port))
        two.sendto(sound(1), ("127.0.0.1", port))
        one.sendto(sound(2), ("127.0.0.1", port))
        wait_until(lambda: it.step().playing and it.frames, 10)
        # What is lost is waited for a while before what came behind it goes on.
        wait_until(lambda: it.step() and len(it.frames) >= taken, 10)
        it.step()
        assert len(it.frames) == taken


def test_a_group_is_joined_for_its_source_only() -> None:
    port = free_port()
    url = f"rtp://232.255.7.7:{port}?interface=127.0.0.1&source=127.0.0.2"
    with listening(url) as it, sender() as other, sender("127.0.0.2") as camera, listening(url) as second:
        for number in range(3):
            other.sendto(sound(number), ("232.255.7.7", port))
            camera.sendto(sound(100 + number), ("232.255.7.7", port))
        for one in (it, second):
            wait_until(lambda one=one: one.step() and len(one.frames) == 3, 10)
            assert [frame[1] for frame in one.frames] == [16000, 16160, 16320]


def test_a_port_of_another_group_is_not_mixed_in() -> None:
    port = free_port()
    with (
        listening(f"rtp://239.255.7.8:{port}?interface=lo") as it,
        listening(f"rtp://239.255.7.9:{port}?interface=lo") as other,
        sender() as one,
    ):
        one.sendto(sound(0), ("239.255.7.9", port))
        one.sendto(sound(7), ("239.255.7.8", port))
        wait_until(lambda: it.step() and other.step() and it.frames and other.frames, 10)
        assert [frame[1] for frame in it.frames] == [1120]
        assert [frame[1] for frame in other.frames] == [0]


@pytest.mark.parametrize("muxed", [False, True])
def test_sender_reports_are_taken_and_answered_where_they_came_from(muxed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.rtcpduty.INTERVAL_US", 1)
    port = free_port()
    with listening(f"rtp://127.0.0.1:{port}{'?rtcp=mux' * muxed}") as it, sender() as one, sender() as control:
        one.sendto(sound(20), ("127.0.0.1", port))
        wait_until(lambda: it.step().playing and it.frames, 10)
        (one if muxed else control).sendto(REPORT, ("127.0.0.1", port if muxed else port + 1))
        wait_until(lambda: it.step() and it.reports, 10)
        assert it.reports[0] == Report(0, 1_767_225_600_000_000, 3200)
        back = one if muxed else control
        back.settimeout(10)
        it.step()
        answer, address = back.recvfrom(2000)
        assert answer[1] == 201
        assert address == ("127.0.0.1", port if muxed else port + 1)
        # RFC 3550 §6.4.2: the report's first block is about this source.
        assert answer[8:12] == SSRC.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("sent", "query", "told"),
    [
        (None, "", "nothing arrives within 0.3 s"),
        (b"not rtp", "", "1 datagrams arrived that are not RTP of the type awaited within"),
        (sound(0), "?codec=h264&pt=96", "the last was of payload type 8"),
        (sound(0), "?source=127.0.0.9", "1 datagrams arrived that are not RTP of the type awaited within"),
    ],
)
def test_where_nothing_usable_comes_the_error_says_what_came(sent: bytes | None, query: str, told: str) -> None:
    port = free_port()
    with listening(f"rtp://127.0.0.1:{port}{query}", connect_us=300_000) as it, sender() as one:
        if sent is not None:
            one.sendto(sent, ("127.0.0.1", port))
        error = it.fail()
        assert told in str(error)
        assert f"127.0.0.1:{port}" in str(error)
        assert error.retryable


def test_a_dynamic_type_without_a_codec_is_refused_with_what_to_write() -> None:
    port = free_port()
    with listening(f"rtp://127.0.0.1:{port}") as it, sender() as one:
        one.sendto(sound(0, 97), ("127.0.0.1", port))
        assert "add ?codec=h264&pt=97" in str(it.fail())
        assert isinstance(it.source.failure, SourceRefused)


def test_a_port_that_is_taken_and_an_address_of_another_machine_are_errors() -> None:
    port = free_port()
    with listening(f"rtp://127.0.0.1:{port}"), listening(f"rtp://127.0.0.1:{port}") as second:
        assert "is another camera or program using it?" in str(second.fail())
    with listening(f"rtp://198.51.100.1:{port}") as it:
        assert "is no address of this machine" in str(it.fail())
    with listening(f"rtp://239.1.1.1:{port}?interface=none9") as it:
        assert "no interface 'none9': it has" in str(it.fail())


def test_an_sdp_file_is_read_anew_and_its_senders_address_is_no_hindrance(tmp_path: Path) -> None:
    port = free_port()
    path = tmp_path / "one.sdp"
    with listening(path.as_uri()) as it:
        assert "one.sdp: the SDP file cannot be read (No such file or directory)" in str(it.fail())
    with listening(tmp_path.with_suffix(".sdp").as_uri()) as it:
        tmp_path.with_suffix(".sdp").mkdir()
        assert it.fail()
    path.write_text(f"v=0\nc=IN IP4 198.51.100.7\nm=audio {port} RTP/AVP 0\n")
    with listening(path.as_uri()) as it, sender() as one:
        wait_until(lambda: it.step()._legs, 10)
        one.sendto(sound(3, 0), ("127.0.0.1", port))
        wait_until(lambda: it.step() and it.frames, 10)
        assert [str(track.codec) for track in it.source.tracks] == ["ulaw"]


def test_a_small_receive_buffer_forces_faster_sweeps_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: socket.socket, *args: object) -> None:
        if args[:2] == (socket.SOL_SOCKET, 33):
            raise PermissionError(1, "Operation not permitted")
        if args[:2] == (socket.SOL_SOCKET, socket.SO_RCVBUF):
            args = (*args[:2], 20_000)
        socket.SocketType.setsockopt(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "setsockopt", refuse)
    caplog.set_level("INFO")
    port = free_port()
    with listening(f"rtp://127.0.0.1:{port}") as it, sender() as one:
        assert it.source.pace_us(1_000_000) == 1_000_000
        for number in range(40):
            one.sendto(sound(number), ("127.0.0.1", port))
        wait_until(lambda: it.step() and len(it.frames) >= 40, 10)
        assert it.source.pace_us(1_000_000) < 1_000_000
        assert it.source.pace_us(1_000_000) >= 20_000
    said = [record for record in caplog.records if "receive buffer forces" in record.message]
    assert len(said) == 1
    assert said[0].fields["granted_bytes"] == 40_000  # type: ignore[attr-defined]
