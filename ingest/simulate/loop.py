"""Pre-encoded loops: a few seconds of picture and sound that a simulated camera sends round and round.

Each track is a loop of its own length, so sound of any frame size needs no padding. Loops are cached on disk because a
1080p one takes seconds to encode. Each picture carries its position in the loop as a bar code (`ingest.simulate.glyphs`).
Packets and pacing are made elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ingest.simulate.encode import (
    AudioEncoder,
    Planes,
    Samples,
    Unit,
    VideoEncoder,
    VideoSettings,
    is_set,
    parameter_sets,
)
from ingest.simulate.glyphs import burn_clock, burn_text
from vault.errors import StoreError, UsageError
from vault.media import Codec, TrackParams
from vault.timebase import US, VIDEO_RATE

Progress = Callable[[float], None]
"""Called with the share that is done, 0 to 1."""

_VERSION = 4
_AAC_RATE = 16_000
_G711_RATE = 8_000


@dataclass(frozen=True, slots=True)
class LoopSpec:
    """What to encode. `bitrate` in bit/s is of the picture alone; `gop` in frames; `slices` 0 is the encoder's choice."""

    codec: Codec = Codec.H264
    width: int = 1920
    height: int = 1080
    fps: int = 25
    bitrate: int = 4_000_000
    seconds: int = 4
    gop: int = 50
    bframes: int = 0
    audio: Codec | None = None
    slices: int = 0
    aud: bool = False

    def __post_init__(self) -> None:
        if self.codec not in (Codec.H264, Codec.H265):
            raise UsageError(f"a simulated camera sends h264 or h265 pictures, not {self.codec}")
        if self.audio is not None and not self.audio.is_audio:
            raise UsageError(f"a simulated camera sends aac, alaw or ulaw sound, not {self.audio}")
        if not (64 <= self.width <= 7680 and 64 <= self.height <= 4320 and self.width % 2 == 0 and self.height % 2 == 0):
            raise UsageError(f"a simulated picture is 64x64 to 7680x4320 with even sides, not {self.width}x{self.height}")
        if not (1 <= self.fps <= 120 and 1 <= self.seconds <= 120 and 10_000 <= self.bitrate <= 100_000_000):
            raise UsageError("a simulated camera sends 1 to 120 fps, loops of 1 to 120 s, and 10 kbit/s to 100 Mbit/s")
        if not (1 <= self.gop <= 120 * self.fps and 0 <= self.bframes <= 8 and 0 <= self.slices <= 16):
            raise UsageError("a simulated GOP is at most 120 s long, with at most 8 B-frames and 16 slices a picture")


@dataclass(frozen=True, slots=True)
class LoopTrack:
    """One track: its units in decode order and after how many ticks it begins again; dts lies in [0, ticks), pts up to the reordering later."""

    params: TrackParams
    units: tuple[Unit, ...]
    ticks: int


@dataclass(frozen=True, slots=True)
class Loop:
    """The picture's track, then the sound's if there is one."""

    tracks: tuple[LoopTrack, ...]

    @property
    def video(self) -> LoopTrack:
        return self.tracks[0]


def default_cache() -> Path:
    """Where loops are kept when nobody says: the user's cache folder, or a private one in the temporary folder."""
    base = os.environ.get("XDG_CACHE_HOME") or (os.path.join(os.environ["HOME"], ".cache") if os.environ.get("HOME") else "")
    if base and os.access(base if os.path.isdir(base) else os.path.dirname(base), os.W_OK):
        return Path(base) / "streamvault" / "loops"
    return Path(tempfile.gettempdir()) / f"streamvault-loops-{os.getuid()}"


def make_loop(spec: LoopSpec, cache: Path | None = None, progress: Progress | None = None) -> Loop:
    """The loop, from the cache folder (made 0700 when absent) or encoded now. Raises Refused, StoreError."""
    folder = cache or default_cache()
    name = hashlib.sha256(json.dumps([_VERSION, asdict(spec)], default=str).encode()).hexdigest()[:32]
    path = folder / f"{name}.loop"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = folder.stat()
        if info.st_uid != os.getuid() or info.st_mode & 0o022:
            raise StoreError(f"the loop cache {folder} belongs to or can be written by others: choose another folder")
        stored = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise StoreError(f"using the loop cache {folder}: {error.strerror}") from error
    loop = _unpack(stored)
    if loop is None:
        loop = _encode(spec, progress or (lambda share: None))
        _keep(path, _pack(loop))
    return loop


def with_sets(loop: Loop, in_band: bool) -> Loop:
    """The loop with its parameter sets in band as encoded, or with them taken out so that only the SDP has them."""
    if in_band:
        return loop
    video = loop.video
    codec = video.params.codec
    units = tuple(
        Unit(tuple(nal for nal in unit.nals if not is_set(codec, nal)), unit.pts, unit.dts, unit.key) for unit in video.units
    )
    return Loop((LoopTrack(video.params, units, video.ticks), *loop.tracks[1:]))


def _encode(spec: LoopSpec, progress: Progress) -> Loop:
    tracks = [_encode_video(spec, progress)]
    if spec.audio is not None:
        tracks.append(_encode_audio(spec.audio, spec.seconds))
    return Loop(tuple(tracks))


