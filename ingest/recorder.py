"""One camera's recorder: complete access units of a sweep in, jobs for the writer and events for the supervisor out. Sans-IO.

It decides where a segment begins and ends (with `ingest.cutter`), at which UTC instant (`ingest.clockmap`), and what a silence or
a jump of the camera's timestamps means. It never touches a socket, a file or a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ingest.clockmap import RunClock
from ingest.cutter import Cutter, Verdict
from ingest.drafts import SegmentDraft
from ingest.events import EpochNeeded, Event, GapStarted, RecordingStarted
from ingest.hold import Hold, Sweep
from ingest.jobs import Finished, Job, Opened, Released
from ingest.reasons import Reason
from ingest.rtp.flags import DAMAGED, KEY, PARAMS
from ingest.tracks import RecordedTrack, master_index
from vault.ids import CameraNumber, SegmentKey
from vault.media import GapBefore, SegmentFlag, SegmentHead
from vault.timebase import us_to_ticks

GAP_US = 2_000_000
"""Silence longer than this, by the camera's media time and by arrival, is a gap: the segment ends."""

BACK_US = 500_000
"""Timestamps that run back further than this are a jump of the camera's clock, not reordering."""

AHEAD_US = 1_000_000
"""Media time cannot be ahead of its arrival; further than this it is a jump, or a clock too fast to follow."""

SNAP_US = 2_000_000
"""A run whose start is found to overlap the previous one by no more than this begins at its end instead."""


