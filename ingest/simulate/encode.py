"""The only simulator module that imports libav: encoders for pictures and sound, and NAL units out of Annex B.

Every encoder takes one picture or one block of sound and gives back whole access units. What is encoded, and when,
is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError
from av.video.frame import PictureType

from vault.errors import Refused, StreamvaultError
from vault.media import Codec
from vault.timebase import VIDEO_RATE

Samples = npt.NDArray[np.int16]
Planes = npt.NDArray[np.uint8]
"""A 4:2:0 picture as one array of shape (height * 3 / 2, width): luma, then the two chroma planes."""

_SETS = {Codec.H264: (7, 8), Codec.H265: (32, 33, 34)}
_LIBRARY = {Codec.H264: "libx264", Codec.H265: "libx265"}


@dataclass(frozen=True, slots=True)
class Unit:
    """One access unit. `nals`: NAL units without start code, in order; for sound one item, the frame.

    `pts`, `dts`: ticks of the track's clock since its start. `key`: decoding can begin here.
    """

    nals: tuple[bytes, ...]
    pts: int
    dts: int
    key: bool


def nal_type(codec: Codec, nal: bytes) -> int:
    """The NAL unit type (ITU-T H.264 §7.3.1, H.265 §7.3.1.2)."""
    return nal[0] & 31 if codec is Codec.H264 else nal[0] >> 1 & 63


def is_set(codec: Codec, nal: bytes) -> bool:
    """Whether the NAL unit is a parameter set (VPS, SPS or PPS)."""
    return nal_type(codec, nal) in _SETS[codec]


def parameter_sets(codec: Codec, units: Iterable[Unit]) -> tuple[bytes, ...]:
    """The parameter sets of the first unit that has any, in the order VPS, SPS, PPS."""
    for unit in units:
        sets = [nal for nal in unit.nals if is_set(codec, nal)]
        if sets:
            return tuple(sorted(sets, key=lambda nal: nal_type(codec, nal)))
    return ()


def split_annex_b(data: bytes) -> tuple[bytes, ...]:
    """NAL units of a byte stream with start codes (ITU-T H.264 Annex B); the encoders' own output, so trusted."""
    out = []
    at = data.find(b"\x00\x00\x01")
    while at >= 0:
        following = data.find(b"\x00\x00\x01", at + 3)
        nal = data[at + 3 :] if following < 0 else data[at + 3 : following].rstrip(b"\x00")
        out.append(nal)
        at = following
    return tuple(nal for nal in out if nal)


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """How a picture track is encoded. `bitrate` in bit/s is held tightly; `gop` in frames; `slices` 0 is the encoder's choice.

    `live` trades threads and look-ahead for an access unit back from each picture at once.
    """

    codec: Codec
    width: int
    height: int
    fps: int
    bitrate: int
    gop: int
    bframes: int = 0
    slices: int = 0
    aud: bool = False
    live: bool = False


class VideoEncoder:
    """libx264 or libx265 at their fastest. Raises Refused for settings they do not take."""

    def __init__(self, settings: VideoSettings) -> None:
        self._codec = settings.codec
        name = _LIBRARY.get(settings.codec)
        if name is None:
            raise Refused(f"simulated pictures are H.264 or H.265, not {settings.codec}")
        try:
            context = cast(av.VideoCodecContext, av.CodecContext.create(name, "w"))
            context.width, context.height = settings.width, settings.height
            context.pix_fmt = "yuv420p"
            context.time_base = Fraction(1, VIDEO_RATE)
            context.framerate = Fraction(settings.fps)
            context.bit_rate = settings.bitrate
            context.options = {"preset": "ultrafast", f"{name[3:]}-params": _private_options(settings)}
            if settings.live:
                context.options["tune"] = "zerolatency"
            context.open()
        except (FFmpegError, ValueError) as error:
            raise Refused(
                f"{name} does not take {settings.width}x{settings.height} at {settings.fps} fps and {settings.bitrate} bit/s"
            ) from error
        self._context = context

    def encode(self, picture: Planes, pts: int, force_key: bool = False) -> list[Unit]:
        """Hand in one picture; get back what is ready, in decode order."""
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = pts
        frame.time_base = Fraction(1, VIDEO_RATE)
        if force_key:
            frame.pict_type = PictureType.I
        return self._units(self._run(frame))

    def flush(self) -> list[Unit]:
        """What the encoder still holds; the encoder is spent afterwards."""
        return self._units(self._run(None))

    def _run(self, frame: av.VideoFrame | None) -> list[av.Packet[av.VideoStream]]:
        try:
            return self._context.encode(frame)
        except FFmpegError as error:
            raise StreamvaultError(f"encoding a simulated {self._codec} picture: {error}") from error

    def _units(self, packets: list[av.Packet[av.VideoStream]]) -> list[Unit]:
        return [
            Unit(split_annex_b(bytes(packet)), packet.pts or 0, packet.dts or 0, bool(packet.is_keyframe)) for packet in packets
        ]


