"""Coverage-guided fuzzing of what reads stored files: a closed segment's tail, whole files open and closed, parameter sets.

`python tests/fuzz/fuzz_segment.py [CORPUS …] [-max_total_time=60]` needs atheris; the functions can be imported without it.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import contextlib

with contextlib.suppress(ImportError):
    import atheris

    with atheris.instrument_imports(include=["vault.segment"]):
        import vault.segment.params
        import vault.segment.read  # noqa: F401

from tests.support.fuzzing import run
from tests.support.segments import Written, audio_track, make_segment, opaque_track, video_track
from tests.support.streams import encode_aac, encode_h264, encode_h265
from vault.errors import Damaged, NotFound
from vault.media import Codec, SegmentTable
from vault.segment.params import parse_aac, parse_sps_h264, parse_sps_h265, sorted_sets
from vault.segment.private import TRAILER_BYTES, encode_trailer
from vault.segment.read import read_closed, read_open, read_tail
from vault.source import BytesSource

MAX_INPUT_BYTES = 65_536


def whole(table: SegmentTable, end_bytes: int, input_bytes: int) -> None:
    """Whatever is read out of a file is in order, inside it, and no larger than what told it."""
    for track in table.tracks:
        assert len(track.dts) == len(track.size) == len(track.offset) == len(track.sync) <= input_bytes
        if len(track.dts):
            assert (track.dts[1:] > track.dts[:-1]).all()
            assert track.offset.min() >= 0
            assert (track.offset + track.size).max() <= end_bytes


def fuzz_tail(moov: bytes) -> None:
    """The trailer's CRC is made right: a forger would do so too."""
    end_bytes = 1 << 20
    tail = moov + encode_trailer(moov, end_bytes)
    whole(read_tail(tail, end_bytes + len(tail)), end_bytes, len(tail))


def fuzz_file(data: bytes) -> None:
    source = BytesSource(data)
    with contextlib.suppress(Damaged, NotFound):
        whole(read_open(source, 1), source.size, source.size)
    whole(read_closed(source), source.size, source.size)


def fuzz_sets(data: bytes) -> None:
    with contextlib.suppress(Damaged):
        parse_sps_h264(data)
    with contextlib.suppress(Damaged):
        parse_sps_h265(data)
    sets = data.split(b"\0\0\1")
    for codec in (Codec.H264, Codec.H265):
        with contextlib.suppress(Damaged):
            sorted_sets(codec, sets)
    parse_aac(data)


def fuzz(data: bytes) -> None:
    """The entry: the first byte chooses the target."""
    kind, rest = data[:1], data[1:MAX_INPUT_BYTES]
    with contextlib.suppress(Damaged, NotFound):
        if kind == b"t":
            fuzz_tail(rest)
        elif kind == b"s":
            fuzz_sets(rest)
        else:
            fuzz_file(rest)


@functools.cache
def _written() -> tuple[Written, ...]:
    h264 = make_segment([video_track(encode_h264(bframes=1)), audio_track(encode_aac(), Codec.AAC), opaque_track([b"x"] * 5)])
    return h264, make_segment([video_track(encode_h265(), Codec.H265)])


@functools.cache
def seeds() -> list[bytes]:
    """Files of both codecs in each state, their tails and their parameter sets."""
    out: list[bytes] = []
    for written in _written():
        out.append(b"t" + written.closing[:-TRAILER_BYTES])
        out += [b"f" + written.open_bytes, b"f" + written.closed_bytes]
        table = read_closed(BytesSource(written.closed_bytes))
        for track in table.tracks:
            out += [b"s" + one for one in track.params.sets]
    return out


if __name__ == "__main__":
    run(fuzz, seeds())