class Recorder:
    """Lives as long as its camera is this process's; `begin` and `end` frame a connection."""

    def __init__(
        self, camera: CameraNumber, camera_id: str, epoch: int, *, nominal_us: int, audio_wait_us: int, gap: GapBefore | None
    ) -> None:
        """`gap`: since when and why nothing was recorded before this process took the camera, None when it is new."""
        self._camera = camera
        self._camera_id = camera_id
        self._epoch = epoch
        self._sequence = 0
        self._cutter = Cutter(camera, nominal_us)
        self._nominal_us = nominal_us
        self._audio_wait_us = audio_wait_us
        self._gap = gap
        self._previous_end_us = gap.start_us if gap else 0
        self._tracks: list[RecordedTrack] = []
        self._master = 0
        self._hold: Hold | None = None
        self._clock: RunClock | None = None
        self._segment: SegmentDraft | None = None
        self._closing: list[SegmentDraft] = []
        self._restart: Reason | None = None
        self._need_epoch = False
        self._may_overlap = False
        self._last_arrival_us = 0
        self.jobs: list[Job] = []
        self.events: list[Event] = []

    @property
    def recording(self) -> bool:
        """Whether footage is being written at this moment."""
        return self._segment is not None

    @property
    def waits_for_audio(self) -> bool:
        """Whether a segment that was cut waits for its last audio: then the next sweep should come in time for it."""
        return bool(self._closing)

    @property
    def recorded_to_us(self) -> int:
        """UTC where the footage written so far ends."""
        if self._segment is None or self._clock is None:
            return self._previous_end_us
        return self._clock.utc(self._tracks[self._master].last_us)

    def begin(self, tracks: Sequence[RecordedTrack], mono_us: int) -> None:
        """A source plays these tracks. The first video track (else the first) is the master: it decides where segments end."""
        self._tracks = list(tracks)
        self._master = master_index(tracks)
        self._restart_hold(mono_us, need_key=self._tracks[self._master].codec.is_video)

    def accept(self, sweep: Sweep) -> None:
        """The complete units of one sweep, in order of completion. The sweep's buffers go back by a `Released` job."""
        if self._hold is not None:
            self._hold.add(sweep, self._tracks)
            if self._hold.ready(sweep.mono_us):
                self._start(sweep)
            return
        self._record(sweep)

    def host_clock_stepped(self) -> None:
        """The host's wall clock jumped: at the next key frame a new run begins, in a new epoch, on the new time."""
        self._restart = Reason.CLOCK_STEP
        self._need_epoch = True

    def grant_epoch(self, epoch: int) -> None:
        """The answer to `EpochNeeded`."""
        self._epoch, self._sequence, self._need_epoch = epoch, 0, False
        self._may_overlap = True

    def end(self, reason: str) -> None:
        """The connection is over: everything that is here is written, and a gap begins where it ends."""
        if self._hold is not None:
            self.jobs.extend(self._hold.give_up())
            self._hold = None
        if self._segment is not None and self._clock is not None:
            master = self._tracks[self._master]
            for dts, pts, (arena, offset, size, flags) in master.times.flush():
                self._place(dts, pts, arena, offset, size, flags)
            self._finish_at(master.last_dts + master.nominal_ticks)
        self._close_all()
        self._tracks = []
        self.gap_begins(reason)

    def gap_begins(self, reason: str) -> None:
        """Say since when nothing is recorded; a further reason for the same silence is told too."""
        if self._previous_end_us and (self._gap is None or self._gap.reason != reason):
            self._gap = GapBefore(self._previous_end_us, reason) if self._gap is None else replace(self._gap, reason=reason)
            self.events.append(GapStarted(self._previous_end_us, reason))

    # A run's start.

    def _restart_hold(self, mono_us: int, *, need_key: bool) -> None:
        self._hold = Hold(self._master, mono_us, need_key=need_key)
        self._clock = None
        for track in self._tracks:
            track.restart()

    def _start(self, sweep: Sweep) -> None:
        """The least-delayed frame of the first second is known: fix the run's clock and record what was held."""
        hold = self._hold
        assert hold is not None
        master = self._tracks[self._master]
        if master.params is None or (least := master.delay.least_us) is None:
            return
        clock = RunClock(hold.first_media_us, hold.first_media_us + least)
        start_us = clock.utc(hold.first_media_us)
        if not self._need_epoch and not self._may_overlap and start_us < self._previous_end_us:
            if self._previous_end_us - start_us <= SNAP_US:
                clock = RunClock(hold.first_media_us, self._previous_end_us)
            else:
                self._need_epoch = True
        if self._need_epoch:
            if not hold.epoch_asked:
                hold.epoch_asked = True
                self.events.append(EpochNeeded())
            return
        self._clock, self._hold, self._may_overlap = clock, None, False
        held = hold.take()
        for index, track in enumerate(self._tracks):
            if index != self._master:
                track.align(least)
        for one in held:
            self._record(one)

    def sender_report(self, index: int, ntp_us: int, timestamp: int, is_wall: bool = True) -> None:
        """A report as `ingest.source.Report` describes it."""
        track, clock = self._tracks[index], self._clock
        media_us = track.report_media_us(timestamp)
        tells = is_wall and index == self._master
        utc_us = clock.utc(media_us) if tells and clock is not None and media_us is not None else None
        track.sender_report(ntp_us, timestamp, utc_us)

    # Recording.

    def _record(self, sweep: Sweep) -> None:
        """The hot path: per access unit only comparisons and appends; everything rarer is in a method of its own."""
        master_index = self._master
        others: list[tuple[int, int, int, int, int]] = []
        arena = sweep.arenas[master_index]
        master = self._tracks[master_index]
        times, gap_ticks, back_ticks = master.times, master.gap_ticks, master.back_ticks
        for number, frame in enumerate(sweep.frames):
            index, timestamp, offset, size, flags = frame
            if index != master_index:
                others.append(frame)
                continue
            media = master.media(timestamp)
            step = media - master.last_media
            if not -back_ticks < step < gap_ticks and master.started:
                media = self._discontinuity(media, sweep)
            if self._restart is not None and flags & KEY and self._segment is not None:
                self._restart_at(media, sweep, number)
                break
            master.advance(media)
            if flags & DAMAGED and self._segment is not None:
                self._segment.flags |= SegmentFlag.DAMAGED_INPUT
            if times.passes(media):
                self._place(media, media, arena, offset, size, flags)
            else:
                for dts, pts, (held, at, length, mark) in times.push(media, (arena, offset, size, flags)):
                    self._place(dts, pts, held, at, length, mark)
        else:
            self._finish_sweep(sweep, others, master)
            return
        self._finish_sweep(sweep, others, master, release=False)

    def _finish_sweep(
        self, sweep: Sweep, others: list[tuple[int, int, int, int, int]], master: RecordedTrack, *, release: bool = True
    ) -> None:
        if master.started and master.last_us:
            master.delay.observe(master.last_us, sweep.now_us)
        if others:
            self._place_others(others, sweep)
        if master.times.waiting:
            master.keep_waiting()
        self._emit(sweep.mono_us)
        self._last_arrival_us = sweep.now_us
        if release:
            self.jobs.append(Released(sweep.release))
        self._watch_drift(master, sweep.now_us)

    def _place(self, dts: int, pts: int, arena: bytearray | bytes, offset: int, size: int, flags: int) -> None:
        """A master's unit with its decode time goes into the open segment, after the cut that may be due before it."""
        segment = self._segment
        key = bool(flags & KEY)
        master = self._tracks[self._master]
        if flags & PARAMS:
            master.learn(memoryview(arena)[offset : offset + size])
        if segment is None:
            segment = self._open(dts, key)
        elif key or dts >= segment.hard_limit:
            assert self._clock is not None
            verdict = self._cutter.verdict(
                start_us=segment.start_us,
                at_us=self._clock.utc(master.to_us(dts)),
                key=key,
                params_changed=master.params is not None and master.params != segment.opened.tracks[self._master],
                size_bytes=segment.size_bytes,
                samples=segment.samples,
            )
            if verdict is not Verdict.GO_ON:
                self._finish_at(dts)
                segment = self._open(dts, key)
            elif key and master.codec.is_video:
                segment.begin_fragment()
        master.last_dts = dts
        segment.track(self._master).add(dts - segment.origins[self._master], pts - dts, size, key, arena, offset)

    def _place_others(self, frames: list[tuple[int, int, int, int, int]], sweep: Sweep) -> None:
        """Audio and opaque samples go to the segment whose time they are in; what comes too late goes into the next."""
        current = self._segment or (self._closing[-1] if self._closing else None)
        for index, timestamp, offset, size, _ in frames:
            track = self._tracks[index]
            media = track.media(timestamp)
            if current is None:
                track.advance(media)
                continue
            if not track.aligned and self._clock is not None:
                track.align_at(media, self._clock, sweep.now_us, current.origins, current.start_us, index)
            natural = media - current.origins[index]
            if abs(media - track.last_media) > track.gap_ticks and track.started:
                ahead_us = current.start_us + natural * 1_000_000 // track.rate - sweep.now_us
                if ahead_us > AHEAD_US or media < track.last_media - track.back_ticks:
                    media = track.rebase(media)
                    natural = media - current.origins[index]
            track.advance(media)
            segment = current
            for closing in self._closing:
                if media < closing.origins[index] + closing.end_tick * track.rate // self._tracks[self._master].rate:
                    segment, natural = closing, media - closing.origins[index]
                    break
                closing.reached.add(index)
            dts = max(natural, segment.next_dts[index])
            segment.next_dts[index] = dts + 1
            segment.track(index).add(dts, 0, size, True, sweep.arenas[index], offset)
        for index, track in enumerate(self._tracks):
            if index != self._master and track.started:
                track.delay.observe(track.last_us, sweep.now_us)

    def _open(self, dts: int, key: bool) -> SegmentDraft:
        """A new segment whose first unit's decode time is `dts`; it begins exactly where the previous one ended."""
        clock, master = self._clock, self._tracks[self._master]
        assert clock is not None
        media_us = master.to_us(dts)
        start_us, rate_ppm = clock.begin_segment(media_us, master.delay.least_us, self._nominal_us)
        flags = SegmentFlag.NONE if key else SegmentFlag.CONTINUES
        gap = self._gap if self._gap is not None and start_us - self._gap.start_us >= 1000 else None
        if gap is None and self._previous_end_us and start_us - self._previous_end_us >= 1000:
            gap = GapBefore(self._previous_end_us, str(Reason.STALLED))
        if self._gap is not None or gap is not None:
            self.events.append(RecordingStarted(start_us))
        self._gap = None
        head = SegmentHead(
            SegmentKey(self._camera, start_us, self._epoch, self._sequence), self._camera_id, rate_ppm, gap, flags
        )
        self._sequence += 1
        least = master.delay.least_us or 0
        for index, track in enumerate(self._tracks):
            if index != self._master:
                track.realign(master, least)
        origins = [
            dts if index == self._master else us_to_ticks(media_us - track.lead_us, track.rate)
            for index, track in enumerate(self._tracks)
        ]
        opened = Opened(head, tuple(track.description() for track in self._tracks))
        self.jobs.append(opened)
        self._segment = SegmentDraft(
            opened,
            start_us,
            origins,
            [0] * len(origins),
            dts + us_to_ticks(2 * self._nominal_us, master.rate),
            self._cutter.boundary_us(start_us),
            flags,
        )
        return self._segment

    def _finish_at(self, dts: int) -> None:
        """The open segment ends at this decode time, where the next unit begins; it waits a little for its last audio."""
        segment, clock = self._segment, self._clock
        assert segment is not None
        assert clock is not None
        segment.end_us = clock.utc(self._tracks[self._master].to_us(dts))
        segment.end_tick = dts - segment.origins[self._master]
        self._previous_end_us = segment.end_us
        self._closing.append(segment)
        self._segment = None

    def _emit(self, mono_us: int) -> None:
        """Hand what this sweep gathered to the writer, and finish the segments whose audio is complete or late."""
        for segment in list(self._closing):
            self.jobs.extend(segment.take_fragments())
            if segment.close_by_mono_us == 0:
                segment.close_by_mono_us = mono_us + self._audio_wait_us
            live = {i for i, track in enumerate(self._tracks) if i != self._master and track.codec.is_audio and track.started}
            if live <= segment.reached or mono_us >= segment.close_by_mono_us:
                self._close(segment)
        if self._segment is not None:
            self.jobs.extend(self._segment.take_fragments())

    def _close(self, segment: SegmentDraft) -> None:
        self._closing.remove(segment)
        end_dts = [
            segment.end_tick
            if i == self._master
            else (segment.next_dts[i] - 1 + track.sample_ticks if segment.next_dts[i] else 0)
            for i, track in enumerate(self._tracks)
        ]
        offset_us = self._tracks[self._master].camera_offset_us
        self.jobs.append(Finished(segment.opened, segment.end_us, end_dts, segment.flags, offset_us))

    def _close_all(self) -> None:
        for segment in list(self._closing):
            self.jobs.extend(segment.take_fragments())
            self._close(segment)

    # What is rarer.

    def _discontinuity(self, media: int, sweep: Sweep) -> int:
        """A step out of bounds: a real gap ends the segment; a jump of the camera's clock is taken out of its media time."""
        master, clock = self._tracks[self._master], self._clock
        assert clock is not None
        forward = media > master.last_media
        if forward and clock.utc(master.to_us(media)) - sweep.now_us <= AHEAD_US:
            self._cut_for_gap(master)
            return media
        silent_us = sweep.now_us - self._last_arrival_us
        step = master.nominal_ticks if silent_us < GAP_US else us_to_ticks(silent_us, master.rate)
        corrected = master.rebase(media, step)
        if silent_us >= GAP_US:
            self._cut_for_gap(master)
        return corrected

    def _cut_for_gap(self, master: RecordedTrack) -> None:
        for dts, pts, (arena, offset, size, flags) in master.times.flush():
            self._place(dts, pts, arena, offset, size, flags)
        if self._segment is not None:
            self._finish_at(master.last_dts + master.nominal_ticks)
        self.gap_begins(master.silence_reason())

    def _restart_at(self, media: int, sweep: Sweep, number: int) -> None:
        """A key frame after the host's clock stepped or drifted away: end the run here and hold from this frame on."""
        master = self._tracks[self._master]
        for dts, pts, (arena, offset, size, flags) in master.times.flush():
            self._place(dts, pts, arena, offset, size, flags)
        self._finish_at(media)
        self._restart = None
        rest = replace(sweep, frames=sweep.frames[number:])
        self._restart_hold(sweep.mono_us, need_key=True)
        assert self._hold is not None
        self._hold.add(rest, self._tracks)

    def _watch_drift(self, master: RecordedTrack, now_us: int) -> None:
        """A camera whose clock runs away faster than 500 ppm is put right at a key frame once a second is reached."""
        least, clock = master.delay.least_us, self._clock
        if least is None or clock is None or self._restart is not None or not master.started:
            return
        if abs(clock.error_us(master.last_us, least)) > AHEAD_US:
            self._restart = Reason.CLOCK_STEP
