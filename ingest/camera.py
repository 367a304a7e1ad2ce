"""One camera inside a worker: connect, sweep, record, and after a failure connect again with back-off."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ingest.arenas import READ_LIMIT_BYTES, Arenas
from ingest.events import EpochNeeded, GapStarted, RecordingStarted
from ingest.hold import Sweep
from ingest.jobs import Job
from ingest.messages import CameraSpec, CameraStatus, GapNews, News, RecordingNews
from ingest.reasons import Reason
from ingest.recorder import Recorder
from ingest.rtp.flags import KEY
from ingest.source import Frame, Source
from ingest.tracks import master_index
from vault.errors import SourceError, SourceRefused
from vault.logs import Log
from vault.timebase import US

log = Log("ingest.camera")

HANDSHAKE_US = 50_000
"""How often a connection that is being made is looked at."""

SERVICE_US = US
FIRST_BACKOFF_US = US // 2
LAST_BACKOFF_US = 10 * US
"""An attempt costs nearly nothing, and a camera that was off is missed from the moment it answers again."""

LAST_REFUSED_US = 30 * US
"""Cameras lock an account after a few wrong passwords."""

QUIET_US = 3 * US
"""Without media for this long a camera has a gap, even while there is hope that it goes on by itself."""

STEADY_US = 10 * US
"""A connection that recorded this long was a good one: the next failure starts the back-off anew."""

MAX_READS = 16
"""Sets of buffers that one sweep may fill: a camera that sends without end must not hold up the others."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a worker paces its cameras, µs."""

    nominal_us: int
    audio_wait_us: int
    sweep_us: int
    connect_us: int
    silence_us: int


