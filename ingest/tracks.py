"""A track as the recorder sees it: its parameters, its place in media time, its delay, its bond to the master. Sans-IO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ingest.clockmap import DelayFilter, Unwrapper
from ingest.decodetime import DecodeTimes
from ingest.parameters import ParameterSets, parameter_nal_units
from ingest.reasons import Reason
from ingest.rtp.engine import stretch
from ingest.rtp.flags import RESTARTED
from vault.media import Codec, TrackParams
from vault.segment.params import reorder_depth
from vault.timebase import ticks_to_us

Held = tuple[bytearray | bytes, int, int, int]
"""A master's unit that waits for its decode time: buffer, offset, size, flags."""

Frame = tuple[int, int, int, int, int]

GAP_SECONDS = 2
"""Silence longer than this is a gap: the segment ends. Not for a camera whose pace it is."""

MAX_PACE_SECONDS = 30
"""A picture each minute is no video: there each silence stays a gap."""

_SAMPLE_TICKS = {Codec.AAC: 1024, Codec.ALAW: 160, Codec.ULAW: 160}

SR_TRUST_US = 5_000
ARRIVAL_TRUST_US = 200_000
"""How far audio must be off before its bond to the video is corrected: measured by sender reports, or by arrival only."""

SR_LIMIT_US = 2_000_000
"""Sender reports that put audio further than this from where its arrival puts it are wrong: many cameras invent one."""


@dataclass(slots=True, eq=False)
class Stretch:
    """Units that follow one another: their media times, which are their decode times too, sizes, and where in the arena they lie.
    `stop`: the first frame behind them."""

    stop: int
    ticks: list[int]
    sizes: list[int]
    spans: list[tuple[int, int]]


