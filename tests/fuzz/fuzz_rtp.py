"""Coverage-guided fuzzing of everything that takes bytes from the network after RTSP: the walk, each depacketizer, RTCP.

`python tests/fuzz/fuzz_rtp.py [CORPUS …] [-max_total_time=60]` needs atheris; the functions can be imported without it.
The interpreted loop is what atheris sees branches of; both forms agree on any input (`tests/ingest/test_rtp_inner.py`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
if __name__ == "__main__":
    os.environ["STREAMVAULT_INNER"] = "interpreted"

import contextlib

with contextlib.suppress(ImportError):
    import atheris

    with atheris.instrument_imports(include=["ingest.rtp"]):
        import ingest.rtp.engine
        import ingest.rtp.reorder
        import ingest.rtp.rtcp  # noqa: F401

from ingest.rtp.engine import RTCP, AacTrack, Channel, G711Track, OpaqueTrack, Track, VideoTrack, feed_datagram, walk
from ingest.rtp.reorder import ReorderBuffer
from ingest.rtp.rtcp import parse_compound
from tests.support.fuzzing import run
from vault.media import Codec

MAX_INPUT_BYTES = 65_536
_ARENA_BYTES = 2 * MAX_INPUT_BYTES + 64_000


def tracks() -> list[Track]:
    return [
        VideoTrack(0, Codec.H264, unit_limit=50_000),
        VideoTrack(1, Codec.H265, unit_limit=50_000),
        AacTrack(2, 1024, 13, 3, 3),
        AacTrack(3, 1024, 6, 2, 2),
        G711Track(4, True),
        OpaqueTrack(5),
    ]


def fuzz_walk(data: bytes) -> None:
    """Two sweeps over the bytes of one TCP stream, cut where the first byte says; channel i is track i, channel 9 RTCP."""
    every = tracks()
    channels: list[Track | Channel | None] = [None] * 256
    channels[: len(every)] = every
    channels[9] = RTCP
    cut = len(data) * data[0] // 256 if data else 0
    rest = b""
    for part in (data[1:cut], data[cut:]):
        frames: list[tuple[int, int, int, int, int]] = []
        control: list[tuple[int, bytes]] = []
        for track in every:
            track.begin(bytearray(_ARENA_BYTES + track.carried_bytes))
        buf = bytearray(rest + part)
        used = walk(buf, 0, len(buf), channels, frames, control)
        assert 0 <= used <= len(buf)
        rest = bytes(buf[used:])
        for track in every:
            track.carry()
            assert track.carried_bytes <= _ARENA_BYTES
        filled = [0] * len(every)
        for index, _, offset, size, _ in frames:
            assert offset == filled[index]
            assert size > 0
            filled[index] += size
        for _, packet in control:
            parse_compound(packet)


def fuzz_datagrams(data: bytes) -> None:
    """Payloads behind a length byte, sent to one track as well-formed packets in order, and through the reorder buffer."""
    if len(data) < 2:
        return
    first, second = tracks()[data[0] % 6], tracks()[data[0] % 6]
    buffer = ReorderBuffer(second, max_packets=4)
    frames: list[tuple[int, int, int, int, int]] = []
    first.begin(bytearray(_ARENA_BYTES))
    second.begin(bytearray(_ARENA_BYTES))
    at, sequence = 1, 0
    while at + 1 < len(data):
        size, control = data[at], data[at + 1]
        head = bytes((0x80, control & 0x80, 0, sequence & 255, 0, 0, 0, control >> 4 & 7, 0, 0, 0, 1))
        packet = head + data[at + 2 : at + 2 + size]
        feed_datagram(first, packet, 0, len(packet), frames)
        buffer.push(packet, 0, len(packet), frames, sequence)
        sequence += 1 + (control & 15 == 15) - (control & 15 == 14)
        at += 2 + size
    buffer.flush(frames, 1 << 30)
    first.carry()
    second.carry()


def fuzz(data: bytes) -> None:
    """The entry: the first bit chooses the target."""
    data = data[:MAX_INPUT_BYTES]
    if data[:1] and data[0] & 1:
        fuzz_datagrams(data[1:])
    else:
        fuzz_walk(data[1:])


if __name__ == "__main__":
    run(fuzz)
