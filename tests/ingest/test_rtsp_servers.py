"""Odd servers, one file of tests/fixtures/rtsp each: what the client asks, what it makes of the answers, how it ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.rtsp.events import Announced, Closed, Event, Failed, Playing, SetupDone, TrackSkipped
from tests.support.rtsp_script import FIXTURES, Outcome, load, run

NAMES = sorted(path.stem for path in FIXTURES.glob("*.rtsp"))


def last(outcome: Outcome, kind: type[Event]) -> Event | None:
    return next((event for event in reversed(outcome.events) if isinstance(event, kind)), None)


def check(outcome: Outcome, end: str) -> None:
    """One `= ` line of a script: the word says what, the rest what it must be."""
    word, _, wanted = end.partition(" ")
    client = outcome.client
    if word == "Failed":
        kind, _, text = wanted.partition(" ")
        failed = outcome.events[-1]
        assert isinstance(failed, Failed), outcome.events
        assert type(failed.error).__name__ == kind
        assert text in str(failed.error)
    elif word in ("Playing", "Announced"):
        assert isinstance(outcome.events[-1], Playing if word == "Playing" else Announced), outcome.events
    elif word == "Closed":
        assert isinstance(outcome.events[-1], Closed)
        assert wanted in outcome.events[-1].reason
    elif word == "TrackSkipped":
        skipped = last(outcome, TrackSkipped)
        assert isinstance(skipped, TrackSkipped)
        assert wanted in skipped.reason
    elif word == "channels":
        assert " ".join(map(str, sorted(client.channels))) == wanted
    elif word == "frames":
        assert " ".join(str(channel) for channel, _ in outcome.frames) == wanted
    elif word == "server_port":
        done = last(outcome, SetupDone)
        assert isinstance(done, SetupDone)
        assert done.transport.server_port == tuple(map(int, wanted.split("-")))
    elif word == "sent":
        assert any(all(part in answer for part in wanted.split("|")) for answer in outcome.sent.split("\r\n\r\n"))
    elif word == "public":
        assert wanted in client.public
    elif word == "server":
        assert client.server == wanted
    elif word == "timeout":
        assert client.session_timeout_us == int(wanted) * 1_000_000
    else:
        raise AssertionError(f"a script ends in {end!r}, which nobody checks")


@pytest.mark.parametrize("name", NAMES)
def test_an_odd_server_is_understood_or_refused_with_a_reason(name: str) -> None:
    script = load(name)
    outcome = run(script)
    assert script.ends
    for end in script.ends:
        check(outcome, end)
    secret = script.options.get("password")
    if secret:
        assert secret not in repr(outcome.events) + repr(outcome.client) + "".join(map(str, outcome.events))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=8)
def test_any_split_of_the_bytes_gives_the_same_events(name: str, data: st.DataObject) -> None:
    def split(answer: bytes) -> list[bytes]:
        cuts = sorted(data.draw(st.sets(st.integers(0, len(answer)), max_size=12)))
        return [answer[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]

    expected, actual = run(load(name)), run(load(name), split)
    assert repr(actual.events) == repr(expected.events)
    assert actual.frames == expected.frames
    assert actual.requests == expected.requests


@pytest.mark.parametrize("name", NAMES)
def test_one_byte_at_a_time_gives_the_same_events(name: str) -> None:
    expected, actual = run(load(name)), run(load(name), lambda answer: [bytes([byte]) for byte in answer])
    assert repr(actual.events) == repr(expected.events)
    assert actual.frames == expected.frames
