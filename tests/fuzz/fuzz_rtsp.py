"""Coverage-guided fuzzing of the RTSP client: a whole connection's bytes, in one piece and cut up, must come to the same end.

`python tests/fuzz/fuzz_rtsp.py [CORPUS …] [-max_total_time=60]` needs atheris; the functions can be imported without it.
The conversations of tests/fixtures/rtsp are its seeds.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import contextlib

with contextlib.suppress(ImportError):
    import atheris

    with atheris.instrument_imports(include=["ingest.rtsp"]):
        import ingest.rtsp.client  # noqa: F401

from ingest.rtsp.client import Phase, RtspClient
from ingest.rtsp.events import Event, NeedUdpPorts, Reconnect
from ingest.rtsp.handshake import TransportChoice
from ingest.rtsp.message import DOLLAR
from tests.support.fuzzing import run
from tests.support.rtsp_script import FIXTURES, answer_bytes, load
from vault.timebase import US

MAX_INPUT_BYTES = 16_384
SECRET = "n0t-to-be-seen"
_TRANSPORTS: tuple[TransportChoice, ...] = ("auto", "tcp", "udp")


class Caller:
    """The least that a caller does: shares its buffer as `RtspClient.receive` says, binds ports, connects anew."""

    def __init__(self, options: int) -> None:
        user = "viewer" if options & 1 else None
        url = "rtsp://192.0.2.7/live?channel=1" if options & 2 else "rtsp://192.0.2.7/live"
        self.client = RtspClient(url, user, SECRET, transport=_TRANSPORTS[(options >> 2) % 3])
        self.events: list[Event] = []
        self.garbage = False
        self._rest = b""
        self.client.start(0)

    def feed(self, data: bytes) -> None:
        data = self._rest + data
        while data:
            if data[0] == DOLLAR and not self.client.mid_message:
                used = 4 + int.from_bytes(data[2:4], "big")
                if len(data) < 4 or used > len(data):
                    break
            else:
                used = self.client.receive(data)
                assert 0 <= used <= len(data)
                self.garbage = self.garbage or self.client._exchange.parser.garbage_bytes > 0
                self.follow()
                if not used:
                    break
            data = data[used:]
        self._rest = data
        assert SECRET.encode() not in self.client.bytes_to_send()

    def follow(self) -> None:
        for event in self.client.events():
            assert SECRET not in repr(event)
            self.events.append(event)
            if isinstance(event, NeedUdpPorts):
                self.client.udp_ports(event.track, 5000, 5001)
            elif isinstance(event, Reconnect):
                self.client.start(0)

    def end(self) -> None:
        for second in (1, 2, 40, 80):
            self.client.tick(second * US)
            self.follow()
        self.client.eof()
        self.follow()
        assert self.client.phase is Phase.DONE


def fuzz(data: bytes) -> None:
    """The first byte chooses credentials, URL and transport, the second the size of the pieces."""
    if len(data) < 2:
        return
    stream = data[2:MAX_INPUT_BYTES]
    size = data[1] % 64 + 1
    whole, cut = Caller(data[0]), Caller(data[0])
    whole.feed(stream)
    whole.end()
    for at in range(0, len(stream), size):
        cut.feed(stream[at : at + size])
    cut.end()
    # How far a stretch of garbage reaches depends on which channels are known by then, and so on where a read ended; what a
    # server sends before the caller has bound ports or connected anew is lost, and here it sends everything at once.
    acted = any(isinstance(event, NeedUdpPorts | Reconnect) for event in whole.events + cut.events)
    if not (acted or whole.garbage or cut.garbage):
        assert repr(whole.events) == repr(cut.events)


def seeds() -> list[bytes]:
    """One input for each fixture: all answers of its server in a row."""
    out = []
    for path in sorted(FIXTURES.glob("*.rtsp")):
        script = load(path.stem)
        answers = (answer_bytes(turn, str(number + 1), b"\r\n") for number, turn in enumerate(script.turns))
        out.append(bytes((1 if "user" in script.options else 0, 7)) + b"".join(answers))
    return out


if __name__ == "__main__":
    run(fuzz, seeds())