def _private_options(settings: VideoSettings) -> str:
    kbit = max(1, settings.bitrate // 1000)
    options: dict[str, int | str] = {
        "keyint": settings.gop,
        "min-keyint": settings.gop,
        "scenecut": 0,
        "open-gop": 0,
        "bframes": settings.bframes,
        "vbv-maxrate": kbit,
        # A quarter of a second: a key frame stays as small as a camera with a tight rate control makes it, which keeps
        # it below the receive buffer that a stock kernel grants a UDP socket.
        "vbv-bufsize": max(1, kbit // 4),
        "repeat-headers": 1,
        "aud": int(settings.aud),
        "slices": settings.slices,
    }
    if settings.codec is Codec.H264:
        options |= {"nal-hrd": "cbr" if not settings.live else "none", "force-cfr": 1, "sliced-threads": 0}
        if settings.live:
            options["threads"] = 1
    else:
        options |= {"log-level": "none", "strict-cbr": int(not settings.live)}
        # One thread: its rate control depends on how threads happen to meet, and misses the rate by up to a tenth then.
        # Several slices it makes with threads only.
        if settings.slices <= 1:
            options |= {"pools": "none", "frame-threads": 1, "wpp": 0}
    return ":".join(f"{key}={value}" for key, value in options.items())


class AudioEncoder:
    """AAC-LC or G.711 of mono 16-bit sound; `block` is how many samples one access unit takes."""

    def __init__(self, codec: Codec, rate: int) -> None:
        names = {Codec.AAC: "aac", Codec.ALAW: "pcm_alaw", Codec.ULAW: "pcm_mulaw"}
        if codec not in names:
            raise Refused(f"simulated sound is AAC or G.711, not {codec}")
        try:
            context = cast(av.AudioCodecContext, av.CodecContext.create(names[codec], "w"))
            context.sample_rate = rate
            context.layout = "mono"
            context.format = "fltp" if codec is Codec.AAC else "s16"
            context.time_base = Fraction(1, rate)
            if codec is Codec.AAC:
                context.bit_rate = 32_000
            context.open()
        except (FFmpegError, ValueError) as error:
            raise Refused(f"libav does not encode {codec} at {rate} Hz") from error
        self.block = 1024 if codec is Codec.AAC else 160
        self.config = bytes(context.extradata or b"")
        self._rate = rate
        self._context = context
        self._codec = codec

    def encode(self, samples: Samples, pts: int) -> list[Unit]:
        """Hand in `block` samples, shape (block,); get back what is ready (AAC answers one block late)."""
        if self._codec is Codec.AAC:
            frame = av.AudioFrame.from_ndarray((samples.astype(np.float32) / 32768)[None, :], format="fltp", layout="mono")
        else:
            frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate = self._rate
        frame.pts = pts
        frame.time_base = Fraction(1, self._rate)
        try:
            packets = self._context.encode(frame)
        except FFmpegError as error:
            raise StreamvaultError(f"encoding simulated {self._codec} sound: {error}") from error
        return [Unit((bytes(packet),), packet.pts or 0, packet.pts or 0, True) for packet in packets]
