"""The client against a server that nobody here wrote: GStreamer's. Handshake, packets, transports, authentication, the end."""

from __future__ import annotations

from typing import TypeVar

import pytest

from ingest.rtsp.events import Closed, Described, Failed, Playing, SetupDone
from ingest.rtsp.formats import codec_of, parameter_sets
from ingest.rtsp.sessions import Sessions
from tests.support.gst import AAC, ALAW, H264, H265, ULAW, gst_server, need_gstreamer
from tests.support.rtsp_driver import CLOCK, Driver
from vault.errors import SourceRefused
from vault.media import Codec
from vault.timebase import US

T = TypeVar("T")


def of_kind(driver: Driver, kind: type[T]) -> list[T]:
    return [event for event in driver.events if isinstance(event, kind)]


def packets_of_every_track(driver: Driver) -> bool:
    tracks = driver.client.tracks
    return bool(tracks) and all(len(driver.packets.get(track.index, ())) >= 20 for track in tracks)


def assert_in_sequence(packets: list[bytes], payload_type: int) -> None:
    """RTP version 2 (RFC 3550 §5.1), the announced payload type, and no packet missing or out of order."""
    assert {packet[0] >> 6 for packet in packets} == {2}
    assert {packet[1] & 127 for packet in packets} == {payload_type}
    numbers = [int.from_bytes(packet[2:4], "big") for packet in packets]
    assert numbers == [(numbers[0] + at) % 65536 for at in range(len(numbers))]


@pytest.mark.parametrize("transport", ["tcp", "udp", "auto"])
@pytest.mark.parametrize(
    ("elements", "video", "audio", "codecs"),
    [
        (("x264enc", "avenc_aac"), H264, AAC, [Codec.H264, Codec.AAC]),
        (("x264enc", "alawenc"), H264, ALAW, [Codec.H264, Codec.ALAW]),
        (("x265enc", "mulawenc"), H265, ULAW, [Codec.H265, Codec.ULAW]),
    ],
    ids=["h264-aac", "h264-alaw", "h265-ulaw"],
)
def test_video_and_audio_arrive_in_sequence_with_their_parameters(
    transport: str, elements: tuple[str, ...], video: str, audio: str, codecs: list[Codec]
) -> None:
    need_gstreamer(*elements)
    with gst_server("--launch", f"( {video} {audio} )") as url, Driver(url, transport=transport) as driver:
        driver.run(packets_of_every_track)
        assert of_kind(driver, Failed) == []
        assert [codec_of(track.media) for track in driver.client.tracks] == codecs
        for track in driver.client.tracks:
            assert_in_sequence(driver.packets[track.index], track.media.format.payload_type)
            if codecs[track.index] in (Codec.H264, Codec.H265, Codec.AAC):
                assert parameter_sets(track.media)
        assert len(of_kind(driver, Playing)) == 1
        over_tcp = [event.transport.interleaved is not None for event in of_kind(driver, SetupDone)]
        assert over_tcp == [transport != "udp"] * 2
        driver.client.teardown()
        driver.run(lambda _: False)
        assert driver.end() == Closed("ended by us")


@pytest.mark.parametrize("scheme", ["digest", "basic"])
def test_a_stream_behind_a_password_plays_with_it_and_is_refused_without(scheme: str) -> None:
    need_gstreamer("x264enc")
    secret = "k%ey wit:h@odd/signs"
    with gst_server("--launch", f"( {H264} )", "--user", "viewer", "--password", secret, "--scheme", scheme) as url:
        with Driver(url, "viewer", secret) as driver:
            driver.run(lambda it: len(it.packets.get(0, ())) >= 20)
            assert driver.client.auth_scheme == ("Digest MD5" if scheme == "digest" else "Basic")
        for user, password in ((None, None), ("viewer", "another one")):
            with Driver(url, user, password) as driver:
                driver.run(lambda it: bool(it.end()))
                (failed,) = of_kind(driver, Failed)
                assert isinstance(failed.error, SourceRefused)
                assert "another one" not in str(failed.error) + repr(driver.client)


@pytest.mark.parametrize(("only", "interleaved"), [("--udp-only", False), ("--tcp-only", True)])
def test_auto_takes_the_transport_that_the_server_has(only: str, interleaved: bool) -> None:
    need_gstreamer("x264enc")
    with gst_server("--launch", f"( {H264} )", only) as url, Driver(url, transport="auto") as driver:
        driver.run(lambda it: len(it.packets.get(0, ())) >= 20)
        (done,) = of_kind(driver, SetupDone)
        assert (done.transport.interleaved is not None) is interleaved


@pytest.mark.parametrize(("only", "asked"), [("--udp-only", "tcp"), ("--tcp-only", "udp")])
def test_a_transport_that_the_server_lacks_is_refused_with_what_to_do(only: str, asked: str) -> None:
    need_gstreamer("x264enc")
    with gst_server("--launch", f"( {H264} )", only) as url, Driver(url, transport=asked) as driver:
        driver.run(lambda it: bool(it.end()))
        (failed,) = of_kind(driver, Failed)
        assert isinstance(failed.error, SourceRefused)
        assert "461" in str(failed.error)
        assert "transport to auto" in str(failed.error)


def test_a_path_that_is_not_there_says_so() -> None:
    need_gstreamer("x264enc")
    with gst_server("--launch", f"( {H264} )") as url, Driver(url + "x") as driver:
        driver.run(lambda it: bool(it.end()))
        (failed,) = of_kind(driver, Failed)
        assert "DESCRIBE" in str(failed.error)
        assert "404" in str(failed.error)


@pytest.mark.slow
@pytest.mark.parametrize("kept_alive", [True, False])
def test_a_session_lives_on_by_keep_alives_and_only_by_them(kept_alive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over UDP the server knows of us by requests alone; it waits for the timeout it announced and five seconds more."""
    need_gstreamer("x264enc")
    if not kept_alive:
        monkeypatch.setattr(Sessions, "keep_alive_due", lambda *_: "")
    launch = f"( {H264} )"
    with gst_server("--launch", launch, "--session-timeout", "5") as url, Driver(url, transport="udp") as driver:
        driver.run(lambda it: bool(it.packets.get(0)))
        assert driver.client.session_timeout_us == 5 * US
        began_us = CLOCK.mono_us()
        driver.run(lambda _: CLOCK.mono_us() - began_us > 13 * US)
        count = len(driver.packets[0])
        if kept_alive:
            driver.run(lambda it: len(it.packets[0]) > count + 20)
        else:
            driver.run(lambda _: CLOCK.mono_us() - began_us > 14 * US)
            assert len(driver.packets[0]) == count


def test_sender_reports_come_on_the_second_channel() -> None:
    need_gstreamer("x264enc")
    with gst_server("--launch", f"( {H264} )") as url, Driver(url) as driver:
        driver.run(lambda it: bool(it.reports.get(0)))
        assert of_kind(driver, Described)[0].description.media[0].kind == "video"
        assert driver.reports[0][0][1] == 200  # SR, RFC 3550 §6.4.1
