"""RTSP messages: whole ones from any split, bounds, garbage; and requests that nothing hostile gets into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.rtsp.message import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_MESSAGES,
    Message,
    MessageParser,
    Request,
    Response,
    build_request,
    build_response,
)
from vault.errors import SourceError

ANSWER = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"


def parse(data: bytes) -> list[Message]:
    parser = MessageParser()
    assert parser.feed(data) == len(data)
    return parser.take()


def test_several_messages_in_one_read_come_in_order() -> None:
    messages = parse(
        ANSWER + b"RTSP/1.0 404 Not Found\r\nContent-Length: 3\r\n\r\nabc" + b"OPTIONS * RTSP/1.0\r\nCSeq: 9\r\n\r\n" + ANSWER
    )
    assert [message.status if isinstance(message, Response) else message.method for message in messages] == [
        200,
        404,
        "OPTIONS",
        200,
    ]
    assert messages[1].body == b"abc"
    assert isinstance(messages[2], Request)
    assert messages[2].url == "*"


def test_a_dollar_between_messages_is_left_to_the_caller_and_one_inside_is_not() -> None:
    parser = MessageParser()
    head = b"RTSP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n$$"
    assert parser.feed(head) == len(head)
    assert parser.mid_message
    assert parser.feed(b"$$" + b"$\x00\x00\x01x") == 2
    assert not parser.mid_message
    assert parser.feed(b"$\x00\x00\x01x") == 0
    assert parser.take() == [Response(200, "OK", parse(head + b"$$")[0].headers, b"$$$$")]


def test_a_start_that_is_not_clear_yet_is_left_in_front() -> None:
    parser = MessageParser()
    assert parser.feed(b"RTS") == 0
    assert parser.feed(b"RTSP/1.0 200 OK\r\n") == 17
    assert parser.mid_message


def test_blank_lines_between_messages_are_skipped() -> None:
    assert len(parse(b"\r\n\r\n" + ANSWER + b"\n \0" + ANSWER)) == 2


def test_garbage_is_skipped_to_the_next_frame_on_a_known_channel_or_the_next_answer() -> None:
    parser = MessageParser()
    parser.channels = frozenset({0, 1})
    frame = b"$\x00\x00\x0c\x80\x60"
    garbage = b"\xff\xfe$\x07\x00\x04\x80..$\x00\x00\x04\x00.."
    assert parser.feed(garbage + frame) == len(garbage)
    assert parser.garbage_bytes == len(garbage)
    assert parser.feed(b"\xff\xfe" + ANSWER) == 2 + len(ANSWER)
    assert len(parser.take()) == 1
    assert parser.garbage_bytes == 0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"RTSP/1.0 200 OK\r\nX: " + b"a" * (MAX_HEADER_BYTES + 10), "longer than 65536 bytes"),
        (b"RTSP/1.0 200 OK\r\n" + b"a: b\n" * (MAX_HEADERS + 1) + b"\n", "header fields"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 1048577\r\n\r\n", "announced with 1048577"),
        (
            b"RTSP/1.0 200 OK\r\nContent-Type: application/sdp\r\n\r\n" + b"a=x\n" * (MAX_BODY_BYTES // 4 + 1),
            "longer than 1048576",
        ),
        (b"RTSP/1.0 200 OK\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n", "announced"),
        (b"RTSP/1.0 20\r\n\r\n", "not RTSP/1.0"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "HTTP, not RTSP"),
        (b"\xff" * (MAX_BODY_BYTES + 2), "neither RTSP nor RTP"),
        (ANSWER * (MAX_MESSAGES + 2), "floods"),
    ],
    ids=["header bytes", "header count", "body", "unmeasured body", "many digits", "status line", "http", "garbage", "flood"],
)
def test_beyond_a_bound_the_parser_says_which(data: bytes, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        MessageParser().feed(data)


@pytest.mark.parametrize("length", ["", "abc", "-5"])
def test_a_length_that_is_no_length_is_not_believed(length: str) -> None:
    assert len(parse(b"RTSP/1.0 200 OK\r\nContent-Length: " + length.encode() + b"\r\n\r\n" + ANSWER)) == 2


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_garbage_raises_nothing_but_our_own_error_and_is_never_hoarded(pieces: list[bytes]) -> None:
    parser = MessageParser()
    rest = b""
    for piece in pieces:
        data = rest + piece
        try:
            consumed = parser.feed(data)
        except SourceError:
            return
        assert 0 <= consumed <= len(data)
        rest = data[consumed:] if not data[consumed:].startswith(b"$") else b""


TEXT = st.text(st.characters(min_codepoint=0, max_codepoint=0x2FF), max_size=40)


@given(url=TEXT, value=TEXT)
def test_nothing_in_a_url_or_a_value_can_add_a_line_to_a_request(url: str, value: str) -> None:
    data = build_request("SETUP", "rtsp://192.0.2.7/" + url, 3, [("Session", value)])
    lines = data.split(b"\r\n")
    assert len(lines) == 5
    assert lines[0].count(b" ") == 2
    assert b"\n" not in b"".join(lines)
    assert b"\r" not in b"".join(lines)
    (again,) = parse(data)
    assert isinstance(again, Request)
    assert again.headers.get("cseq") == "3"


def test_an_answer_to_the_server_is_one_message() -> None:
    (message,) = parse(build_response(501, "Not Implemented", [("CSeq", "4")]))
    assert isinstance(message, Response)
    assert (message.status, message.reason, message.headers.get("cseq")) == (501, "Not Implemented", "4")
