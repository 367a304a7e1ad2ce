"""Coverage-guided fuzzing of what takes bytes from containers, from the libav process, and from SDP files and addresses to receive.

`python tests/fuzz/fuzz_libav.py [CORPUS …] [-max_total_time=60]` needs atheris; the functions can be imported without it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import contextlib

with contextlib.suppress(ImportError):
    import atheris

    with atheris.instrument_imports(include=["ingest.libavunits", "ingest.libavwire", "ingest.reception"]):
        import ingest.libavunits
        import ingest.libavwire
        import ingest.reception  # noqa: F401

from ingest import libavwire
from ingest.libavunits import AacUnits, G711Units, OpaqueUnits, VideoUnits
from ingest.libavwire import Kind, WireTrack
from ingest.reception import media_of, reception_of_url, receptions_of_sdp
from tests.support.fuzzing import run
from vault.errors import Damaged, SourceError, SourceRefused
from vault.media import Codec

MAX_INPUT_BYTES = 65_536
_TRACKS = (WireTrack(Codec.H264, 90_000, None), WireTrack(Codec.AAC, 48_000, None))


def fuzz_units(data: bytes) -> None:
    """The first byte says where the extradata ends and the packet begins."""
    cut = data[0] if data else 0
    extradata, packet = data[1 : 1 + cut], data[1 + cut :]
    for codec in (Codec.H264, Codec.H265):
        made = VideoUnits(codec, extradata)
        for sample, _, _ in made.convert(packet, True):
            at = 0
            while at < len(sample):
                at += 4 + int.from_bytes(sample[at : at + 4], "big")
            assert at == len(sample)
        made.reconfigure(packet)
    assert all(sample in packet for sample, _, _ in AacUnits(b"").convert(packet, True))
    assert all(len(sample) == 160 for sample, _, _ in G711Units(8000, 1).convert(packet, True))
    OpaqueUnits().convert(packet, True)


def fuzz_wire(data: bytes) -> None:
    """A stream of messages, as the worker walks it."""
    at = 0
    while at + libavwire.HEAD.size <= len(data):
        try:
            kind, size = libavwire.parse_head(data[at : at + libavwire.HEAD.size])
            body = data[at + libavwire.HEAD.size :][:size]
            if kind is Kind.TRACKS:
                assert 1 <= len(libavwire.parse_tracks(body)) <= libavwire.MAX_TRACKS
            elif kind is Kind.FRAME and len(body) >= libavwire.FRAME.size:
                assert libavwire.parse_frame(body[: libavwire.FRAME.size], size, _TRACKS)[0] < len(_TRACKS)
            elif kind is Kind.CLOCK:
                assert libavwire.parse_clock(body, _TRACKS)[0] < len(_TRACKS)
            elif kind is Kind.NOTE:
                libavwire.parse_text(body)
            elif kind is Kind.END:
                libavwire.parse_end(body)
        except Damaged:
            return
        at += libavwire.HEAD.size + size


def fuzz_reception(data: bytes) -> None:
    with contextlib.suppress(SourceError):
        for reception in receptions_of_sdp(data):
            assert 0 < reception.port <= 65535
            media_of(reception, -1)
    with contextlib.suppress(SourceRefused):
        media_of(reception_of_url(data.decode("utf-8", "replace")), data[-1] & 127 if data else 0)


def fuzz(data: bytes) -> None:
    """The entry: the first byte chooses the target."""
    data = data[:MAX_INPUT_BYTES]
    target = {b"u": fuzz_units, b"w": fuzz_wire}.get(data[:1], fuzz_reception)
    target(data[target is not fuzz_reception :])


def seeds() -> list[bytes]:
    track = libavwire.track_fields(Codec.ALAW, 8000, (), 1)
    wire = libavwire.pack_json(Kind.TRACKS, [track]) + libavwire.pack_frame_head(0, 1, 9, 2) + b"xy"
    wire += libavwire.pack_clock(0, 9, 9) + libavwire.pack_json(Kind.NOTE, "x")
    return [
        b"u\x0a\x01\x64\x00\x0d\xff\xe1\x00\x02\x67\x64\x01\x00\x02\x68\xeb\x00\x00\x00\x02\x65\x88",
        b"u\x00\x00\x00\x01\x67\x64\x00\x00\x01\x65\x88\x00\x00\x01\x41\x9a",
        b"u\x00\xff\xf1\x4c\x80\x01\x3f\xfcab",
        b"w" + wire,
        b"w" + libavwire.pack_json(Kind.END, libavwire.end_body(True, "x")),
        b"v=0\nc=IN IP4 232.3.4.5/17\na=source-filter: incl IN IP4 * 192.0.2.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        b"rtp://239.1.1.1:5004?codec=h264&pt=96&source=192.0.2.1&interface=eth1&rtcp=mux",
    ]


if __name__ == "__main__":
    run(fuzz, seeds())
