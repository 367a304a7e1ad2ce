"""The demo cameras: pictures and sound encoded as they are asked for, with the camera's name and the running UTC clock burnt in.

A camera encodes only while somebody plays it. Serving is `ingest.simulate.server`'s; the clock's form is in
`ingest.simulate.glyphs`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ingest.simulate.encode import AudioEncoder, Planes, Unit, VideoEncoder, VideoSettings, parameter_sets
from ingest.simulate.feed import Burst, Lane, NextPacket, one_unit
from ingest.simulate.glyphs import burn_clock, burn_text, text_size
from ingest.simulate.loop import tone
from ingest.simulate.run import Simulator
from ingest.simulate.server import Server
from ingest.simulate.stage import Camera, SentUnit, Stage, record
from vault.clock import Clock, SystemClock
from vault.errors import UsageError
from vault.media import Codec, TrackParams
from vault.timebase import US, VIDEO_RATE, format_us

_LATE_US = 500_000
"""A source that has fallen behind by this much leaves pictures out, as a camera does that is short of power."""


@dataclass(frozen=True, slots=True)
class LiveSpec:
    """One live camera: its name in the picture, codecs, size, pictures a second, bit/s, pictures a GOP."""

    name: str
    codec: Codec = Codec.H264
    audio: Codec | None = None
    width: int = 640
    height: int = 360
    fps: int = 15
    bitrate: int = 400_000
    gop: int = 30


DEMO = (
    LiveSpec("cam-1 north gate", audio=Codec.AAC, fps=25, gop=50),
    LiveSpec("cam-2 main hall", audio=Codec.AAC),
    LiveSpec("cam-3 car park", codec=Codec.H265),
    LiveSpec("cam-4 ticket office", audio=Codec.ALAW),
)
"""The four cameras of `streamvault demo`: two H.264 with AAC, one H.265, one H.264 with G.711 A-law."""


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """What the live cameras are told. `port` 0 takes a free one. `log_units` keeps a record of what was sent; for tests."""

    cameras: tuple[LiveSpec, ...] = DEMO
    host: str = "127.0.0.1"
    port: int = 0
    timeout_s: int = 60
    log_units: bool = False

    def __post_init__(self) -> None:
        if not self.cameras or not 0 <= self.port <= 65535:
            raise UsageError("live cameras: at least one, and a port up to 65535")


class Painter:
    """Pictures of one camera. The array it returns is reused by the next call."""

    def __init__(self, spec: LiveSpec) -> None:
        height, width = spec.height, spec.width
        rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
        self._ground = (50 + rows * 60 // height + (columns * 50 // width)).astype(np.uint8)
        self._picture = np.full((height * 3 // 2, width), 128, np.uint8)
        hue = sum(spec.name.encode()) * 37 % 64
        self._picture[height : height * 5 // 4] = 96 + hue
        self._picture[height * 5 // 4 :] = 160 - hue
        self._height, self._width = height, width
        self._name = spec.name
        # The clock's 24 letters take most of the width.
        self._scale = max(1, width // (26 * 6))

    def paint(self, at_us: int) -> Planes:
        """The picture of this instant (UTC µs): shape (height * 3 / 2, width)."""
        luma = self._picture[: self._height]
        luma[:] = self._ground
        side = self._height // 10
        along = at_us % (4 * US) * (self._width - side) // (4 * US)
        luma[self._height * 6 // 10 : self._height * 6 // 10 + side, along : along + side] = 210
        scale = self._scale
        text = format_us(at_us)[:-4] + "Z"
        wide, _ = text_size(text, scale)
        burn_text(luma, self._name, scale * 4, scale * 4, max(1, scale - 1))
        burn_text(luma, text.replace("T", " "), max(0, (self._width - wide) // 2), self._height * 3 // 10, scale)
        burn_clock(luma, at_us)
        return self._picture


def live_tracks(spec: LiveSpec) -> list[TrackParams]:
    """What the camera will send: its parameter sets, found by encoding one picture. Raises Refused."""
    encoder = VideoEncoder(_settings(spec))
    units = encoder.encode(Painter(spec).paint(0), 0) + encoder.flush()
    tracks = [TrackParams(spec.codec, VIDEO_RATE, parameter_sets(spec.codec, units), spec.width, spec.height)]
    if spec.audio is not None:
        rate = _rate(spec.audio)
        config = AudioEncoder(spec.audio, rate).config
        tracks.append(TrackParams(spec.audio, rate, (config,) if spec.audio is Codec.AAC else (), channels=1))
    return tracks


def _settings(spec: LiveSpec) -> VideoSettings:
    return VideoSettings(spec.codec, spec.width, spec.height, spec.fps, spec.bitrate, spec.gop, live=True)


def _rate(codec: Codec) -> int:
    return 16_000 if codec is Codec.AAC else 8_000


class LiveFeed:
    """A feed that encodes each picture when it is due. The picture shows the UTC instant it was due at."""

    def __init__(
        self, spec: LiveSpec, tracks: Sequence[TrackParams], start_us: int, wall_us: int, numbers: Callable[[int], int]
    ) -> None:
        self.start_us = start_us
        self.lanes = [Lane(number, params, numbers(32), numbers(16), numbers(32)) for number, params in enumerate(tracks)]
        self._spec = spec
        self._painter = Painter(spec)
        self._video = VideoEncoder(_settings(spec))
        self._audio = AudioEncoder(spec.audio, _rate(spec.audio)) if spec.audio is not None else None
        self._pictures = 0
        self._blocks = 0
        self._key_wanted = True
        self._wall_us = wall_us

    def next_us(self) -> int:
        due_us = self._picture_due_us()
        if self._audio is not None:
            due_us = min(due_us, self._block_due_us(self._audio))
        return self.start_us + due_us

    def take(self, mono_us: int, wall_us: int) -> list[Burst]:
        elapsed_us = mono_us - self.start_us
        if elapsed_us - self._picture_due_us() > _LATE_US:
            self._pictures = elapsed_us * self._spec.fps // US
        out: list[Burst] = []
        while (due_us := self._picture_due_us()) <= elapsed_us:
            picture = self._painter.paint(wall_us - (elapsed_us - due_us))
            units = self._video.encode(picture, self._pictures * VIDEO_RATE // self._spec.fps, self._key_wanted)
            self._key_wanted = False
            self._pictures += 1
            out += [self._emit(0, unit, due_us) for unit in units]
        if self._audio is not None:
            out += self._sound(self._audio, elapsed_us)
        return out

    def next_packets(self) -> list[NextPacket]:
        return []

    def join(self) -> None:
        self._key_wanted = True

    def _sound(self, encoder: AudioEncoder, elapsed_us: int) -> list[Burst]:
        out: list[Burst] = []
        rate = self.lanes[1].params.timescale
        if elapsed_us - self._block_due_us(encoder) > _LATE_US:
            self._blocks = elapsed_us * rate // US // encoder.block
        while (due_us := self._block_due_us(encoder)) <= elapsed_us:
            first = self._blocks * encoder.block
            # The beep begins with the UTC second.
            samples = tone(first + self._wall_us % US * rate // US, encoder.block, rate)
            out += [self._emit(1, unit, due_us) for unit in encoder.encode(samples, first)]
            self._blocks += 1
        return out

    def _emit(self, track: int, unit: Unit, due_us: int) -> Burst:
        lane = self.lanes[track]
        return lane.emit(one_unit(lane.params, track, unit), 0, [unit.pts], [due_us])

    def _picture_due_us(self) -> int:
        return self._pictures * US // self._spec.fps

    def _block_due_us(self, encoder: AudioEncoder) -> int:
        return (self._blocks + 1) * encoder.block * US // self.lanes[1].params.timescale


def start_live(options: LiveOptions, clock: Clock | None = None) -> Simulator:
    """Serve live cameras in a thread of this process. Raises SourceError when the port is taken, Refused for what cannot be encoded."""
    used = clock or SystemClock()
    cameras = [_camera(number, spec, options, used) for number, spec in enumerate(options.cameras, 1)]

    def private_stage(camera: Camera, connection: int) -> Stage:
        return Stage(lambda start_us: camera.make_feed(start_us, connection), 0)

    return Simulator(Server(cameras, private_stage, used, options.host, options.port, timeout_s=options.timeout_s), cameras)


def _camera(number: int, spec: LiveSpec, options: LiveOptions, clock: Clock) -> Camera:
    tracks = live_tracks(spec)
    chance = random.SystemRandom()

    def make_feed(start_us: int, connection: int) -> LiveFeed:
        wall_us = clock.now_us() + start_us - clock.mono_us()
        return LiveFeed(spec, tracks, start_us, wall_us, chance.getrandbits)

    log: list[SentUnit] | None = [] if options.log_units else None
    stage = Stage(lambda start_us: make_feed(start_us, 1), 0)
    camera = Camera(number, spec.name, tracks, make_feed, stage, log=log)
    if log is not None:
        stage.on_volley = lambda volley, wall_us: record(camera, camera.connections, volley, wall_us)
    return camera