class CameraTask:
    """Driven by the sweep loop: `step` when `due_us` has come; jobs and news are taken by the loop afterwards."""

    def __init__(
        self, spec: CameraSpec, pace: Pace, arenas: Arenas, connect: Callable[[CameraSpec, int], Source], mono_us: int
    ) -> None:
        """`connect` makes the source for a spec; it does not block and reports errors as the source's failure."""
        self.spec = spec
        self.due_us = mono_us
        self.news: list[News] = []
        self._pace = pace
        self._arenas = arenas
        self._connect = connect
        self._recorder = Recorder(
            spec.number, spec.id, spec.epoch, nominal_us=pace.nominal_us, audio_wait_us=pace.audio_wait_us, gap=spec.gap
        )
        self._epoch = spec.epoch
        self._source: Source | None = None
        self._began = False
        self._swept: list[Sweep] = []
        self._large: list[bool] = []
        self._behind = False
        self._read_us = -1
        self._service_us = 0
        self._connected_us = 0
        self._media_us = 0
        self._master = 0
        self._began_us = 0
        self._key_seen = False
        self._quiet_from_us = 0
        self._backoff_us = FIRST_BACKOFF_US
        self._received = 0
        self._lost = 0
        self._why = ""
        self._clock_lead_us: int | None = None
        self._told: tuple[Reason, str] | None = None
        self._spread = spec.number * 2654435761 % 1000 / 1000

    def status(self) -> CameraStatus:
        lost = self._lost + (self._source.lost_packets if self._source else 0)
        recorder = self._recorder
        return CameraStatus(
            self._epoch, recorder.recording, recorder.recorded_to_us, self._received, lost, self._why, self._clock_lead_us
        )

    def receive(self, now_us: int, mono_us: int) -> None:
        """The first half of a step: read what has come. What it means is for `step` to say, which is to follow at the same instant.

        Reading moves half a megabyte through the processor's caches. So the worker reads several cameras first, and decides then.
        """
        self._read_us = mono_us
        self.due_us = min(self.due_us, mono_us)
        source = self._source
        if source is None:
            source = self._source = self._connect(self.spec, mono_us)
            self._connected_us = mono_us
            self._began = False
        if not source.playing:
            self._service(source, mono_us)
        if source.playing:
            if not self._began:
                self._begin(source, now_us, mono_us)
            if source.failure is None:
                self._read(source, now_us, mono_us)

    def step(self, now_us: int, mono_us: int) -> None:
        """Whatever is due for this camera at this moment, which may be a little before `due_us`."""
        if self._read_us != mono_us:
            self.receive(now_us, mono_us)
        source = self._source
        assert source is not None
        self._accept(source, mono_us)
        if source.playing and source.failure is None and mono_us >= self._service_us:
            self._service(source, mono_us)
            if source.failure is not None:
                # The connection is over, but datagrams may have come before its end.
                self._read(source, now_us, mono_us)
                self._accept(source, mono_us)
        if source.failure is not None:
            self._failed(source, source.failure, mono_us)
        elif not source.playing:
            self.due_us = mono_us + HANDSHAKE_US
        else:
            self._watch(source, mono_us)

    def _service(self, source: Source, mono_us: int) -> None:
        source.service(mono_us)
        self._service_us = mono_us + SERVICE_US

    def _begin(self, source: Source, now_us: int, mono_us: int) -> None:
        self._recorder.begin(source.tracks, mono_us)
        self._began = True
        self._master = master_index(source.tracks)
        self._large = [not track.codec.is_audio for track in source.tracks]
        if not any(self._large):
            self._large = [True] * len(self._large)
        self._began_us, self._media_us = now_us, mono_us
        self._connected_us = mono_us
        self._key_seen = not source.tracks[self._master].codec.is_video
        self.due_us = mono_us + int(self._pace.sweep_us * self._spread)

    def _read(self, source: Source, now_us: int, mono_us: int) -> None:
        for _ in range(MAX_READS):
            arenas = self._arenas.take(self._large, source.carried())
            sweep = Sweep([], arenas, now_us, mono_us, partial(self._arenas.give_back, arenas))
            self._swept.append(sweep)
            count = source.sweep(arenas, sweep.frames, READ_LIMIT_BYTES, mono_us)
            self._received += count
            if count < READ_LIMIT_BYTES or source.failure is not None:
                return
        self._behind = True

    def _accept(self, source: Source, mono_us: int) -> None:
        """What was read goes to the recorder."""
        if not self._swept:
            return
        recorder = self._recorder
        swept, self._swept = self._swept, []
        for sweep in swept:
            if sweep.frames:
                self._heard(sweep.frames, mono_us)
                recorder.accept(sweep)
            else:
                sweep.release()
        for report in source.reports():
            recorder.sender_report(report.track, report.ntp_us, report.timestamp, report.is_wall)
            if report.is_wall:
                # As it came, give or take a sweep.
                self._clock_lead_us = report.ntp_us - mono_us
        if self._behind:
            self._behind, self.due_us = False, mono_us
        elif self.due_us <= mono_us:
            wanted_us = self._pace.audio_wait_us if recorder.waits_for_audio else self._pace.sweep_us
            self.due_us = mono_us + source.pace_us(wanted_us)

    def _heard(self, frames: list[Frame], mono_us: int) -> None:
        """Media came. Only the master's counts: sender reports, keep-alives and sound go on while a picture stands still."""
        master = self._master
        if not any(frame[0] == master for frame in frames):
            return
        self._media_us = mono_us
        if self._quiet_from_us:
            # It was only late; if something is missing nevertheless, the recorder says so behind this.
            self.news.append(RecordingNews(self.spec.number, self._quiet_from_us))
            self._quiet_from_us = 0
        if not self._recorder.recording:
            self._key_seen = self._key_seen or any(frame[0] == master and frame[4] & KEY for frame in frames)
            return
        self._why = ""
        if mono_us - self._connected_us > STEADY_US:
            self._backoff_us = FIRST_BACKOFF_US
        if self._told is not None:
            self._told = None
            log.info("camera records again", camera=self.spec.id)

    def _watch(self, source: Source, mono_us: int) -> None:
        """The connection stands: say so when nothing comes by it, or nothing that a recording can begin with."""
        silent_us = mono_us - self._media_us
        if silent_us > self._pace.silence_us:
            error = SourceError(f"no data for {self._pace.silence_us / US:g} s: connecting anew")
            self._failed(source, error, mono_us, Reason.STALLED)
        elif self._recorder.recording:
            if silent_us > QUIET_US and not self._quiet_from_us:
                self._quiet_from_us = self._recorder.recorded_to_us
                self._why = f"no data for more than {QUIET_US // US} s"
                self.news.append(GapNews(self.spec.number, self._quiet_from_us, str(Reason.STALLED)))
        elif mono_us - self._connected_us > QUIET_US and silent_us < QUIET_US and self._began_us:
            lacks_sets = source.tracks[self._master].params is None
            if lacks_sets or not self._key_seen:
                self._why = f"waiting for {'parameter sets' if lacks_sets else 'a key frame'}: the camera sends none"
                self.news.append(GapNews(self.spec.number, self._began_us, str(Reason.NO_KEY_FRAME)))
                self._began_us = 0

    def _failed(self, source: Source, error: SourceError, mono_us: int, reason: Reason | None = None) -> None:
        if reason is None:
            reason = (
                Reason.REFUSED if isinstance(error, SourceRefused) else Reason.CLOSED if self._began else Reason.UNREACHABLE
            )
        self._why = str(error)
        if self._told != (reason, self._why):
            # Once for each new trouble, not for each attempt.
            self._told = (reason, self._why)
            log.warning("camera lost", camera=self.spec.id, reason=str(reason), error=self._why)
        self._drop(source)
        self._recorder.end(str(reason))
        self.due_us = mono_us + int(self._backoff_us * (0.75 + random.random() / 2))
        last_us = LAST_BACKOFF_US if error.retryable else LAST_REFUSED_US
        self._backoff_us = min(last_us, self._backoff_us * 2)

    def _drop(self, source: Source) -> None:
        self._lost += source.lost_packets
        source.close()
        for sweep in self._swept:
            sweep.release()
        self._swept = []
        self._source = None
        self._began = False
        self._quiet_from_us = 0
        self._clock_lead_us = None

    def clock_stepped(self) -> None:
        self._recorder.host_clock_stepped()

    def grant_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._recorder.grant_epoch(epoch)

    def end(self, reason: str) -> None:
        """Stop for good: what is here is written, the source is let go."""
        if self._source is not None:
            self._drop(self._source)
        self._recorder.end(reason)

    def take_jobs(self) -> list[Job]:
        jobs, self._recorder.jobs = self._recorder.jobs, []
        return jobs

    def take_news(self) -> tuple[list[News], bool]:
        """News for the supervisor, and whether the recorder waits for a new epoch."""
        needs_epoch = False
        news, self.news = self.news, []
        for event in self._recorder.events:
            if isinstance(event, GapStarted):
                news.append(GapNews(self.spec.number, event.start_us, event.reason))
            elif isinstance(event, RecordingStarted):
                news.append(RecordingNews(self.spec.number, event.start_us))
            elif isinstance(event, EpochNeeded):
                needs_epoch = True
        self._recorder.events.clear()
        return news, needs_epoch
