"""Audio and opaque samples: each goes to the segment whose time it is in. The master's units and all cuts are the recorder's. Sans-IO."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.drafts import SegmentDraft
from ingest.hold import Frame, Sweep, copy_of
from ingest.rtp.flags import RESTARTED
from ingest.tracks import RecordedTrack
from vault.timebase import us_to_ticks

AHEAD_US = 1_000_000
"""Media time cannot be ahead of its arrival; further than this it is a jump, or a clock too fast to follow."""

MAX_EARLY = 64
"""Sweeps of companions kept until the run's first segment is open, which B-frames delay."""


class Companions:
    """All tracks of a connection but the master."""

    def __init__(self, tracks: Sequence[RecordedTrack], master: int) -> None:
        self._tracks = tracks
        self._master = tracks[master]
        self._indices = [index for index in range(len(tracks)) if index != master]
        self._audio = {index for index in self._indices if tracks[index].codec.is_audio}
        self._early: list[Sweep] = []

    def begin_run(self, master_least_us: int) -> None:
        """The run's clock is fixed; what was held told how the tracks' delays compare."""
        self._early = []
        for index in self._indices:
            self._tracks[index].align(self._master, master_least_us)

    def realign(self, master_least_us: int) -> None:
        """A segment begins: only now may the bonds be corrected."""
        for index in self._indices:
            self._tracks[index].realign(self._master, master_least_us)

    def origin(self, index: int, master_media_us: int) -> int:
        """The tick of a track at an instant of the master's media time."""
        track = self._tracks[index]
        return us_to_ticks(master_media_us - track.lead_us, track.rate)

    def complete(self, segment: SegmentDraft) -> bool:
        """Whether every audio track that plays has come past the segment's end."""
        return all(index in segment.reached or not self._tracks[index].started for index in self._audio)

    def place(
        self, frames: list[Frame], sweep: Sweep, current: SegmentDraft | None, closing: Sequence[SegmentDraft], *, keep: bool
    ) -> None:
        """Put samples where their time is. `current`: the open segment. `keep`: one is about to open, wait for it.

        What is too late for a segment that was cut goes into the next.
        """
        target = current or (closing[-1] if closing else None)
        if target is not None:
            self.settle_early(current, closing)
            if frames:
                self._place(frames, sweep, target, closing)
        elif keep:
            if frames:
                self._early = [*self._early[-MAX_EARLY:], copy_of(sweep, frames)]
        else:
            self._pass_over(frames)

    def settle_early(self, current: SegmentDraft | None, closing: Sequence[SegmentDraft]) -> None:
        """What waited for the run's first segment goes where it belongs, once there is one."""
        target = current or (closing[-1] if closing else None)
        if target is not None and self._early:
            early, self._early = self._early, []
            for one in early:
                self._place(one.frames, one, target, closing)

    def _pass_over(self, frames: list[Frame]) -> None:
        for index, timestamp, _, _, _ in frames:
            track = self._tracks[index]
            track.advance(track.media(timestamp))

    def _place(self, frames: list[Frame], sweep: Sweep, target: SegmentDraft, closing: Sequence[SegmentDraft]) -> None:
        newest = {frame[0]: frame[1] for frame in frames}
        master_rate = self._master.rate
        for index, timestamp, offset, size, flags in frames:
            track = self._tracks[index]
            media = track.media(timestamp)
            if not track.aligned:
                self._align_late(index, media, (newest[index] - timestamp) & 0xFFFFFFFF, sweep.now_us, [*closing, target])
            step = media - track.last_media
            if track.started and (flags & RESTARTED or not -track.back_ticks <= step <= track.gap_ticks):
                media = self._jumped(track, media, timestamp, newest[index], flags, sweep.now_us)
            track.advance(media)
            segment = target
            for one in closing:
                if media < one.origins[index] + one.end_tick * track.rate // master_rate:
                    segment = one
                    break
                one.reached.add(index)
            dts = max(media - segment.origins[index], segment.next_dts[index])
            segment.next_dts[index] = dts + 1
            segment.track(index).add(dts, 0, size, True, sweep.arenas[index], offset)
        for index in newest:
            self._tracks[index].heard(sweep.now_us)

    def _align_late(self, index: int, media: int, span: int, now_us: int, drafts: Sequence[SegmentDraft]) -> None:
        """A track that is late to begin: its newest sample of this sweep, `span` ticks after `media`, arrived just now."""
        track, master_least = self._tracks[index], self._master.delay.least_us
        track.delay.observe(track.to_us(media + (span if span < track.gap_ticks else 0)), now_us)
        track.align(self._master, master_least or 0)
        for draft in drafts:
            draft.origins[index] = self.origin(index, draft.start_media_us)

    def _jumped(self, track: RecordedTrack, media: int, timestamp: int, newest: int, flags: int, now_us: int) -> int:
        """A step out of bounds: a silence is kept, a jump of the timestamps is taken out."""
        least = track.delay.least_us
        if least is None:
            return track.rebase(media, track.sample_ticks)
        expected = us_to_ticks(now_us - least, track.rate)
        if not flags & RESTARTED and media > track.last_media and media - expected <= us_to_ticks(AHEAD_US, track.rate):
            return media
        # Where arrival puts it: as far before now as the sweep holds samples behind it.
        span = (newest - timestamp) & 0xFFFFFFFF
        silent = expected - (span if span < track.gap_ticks else 0) - track.last_media
        return track.rebase(media, silent if silent > track.gap_ticks else track.sample_ticks)
