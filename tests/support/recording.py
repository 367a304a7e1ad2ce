"""Drives a Recorder with made-up cameras and does what the writer would: builds files, gives buffers back, poisons them.

The clock is moved by hand. What a segment should hold is for the tests to say.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ingest.events import EpochNeeded, Event
from ingest.hold import Sweep
from ingest.jobs import Appended, Finished, Opened, Released
from ingest.recorder import Recorder
from ingest.rtp.flags import KEY, PARAMS
from ingest.tracks import RecordedTrack
from tests.support.streams import AccessUnit, encode_aac, encode_h264, encode_h265, parameter_sets
from vault.clock import ManualClock
from vault.ids import CameraNumber
from vault.media import Codec, GapBefore, SegmentInfo, TrackParams
from vault.segment.build import SegmentBuilder
from vault.segment.params import aac_params, video_params

T0 = 1_795_000_000_000_000
SECOND = 1_000_000
CAMERA = CameraNumber(990100001)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as a camera sends it: `at_us` is when it reaches the host, µs after T0."""

    track: int
    timestamp: int
    data: bytes
    flags: int
    at_us: int


@dataclass(frozen=True, slots=True)
class Sample:
    dts: int
    cts: int
    sync: bool
    data: bytes


@dataclass(slots=True, eq=False)
class Recorded:
    """One segment as the writer would have it."""

    opened: Opened
    builder: SegmentBuilder
    file: bytearray
    samples: list[list[Sample]]
    finished: Finished | None = None
    fragments: int = 0
    closed: bytes | None = None

    @property
    def start_us(self) -> int:
        return self.opened.head.key.start_us

    @property
    def epoch(self) -> int:
        return self.opened.head.key.epoch

    @property
    def end_us(self) -> int:
        assert self.finished is not None
        return self.finished.end_us

    def data(self, track: int = 0) -> list[bytes]:
        return [sample.data for sample in self.samples[track]]

    def utc(self, ticks: int, track: int = 0) -> int:
        """UTC of a time of a track's sample, as a reader computes it (`vault.media.SegmentHead`)."""
        head, rate = self.opened.head, self.opened.tracks[track].timescale
        return head.key.start_us + round(ticks * (1e6 + head.rate_ppm) / rate)

    def write(self, path: Path) -> Path:
        """The closed file on disk."""
        assert self.finished is not None
        if self.closed is not None:
            path.write_bytes(self.closed)
            return path
        done = self.finished
        info = SegmentInfo(self.opened.head, done.end_us, done.end_us, "default", 0, done.flags, done.clock_offset_us)
        data = self.file + self.builder.closing(info, done.end_dts)
        at, header = self.builder.mdat_header()
        data[at : at + len(header)] = header
        self.closed = bytes(data)
        path.write_bytes(data)
        return path


@dataclass(slots=True, eq=False)
class Stage:
    """A recorder, its clock and everything it made. `grants`: whether a new epoch is granted as soon as it is asked for."""

    recorder: Recorder
    clock: ManualClock
    segments: list[Recorded] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    buffers_given: int = 0
    buffers_back: int = 0
    grants: bool = True
    epoch: int = 1
    _open: dict[int, Recorded] = field(default_factory=dict)

    def begin(self, tracks: Sequence[RecordedTrack]) -> None:
        self.recorder.begin(tracks, self.clock.mono_us())

    def sweep(self, units: Sequence[Unit]) -> None:
        """Hand one sweep over at the clock's time."""
        count = max((unit.track for unit in units), default=0) + 1
        count = max(count, len(self.recorder._tracks))
        arenas = [bytearray() for _ in range(count)]
        frames = []
        for unit in units:
            frames.append((unit.track, unit.timestamp & 0xFFFFFFFF, len(arenas[unit.track]), len(unit.data), unit.flags))
            arenas[unit.track] += unit.data
        self.buffers_given += 1
        returned = []

        def release() -> None:
            assert not returned, "a sweep's buffers went back twice"
            returned.append(True)
            self.buffers_back += 1
            for arena in arenas:
                arena[:] = b"\xee" * len(arena)

        self.recorder.accept(Sweep(frames, arenas, self.clock.now_us(), self.clock.mono_us(), release))
        self.drain()

    def drain(self) -> None:
        """Do the jobs, as the writer would, and note the events."""
        jobs, self.recorder.jobs = self.recorder.jobs, []
        for job in jobs:
            if isinstance(job, Opened):
                builder = SegmentBuilder(job.head, job.tracks)
                made = Recorded(job, builder, bytearray(builder.opening()), [[] for _ in job.tracks])
                self._open[id(job)] = made
                self.segments.append(made)
            elif isinstance(job, Appended):
                self._append(self._open[id(job.segment)], job)
            elif isinstance(job, Finished):
                self._open.pop(id(job.segment)).finished = job
            elif isinstance(job, Released):
                job.release()
        events, self.recorder.events = self.recorder.events, []
        self.events += events
        if self.grants and any(isinstance(event, EpochNeeded) for event in events):
            self.grant()

    def grant(self) -> None:
        self.epoch += 1
        self.recorder.grant_epoch(self.epoch)

    def _append(self, made: Recorded, job: Appended) -> None:
        payload = b"".join(job.payload)
        made.file += made.builder.fragment(job.runs) + payload
        made.fragments += 1
        at = 0
        for run in job.runs:
            for number, (dts, size) in enumerate(zip(run.dts, run.sizes, strict=True)):
                cts = run.cts[number] if run.cts else 0
                sync = run.sync[number] if run.sync is not None else True
                made.samples[run.track].append(Sample(dts, cts, sync, payload[at : at + size]))
                at += size
        assert at == len(payload)

    def play(self, units: Iterable[Unit], *, sweep_us: int = 200_000, until_us: int | None = None) -> None:
        """Sweeps at a steady pace, each with what has arrived by then; none for a silence, as a worker does it."""
        todo = sorted(units, key=lambda unit: unit.at_us)
        at = 0
        last_us = until_us if until_us is not None else todo[-1].at_us
        while at < len(todo) or self.clock.mono_us() < last_us:
            self.clock.advance(sweep_us)
            batch = []
            while at < len(todo) and todo[at].at_us <= self.clock.mono_us():
                batch.append(todo[at])
                at += 1
            if batch:
                self.sweep(batch)

    def end(self, reason: str = "closed by camera") -> None:
        self.recorder.end(reason)
        self.drain()

    def kept(self, track: int = 0) -> list[bytes]:
        """All samples of a track in the order of the segments."""
        return [data for segment in self.segments for data in segment.data(track)]

    def check(self) -> None:
        """What must hold whatever came: I3, everything closed, times that rise and lie where they should, buffers back."""
        assert self.buffers_back == self.buffers_given
        assert not self._open
        by_epoch: dict[int, int] = {}
        for segment in self.segments:
            assert segment.finished is not None
            assert segment.start_us < segment.end_us
            assert segment.start_us >= by_epoch.get(segment.epoch, 0), "segments of one epoch overlap"
            by_epoch[segment.epoch] = segment.end_us
            for track, samples in enumerate(segment.samples):
                times = [sample.dts for sample in samples]
                assert all(a < b for a, b in itertools.pairwise(times))
                assert not times or times[0] >= 0
                assert not times or times[-1] < segment.finished.end_dts[track]


