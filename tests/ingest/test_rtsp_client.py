"""The client's behaviour over time: deadline, keep-alive, loss of the session, the end; and hostile bytes of any kind."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.rtsp.client import Phase, RtspClient
from ingest.rtsp.events import Closed, Failed, Reconnect
from ingest.rtsp.exchange import MAX_OUTPUT_BYTES
from tests.support.rtsp_script import FIXTURES, answer_bytes, load, run
from vault.errors import SourceError, UsageError
from vault.timebase import US


def playing(name: str = "plain_video_and_audio") -> RtspClient:
    """A client that plays; its next tick starts the keep-alives' clock."""
    client = run(load(name)).client
    assert client.phase is Phase.PLAYING
    client.tick(0)
    return client


def sent(client: RtspClient) -> tuple[str, str]:
    """Method and CSeq of the one request that is due, or empty strings."""
    text = client.bytes_to_send().decode()
    found = re.match(r"(\w+) (?s:.*)CSeq: (\d+)", text)
    return (found[1], found[2]) if found else ("", "")


def reply(client: RtspClient, cseq: str, status: str = "200 OK", headers: str = "") -> None:
    data = f"RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n{headers}\r\n".encode()
    assert client.receive(data) == len(data)


def the_failure(client: RtspClient) -> SourceError:
    (event,) = client.events()
    assert isinstance(event, Failed)
    assert client.phase is Phase.DONE
    return event.error


def test_no_answer_within_the_deadline_fails_and_names_the_request() -> None:
    client = RtspClient("rtsp://192.0.2.7/live", handshake_us=5 * US)
    client.start(100 * US)
    client.tick(105 * US - 1)
    assert client.events() == []
    client.tick(105 * US)
    assert "no whole answer to OPTIONS within 5 s" in str(the_failure(client))


def test_a_server_that_trickles_bytes_meets_the_deadline_all_the_same() -> None:
    client = RtspClient("rtsp://192.0.2.7/live")
    client.start(0)
    client.receive(b"RTSP/1.0 200 OK\r\n")
    for second in range(1, 15):
        client.receive(b"X: y\r\n")
        client.tick(second * US)
        assert client.events() == []
    client.tick(15 * US)
    assert isinstance(the_failure(client), SourceError)


def test_keep_alive_goes_out_at_half_the_sessions_timeout() -> None:
    client = playing()
    client.tick(30 * US - 1)
    assert sent(client) == ("", "")
    client.tick(30 * US)
    method, cseq = sent(client)
    assert method == "GET_PARAMETER"
    reply(client, cseq)
    client.tick(60 * US)
    assert sent(client)[0] == "GET_PARAMETER"


def test_keep_alive_is_options_where_get_parameter_is_not_offered_or_is_refused() -> None:
    client = playing("options_refused")
    client.tick(30 * US)
    assert sent(client)[0] == "OPTIONS"
    client = playing()
    client.tick(30 * US)
    reply(client, sent(client)[1], "451 Parameter Not Understood")
    client.tick(60 * US)
    assert sent(client)[0] == "OPTIONS"
    assert client.events() == []


def test_a_camera_that_never_answers_keep_alives_goes_on_playing() -> None:
    client = playing()
    for minute in range(1, 500):
        client.tick(minute * 60 * US)
        assert sent(client)[0] == "GET_PARAMETER"
    assert client.phase is Phase.PLAYING


def test_a_short_timeout_is_kept() -> None:
    client = playing("odd_spacing_and_case")
    client.tick(15 * US)
    assert sent(client)[0] == "GET_PARAMETER"


def test_a_session_that_is_gone_at_keep_alive_ends_it_for_a_new_try() -> None:
    client = playing()
    client.tick(30 * US)
    reply(client, sent(client)[1], "454 Session Not Found")
    error = the_failure(client)
    assert error.retryable
    assert "454" in str(error)


def test_a_401_after_an_hour_is_answered_once_with_the_new_nonce() -> None:
    client = playing("several_challenges")
    client.tick(3600 * US)
    reply(client, sent(client)[1], "401 Unauthorized", 'WWW-Authenticate: Digest realm="cam", nonce="later"\r\n')
    text = client.bytes_to_send().decode()
    assert 'nonce="later"' in text
    reply(client, re.findall(r"CSeq: (\d+)", text)[0])
    assert client.phase is Phase.PLAYING


