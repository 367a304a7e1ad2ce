"""Plays a scripted server against the sans-IO client: the files of tests/fixtures/rtsp, each written for one oddity.

A file: `#` lines say what the oddity is; `? key value` are options (`url`, `user`, `password`, `transport`, `eol lf`);
`> ` lines are what the next request must look like: its first line first, then header lines it must contain, or with `>! `
must not contain; what follows is the server's answer, `{cseq}` and `{length}` filled in, `{frame C HEX}` an interleaved
frame on channel C, `{hex HEX}` bytes as they are, `{nothing}` no line at all; `= ` lines say how it must end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ingest.rtsp.client import Phase, RtspClient
from ingest.rtsp.events import Event, NeedUdpPorts, Reconnect
from vault.timebase import US

FIXTURES = Path(__file__).parent.parent / "fixtures" / "rtsp"
Split = Callable[[bytes], Iterable[bytes]]


@dataclass(slots=True)
class Turn:
    request: str
    wanted: list[str]
    unwanted: list[str]
    answer: str = ""


@dataclass(slots=True)
class Script:
    options: dict[str, str] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Outcome:
    """What the client did with a script. `frames` are the interleaved frames that were the caller's: (channel, payload)."""

    client: RtspClient
    events: list[Event] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    sent: str = ""


def load(name: str) -> Script:
    script = Script()
    for line in (FIXTURES / f"{name}.rtsp").read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        if line.startswith("? "):
            key, _, value = line[2:].partition(" ")
            script.options[key] = value
        elif line.startswith("= "):
            script.ends.append(line[2:])
        elif line.startswith((">! ", "> ")) and script.turns and not script.turns[-1].answer:
            (script.turns[-1].unwanted if line[1] == "!" else script.turns[-1].wanted).append(line.partition(" ")[2])
        elif line.startswith("> "):
            script.turns.append(Turn(line[2:], [], []))
        elif script.turns:
            script.turns[-1].answer += line + "\n"
    return script


def answer_bytes(turn: Turn, cseq: str, eol: bytes) -> bytes:
    """The server's bytes: lines ended by `eol`, placeholders filled in; no line end behind a frame or raw bytes."""
    parts: list[bytes] = []
    text = turn.answer.replace("{cseq}", cseq).replace("{nothing}\n", "")
    if "{length}" in text:
        body = text.partition("\n\n")[2]
        text = text.replace("{length}", str(len(body.encode()) + body.count("\n") * (len(eol) - 1)))
    for piece in re.split(r"(\{(?:frame \d+|hex) [0-9a-f]+\}\n?)", text):
        if found := re.match(r"\{(?:frame (\d+)|hex) ([0-9a-f]+)\}", piece):
            payload = bytes.fromhex(found[2])
            head = b"$" + bytes([int(found[1])]) + len(payload).to_bytes(2, "big") if found[1] else b""
            parts.append(head + payload)
        else:
            parts.append(piece.encode().replace(b"\n", eol))
    return b"".join(parts)


def whole(data: bytes) -> list[bytes]:
    return [data]


def run(script: Script, split: Split = whole) -> Outcome:
    """Plays the script to its end. Each answer is cut up by `split`; time moves on only when there is nothing else to do."""
    options = script.options
    client = RtspClient(
        options.get("url", "rtsp://192.0.2.7/live"),
        options.get("user"),
        options.get("password"),
        transport=options.get("transport", "auto"),  # type: ignore[arg-type]
    )
    outcome = Outcome(client)
    eol = b"\n" if options.get("eol") == "lf" else b"\r\n"
    now_us, rest = US, b""
    client.start(now_us)
    for turn in script.turns:
        request = _next_request(outcome)
        for _ in range(4):
            if request:
                break
            now_us += US
            client.tick(now_us)
            request = _next_request(outcome)
        assert request.startswith(turn.request + " RTSP/1.0\r\n"), f"wanted {turn.request}, got {request!r}; {outcome.events}"
        assert all(line in request for line in turn.wanted), (turn.wanted, request)
        assert not any(line in request for line in turn.unwanted), (turn.unwanted, request)
        cseq = re.findall(r"CSeq: (\d+)", request)[0]
        for piece in split(answer_bytes(turn, cseq, eol)):
            rest = _feed(outcome, rest + piece)
        rest = _react(outcome, now_us, rest)
    for _ in range(3):
        now_us += 6 * US
        if client.phase is not Phase.PLAYING:
            client.tick(now_us)
            rest = _react(outcome, now_us, rest)
    outcome.sent += client.bytes_to_send().decode()
    return outcome


def _react(outcome: Outcome, now_us: int, rest: bytes) -> bytes:
    """What a caller does at once: binds ports, and connects anew after a redirect, which leaves the old bytes behind."""
    client = outcome.client
    for event in client.events():
        outcome.events.append(event)
        if isinstance(event, NeedUdpPorts):
            client.udp_ports(event.track, 40_000 + 2 * event.track.index, 40_001 + 2 * event.track.index)
        elif isinstance(event, Reconnect):
            client.start(now_us)
            rest = b""
    return rest


def _next_request(outcome: Outcome) -> str:
    """The first request among what the client sends; answers to the server's own requests are kept in `sent`."""
    text = outcome.client.bytes_to_send().decode()
    outcome.sent += text
    requests = [part + "\r\n" for part in text.split("\r\n\r\n") if part and not part.startswith("RTSP/")]
    outcome.requests += [part.partition(" RTSP/")[0] for part in requests]
    return requests[0] if requests else ""


def _feed(outcome: Outcome, data: bytes) -> bytes:
    """What every caller does with its buffer; returns what is to be kept in front of the next bytes."""
    client = outcome.client
    while data:
        if data[0] == 0x24 and not client.mid_message and client.phase is not Phase.DONE:
            size = 4 + int.from_bytes(data[2:4], "big")
            if len(data) < 4 or len(data) < size:
                return data
            outcome.frames.append((data[1], data[4:size]))
            data = data[size:]
        else:
            consumed = client.receive(data)
            if not consumed:
                return data
            data = data[consumed:]
    return b""
