"""Real streams whose pictures carry their own number, readable after any decoder and scaler; and recordings made of them.

The number stands in black and white cells over the whole picture: a row of bits, and below it their complement, so that a
damaged picture is told from a wrong one. What is done with the numbers belongs to the tests.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

from tests.support.segments import START_US, Track, audio_track, make_segment, opaque_track, video_track
from tests.support.streams import AccessUnit, AudioStream, split_annexb
from vault.ids import CameraNumber, SegmentKey
from vault.media import Codec, SegmentFlag, SegmentHead
from vault.segment.read import read_closed
from vault.source import BytesSource
from vault.splice.part import Part

BITS = 10
FRAME_US = 40_000
"""25 frames a second."""

FRAME_TICKS = 3_600


def paint(number: int, width: int, height: int) -> np.ndarray:
    """Planar 4:2:0."""
    luma = np.empty((height, width), np.uint8)
    edges = np.linspace(0, width, BITS + 1).astype(int)
    for bit in range(BITS):
        on = number >> bit & 1
        columns = slice(edges[bit], edges[bit + 1])
        luma[: height // 2, columns] = 235 if on else 16
        luma[height // 2 :, columns] = 16 if on else 235
    return np.vstack([luma, np.full((height // 2, width), 128, np.uint8)])


def read_number(luma: np.ndarray) -> int:
    """The number in a picture of any size, -1 for one that has none."""
    height, width = luma.shape
    centres = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    top, bottom = luma[height // 4, centres] > 128, luma[height * 3 // 4, centres] > 128
    return -1 if (top == bottom).any() else int((top << np.arange(BITS)).sum())


@functools.cache
def encode(
    first: int = 0,
    frames: int = 50,
    gop: int = 25,
    bframes: int = 0,
    size: tuple[int, int] = (160, 96),
    codec: Codec = Codec.H264,
    open_gop: bool = False,
    repeat_sets: bool = True,
) -> list[AccessUnit]:
    """Access units in decode order of pictures `first`, `first` + 1, …; `pts_90k` begins at 0.

    `repeat_sets`: parameter sets at each key frame, else at the first one only.
    """
    common = f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop={int(open_gop)}:bframes={bframes}:b-adapt=0"
    if codec is Codec.H265:
        name, options = "libx265", {"preset": "ultrafast", "crf": "30"}
        options["x265-params"] = f"{common}:repeat-headers=1:log-level=none:pools=1:frame-threads=1"
    else:
        name, options = "libx264", {"preset": "veryfast", "crf": "28", "x264-params": f"{common}:threads=1"}
    encoder = av.CodecContext.create(name, "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt = "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25, 1)
    encoder.options = options
    packets = []
    for index in range(frames):
        frame = av.VideoFrame.from_ndarray(paint(first + index, *size), format="yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, 25)
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    units = [AccessUnit(split_annexb(bytes(p)), p.pts * FRAME_TICKS, bool(p.is_keyframe)) for p in packets]
    return units if repeat_sets else [units[0], *(_without_sets(unit, codec) for unit in units[1:])]


def _without_sets(unit: AccessUnit, codec: Codec) -> AccessUnit:
    kinds = (32, 33, 34) if codec is Codec.H265 else (7, 8)
    kept = tuple(n for n in unit.nals if ((n[0] >> 1) & 0x3F if codec is Codec.H265 else n[0] & 0x1F) not in kinds)
    return AccessUnit(kept, unit.pts_90k, unit.key)


def record(
    units: Sequence[AccessUnit],
    *,
    start_us: int = START_US,
    sequence: int = 0,
    epoch: int = 1,
    rate_ppm: float = 0.0,
    audio: AudioStream | None = None,
    audio_codec: Codec = Codec.AAC,
    audio_from: float = 0.0,
    opaque: Sequence[bytes] = (),
    codec: Codec = Codec.H264,
    flags: SegmentFlag = SegmentFlag.NONE,
    sets_from: Sequence[AccessUnit] | None = None,
) -> Part:
    """One closed segment, in memory. `audio_from`: seconds after the start at which its audio begins. `sets_from`: whose first
    access unit has the parameter sets, where its own has none."""
    described = video_track(sets_from or units, codec).params
    whole = video_track([AccessUnit((*described.sets, *units[0].nals), units[0].pts_90k, units[0].key), *units[1:]], codec)
    tracks: list[Track] = [dataclasses.replace(whole, params=described, samples=[unit.sample for unit in units])]
    if audio:
        tracks.append(audio_track(audio, audio_codec, first_dts=round(audio_from * audio.rate)))
    if opaque:
        tracks.append(opaque_track(opaque))
    head = SegmentHead(SegmentKey(CameraNumber(990100001), start_us, epoch, sequence), "cam-1", rate_ppm, None, flags)
    source = BytesSource(make_segment(tracks, head=head).closed_bytes)
    return Part(read_closed(source), source)


def split(units: Sequence[AccessUnit], at: Sequence[int]) -> list[list[AccessUnit]]:
    """The stream cut in decode order before each unit number of `at`, each stretch beginning at 0 again."""
    out = []
    for start, stop in zip([0, *at], [*at, len(units)], strict=True):
        base = min(unit.pts_90k for unit in units[start:stop])
        out.append([AccessUnit(unit.nals, unit.pts_90k - base, unit.key) for unit in units[start:stop]])
    return out
