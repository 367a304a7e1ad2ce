"""Small real streams, encoded by libav once a session: access units of H.264 and H.265, frames of AAC and G.711.

The picture moves and differs from frame to frame, so that a wrong order or a lost frame shows. Not the place for RTP or MP4.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

_START_CODE = re.compile(rb"\x00\x00\x00?\x01")


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One picture: its NAL units (no start codes, in order), presentation time and whether it is a random access point."""

    nals: tuple[bytes, ...]
    pts_90k: int
    key: bool

    @property
    def sample(self) -> bytes:
        """The MP4 form: each NAL unit behind its length as 4 bytes big-endian."""
        return b"".join(len(nal).to_bytes(4, "big") + nal for nal in self.nals)


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """One frame of audio; `pts` in ticks of the sample rate."""

    data: bytes
    pts: int
    samples: int


@dataclass(frozen=True, slots=True)
class AudioStream:
    """Audio of one track. `config` is the AudioSpecificConfig for AAC and empty for G.711."""

    frames: tuple[AudioFrame, ...]
    rate: int
    channels: int
    config: bytes


def split_annexb(data: bytes) -> tuple[bytes, ...]:
    """NAL units of a byte stream (ITU-T H.264 Annex B), without start codes."""
    return tuple(nal for nal in _START_CODE.split(data) if nal)


def parameter_sets(unit: AccessUnit, *, h265: bool = False) -> tuple[bytes, ...]:
    """The VPS, SPS and PPS NAL units of an access unit, in its order."""
    wanted = (32, 33, 34) if h265 else (7, 8)
    return tuple(nal for nal in unit.nals if ((nal[0] >> 1) & 0x3F if h265 else nal[0] & 0x1F) in wanted)


@functools.cache
def encode_h264(
    frames: int = 50,
    gop: int = 25,
    bframes: int = 0,
    slices: int = 1,
    size: tuple[int, int] = (160, 96),
    *,
    fps: int = 25,
    aud: bool = False,
    seed: int = 0,
) -> list[AccessUnit]:
    """Access units in decode order, parameter sets and an SEI in band at each key frame. `pts_90k` begins at 0 for the first picture."""
    params = f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes={bframes}:b-adapt=0:slices={slices}:aud={int(aud)}:threads=1"
    options = {"preset": "veryfast", "crf": "30", "x264-params": params}
    return _encode_video("libx264", frames, size, fps, options, seed)


@functools.cache
def encode_h265(
    frames: int = 50,
    gop: int = 25,
    bframes: int = 0,
    slices: int = 1,
    size: tuple[int, int] = (160, 96),
    *,
    fps: int = 25,
    aud: bool = False,
    seed: int = 0,
) -> list[AccessUnit]:
    """As `encode_h264`, H.265."""
    params = (
        f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes={bframes}:b-adapt=0:slices={slices}:aud={int(aud)}:"
        "repeat-headers=1:log-level=none:pools=1:frame-threads=1"
    )
    return _encode_video("libx265", frames, size, fps, {"preset": "ultrafast", "crf": "32", "x265-params": params}, seed)


@functools.cache
def encode_aac(seconds: float = 2.0, rate: int = 48_000, channels: int = 2) -> AudioStream:
    """A rising tone as AAC-LC frames of 1,024 samples."""
    return _encode_audio("aac", seconds, rate, channels, "fltp", 1024)


@functools.cache
def encode_alaw(seconds: float = 2.0, samples_a_frame: int = 160) -> AudioStream:
    """A rising tone as G.711 A-law, 8,000 samples a second, one channel."""
    return _encode_audio("pcm_alaw", seconds, 8000, 1, "s16", samples_a_frame)


@functools.cache
def encode_ulaw(seconds: float = 2.0, samples_a_frame: int = 160) -> AudioStream:
    """As `encode_alaw`, µ-law."""
    return _encode_audio("pcm_mulaw", seconds, 8000, 1, "s16", samples_a_frame)


def _encode_video(
    codec: str, frames: int, size: tuple[int, int], fps: int, options: dict[str, str], seed: int
) -> list[AccessUnit]:
    width, height = size
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, fps)
    encoder.framerate = Fraction(fps, 1)
    encoder.options = options
    packets = []
    for index in range(frames):
        frame = av.VideoFrame.from_ndarray(_picture(index + 1000 * seed, width, height), format="yuv420p")
        frame.pts = index
        frame.time_base = Fraction(1, fps)
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return [AccessUnit(split_annexb(bytes(p)), round(p.pts * 90_000 / fps), bool(p.is_keyframe)) for p in packets]


def _encode_audio(codec: str, seconds: float, rate: int, channels: int, sample_format: str, step: int) -> AudioStream:
    encoder = av.CodecContext.create(codec, "w")
    encoder.sample_rate = rate
    encoder.layout = "mono" if channels == 1 else "stereo"
    encoder.format = sample_format
    encoder.time_base = Fraction(1, rate)
    packets = []
    for start in range(0, int(seconds * rate) // step * step, step):
        at = (start + np.arange(step)) / rate
        wave = 0.4 * np.sin(2 * np.pi * (300 + 40 * at) * at)
        data = (
            np.tile(wave.astype(np.float32), (channels, 1))
            if sample_format == "fltp"
            else (wave * 32767).astype(np.int16)[None]
        )
        frame = av.AudioFrame.from_ndarray(data, format=sample_format, layout="mono" if channels == 1 else "stereo")
        frame.sample_rate = rate
        frame.pts = start
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    first = packets[0].pts
    frames = tuple(AudioFrame(bytes(p), p.pts - first, step) for p in packets if len(bytes(p)))
    return AudioStream(frames, rate, channels, bytes(encoder.extradata or b"") if codec == "aac" else b"")


def _picture(index: int, width: int, height: int) -> np.ndarray:
    """Planar 4:2:0: a sliding gradient and a block whose place tells the frame's number."""
    rows, columns = np.mgrid[0:height, 0:width]
    luma = ((columns * 2 + rows + index * 3) % 200 + 20).astype(np.uint8)
    x, y = (index * 7) % max(width - 16, 1), (index * 5) % max(height - 16, 1)
    luma[y : y + 16, x : x + 16] = 235
    chroma = np.full((height // 2, width), 128, dtype=np.uint8)
    return np.vstack([luma, chroma])
