"""What is told of a camera's offer: of one that can be recorded, of one that cannot, and of one that is not there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ingest.offer import Offer, offer
from ingest.rtsp.handshake import TransportChoice
from tests.support.certificate import certificate
from tests.support.gst import AAC, H264, TEST_PICTURE, gst_server, need_gstreamer
from vault.clock import SystemClock
from vault.config import Recording
from vault.errors import SourceError, SourceRefused, UsageError
from vault.media import Codec
from vault.secrets import SplitUrl


def ask(
    url: str,
    user: str | None = None,
    password: str | None = None,
    transport: TransportChoice = "auto",
    recording: Recording | None = None,
) -> Offer:
    return offer(SplitUrl(url, user, password), transport, recording or Recording(), SystemClock())


def test_a_cameras_offer_names_server_authentication_transports_and_media() -> None:
    need_gstreamer("x264enc", "avenc_aac")
    with gst_server("--launch", f"( {H264} {AAC} )", "--user", "viewer", "--password", "s3cret-word") as url:
        found = ask(url, "viewer", "s3cret-word")
    assert found.problem == ""
    assert found.transports == ("tcp", "udp")
    assert (found.auth, found.server) == ("Digest MD5", "GStreamer RTSP server")
    assert "GET_PARAMETER" in found.methods
    assert found.session_timeout_us == 60_000_000
    assert "s3cret-word" not in repr(found)
    video, audio = found.media
    assert (video.codec, video.width, video.height, video.clock_rate, video.recorded) == (Codec.H264, 320, 240, 90_000, True)
    assert (audio.codec, audio.channels, audio.clock_rate, audio.recorded) == (Codec.AAC, 2, 48_000, True)


@pytest.mark.parametrize(("only", "has", "lacks"), [("--udp-only", "udp", "tcp"), ("--tcp-only", "tcp", "udp")])
def test_a_transport_that_is_not_there_is_not_named_and_is_a_problem_when_asked_for(
    only: str, has: str, lacks: TransportChoice
) -> None:
    need_gstreamer("x264enc")
    with gst_server("--launch", f"( {H264} )", only, "--own-media") as url:
        assert ask(url).transports == (has,)
        assert "461" in ask(url, transport=lacks).problem


def test_of_two_pictures_one_is_recorded_and_the_other_says_why_not() -> None:
    need_gstreamer("x264enc", "jpegenc")
    with gst_server("--launch", f"( {TEST_PICTURE} ! jpegenc ! rtpjpegpay name=pay0 {H264.replace('pay0', 'pay1')} )") as url:
        jpeg, h264 = ask(url).media
    assert (jpeg.codec, jpeg.recorded) == (Codec.OPAQUE, False)
    assert "another one was chosen" in jpeg.note
    assert h264.recorded


def test_a_codec_that_is_not_understood_is_kept_as_it_is() -> None:
    need_gstreamer("jpegenc", "rtpjpegpay")
    with gst_server("--launch", f"( {TEST_PICTURE} ! jpegenc ! rtpjpegpay name=pay0 )") as url:
        (media,) = ask(url).media
    assert (media.codec, media.recorded, media.encoding) == (Codec.OPAQUE, True, "JPEG")
    assert "byte for byte" in media.note


def test_rtsps_needs_a_trusted_certificate(tmp_path: Path) -> None:
    need_gstreamer("x264enc")
    pem = certificate(tmp_path)
    with gst_server("--launch", f"( {H264} )", "--certificate", str(pem), "--user", "viewer", "--password", "pw") as url:
        assert url.startswith("rtsps://")
        found = ask(url, "viewer", "pw", "tcp", Recording(tls_ca_file=str(pem)))
        assert (found.problem, found.transports, found.auth) == ("", ("tcp",), "Digest MD5")
        with pytest.raises(SourceRefused, match="certificate is not trusted"):
            ask(url, "viewer", "pw", "tcp")


def test_what_is_wrong_with_the_address_or_the_camera_is_said() -> None:
    with pytest.raises(UsageError, match="RTSP address"):
        ask("http://127.0.0.1/")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        with pytest.raises(SourceError, match="switched on"):
            ask(f"rtsp://127.0.0.1:{port}/x")
        deaf.listen()
        with pytest.raises(SourceError, match="no whole answer to OPTIONS within 1 s"):
            ask(f"rtsp://127.0.0.1:{port}/x", recording=Recording(connect_timeout_seconds=1.0))


def test_a_wrong_password_is_refused_without_showing_it() -> None:
    need_gstreamer("x264enc")
    with gst_server("--launch", f"( {H264} )", "--user", "viewer", "--password", "right") as url:
        with pytest.raises(SourceRefused, match="refuses the user and password") as refused:
            ask(url, "viewer", "s3cret-word")
        assert "s3cret-word" not in str(refused.value)
