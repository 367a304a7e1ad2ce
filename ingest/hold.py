"""The first second of a run is held back: only then is the least-delayed frame known, and with it the segment's name. Sans-IO.

What is held is a copy: a hold may last as long as a new epoch is waited for, and buffers are for sweeping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ingest.clockmap import DelayFilter
from ingest.rtp.flags import KEY, PARAMS
from ingest.tracks import RecordedTrack

HOLD_US = 1_000_000
"""How long frames are looked at before the run's clock is fixed."""

KEY_WAIT_US = 15_000_000
"""Without a key frame for this long since the first picture a run begins anyway; it is flagged `continues`."""

MAX_HELD_BYTES = 16 << 20
"""At most about this much is held: then the run begins with what is known, or, when it must not, its start is looked for anew."""

_STEP_US = 500_000
"""The wall clock stepped when its distance from the monotonic clock changes by more from one sweep to the next."""

Frame = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one sweep of a camera brought: complete units `(track, timestamp, offset, size, flags)` in order of completion.

    A unit lies in its track's buffer `arenas[track]`. `release` gives the buffers back.
    """

    frames: list[Frame]
    arenas: Sequence[bytearray | bytes]
    now_us: int
    mono_us: int
    release: Callable[[], None]


def copy_of(sweep: Sweep, frames: list[Frame]) -> Sweep:
    """Some of a sweep's units in memory of their own: one piece a track, since the units of a track lie side by side."""
    low: dict[int, int] = {}
    high: dict[int, int] = {}
    for index, _, offset, size, _ in frames:
        low[index] = min(low.get(index, offset), offset)
        high[index] = max(high.get(index, 0), offset + size)
    arenas = [
        bytes(memoryview(arena)[low[index] : high[index]]) if index in low else b"" for index, arena in enumerate(sweep.arenas)
    ]
    moved = [(index, at, offset - low[index], size, flags) for index, at, offset, size, flags in frames]
    return replace(sweep, frames=moved, arenas=arenas, release=_nothing)


def _nothing() -> None:
    """A copy has no buffers to give back."""


class Hold:
    """Collects sweeps from the first usable frame on, and measures delays meanwhile."""

    def __init__(self, master: int, *, need_key: bool) -> None:
        self._master = master
        self._waiting_us: int | None = None
        self._need_key = need_key
        self._held: list[Sweep] = []
        self._held_bytes = 0
        self._since_us = 0
        self._clock_us = 0
        self.first_media_us = 0
        self.must_wait = False
        """The run may not begin yet: a new epoch was asked for."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing usable has come, such as a key frame."""
        return not self._held

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    def add(self, sweep: Sweep, tracks: Sequence[RecordedTrack]) -> None:
        """Look at a sweep and copy what is worth it; its own buffers are not needed any more."""
        if self.must_wait and self._held_bytes > MAX_HELD_BYTES:
            self._start_anew(tracks)
        frames = sweep.frames
        if not self._held:
            first = self._first_usable(sweep, tracks[self._master])
            if first is None:
                return
            frames = frames[first:]
        else:
            self._follow_clock(sweep, tracks)
        copy = copy_of(sweep, frames)
        newest = {index: tracks[index].peek(timestamp, flags) for index, timestamp, _, _, flags in frames[:1]}
        if not self._held:
            self._since_us = sweep.mono_us
            self.first_media_us = tracks[self._master].to_us(newest[self._master])
        for index, timestamp, _, _, flags in frames[1:]:
            newest[index] = tracks[index].peek(timestamp, flags)
        for index, media in newest.items():
            tracks[index].delay.observe(tracks[index].to_us(media), sweep.now_us)
        self._clock_us = sweep.now_us - sweep.mono_us
        self._held.append(copy)
        self._held_bytes += sum(map(len, copy.arenas))

    def _start_anew(self, tracks: Sequence[RecordedTrack]) -> None:
        self._held, self._held_bytes = [], 0
        self._waiting_us = None
        for track in tracks:
            track.delay = DelayFilter()

    def _follow_clock(self, sweep: Sweep, tracks: Sequence[RecordedTrack]) -> None:
        """The host's wall clock may step while we hold: then what came before is told by the new time too."""
        step_us = sweep.now_us - sweep.mono_us - self._clock_us
        if abs(step_us) > _STEP_US:
            self._held = [replace(held, now_us=held.now_us + step_us) for held in self._held]
            for track in tracks:
                track.delay.shift(step_us)

    def _first_usable(self, sweep: Sweep, master: RecordedTrack) -> int | None:
        since_us = sweep.mono_us if self._waiting_us is None else self._waiting_us
        anything = not self._need_key or sweep.mono_us - since_us > KEY_WAIT_US
        for number, (index, _, offset, size, flags) in enumerate(sweep.frames):
            if index != self._master:
                continue
            self._waiting_us = since_us
            if flags & PARAMS:
                master.learn(memoryview(sweep.arenas[index])[offset : offset + size])
            if (anything or flags & KEY) and master.params is not None:
                return number
        return None

    def ready(self, mono_us: int) -> bool:
        """Whether the run's start is known well enough."""
        return bool(self._held) and (mono_us - self._since_us >= HOLD_US or self._held_bytes > MAX_HELD_BYTES)

    def take(self) -> list[Sweep]:
        held, self._held, self._held_bytes = self._held, [], 0
        return held