def test_a_password_changed_after_an_hour_does_not_end_a_stream_that_goes_on() -> None:
    """The camera ends it, by closing or by silence, if that is what it wants; the next connection is then refused."""
    client = playing("several_challenges")
    client.tick(3600 * US)
    for nonce in ("later", "later still"):
        reply(client, sent(client)[1], "401 Unauthorized", f'WWW-Authenticate: Digest realm="cam", nonce="{nonce}"\r\n')
    assert client.events() == []
    assert client.phase is Phase.PLAYING


def test_a_connection_lost_while_playing_is_closed_and_one_lost_before_has_failed() -> None:
    client = playing()
    client.eof()
    assert client.events() == [Closed("the server closed the connection")]
    client = RtspClient("rtsp://192.0.2.7/live")
    client.start(0)
    client.eof()
    assert "closed the connection without answering OPTIONS" in str(the_failure(client))
    client.eof()
    assert client.events() == []


def test_a_camera_that_hangs_up_behind_its_401_is_connected_to_once_more_with_credentials() -> None:
    client = RtspClient("rtsp://viewer:pw@192.0.2.7/live")
    client.start(0)
    reply(client, sent(client)[1])
    for connections in (1, 2):
        reply(client, sent(client)[1], "401 Unauthorized", f'WWW-Authenticate: Digest realm="cam", nonce="n{connections}"\r\n')
        client.eof()
        if connections == 1:
            assert client.events() == [Reconnect(client.address)]
            client.start(US)
            text = client.bytes_to_send().decode()
            assert 'nonce="n1"' in text
            reply(client, re.findall(r"CSeq: (\d+)", text)[0])
    assert "closed the connection without answering DESCRIBE" in str(the_failure(client))


def test_teardown_is_sent_in_the_session_and_its_answer_is_the_end() -> None:
    client = playing()
    client.teardown()
    text = client.bytes_to_send().decode()
    assert text.startswith("TEARDOWN rtsp://192.0.2.7/live RTSP/1.0")
    assert "Session: 8A3F21\r\n" in text
    reply(client, re.findall(r"CSeq: (\d+)", text)[0])
    assert client.events() == [Closed("ended by us")]


def test_teardown_before_anything_is_set_up_is_the_end_at_once() -> None:
    client = RtspClient("rtsp://192.0.2.7/live")
    client.start(0)
    client.teardown()
    assert client.events() == [Closed("ended by us")]


def test_a_server_that_asks_without_reading_is_cut_off() -> None:
    client = playing()
    ask = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    for _ in range(MAX_OUTPUT_BYTES // 50):
        client.receive(ask)
        if client.phase is Phase.DONE:
            break
    assert "without reading" in str(the_failure(client))


def test_once_failed_nothing_that_was_left_half_read_comes_out_any_more() -> None:
    client = playing("several_challenges")
    client.tick(30 * US)
    refused = "RTSP/1.0 454 Session Not Found\r\n\r\n"
    half = "ANNOUNCE * RTSP/1.0\r\nContent-Type: application/sdp\r\nContent-Length: 99\r\n\r\nv=0\r\n"
    client.receive((refused + half).encode())
    assert "454" in str(the_failure(client))
    client.tick(60 * US)
    client.eof()
    assert client.events() == []


def test_a_client_knows_where_to_connect_and_shows_no_credentials() -> None:
    client = RtspClient("rtsps://viewer:pw@[2001:db8::1]/live")
    assert (client.address.host, client.address.port, client.address.tls) == ("2001:db8::1", 322, True)
    assert "pw" not in repr(client)
    assert "viewer" not in repr(client)


@pytest.mark.parametrize("url", ["http://192.0.2.7/", "rtsp://", "rtsp://192.0.2.7:99999/", "rtsp:/x", "", "rtsp://a b/"])
def test_what_is_no_rtsp_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError):
        RtspClient(url)


@given(data=st.data())
def test_no_bytes_of_a_server_raise_out_of_the_client(data: st.DataObject) -> None:
    """Real conversations with pieces cut out, doubled and overwritten, so that what is hostile comes at every state."""
    name = data.draw(st.sampled_from(sorted(path.stem for path in FIXTURES.glob("*.rtsp"))))
    script = load(name)
    client = RtspClient(script.options.get("url", "rtsp://192.0.2.7/live"), "u", "pw-9-secret")
    client.start(0)
    for number, turn in enumerate(script.turns):
        raw = bytearray(answer_bytes(turn, str(number + 1), b"\r\n"))
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, max(0, len(raw) - 1)))
            raw[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=12))
        rest = bytes(raw)
        while rest:
            consumed = client.receive(rest)
            rest = rest[consumed:] if consumed else rest[1:]
        client.tick(number * US)
        client.bytes_to_send()
        for event in client.events():
            assert "pw-9-secret" not in repr(event)
    client.eof()
