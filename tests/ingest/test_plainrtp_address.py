"""What `rtp://` addresses and SDP files say to receive, and how those that say nonsense are refused."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.credentials import address_of, seal_url
from ingest.reception import Reception, media_of, reception_of_url, receptions_of_sdp, sdp_path
from ingest.rtp.tracks import make_track
from vault.errors import SourceError, SourceRefused, UsageError
from vault.media import Codec
from vault.secrets import CredentialBox, split_url

BASE = Reception("192.0.2.9", 5004, 5005)


@pytest.mark.parametrize(
    ("query", "changed"),
    [
        ("", {}),
        ("?codec=h264", {"coded": "video H264/90000"}),
        ("?codec=HEVC&pt=97", {"coded": "video H265/90000", "payload_type": 97}),
        ("?pt=8", {"payload_type": 8}),
        ("?codec=JPEG/90000&pt=26", {"coded": "video JPEG/90000", "payload_type": 26}),
        ("?rtcp=mux", {"rtcp_port": 0, "muxed": True}),
        ("?rtcp=off", {"rtcp_port": 0}),
        ("?rtcp=6000", {"rtcp_port": 6000}),
        ("?source=any", {"source": "any"}),
        ("?source=198.51.100.1&interface=eth1", {"source": "198.51.100.1", "interface": "eth1"}),
    ],
)
def test_an_address_says_where_from_whom_and_what(query: str, changed: dict[str, object]) -> None:
    assert reception_of_url(f"rtp://192.0.2.9:5004{query}") == replace(BASE, **changed)  # type: ignore[arg-type]


def test_the_last_port_has_no_rtcp_port_behind_it() -> None:
    assert reception_of_url("rtp://[::]:65535").rtcp_port == 0


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rtp://192.0.2.9", "write rtp://ADDRESS:PORT"),
        ("rtp://192.0.2.9:99999", "ort"),
        ("rtp://192.0.2.9:5004?codec=vp8", "codec 'vp8' is not known: it is one of h264"),
        ("rtp://192.0.2.9:5004?codec=aac", "add the camera by an SDP file"),
        ("rtp://192.0.2.9:5004?pt=200", "pt is a number up to 127"),
        ("rtp://192.0.2.9:5004?pt=96", "payload type 96 has no fixed meaning"),
        ("rtp://192.0.2.9:5004?source=cam", "numeric address"),
        ("rtp://[ff15::1]:5004?source=192.0.2.1", "different IP versions"),
        ("rtp://192.0.2.9:5004?localport=1", "'localport' is not known there; known are codec, pt"),
    ],
)
def test_an_address_that_cannot_be_received_is_refused_with_a_hint(url: str, told: str) -> None:
    with pytest.raises(SourceRefused, match=told.replace("[", r"\[")):
        reception_of_url(url)


@pytest.mark.parametrize(
    ("query", "payload_type", "codec"),
    [("", 0, Codec.ULAW), ("", 8, Codec.ALAW), ("", 33, Codec.OPAQUE), ("?codec=h265", 99, Codec.H265), ("?codec=ulaw", 96, Codec.ULAW)],
)  # fmt: skip
def test_the_first_packets_type_completes_the_address(query: str, payload_type: int, codec: Codec) -> None:
    media = media_of(reception_of_url(f"rtp://192.0.2.9:5004{query}"), payload_type)
    assert media.format.payload_type == payload_type
    assert make_track(0, media).codec is codec


SDP = """v=0
o=- 0 0 IN IP4 192.0.2.1
s=x
c=IN IP4 232.3.4.5/17
t=0 0
a=source-filter: incl IN IP4 232.3.4.5 192.0.2.1
m=audio 5006 RTP/AVP 8
a=rtcp:7000
m=video 5004 RTP/AVP 96
a=rtpmap:96 H264/90000
a=rtcp-mux
m=video 0 RTP/AVP 97
m=audio 5010 RTP/SAVP 8
"""


def test_an_sdp_file_gives_every_track_with_its_ports_source_and_reach() -> None:
    first, second = receptions_of_sdp(SDP.encode())
    assert (first.host, first.port, first.rtcp_port, first.source, first.ttl) == ("232.3.4.5", 5006, 7000, "192.0.2.1", 17)
    assert (second.port, second.rtcp_port, second.muxed, second.payload_types) == (5004, 0, True, (96,))
    assert first.is_multicast
    assert first.from_sdp


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("v=0\n", "has no m= line"),
        ("v=0\nm=video 5004 RTP/AVP 96\n", "no c= line"),
        ("v=0\nc=IN IP4 0.0.0.0\nm=video 0 RTP/AVP 96\n", "its port is 0"),
        ("v=0\nc=IN IP4 0.0.0.0\nm=video 5004 RTP/SAVP 96\n", "is not plain RTP"),
        ("hello", "is not SDP"),
    ],
)
def test_an_sdp_file_without_anything_to_receive_says_why(text: str, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        receptions_of_sdp(text.encode())


def test_a_files_address_is_known_by_its_ending_and_may_be_escaped() -> None:
    assert sdp_path("file:///srv/a%20b/cam.SDP") == "/srv/a b/cam.SDP"
    assert sdp_path("file:///srv/cam.mp4") is None
    assert sdp_path("rtp://192.0.2.1/x.sdp") is None


def test_the_path_of_an_sdp_file_is_an_address_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert address_of("/srv/a b.sdp") == "file:///srv/a%20b.sdp"
    assert address_of("cam.SDP") == (tmp_path / "cam.SDP").as_uri()
    for other in ("rtsp://192.0.2.1/x.sdp", "cam.mp4", ""):
        assert address_of(other) == other


def test_the_registry_takes_addresses_of_files_groups_and_packets(tmp_path: Path) -> None:
    box = CredentialBox.create(tmp_path / "key")
    for url in (
        "file:///srv/cam.sdp", "rtp://239.1.1.1:5004?codec=h264&pt=96&interface=eth1", "rtp://[ff15::1]:5004?codec=h265",
        "rtmp://192.0.2.1/live/1", "https://192.0.2.1:8443/x.m3u8",
    ):  # fmt: skip
        assert seal_url(url, box).url == url
        assert seal_url(url, box).secret is None
        assert split_url(url) == (url, None, None)
    for url in ("file://", "rtp:///x", "file:/srv/cam.sdp"):
        with pytest.raises(UsageError):
            split_url(url)


@given(st.text(max_size=80), st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789=&%:?/@[].", max_size=80))
def test_any_text_is_a_reception_or_refused(front: str, back: str) -> None:
    for url in (front + back, "rtp://" + front + back, "rtp://192.0.2.9:5004?" + back):
        with contextlib.suppress(SourceRefused):
            assert 0 < reception_of_url(url).port <= 65535


@given(
    st.binary(max_size=400)
    | st.lists(st.sampled_from([*SDP.encode().splitlines(), b"m=", b"c=IN IP6 ff15::1/9"])).map(b"\n".join)
)
def test_any_bytes_of_a_file_are_receptions_or_an_error_of_ours(data: bytes) -> None:
    try:
        for reception in receptions_of_sdp(data):
            assert 0 < reception.port <= 65535
            assert 0 <= reception.rtcp_port <= 65535
    except SourceError:
        pass
