"""Cameras, and the stages they play on: a stage is one running feed with everyone who listens to it.

Cameras without a misbehaviour share a few stages, each a step further in the loop, so that the cost of making packets
does not grow with the cameras. A misbehaving or logged camera gets a stage for each connection. No I/O here: listeners
are told what to send.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ingest.simulate.feed import Feed
from ingest.simulate.misbehave import Kind, Misbehaviour
from ingest.simulate.volley import Volley
from vault.media import TrackParams
from vault.timebase import US

REPORT_US = 5 * US
"""How often a sender report goes out."""


@dataclass(frozen=True, slots=True)
class SentUnit:
    """One access unit a camera sent: for comparing what was recorded with it.

    `connection` counts the camera's PLAYs from 1. `sent_us` is UTC, by the tick that sent it. `digests`: BLAKE3 of each NAL
    unit in order (of the frame for sound), before anything was dropped or reordered on the wire.
    """

    connection: int
    track: int
    stamp: int
    sent_us: int
    key: bool
    digests: tuple[bytes, ...]


@dataclass(slots=True)
class Camera:
    """One simulated camera. `make_feed(start_us, connection)` makes its source; `stage` is None when each connection has its own."""

    number: int
    name: str
    tracks: Sequence[TrackParams]
    make_feed: Callable[[int, int], Feed]
    stage: Stage | None = None
    misbehaviours: tuple[Misbehaviour, ...] = ()
    sets_in_sdp: bool = True
    log: list[SentUnit] | None = None
    connections: int = 0
    first_play_us: int | None = None

    def has(self, kind: Kind) -> bool:
        return any(item.kind is kind for item in self.misbehaviours)

    @property
    def early(self) -> bool:
        """Media goes out before the answer to PLAY."""
        return self.has(Kind.EARLY)

    @property
    def keyless(self) -> bool:
        """No key picture will ever come, so nobody waits for one."""
        return self.has(Kind.NOKEY)

    def of(self, connection: int) -> tuple[Misbehaviour, ...]:
        """What goes wrong in this connection."""
        return tuple(item for item in self.misbehaviours if not item.times or connection <= item.times)


class Audience(Protocol):
    """A listener as its stage sees it."""

    def give(self, volley: Volley, report: bool) -> None:
        """Send of this volley what is due to this listener, and sender reports when told so."""
        ...

    def on_time(self, mono_us: int) -> int | None:
        """Do what falls due apart from media; when to come again, None for never."""
        ...


@dataclass(slots=True)
class Stage:
    """A feed and its listeners. It runs while there are any; `wake_us` is when it next has something to send.

    `timed`: its listeners also have things to do that no media triggers.
    """

    make_feed: Callable[[int], Feed]
    burst_us: int
    phase_us: int = 0
    feed: Feed | None = None
    wake_us: int = 0
    listeners: list[Audience] = field(default_factory=list)
    timed: bool = False
    on_volley: Callable[[Volley, int], None] | None = None
    _report_us: int = 0

    def open(self, mono_us: int) -> Feed:
        """The running feed; started when nobody was listening."""
        if self.feed is None or not self.listeners:
            start_us = mono_us
            if self.burst_us:
                # All stages of one server tick at fixed offsets of the same grid, so that the load is spread evenly.
                start_us += (self.phase_us - mono_us) % self.burst_us
            self.feed = self.make_feed(start_us)
            self.wake_us = start_us
            self._report_us = start_us + REPORT_US
        return self.feed

    def tick(self, mono_us: int, wall_us: int) -> None:
        """Send what is due and say when to wake next."""
        feed = self.feed
        if feed is None or not self.listeners:
            return
        elapsed_us = mono_us - feed.start_us
        bursts = feed.take(mono_us, wall_us)
        report = mono_us >= self._report_us
        if report:
            self._report_us = mono_us + REPORT_US
        volley = Volley(bursts, feed.lanes, elapsed_us, wall_us)
        if self.on_volley is not None:
            self.on_volley(volley, wall_us)
        for listener in tuple(self.listeners):
            listener.give(volley, report)
        self.wake_us = feed.next_us()
        if self.burst_us:
            beats = -((feed.start_us - max(self.wake_us, mono_us + 1)) // self.burst_us)
            self.wake_us = feed.start_us + beats * self.burst_us


def record(camera: Camera, connection: int, volley: Volley, wall_us: int) -> None:
    """Write the volley's units into the camera's log."""
    if camera.log is None:
        return
    for burst in volley.bursts:
        for number, stamp in zip(itertools.count(burst.first), burst.timing.stamps, strict=False):
            unit = burst.strip.units[number]
            camera.log.append(SentUnit(connection, burst.track, stamp, wall_us, unit.key, burst.strip.digests[number]))
