"""The process that runs libav is not trusted: whatever it writes, the worker's side raises nothing, holds little and says what."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import libavsource, libavwire
from ingest.arenas import READ_LIMIT_BYTES, Arenas
from ingest.libavsource import LibavSource
from ingest.libavwire import Kind, WireTrack
from ingest.source import Frame
from tests.support.node import wait_until
from tests.support.streams import encode_h264, parameter_sets
from vault.clock import SystemClock
from vault.errors import Damaged
from vault.media import Codec

CLOCK = SystemClock()
VIDEO = libavwire.track_fields(Codec.H264, 90_000, parameter_sets(encode_h264()[0]))
SOUND = libavwire.track_fields(Codec.ALAW, 8000, (), 1)
TRACKS = libavwire.pack_json(Kind.TRACKS, [VIDEO, SOUND])


def frame(track: int, timestamp: int, data: bytes, flags: int = 1) -> bytes:
    return libavwire.pack_frame_head(track, flags, timestamp, len(data)) + data


class World:
    """A source whose process writes what a test says, and the frames that come of it."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.source = LibavSource(
            lambda: pool, "file:///x.mp4", None, None, ca_file="", connect_us=10**7, silence_us=10**7, mono_us=CLOCK.mono_us()
        )
        self.samples: list[tuple[int, int, bytes, int]] = []
        self._arenas = Arenas()

    def step(self) -> LibavSource:
        source = self.source
        source.service(CLOCK.mono_us())
        if source.playing:
            arenas = self._arenas.take([track.codec.is_video for track in source.tracks], source.carried())
            frames: list[Frame] = []
            source.sweep(arenas, frames, READ_LIMIT_BYTES, CLOCK.mono_us())
            self.samples += [(i, at, bytes(arenas[i][offset : offset + size]), flags) for i, at, offset, size, flags in frames]
            self._arenas.give_back(arenas)
        return source

    def failure(self) -> str:
        wait_until(lambda: self.step().failure, 20)
        return str(self.source.failure)


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Start a source whose process runs these lines, with `out(bytes)` to write; at its end it is closed."""
    worlds: list[World] = []
    pool = ThreadPoolExecutor(1)

    def begin(*pieces: bytes, then: str = "") -> World:
        code = "import sys, time\ndef out(data):\n    sys.stdout.buffer.write(data)\n    sys.stdout.buffer.flush()\n"
        code += "".join(f"out(bytes.fromhex({piece.hex()!r}))\n" for piece in pieces) + textwrap.dedent(then)

        def launch(_: object) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", "import sys; exec(sys.stdin.read())"]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
            assert process.stdin is not None
            process.stdin.write(code.encode())
            process.stdin.close()
            return process

        monkeypatch.setattr(libavsource, "launch", launch)
        worlds.append(World(pool))
        return worlds[-1]

    yield begin
    for world in worlds:
        world.source.close()
    pool.shutdown()


def test_frames_come_through_in_order_and_the_end_is_told(says: Any) -> None:
    sent = [(index % 2, index * 160, bytes([index]) * 160, 1) for index in range(40)]
    end = libavwire.pack_json(Kind.END, libavwire.end_body(False, "it was played to its end"))
    world = says(TRACKS, *(frame(*one) for one in sent), end)
    assert world.failure().endswith("it was played to its end")
    assert world.samples == sent
    assert world.source.tracks[0].params.width == 160


def test_samples_larger_than_any_buffer_of_ours_come_through(says: Any) -> None:
    then = """
    import struct
    for size in (300_000, 1_500_000, 8 << 20, 10, 700_000):
        out(struct.pack(">BIBBI", 2, 6 + size, 0, 1, size) + bytes([size & 255]) * size)
    """
    world = says(TRACKS, then=then)
    assert "ended" in world.failure()
    assert [(len(data), set(data)) for _, _, data, _ in world.samples] == [
        (size, {size & 255}) for size in (300_000, 1_500_000, 8 << 20, 10, 700_000)
    ]


def test_more_sound_than_a_buffer_holds_waits_for_the_next_one(says: Any) -> None:
    world = says(TRACKS, then="import struct\nfor at in range(4000): out(struct.pack('>BIBBI', 2, 166, 1, 1, at) + bytes(160))")
    assert "ended" in world.failure()
    assert [at for _, at, _, _ in world.samples] == list(range(4000))


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        ([b"\x09\x00\x00\x00\x01x"], "a message of kind 9"),
        ([b"\x01\x7f\xff\xff\xff"], "TRACKS of 2147483647 bytes"),
        ([b"\x02\x7f\xff\xff\xff"], "FRAME of 2147483647 bytes"),
        ([libavwire.pack(Kind.TRACKS, b"[]")], "announced no tracks"),
        ([libavwire.pack(Kind.TRACKS, b"[" * 100_000)], "no JSON"),
        ([libavwire.pack_json(Kind.TRACKS, [SOUND] * 9)], "more than 8"),
        ([libavwire.pack_json(Kind.TRACKS, [SOUND | {"rate": -1}])], "cannot be"),
        ([libavwire.pack_json(Kind.TRACKS, [VIDEO | {"sets": "zz"}])], "cannot be"),
        ([TRACKS, TRACKS], "twice"),
        ([TRACKS, frame(2, 0, b"x")], "track 2 of 2"),
        ([TRACKS, frame(0, 0, b"")], "a sample of 0 bytes"),
        ([TRACKS, frame(1, 0, bytes(70_000))], "a sample of 70000 bytes on track 1"),
        ([TRACKS, libavwire.pack(Kind.CLOCK, bytes(3))], "3 bytes"),
        ([TRACKS, libavwire.pack(Kind.CLOCK, b"\x05" + bytes(12))], "cannot be"),
        ([libavwire.pack(Kind.END, b"3")], "without a reason"),
        ([], "the process that reads it ended"),
    ],
)
def test_a_message_that_cannot_be_ends_the_connection(says: Any, pieces: list[bytes], told: str) -> None:
    assert told in says(*pieces, then="time.sleep(20)" if pieces else "").failure()


def test_credentials_in_what_it_says_are_blanked(says: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    end = libavwire.pack_json(
        Kind.END, libavwire.end_body(True, "http://viewer:pw@192.0.2.1/x?token=abc \x1b[31m" + "y" * 9999)
    )
    failure = says(end).failure()
    assert "pw" not in failure
    assert "abc" not in failure
    assert "\x1b" not in failure
    assert len(failure) < 600


@given(st.binary(max_size=300), st.sampled_from(list(Kind)))
def test_any_body_is_parsed_or_damaged(body: bytes, kind: Kind) -> None:
    tracks = (WireTrack(Codec.H264, 90_000, None), WireTrack(Codec.AAC, 48_000, None))
    parsers: dict[Kind, Any] = {
        Kind.TRACKS: libavwire.parse_tracks,
        Kind.FRAME: lambda data: libavwire.parse_frame(data[:6], len(data), tracks),
        Kind.CLOCK: lambda data: libavwire.parse_clock(data, tracks),
        Kind.NOTE: libavwire.parse_text,
        Kind.END: libavwire.parse_end,
    }
    with contextlib.suppress(Damaged):
        parsers[kind](body)


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3))


@given(
    st.lists(
        st.dictionaries(st.sampled_from(list(VIDEO)), _JSON | st.sampled_from(["h264", "aac", "alaw", "opaque"])), max_size=3
    )
)
def test_any_announcement_is_tracks_or_damaged(value: list[Any]) -> None:
    body = libavwire.pack_json(Kind.TRACKS, [SOUND | one for one in value])[5:]
    with contextlib.suppress(Damaged):
        assert 1 <= len(libavwire.parse_tracks(body)) <= 8
