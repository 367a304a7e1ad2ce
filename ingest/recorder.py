"""One camera's recorder: complete access units of a sweep in, jobs for the writer and events for the supervisor out. Sans-IO.

It decides where a segment begins and ends (with `ingest.cutter`), at which UTC instant (`ingest.clockmap`), and what a silence or
a jump of the camera's timestamps means. It never touches a socket, a file or a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ingest.clockmap import RunClock
from ingest.companions import AHEAD_US, Companions
from ingest.cutter import Cutter, Verdict
from ingest.drafts import SegmentDraft
from ingest.events import EpochNeeded, Event, GapStarted, RecordingStarted
from ingest.hold import Frame, Hold, Sweep
from ingest.jobs import Finished, Job, Opened, Released
from ingest.reasons import Reason
from ingest.rtp.flags import DAMAGED, KEY, PARAMS, RESTARTED
from ingest.tracks import RecordedTrack, master_index
from vault.ids import CameraNumber, SegmentKey
from vault.media import GapBefore, SegmentFlag, SegmentHead
from vault.timebase import us_to_ticks

SNAP_US = 500_000
"""A run whose start is found to overlap the previous one by no more than this begins at its end instead. Well below AHEAD_US,
or a run put right for its camera's clock would begin as wrong as it ended."""

HOLE_US = 1_000
"""Less than this between two segments is rounding, not a gap."""