def _encode_video(spec: LoopSpec, progress: Progress) -> LoopTrack:
    """At the rate that was asked for: a rate control that misses it over so short a time is told another one once more."""
    track = _encode_video_at(spec, spec.bitrate, progress)
    rate = 8 * sum(len(nal) for unit in track.units for nal in unit.nals) // spec.seconds
    if abs(rate - spec.bitrate) * 50 <= spec.bitrate:
        return track
    return _encode_video_at(spec, spec.bitrate * spec.bitrate // rate, progress)


def _encode_video_at(spec: LoopSpec, bitrate: int, progress: Progress) -> LoopTrack:
    encoder = VideoEncoder(
        VideoSettings(spec.codec, spec.width, spec.height, spec.fps, bitrate, spec.gop, spec.bframes, spec.slices, spec.aud)
    )
    count = spec.seconds * spec.fps
    units: list[Unit] = []
    for index, picture in enumerate(_pictures(spec, count)):
        units += encoder.encode(picture, index * VIDEO_RATE // spec.fps)
        progress((index + 1) / count)
    units += encoder.flush()
    first = units[0].dts
    shifted = tuple(Unit(unit.nals, unit.pts - first, unit.dts - first, unit.key) for unit in units)
    params = TrackParams(spec.codec, VIDEO_RATE, parameter_sets(spec.codec, units), spec.width, spec.height)
    return LoopTrack(params, shifted, spec.seconds * VIDEO_RATE)


def _pictures(spec: LoopSpec, count: int) -> Iterator[Planes]:
    """Fine noise over a pattern that drifts: enough detail that the encoder spends the bit rate it was given."""
    random = np.random.default_rng(1)
    height, width = spec.height, spec.width
    slack = 65_536
    noise = random.integers(0, 48, height * width + slack, dtype=np.uint8)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    pattern = ((rows // 4 + columns // 8) % 160 + 16).astype(np.uint8)
    picture = np.full((height * 3 // 2, width), 128, np.uint8)
    luma = picture[:height]
    scale = max(1, width // 240)
    for index in range(count):
        start = int(random.integers(slack))
        np.add(pattern, noise[start : start + height * width].reshape(height, width), out=luma)
        at_us = index * US // spec.fps
        burn_text(luma, f"LOOP {spec.codec} {at_us // 1000:06d} MS", scale * 4, scale * 4, scale)
        burn_clock(luma, at_us)
        yield picture


def tone(start: int, count: int, rate: int) -> Samples:
    """`count` samples from sample number `start`: a soft beep in the first tenth of each second, a hum in between."""
    index = np.arange(start, start + count)
    beep = np.where(index % rate < rate // 10, 3000, 150)
    wave: Samples = (beep * np.sin(index * (2 * np.pi * 440 / rate))).astype(np.int16)
    return wave


def _encode_audio(codec: Codec, seconds: int) -> LoopTrack:
    rate = _AAC_RATE if codec is Codec.AAC else _G711_RATE
    encoder = AudioEncoder(codec, rate)
    count = -(-seconds * rate // encoder.block)
    units: list[Unit] = []
    for index in range(count + 2):
        units += encoder.encode(tone(index * encoder.block, encoder.block, rate), index * encoder.block)
    kept = tuple(
        Unit(unit.nals, index * encoder.block, index * encoder.block, True) for index, unit in enumerate(units[:count])
    )
    sets = (encoder.config,) if codec is Codec.AAC else ()
    return LoopTrack(TrackParams(codec, rate, sets, channels=1), kept, count * encoder.block)


def _pack(loop: Loop) -> bytes:
    """One JSON line, then every NAL unit end to end."""
    head = [
        {
            "codec": track.params.codec,
            "timescale": track.params.timescale,
            "sets": [item.hex() for item in track.params.sets],
            "size": [track.params.width, track.params.height, track.params.channels],
            "ticks": track.ticks,
            "units": [[unit.pts, unit.dts, int(unit.key), [len(nal) for nal in unit.nals]] for unit in track.units],
        }
        for track in loop.tracks
    ]
    body = b"".join(nal for track in loop.tracks for unit in track.units for nal in unit.nals)
    whole = json.dumps(head).encode() + b"\n" + body
    return hashlib.sha256(whole).digest() + whole


def _unpack(data: bytes) -> Loop | None:
    """None for a cache file that is absent, torn or not ours; it is then made anew."""
    if len(data) < 33 or hashlib.sha256(data[32:]).digest() != data[:32]:
        return None
    at = data.index(b"\n", 32) + 1
    tracks = []
    for item in json.loads(data[32:at]):
        units = []
        for pts, dts, key, sizes in item["units"]:
            nals = []
            for size in sizes:
                nals.append(data[at : at + size])
                at += size
            units.append(Unit(tuple(nals), pts, dts, bool(key)))
        width, height, channels = item["size"]
        sets = tuple(bytes.fromhex(text) for text in item["sets"])
        params = TrackParams(Codec(item["codec"]), item["timescale"], sets, width, height, channels)
        tracks.append(LoopTrack(params, tuple(units), item["ticks"]))
    return Loop(tuple(tracks))


def _keep(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"keeping an encoded loop in {path.parent}: {error.strerror}") from error
