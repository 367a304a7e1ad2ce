"""Listening to a camera that nobody here wrote: what arrived, over each transport, and over TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.probe import Probed, notes, probe
from tests.support.certificate import certificate
from tests.support.gst import AAC, ALAW, H264, H265, TEST_PICTURE, ULAW, gst_server, need_gstreamer
from vault.clock import SystemClock
from vault.config import Recording
from vault.errors import SourceError
from vault.secrets import SplitUrl


def listen(url: str, transport: str = "auto", *, seconds: float = 2.0, user: str | None = None, ca: str = "") -> Probed:
    return probe(SplitUrl(url, user, user and "pw"), transport, Recording(tls_ca_file=ca), SystemClock(), seconds)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("elements", "launch", "codecs"),
    [
        (("x264enc", "avenc_aac"), f"( {H264} {AAC} )", ["h264", "aac"]),
        (("x264enc", "alawenc"), f"( {H264} {ALAW} )", ["h264", "alaw"]),
        (("x265enc", "mulawenc"), f"( {H265} {ULAW} )", ["h265", "ulaw"]),
    ],
    ids=["h264-aac", "h264-alaw", "h265-ulaw"],
)
def test_pictures_and_sound_arrive_whole_and_nothing_is_lost(
    elements: tuple[str, ...], launch: str, codecs: list[str], transport: str
) -> None:
    need_gstreamer(*elements)
    with gst_server("--launch", launch, "--user", "viewer", "--password", "pw") as url:
        found = listen(url, transport, user="viewer")
    assert found.recordable
    assert [track.codec for track in found.tracks] == codecs
    video, audio = found.tracks
    assert video.params is not None
    assert (video.params.width, video.params.height) == (320, 240)
    assert video.key_units >= 1
    assert video.units >= 25
    assert audio.units >= 25
    assert found.lost_packets == 0
    assert notes(found) == []


def test_rtsps_is_listened_to(tmp_path: Path) -> None:
    need_gstreamer("x264enc")
    pem = certificate(tmp_path)
    with gst_server("--launch", f"( {H264} )", "--certificate", str(pem), "--user", "viewer", "--password", "pw") as url:
        found = listen(url, "tcp", user="viewer", ca=str(pem))
    assert found.recordable
    assert found.lost_packets == 0


def test_a_codec_that_is_not_understood_arrives_as_an_opaque_track() -> None:
    need_gstreamer("jpegenc", "rtpjpegpay")
    with gst_server("--launch", f"( {TEST_PICTURE} ! jpegenc ! rtpjpegpay name=pay0 )") as url:
        found = listen(url)
    (track,) = found.tracks
    assert track.codec == "opaque"
    assert track.units >= 25
    assert found.recordable


def test_a_path_that_is_not_there_is_an_error_that_says_so() -> None:
    need_gstreamer("x264enc")
    with gst_server("--launch", f"( {H264} )") as url, pytest.raises(SourceError, match="404 Not Found: check the path"):
        listen(url + "x")