LATE_CLOSE_US = 4_000_000
"""A cut segment whose last audio is held back with the next run's start is closed at the latest this long after its time."""


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
        self._floor_us = 0
        self._tracks: list[RecordedTrack] = []
        self._master = 0
        self._companions: Companions
        self._hold: Hold | None = None
        self._clock: RunClock | None = None
        self._segment: SegmentDraft | None = None
        self._closing: list[SegmentDraft] = []
        self._restart: Reason | None = None
        self._hole_reason = Reason.STALLED
        self._need_epoch = False
        self._epoch_asked = False
        self._heard_us = 0
        self._swept_from = 0
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
        """A source plays these tracks, at most one of them video: it (else the first) is the master and decides where segments
        end."""
        self._tracks = list(tracks)
        self._master = master_index(tracks)
        self._companions = Companions(self._tracks, self._master)
        self._begin_hold(need_key=self._tracks[self._master].codec.is_video)

    def accept(self, sweep: Sweep) -> None:
        """The complete units of one sweep, in order of completion. The sweep's buffers go back by a `Released` job."""
        try:
            if self._tracks[self._master].codec.is_video:
                self._take(sweep)
            else:
                # Any sample of audio is a random access point.
                keys = [(index, at, offset, size, flags | KEY) for index, at, offset, size, flags in sweep.frames]
                self._take(replace(sweep, frames=keys))
        finally:
            self.jobs.append(Released(sweep.release))

    def host_clock_stepped(self) -> None:
        """The host's wall clock jumped: at the next key frame a new run begins, in a new epoch, on the new time."""
        self._need_epoch = True
        if self._clock is not None:
            self._restart = Reason.CLOCK_STEP

    def grant_epoch(self, epoch: int) -> None:
        """The answer to `EpochNeeded`."""
        self._epoch, self._sequence, self._floor_us = epoch, 0, 0
        self._need_epoch = self._epoch_asked = False

    def end(self, reason: str) -> None:
        """The connection is over: everything that is here is written, and a gap begins where it ends.

        What is held back is written too, unless it would need a new epoch.
        """
        while self._hold is not None and self._start():
            pass
        self._hold = None
        if self._clock is not None:
            self._settle_waiting()
            self._companions.settle_early(self._segment, self._closing)
        if self._segment is not None:
            master = self._tracks[self._master]
            self._finish_at(master.last_dts + master.nominal_ticks)
        for segment in list(self._closing):
            self.jobs.extend(segment.take_fragments())
            self._close(segment)
        self._clock, self._restart, self._tracks = None, None, []
        self.gap_begins(reason)

    def gap_begins(self, reason: str) -> None:
        """Say since when nothing is recorded; a further reason for the same silence is told too."""
        if self._previous_end_us and (self._gap is None or self._gap.reason != reason):
            self._gap = GapBefore(self._previous_end_us, reason) if self._gap is None else replace(self._gap, reason=reason)
            self.events.append(GapStarted(self._previous_end_us, reason))

    # A run's start.

    def _take(self, sweep: Sweep) -> None:
        if self._hold is None:
            self._record(sweep)
            return
        self._hold.add(sweep, self._tracks)
        if self._hold.ready(sweep.mono_us):
            self._start()
        for segment in list(self._closing):
            if sweep.mono_us > segment.close_by_mono_us + LATE_CLOSE_US:
                self._close(segment)

    def _begin_hold(self, *, need_key: bool) -> None:
        self._hold = Hold(self._master, need_key=need_key)
        self._clock = self._restart = None
        for track in self._tracks:
            track.restart()

    def _start(self) -> bool:
        """The least-delayed frame of the first second is known: fix the run's clock and record what was held, if that may be."""
        hold, master = self._hold, self._tracks[self._master]
        assert hold is not None
        if hold.is_empty or master.params is None or (least := master.delay.least_us) is None:
            return False
        start_us = hold.first_media_us + least
        if self._floor_us - start_us > SNAP_US:
            self._need_epoch = True
        hold.must_wait = self._need_epoch
        if self._need_epoch:
            if not self._epoch_asked:
                self._epoch_asked = True
                self.events.append(EpochNeeded())
            return False
        self._clock, self._hold = RunClock(hold.first_media_us, start_us), None
        self._companions.begin_run(least)
        held = hold.take()
        self._heard_us = held[0].mono_us
        for one in held:
            # Not `_record`: the run may be cut and another begin to be held while these are played.
            self._take(one)
        return True

    def sender_report(self, index: int, ntp_us: int, timestamp: int, is_wall: bool = True) -> None:
        """A report as `ingest.source.Report` describes it."""
        track, clock = self._tracks[index], self._clock
        media_us = track.report_media_us(timestamp)
        tells = is_wall and index == self._master
        utc_us = clock.utc(media_us) if tells and clock is not None and media_us is not None else None
        track.sender_report(ntp_us, timestamp, utc_us)

    # Recording.

    def _record(self, sweep: Sweep) -> None:
        """What is out of the ordinary is looked at unit by unit, all else in stretches."""
        master_index = self._master
        others: list[Frame] = []
        rest: list[Frame] = []
        arena = sweep.arenas[master_index]
        master = self._tracks[master_index]
        self._swept_from = master.last_media
        frames, number = sweep.frames, 0
        while (number := self._follow(frames, number, others, arena)) < len(frames):
            frame = frames[number]
            number += 1
            index, timestamp, offset, size, flags = frame
            if index != master_index:
                others.append(frame)
                continue
            media = master.media(timestamp)
            if (flags & RESTARTED or not -master.back_ticks < media - master.last_media < master.gap_ticks) and master.started:
                media = self._discontinuity(media, flags, sweep)
            if self._restart is not None and self._may_restart(media, flags):
                self._end_run(media, self._restart)
                rest = frames[number - 1 :]
                break
            master.advance(media)
            if master.times.passes(media):
                self._place(media, media, arena, offset, size, flags)
                continue
            for dts, pts, (held, at, length, mark) in master.times.push(media, (arena, offset, size, flags)):
                self._place(dts, pts, held, at, length, mark)
        self._finish_sweep(sweep, others, master)
        if rest:
            self._begin_hold(need_key=bool(rest[0][4] & KEY))
            self._take(replace(sweep, frames=rest))

    def _follow(self, frames: list[Frame], at: int, others: list[Frame], arena: bytearray | bytes) -> int:
        """Takes the units that simply follow the one before, which are nearly all. Where the first other one stands."""
        segment = self._segment
        if segment is None or self._restart is not None:
            return at
        taken = self._tracks[self._master].follow(frames, at, self._master, segment.hard_limit, others)
        if taken.ticks:
            segment.track(self._master).add_all(taken, segment.origins[self._master], arena)
        return taken.stop

    def _finish_sweep(self, sweep: Sweep, others: list[Frame], master: RecordedTrack) -> None:
        waiting = bool(master.times.waiting)
        if len(others) < len(sweep.frames):
            self._heard_us = sweep.mono_us
            if master.started:
                master.heard(sweep.now_us)
        elif sweep.mono_us - self._heard_us >= master.gap_us and (waiting or self._segment is not None):
            # Only the others still come: a segment must not stay open for them.
            self._cut_for_gap(master)
        if others or waiting:
            self._companions.place(others, sweep, self._segment, self._closing, keep=waiting)
        if waiting:
            master.keep_waiting()
        self._emit(sweep.mono_us)
        self._watch_drift(master)

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
        if flags & DAMAGED:
            segment.flags |= SegmentFlag.DAMAGED_INPUT
        step = dts - master.last_dts
        if master.least_step < step < master.gap_ticks:
            master.nominal_ticks = step
        master.last_dts = dts
        segment.track(self._master).add(dts - segment.origins[self._master], pts - dts, size, key, arena, offset)

    def _open(self, dts: int, key: bool) -> SegmentDraft:
        """A new segment whose first unit's decode time is `dts`; it begins exactly where the previous one ended."""
        clock, master = self._clock, self._tracks[self._master]
        assert clock is not None
        media_us, least = master.to_us(dts), master.delay.least_us
        start_us, rate_ppm = clock.begin_segment(media_us, least, self._nominal_us, self._floor_us)
        hole = self._previous_end_us > 0 and start_us - self._previous_end_us >= HOLE_US
        if hole and self._gap is None:
            self.gap_begins(str(self._hole_reason))
        if self._gap is not None or not self._previous_end_us:
            self.events.append(RecordingStarted(start_us))
        gap, self._gap = self._gap if hole else None, None
        self._hole_reason = Reason.STALLED
        flags = SegmentFlag.NONE if key else SegmentFlag.CONTINUES
        head = SegmentHead(
            SegmentKey(self._camera, start_us, self._epoch, self._sequence), self._camera_id, rate_ppm, gap, flags
        )
        self._sequence += 1
        self._companions.realign(least or 0)
        origins = [
            dts if index == self._master else self._companions.origin(index, media_us) for index in range(len(self._tracks))
        ]
        opened = Opened(head, tuple(track.description() for track in self._tracks))
        self.jobs.append(opened)
        hard_limit = dts + us_to_ticks(2 * self._nominal_us, master.rate)
        self._segment = SegmentDraft(opened, start_us, media_us, origins, [0] * len(origins), hard_limit, flags)
        return self._segment

    def _finish_at(self, dts: int) -> None:
        """The open segment ends at this decode time, where the next unit begins; it waits a little for its last audio."""
        segment, clock = self._segment, self._clock
        assert segment is not None
        assert clock is not None
        segment.end_us = clock.utc(self._tracks[self._master].to_us(dts))
        segment.end_tick = dts - segment.origins[self._master]
        self._previous_end_us = self._floor_us = segment.end_us
        self._closing.append(segment)
        self._segment = None

    def _emit(self, mono_us: int) -> None:
        """Hand what this sweep gathered to the writer, and finish the segments whose audio is complete or late."""
        for segment in list(self._closing):
            self.jobs.extend(segment.take_fragments())
            if segment.close_by_mono_us == 0:
                segment.close_by_mono_us = mono_us + self._audio_wait_us
            if self._companions.complete(segment) or mono_us >= segment.close_by_mono_us:
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

    # What is rarer.

    def _settle_waiting(self) -> None:
        """Units that wait for their decode time need not any longer: what follows has nothing to do with them."""
        for dts, pts, (arena, offset, size, flags) in self._tracks[self._master].times.flush():
            self._place(dts, pts, arena, offset, size, flags)

    def _discontinuity(self, media: int, flags: int, sweep: Sweep) -> int:
        """A step out of bounds: a real gap ends the segment; a jump of the camera's clock is taken out of its media time."""
        master, clock = self._tracks[self._master], self._clock
        assert clock is not None
        believed = media > master.last_media and not flags & RESTARTED
        if believed and clock.utc(master.to_us(media)) - sweep.now_us <= AHEAD_US:
            if not master.is_slow(media):
                self._cut_for_gap(master)
            return media
        # Silence before this sweep counts for its first unit only.
        silent_us = sweep.mono_us - self._heard_us if master.last_media == self._swept_from else 0
        if silent_us >= master.gap_us:
            self._cut_for_gap(master)
            return master.rebase(media, us_to_ticks(silent_us, master.rate))
        self._settle_waiting()
        return master.rebase(media, master.nominal_ticks)

    def _cut_for_gap(self, master: RecordedTrack) -> None:
        self._settle_waiting()
        if self._segment is not None:
            self._finish_at(master.last_dts + master.nominal_ticks)
        self.gap_begins(master.silence_reason())

    def _may_restart(self, media: int, flags: int) -> bool:
        """At a key frame; where none comes, when the segment must be cut whatever comes."""
        return bool(flags & KEY) or (self._segment is not None and media >= self._segment.hard_limit)

    def _end_run(self, media: int, reason: Reason) -> None:
        """The host's clock stepped or the camera's drifted away: the run ends before this unit, the next begins with it."""
        self._settle_waiting()
        if self._segment is not None:
            self._finish_at(max(media, self._tracks[self._master].last_dts + 1))
        self._hole_reason = reason

    def _watch_drift(self, master: RecordedTrack) -> None:
        """A camera whose clock runs away faster than 500 ppm is put right at a key frame once a second is reached."""
        least, clock = master.delay.least_us, self._clock
        if least is None or clock is None or self._restart is not None or not master.started:
            return
        if abs(clock.error_us(master.last_us, least)) > AHEAD_US:
            self._restart = Reason.CAMERA_CLOCK
