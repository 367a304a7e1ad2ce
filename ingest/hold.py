"""The first second of a run is held back: only then is the least-delayed frame known, and with it the segment's name. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ingest.jobs import Job, Released
from ingest.rtp.flags import KEY, PARAMS
from ingest.tracks import RecordedTrack

HOLD_US = 1_000_000
"""How long frames are looked at before the run's clock is fixed."""

KEY_WAIT_US = 15_000_000
"""Without a key frame for this long a run begins anyway; it is flagged `continues`."""

MAX_HELD = 128
"""Sweeps held at most; more than that and the run's start is looked for anew."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one sweep of a camera brought: complete units `(track, timestamp, offset, size, flags)` in order of completion.

    A unit lies in its track's buffer `arenas[track]`. `release` gives the buffers back.
    """

    frames: list[tuple[int, int, int, int, int]]
    arenas: Sequence[bytearray]
    now_us: int
    mono_us: int
    release: Callable[[], None]


class Hold:
    """Collects sweeps from the first usable frame on, and measures delays meanwhile."""

    def __init__(self, master: int, mono_us: int, *, need_key: bool) -> None:
        self._master = master
        self._began_us = mono_us
        self._need_key = need_key
        self._held: list[Sweep] = []
        self._since_us = 0
        self.first_media_us = 0
        self.epoch_asked = False

    @property
    def waiting_for_key(self) -> bool:
        return not self._held

    def add(self, sweep: Sweep, tracks: Sequence[RecordedTrack]) -> None:
        frames = sweep.frames
        if len(self._held) >= MAX_HELD:
            for held in self._held:
                held.release()
            self._held = []
        if not self._held:
            first = self._first_usable(sweep, tracks[self._master])
            if first is None:
                sweep.release()
                return
            frames = frames[first:]
            master = tracks[self._master]
            self.first_media_us = master.to_us(master.peek(frames[0][1]))
            self._since_us = sweep.mono_us
            sweep = replace(sweep, frames=frames)
        self._held.append(sweep)
        newest = {frame[0]: frame[1] for frame in frames}
        for index, timestamp in newest.items():
            track = tracks[index]
            track.delay.observe(track.to_us(track.peek(timestamp)), sweep.now_us)

    def _first_usable(self, sweep: Sweep, master: RecordedTrack) -> int | None:
        anything = not self._need_key or sweep.mono_us - self._began_us > KEY_WAIT_US
        for number, (index, _, offset, size, flags) in enumerate(sweep.frames):
            if index != self._master:
                continue
            if flags & PARAMS:
                master.learn(memoryview(sweep.arenas[index])[offset : offset + size])
            if (anything or flags & KEY) and master.params is not None:
                return number
        return None

    def ready(self, mono_us: int) -> bool:
        return bool(self._held) and mono_us - self._since_us >= HOLD_US

    def take(self) -> list[Sweep]:
        held, self._held = self._held, []
        return held

    def give_up(self) -> list[Job]:
        """The run never began: only the buffers go back."""
        return [Released(sweep.release) for sweep in self.take()]
