"""Puts simulated cameras together from options and runs them: in a thread for tests, or until told to stop for the command line."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from ingest.simulate.feed import Feed, LoopFeed, strips_of
from ingest.simulate.gate import Gate, Scheme
from ingest.simulate.loop import Loop, LoopSpec, Progress, make_loop, with_sets
from ingest.simulate.misbehave import Kind, Misbehaviour
from ingest.simulate.packets import Strip
from ingest.simulate.server import Server
from ingest.simulate.stage import Camera, SentUnit, Stage
from ingest.simulate.trouble import SOURCE_KINDS, TroubledFeed
from vault.clock import Clock, SystemClock
from vault.errors import NotFound, UsageError
from vault.media import TrackParams
from vault.timebase import US

_STAGES = 8
_FEW_CAMERAS = 16


class Carriage(StrEnum):
    """Which transports the server lets a client choose."""

    BOTH = "both"
    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """What `simulate rtsp` is told. `port` 0 takes a free one; `password` is never shown.

    `burst_ms`: how long frames are gathered before they are sent, 0 sends each by itself, None chooses (0 up to 16
    cameras, beyond that 100, or 40 where UDP is asked for). `log_units` keeps a record of what was sent; only for tests.
    """

    cameras: int = 1
    spec: LoopSpec = field(default_factory=LoopSpec)
    host: str = "127.0.0.1"
    port: int = 0
    carriage: Carriage = Carriage.BOTH
    auth: Scheme | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    timeout_s: int = 60
    burst_ms: int | None = None
    misbehave: tuple[Misbehaviour, ...] = ()
    aggregate: bool = False
    log_units: bool = False
    cache: Path | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.cameras <= 4096 or not 0 <= self.port <= 65535 or not 1 <= self.timeout_s <= 86_400:
            raise UsageError("a simulator has 1 to 4096 cameras, a port up to 65535 and a timeout of 1 s to a day")
        if self.burst_ms is not None and not 0 <= self.burst_ms <= 5_000:
            raise UsageError("frames are gathered for at most 5000 ms")
        if self.auth is not None and not self.user:
            raise UsageError("authentication needs a user name")

    @property
    def burst_us(self) -> int:
        """The gathering time in force."""
        if self.burst_ms is not None:
            return self.burst_ms * 1000
        if self.cameras <= _FEW_CAMERAS:
            return 0
        return 40_000 if self.carriage is Carriage.UDP else 100_000


class _Loops:
    """Loops and their packets, each made once."""

    def __init__(self, options: SimulatorOptions, progress: Progress | None) -> None:
        self._options = options
        self._progress = progress
        self._made: dict[tuple[LoopSpec, bool], tuple[Loop, list[Strip]]] = {}

    def get(self, spec: LoopSpec, in_band: bool = True) -> tuple[Loop, list[Strip]]:
        if (spec, in_band) not in self._made:
            loop = with_sets(make_loop(spec, self._options.cache, self._progress), in_band)
            self._made[spec, in_band] = loop, strips_of(loop, self._options.aggregate)
        return self._made[spec, in_band]


def make_cameras(
    options: SimulatorOptions, progress: Progress | None = None
) -> tuple[list[Camera], Callable[[Camera, int], Stage]]:
    """The cameras, and what makes a stage for one connection of one of them. Encodes loops that are not in the cache."""
    loops = _Loops(options, progress)
    chance = random.SystemRandom()
    spec = _fitted(options.spec)
    plain = loops.get(spec)
    count = min(options.cameras, _STAGES)
    length_us = spec.seconds * US

    def shared_feed(number: int) -> Callable[[int], Feed]:
        return lambda start_us: LoopFeed(plain[0], plain[1], start_us, chance.getrandbits, number * length_us // count)

    burst_us = options.burst_us
    stages = [Stage(shared_feed(number), burst_us, number * burst_us // count) for number in range(count)]
    cameras = []
    for number in range(1, options.cameras + 1):
        faults = tuple(item for item in options.misbehave if item.concerns(number))
        cameras.append(_camera(options, loops, number, faults, stages[(number - 1) % count]))

    def private_stage(camera: Camera, connection: int) -> Stage:
        return Stage(lambda start_us: camera.make_feed(start_us, connection), burst_us)

    return cameras, private_stage


def _fitted(spec: LoopSpec) -> LoopSpec:
    """The loop made long enough for one whole GOP, so that key frames are as rare as asked."""
    return replace(spec, seconds=max(spec.seconds, -(-spec.gop // spec.fps)))


def _camera(options: SimulatorOptions, loops: _Loops, number: int, faults: tuple[Misbehaviour, ...], shared: Stage) -> Camera:
    spec, in_band, in_sdp = _fitted(options.spec), True, True
    for item in faults:
        if item.kind is Kind.GOP:
            seconds = max(1, round(item.every_s))
            spec = replace(spec, seconds=seconds, gop=seconds * spec.fps)
        elif item.kind is Kind.SETS:
            in_band, in_sdp = item.where == "band", item.where == "sdp"
    loop, strips = loops.get(spec, in_band)
    other = None
    if any(item.kind is Kind.PARAMS and not item.inside for item in faults):
        smaller = replace(spec, width=spec.width // 4 * 2, height=spec.height // 4 * 2, audio=None)
        other = loops.get(smaller, in_band)

    def make_feed(start_us: int, connection: int) -> Feed:
        chance = random.Random(number * 1_000_003 + connection)
        now = tuple(item for item in faults if not item.times or connection <= item.times)
        if any(item.kind in SOURCE_KINDS for item in now):
            return TroubledFeed(loop, strips, start_us, chance.getrandbits, now, other)
        return LoopFeed(loop, strips, start_us, chance.getrandbits)

    private = bool(faults) or options.log_units
    tracks: Sequence[TrackParams] = [track.params for track in loop.tracks]
    log: list[SentUnit] | None = [] if options.log_units else None
    return Camera(number, f"simulated {number}", tracks, make_feed, None if private else shared, faults, in_sdp, log)


class Simulator:
    """A running server and its cameras; `stop` ends it and its thread."""

    def __init__(self, server: Server, cameras: Sequence[Camera]) -> None:
        self._server = server
        self._cameras = {camera.number: camera for camera in cameras}
        self._thread = threading.Thread(target=server.run, name="simulator", daemon=True)
        self._thread.start()
        self.host, self.port = server.host, server.port

    @property
    def urls(self) -> list[str]:
        """The cameras' addresses, without user and password."""
        return [self.url(number) for number in self._cameras]

    def url(self, camera: int) -> str:
        """The address of one camera, without user and password. Raises NotFound."""
        if camera not in self._cameras:
            raise NotFound(f"there is no simulated camera {camera}")
        return f"rtsp://{self.host}:{self.port}/cam/{camera}"

    def tracks(self, camera: int) -> Sequence[TrackParams]:
        """What the camera sends."""
        return self._cameras[camera].tracks

    def sent(self, camera: int) -> list[SentUnit]:
        """Every access unit the camera sent so far to whoever played it; needs `log_units`."""
        log = self._cameras[camera].log
        if log is None:
            raise UsageError("what was sent is kept only with log_units")
        return list(log)

    def connections(self, camera: int) -> int:
        """How often the camera was told to PLAY."""
        return self._cameras[camera].connections

    def listening(self) -> int:
        """How many connections are open."""
        return self._server.listening()

    def stop(self) -> None:
        """End all connections and the thread; may be called again."""
        if self._thread.is_alive():
            self._server.stop()
            self._thread.join()