class RecordedTrack:
    """One track of one connection. Times are ticks of `rate`; `media` numbers are unwrapped RTP timestamps."""

    def __init__(self, codec: Codec, rate: int, params: TrackParams | None) -> None:
        """`params` None: a video track whose parameter sets have not been seen (they are in the stream only)."""
        self.codec = codec
        self.rate = rate
        self._sets = ParameterSets(codec, params.sets if params else ()) if codec.is_video else None
        self.params = self._sets.params() if self._sets else params
        self._unwrap = Unwrapper()
        self._peek = Unwrapper()
        self._peeked: int | None = None
        self._peek_shift = 0
        self._rebase = 0
        self.started = False
        self.last_media = 0
        self.last_dts = 0
        self.sample_ticks = _SAMPLE_TICKS.get(codec, rate // 25)
        self.nominal_ticks = self.sample_ticks
        self.least_step = rate // 240
        self.gap_ticks = GAP_SECONDS * rate
        self._silence = (0, 0)
        self.back_ticks = rate // 2
        self.delay = DelayFilter()
        self.times: DecodeTimes[Held] = DecodeTimes(self._depth())
        self.lead_us = 0
        self.aligned = False
        self.lost_packets = 0
        self._lost_before = 0
        self._report: tuple[int, int] | None = None
        self.camera_offset_us: int | None = None

    def _depth(self) -> int | None:
        if not self.codec.is_video:
            return 0
        return None if self.params is None else reorder_depth(self.params)

    def description(self) -> TrackParams:
        assert self.params is not None
        return self.params

    def to_us(self, ticks: int) -> int:
        return ticks_to_us(ticks, self.rate)

    @property
    def gap_us(self) -> int:
        return ticks_to_us(self.gap_ticks, self.rate)

    def is_slow(self, media: int) -> bool:
        """Two silences alike, one right after the other, are the camera's pace and no gaps; from then on they are expected."""
        step = media - self.last_media
        ended, before = self._silence
        self._silence = (media, step)
        if ended != self.last_media or abs(step - before) * 4 > step or step > MAX_PACE_SECONDS * self.rate:
            return False
        self.gap_ticks = 4 * step
        return True

    @property
    def last_us(self) -> int:
        """Media time of the newest unit, µs."""
        return ticks_to_us(self.last_media, self.rate)

    def restart(self) -> None:
        """A new run of the same connection: delays are measured afresh; unwrapping goes on."""
        self.delay = DelayFilter()
        self.times = DecodeTimes(self._depth())
        self.started = False
        self.aligned = False
        self._peek = replace(self._unwrap)
        self._peeked = None
        self._peek_shift = 0

    def learn(self, unit: memoryview) -> bool:
        """Take in the parameter sets of a unit. True when the track's parameters are other than before."""
        if self._sets is None or not self._sets.update(parameter_nal_units(self.codec, unit)):
            return False
        params = self._sets.params()
        if params is None or params == self.params:
            return False
        first = self.params is None
        self.params = params
        if first:
            self.times = DecodeTimes(self._depth())
        else:
            self.times.expect(self._depth())
        return True

    # Media time.

    def media(self, timestamp: int) -> int:
        """The next unit's media time, ticks."""
        unwrap = self._unwrap
        last = unwrap.last
        if last is None:
            return unwrap.unwrap(timestamp) + self._rebase
        # `Unwrapper.unwrap` once more, for the hot path.
        step = (timestamp - last) & 0xFFFFFFFF
        unwrap.last = last = last + (step - 0x100000000 if step >= 0x80000000 else step)
        return last + self._rebase

    def peek(self, timestamp: int, flags: int) -> int:
        """Media time of a held unit, without moving the track on. A jump is taken out, as it will be when it is recorded."""
        media = self._peek.unwrap(timestamp) + self._rebase + self._peek_shift
        if self._peeked is not None and (flags & RESTARTED or not -self.back_ticks < media - self._peeked < self.gap_ticks):
            self._peek_shift += self._peeked + self.sample_ticks - media
            media = self._peeked + self.sample_ticks
        self._peeked = media
        return media

    def advance(self, media: int) -> None:
        self.last_media = media
        self.started = True

    def follow(self, frames: list[Frame], at: int, index: int, limit: int, others: list[Frame]) -> Stretch:
        """This track's units from `frames[at:]` on that simply follow the newest one and lie before the tick `limit`; frames of
        other tracks between them go to `others`. They are recorded then; the first that is left is looked at by itself.
        """
        taken = Stretch(at, [], [], [])
        media, times = self.last_media, self.times
        if not self.started or not media == self.last_dts == times.highest or not times.is_plain:
            return taken
        wrapped = (media - self._rebase) & 0xFFFFFFFF
        ticks = taken.ticks
        taken.stop = stretch(
            frames, at, index, media, wrapped, self.least_step, self.gap_ticks, limit, others, ticks, taken.sizes, taken.spans
        )
        if ticks:
            last = ticks[-1]
            self.nominal_ticks = last - (ticks[-2] if len(ticks) > 1 else media)
            self.last_media = self.last_dts = last
            self._unwrap.last = last - self._rebase
            times.passed(ticks)
        return taken

    def rebase(self, media: int, step: int) -> int:
        """The camera's timestamps jumped: from here on they are shifted so that this unit follows the last one by `step`."""
        corrected = max(self.last_media, self.times.highest) + step
        self._rebase += corrected - media
        self._report = None
        return corrected

    def keep_waiting(self) -> None:
        """Units that wait for their decode time over a sweep's end keep a copy of their bytes, since the buffers go back."""
        waiting = self.times.waiting
        for at, (pts, (arena, offset, size, flags)) in enumerate(waiting):
            if isinstance(arena, bytearray):
                waiting[at] = (pts, (bytes(memoryview(arena)[offset : offset + size]), 0, size, flags))

    def silence_reason(self) -> str:
        """Why there was nothing: with the packets lost since the last unit came, where any were."""
        lost = self.lost_packets - self._lost_before
        return f"{Reason.LOST}: {lost}" if lost > 0 else str(Reason.STALLED)

    def heard(self, now_us: int) -> None:
        """Units of this track came in this sweep; the newest has been recorded."""
        self.delay.observe(self.last_us, now_us)
        self._lost_before = self.lost_packets

    # The bond to the master: master media time = own media time + lead_us.

    def align(self, master: RecordedTrack, master_least_us: int) -> None:
        """At a run's start: by sender reports where both tracks have had one already, else by arrival."""
        least = self.delay.least_us
        self.aligned = least is not None
        if least is not None:
            by_arrival = least - master_least_us
            by_report = self._lead_by_reports(master, by_arrival)
            self.lead_us = by_arrival if by_report is None else by_report

    def _lead_by_reports(self, master: RecordedTrack, by_arrival_us: int) -> int | None:
        """What sender reports say of the bond, None when they are missing or make no sense."""
        if self._report is None or master._report is None:
            return None
        wanted = self._report_offset_us(self._report) - master._report_offset_us(master._report)
        return wanted if abs(wanted - by_arrival_us) <= SR_LIMIT_US else None

    def realign(self, master: RecordedTrack, master_least_us: int) -> None:
        """At a segment's start: sender reports say best how tracks belong together (RFC 3550 §6.4.1), arrival says it roughly."""
        if not self.aligned or (least := self.delay.least_us) is None:
            return
        by_arrival = least - master_least_us
        by_report = self._lead_by_reports(master, by_arrival)
        if by_report is not None:
            if abs(by_report - self.lead_us) > SR_TRUST_US:
                self.lead_us = by_report
            return
        if abs(by_arrival - self.lead_us) > ARRIVAL_TRUST_US:
            self.lead_us = by_arrival

    def sender_report(self, ntp_us: int, timestamp: int, clock_utc_us: int | None = None) -> None:
        """RTCP SR: the camera's wall clock at an RTP timestamp."""
        if self.started:
            near = replace(self._unwrap).unwrap(timestamp) + self._rebase
        elif self._peek.last is not None:
            # The run's first second is still held back: its units have been peeked at only.
            near = replace(self._peek).unwrap(timestamp) + self._rebase + self._peek_shift
        else:
            return
        self._report = (ntp_us, near)
        if clock_utc_us is not None:
            self.camera_offset_us = ntp_us - clock_utc_us

    def report_media_us(self, timestamp: int) -> int | None:
        """Where a sender report's timestamp stands in this track's media time, µs."""
        if not self.started:
            return None
        return self.to_us(replace(self._unwrap).unwrap(timestamp) + self._rebase)

    def _report_offset_us(self, report: tuple[int, int]) -> int:
        ntp_us, media = report
        return ntp_us - self.to_us(media)


def master_index(tracks: Sequence[RecordedTrack]) -> int:
    """The track that decides where segments end: the first video track, else the first."""
    return next((i for i, track in enumerate(tracks) if track.codec.is_video), 0)