def stage(
    *, nominal_s: float = 60, audio_wait_ms: int = 500, gap: GapBefore | None = None, camera: CameraNumber = CAMERA
) -> Stage:
    recorder = Recorder(camera, "cam-1", 1, nominal_us=round(nominal_s * SECOND), audio_wait_us=audio_wait_ms * 1000, gap=gap)
    return Stage(recorder, ManualClock(T0))


@functools.cache
def h264_params(bframes: int = 0, seed: int = 0, size: tuple[int, int] = (160, 96)) -> TrackParams:
    return video_params(Codec.H264, parameter_sets(encode_h264(frames=30, bframes=bframes, seed=seed, size=size)[0]))


def h264_track(bframes: int = 0) -> RecordedTrack:
    return RecordedTrack(Codec.H264, 90_000, h264_params(bframes))


def aac_track(rate: int = 48_000) -> RecordedTrack:
    return RecordedTrack(Codec.AAC, rate, aac_params(encode_aac(0.2, rate).config))


def alaw_track() -> RecordedTrack:
    return RecordedTrack(Codec.ALAW, 8_000, TrackParams(Codec.ALAW, 8_000, channels=1))


def opaque_track(rate: int = 90_000) -> RecordedTrack:
    return RecordedTrack(Codec.OPAQUE, rate, TrackParams(Codec.OPAQUE, rate, name=f"vnd.example/{rate}"))


def video(
    count: int,
    *,
    fps: float = 25,
    gop: int = 25,
    first: int = 0,
    timestamp: int = 0,
    at_us: int = 0,
    ppm: float = 0,
    delay_us: int = 0,
    track: int = 0,
    key: bool = True,
) -> list[Unit]:
    """Pictures with names for bytes. `timestamp` of the first, sent at `at_us`; the camera's clock is `ppm` fast."""
    step = 90_000 / fps
    return [
        Unit(
            track,
            round(timestamp + number * step * (1 + ppm / 1e6)) & 0xFFFFFFFF,
            b"video %06d" % (first + number),
            KEY if key and number % gop == 0 else 0,
            at_us + round(number * SECOND / fps) + delay_us,
        )
        for number in range(count)
    ]


def audio(
    count: int, *, rate: int = 8_000, step: int = 160, timestamp: int = 0, at_us: int = 0, track: int = 1, first: int = 0
) -> list[Unit]:
    """Samples of `step` ticks each, with names for bytes."""
    return [
        Unit(track, (timestamp + number * step) & 0xFFFFFFFF, b"audio %06d" % (first + number), 0,
             at_us + round(number * step * SECOND / rate))
        for number in range(count)
    ]  # fmt: skip


def real_video(units: Sequence[AccessUnit], *, fps: int = 25, timestamp: int = 0, at_us: int = 0) -> list[Unit]:
    """Encoded pictures in decode order, sent at their pace."""
    return [
        Unit(
            0, (timestamp + unit.pts_90k) & 0xFFFFFFFF, unit.sample, (KEY | PARAMS) if unit.key else 0,
            at_us + number * SECOND // fps,
        )
        for number, unit in enumerate(units)
    ]  # fmt: skip


def h265_track(bframes: int = 0) -> RecordedTrack:
    first = encode_h265(frames=30, bframes=bframes)[0]
    return RecordedTrack(Codec.H265, 90_000, video_params(Codec.H265, parameter_sets(first, h265=True)))