def start(options: SimulatorOptions, clock: Clock | None = None, progress: Progress | None = None) -> Simulator:
    """Serve in a thread of this process. Raises SourceError when the port is taken, Refused for what cannot be encoded."""
    cameras, private_stage = make_cameras(options, progress)
    gate = Gate.make(options.auth, options.user, options.password) if options.auth is not None else None
    server = Server(
        cameras,
        private_stage,
        clock or SystemClock(),
        options.host,
        options.port,
        gate=gate,
        timeout_s=options.timeout_s,
        tcp_offered=options.carriage is not Carriage.UDP,
        udp_offered=options.carriage is not Carriage.TCP,
    )
    return Simulator(server, cameras)


@contextmanager
def simulated(options: SimulatorOptions) -> Iterator[Simulator]:
    """A simulator for the length of a `with` block."""
    simulator = start(options)
    try:
        yield simulator
    finally:
        simulator.stop()


def run_simulator(
    options: SimulatorOptions,
    stop: threading.Event,
    started: Callable[[Simulator], None] | None = None,
    progress: Progress | None = None,
) -> None:
    """Serve until `stop` is set (the caller sets it on SIGTERM); `started` is called once the port is open."""
    simulator = start(options, progress=progress)
    try:
        if started is not None:
            started(simulator)
        stop.wait()
    finally:
        simulator.stop()
