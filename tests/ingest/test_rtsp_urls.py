"""RTSP addresses, control URLs and redirects, and the header fields of SETUP and PLAY."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.rtsp.transport import parse_session, parse_transport
from ingest.rtsp.urls import base_url, control_urls, redirect, shown_url, split_rtsp_url
from vault.errors import UsageError


@pytest.mark.parametrize(
    ("text", "host", "port", "request_url", "user", "password"),
    [
        ("rtsp://192.0.2.7", "192.0.2.7", 554, "rtsp://192.0.2.7/", None, None),
        ("rtsp://cam-1.example:8554/a/b?c=1&d=2", "cam-1.example", 8554, "rtsp://cam-1.example:8554/a/b?c=1&d=2", None, None),
        ("RTSPS://cam-1.example/x#part", "cam-1.example", 322, "rtsps://cam-1.example/x", None, None),
        ("rtsp://u:p%40%2Fw@192.0.2.7/x", "192.0.2.7", 554, "rtsp://192.0.2.7/x", "u", "p@/w"),
        ("rtsp://u:p@w:x@192.0.2.7/x", "192.0.2.7", 554, "rtsp://192.0.2.7/x", "u", "p@w:x"),
        ("rtsp://u@[2001:db8::7]:5554?x=1", "2001:db8::7", 5554, "rtsp://[2001:db8::7]:5554/?x=1", "u", None),
    ],
)
def test_an_address_is_taken_apart(
    text: str, host: str, port: int, request_url: str, user: str | None, password: str | None
) -> None:
    address, *credentials = split_rtsp_url(text)
    assert (address.host, address.port, address.request) == (host, port, request_url)
    assert credentials == [user, password]


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://",
        "rtsp:///x",
        "ftp://h/",
        "rtsp://h:0/",
        "rtsp://h:65536/",
        "rtsp://h:x/",
        "rtsp://a\r\nb/",
        "rtsp://h/" + "x" * 3000,
    ],
)
def test_what_is_no_address_says_how_one_is_written(text: str) -> None:
    with pytest.raises(UsageError):
        split_rtsp_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://admin:hunter-2@192.0.2.7/x",
        "rtsp://192.0.2.7/user=admin_password=hunter-2_channel=1_stream=0.sdp",
        "rtsp://192.0.2.7/x?user=a&pwd=hunter-2",
        "rtsp://admin:hunter-2@192.0.2.7:99999/x",
        "rtsp://admin:hunter-2@/x",
        "http://admin:hunter-2@192.0.2.7/",
    ],
)
def test_no_password_shows_in_an_address_or_in_what_is_wrong_with_it(text: str) -> None:
    assert "hunter-2" not in shown_url(text)
    try:
        split_rtsp_url(text)
    except UsageError as error:
        assert "hunter-2" not in str(error)  # noqa: PT017 - only some of these are wrong


REQUEST = "rtsp://192.0.2.7/live"


@pytest.mark.parametrize(
    ("content_base", "content_location", "base"),
    [
        ("rtsp://192.0.2.7/base/", "rtsp://192.0.2.7/location", "rtsp://192.0.2.7/base/"),
        ("", "rtsp://192.0.2.7/location", "rtsp://192.0.2.7/location"),
        ("", "", REQUEST),
        ("/relative/", "live.sdp", REQUEST),
        ('"rtsp://u:p@192.0.2.7/quoted"', "", "rtsp://192.0.2.7/quoted"),
        ("http://192.0.2.7/", "", REQUEST),
    ],
)
def test_the_base_is_content_base_then_content_location_then_the_request(
    content_base: str, content_location: str, base: str
) -> None:
    assert base_url(REQUEST, content_base, content_location) == base


@pytest.mark.parametrize(
    ("base", "control", "urls"),
    [
        (REQUEST, "trackID=1", ("rtsp://192.0.2.7/live/trackID=1",)),
        (REQUEST + "/", "trackID=1", ("rtsp://192.0.2.7/live/trackID=1",)),
        (REQUEST, "/trackID=1", ("rtsp://192.0.2.7/live/trackID=1",)),
        (REQUEST, "*", (REQUEST,)),
        (REQUEST, "", (REQUEST,)),
        (REQUEST, "RTSP://u:p@10.0.0.1/t", ("RTSP://10.0.0.1/t",)),
        (REQUEST, "?track=1", ("rtsp://192.0.2.7/live?track=1",)),
        ("rtsp://h/a?b=1", "t0", ("rtsp://h/a?b=1/t0", "rtsp://h/a/t0?b=1")),
        ("rtsp://h/a?b=1/", "t0", ("rtsp://h/a?b=1/t0", "rtsp://h/a/t0?b=1")),
    ],
)
def test_control_urls_are_appended_as_cameras_expect(base: str, control: str, urls: tuple[str, ...]) -> None:
    assert control_urls(base, control) == urls


def test_a_redirect_keeps_the_password_on_its_host_and_never_leaves_tls() -> None:
    here, _, _ = split_rtsp_url("rtsps://cam-1.example/live")
    assert redirect(here, "rtsps://CAM-1.example:8322/x")[1] is True
    assert redirect(here, "rtsps://other.example/x")[1] is False
    assert redirect(here, "/moved")[0].request == "rtsps://cam-1.example/moved"
    for bad in ("rtsp://cam-1.example/live", "http://cam-1.example/", "", "rtsps://"):
        with pytest.raises(UsageError):
            redirect(here, bad)


def test_a_transport_field_is_read_whatever_its_order_and_case() -> None:
    transport = parse_transport('RTP/AVP;UNICAST;mode="PLAY";server_port=6000;ssrc=0xDEADBEEF;source=192.0.2.7')
    assert transport.server_port == (6000, 6001)
    assert (transport.interleaved, transport.says_tcp) == (None, False)
    transport = parse_transport("RTP/AVP/TCP;interleaved=256-257;ttl=300;ssrc=xyz, RTP/AVP;interleaved=0-1")
    assert (transport.interleaved, transport.says_tcp) == (None, True)


@pytest.mark.parametrize(
    ("value", "session"),
    [
        ("12345678", ("12345678", 60)),
        ("12345678;timeout=30", ("12345678", 30)),
        (' ab$1 ; Timeout = "90" ', ("ab$1", 90)),
        ("x;timeout=0", ("x", 60)),
        ("x;timeout=1", ("x", 5)),
        ("x;timeout=999999", ("x", 86_400)),
        ("x;timeout=soon", ("x", 60)),
    ],
)
def test_a_session_field_gives_id_and_timeout_within_reason(value: str, session: tuple[str, int]) -> None:
    assert parse_session(value) == session


@given(st.text(max_size=300), st.text(max_size=100))
def test_any_field_is_read_or_passed_over(text: str, other: str) -> None:
    parse_session(text)
    transport = parse_transport(f"RTP/AVP;{text};interleaved={other}")
    assert transport.interleaved is None or all(0 <= channel <= 255 for channel in transport.interleaved)
    assert control_urls(REQUEST, text)
    assert shown_url(text).isprintable()
