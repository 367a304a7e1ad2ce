"""What a camera offers and whether it can be recorded: connect as the recorder does, listen for a few seconds, let go.

Nothing is stored. How the answer is shown is in `ingest/cli.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from ingest.arenas import READ_LIMIT_BYTES, Arenas
from ingest.closer import Keep
from ingest.connect import Resolver
from ingest.messages import CameraSpec
from ingest.rtp.flags import KEY
from ingest.source import Frame, Source
from ingest.sources import Sources
from ingest.tracks import RecordedTrack
from vault.clock import Clock
from vault.config import Recording
from vault.errors import SourceError
from vault.ids import CameraId, CameraNumber
from vault.media import TrackParams
from vault.secrets import SplitUrl
from vault.timebase import US

STEP_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class ProbedTrack:
    """What came of one track. `params` None: a picture whose parameter sets were neither announced nor sent."""

    codec: str
    clock_rate: int
    params: TrackParams | None
    units: int
    key_units: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Probed:
    """`listened_us`: from PLAY on. `clock_offset_us`: the camera's clock minus ours by its sender report, None without one."""

    tracks: tuple[ProbedTrack, ...]
    connect_us: int
    listened_us: int
    lost_packets: int
    clock_offset_us: int | None

    @property
    def recordable(self) -> bool:
        """Whether a recorder would make segments of it: a picture that can be decoded, or no picture and something else."""
        pictures = [track for track in self.tracks if track.params is None or track.params.codec.is_video]
        if pictures:
            return any(track.params is not None and track.key_units for track in pictures)
        return any(track.units for track in self.tracks)


def probe(url: SplitUrl, transport: str, recording: Recording, clock: Clock, seconds: float) -> Probed:
    """Listen to a camera for `seconds`. Raises SourceError, SourceRefused as the recorder would log them, UsageError."""
    spec = CameraSpec(
        CameraNumber(1), CameraId("probe"), url.url, transport, 0, None, Keep("general", 30), url.user, url.password
    )  # fmt: skip
    sources = Sources(Resolver(), recording)
    try:
        source = sources.connect(spec, clock.mono_us())
        try:
            return _listen(source, clock, int(recording.connect_timeout_seconds * US), int(seconds * US))
        finally:
            source.close()
    finally:
        sources.close()


def _listen(source: Source, clock: Clock, connect_us: int, listen_us: int) -> Probed:
    pause = threading.Event()
    began_us = clock.mono_us()
    while not source.playing:
        source.service(clock.mono_us())
        _raise_failure(source)
        if clock.mono_us() - began_us > connect_us + US:
            raise SourceError("the camera does not begin to play in time")
        pause.wait(STEP_SECONDS)
    playing_us = clock.mono_us()
    counters = [_Counter(track) for track in source.tracks]
    arenas = Arenas()
    offset_us: int | None = None
    service_us = 0
    while (now_us := clock.mono_us()) - playing_us < listen_us:
        if now_us - service_us >= US:
            source.service(now_us)
            service_us = now_us
        frames: list[Frame] = []
        buffers = arenas.take([True] * len(counters), source.carried())
        source.sweep(buffers, frames, READ_LIMIT_BYTES, now_us)
        for frame in frames:
            counters[frame[0]].count(frame, buffers[frame[0]])
        arenas.give_back(buffers)
        for report in source.reports():
            if report.is_wall:
                offset_us = report.ntp_us - clock.now_us()
        # A camera that ends the session while we listen has still shown what it sends.
        if source.failure is not None and any(counter.units for counter in counters):
            break
        _raise_failure(source)
        pause.wait(STEP_SECONDS)
    tracks = tuple(counter.result() for counter in counters)
    if not any(track.units for track in tracks):
        raise SourceError("the camera plays, and sends nothing that can be put together")
    return Probed(tracks, playing_us - began_us, clock.mono_us() - playing_us, source.lost_packets, offset_us)


def _raise_failure(source: Source) -> None:
    if source.failure is not None:
        raise source.failure


class _Counter:
    """Counts one track's units and learns its parameters from them."""

    def __init__(self, track: RecordedTrack) -> None:
        self._track = track
        self.units = self._keys = self._bytes = 0

    def count(self, frame: Frame, buffer: bytearray) -> None:
        _, _, offset, size, flags = frame
        self.units += 1
        self._bytes += size
        if flags & KEY:
            self._keys += 1
            self._track.learn(memoryview(buffer)[offset : offset + size])

    def result(self) -> ProbedTrack:
        track = self._track
        return ProbedTrack(str(track.codec), track.rate, track.params, self.units, self._keys, self._bytes)


def notes(found: Probed) -> Sequence[str]:
    """What a person should know before recording it."""
    said = []
    for track in found.tracks:
        if track.params is None:
            said.append(f"{track.codec}: no parameter sets seen, neither announced nor sent")
        elif track.params.codec.is_video and not track.key_units:
            said.append(f"{track.codec}: no key frame within {found.listened_us / US:.0f} s; listen longer with --seconds")
        elif not track.units:
            said.append(f"{track.codec}: announced, and nothing came")
    if found.lost_packets:
        said.append(f"{found.lost_packets} packets were lost on the way")
    return said
