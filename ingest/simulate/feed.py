"""A feed: one running source of access units, shared by every camera that plays in its phase.

Given the time it says which stretch of which track is due, and with which numbers it is stamped; one block serves all
its listeners. Pure: it reads no clock and no socket.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ingest.simulate.encode import Unit
from ingest.simulate.loop import Loop, LoopTrack
from ingest.simulate.packets import Strip, Timing, sender_report
from vault.media import Codec, TrackParams
from vault.timebase import US

PAYLOAD_TYPES = {Codec.ALAW: 8, Codec.ULAW: 0}
"""Static payload types (RFC 3551 §6); the others count from 96."""

_LATE_US = 5 * US
"""A feed whose process stood still for longer leaves units out, rather than flood every client at once."""


@dataclass(slots=True)
class Burst:
    """Units `first` to `last` (exclusive) of a strip, all due now, for one track."""

    track: int
    strip: Strip
    first: int
    last: int
    timing: Timing
    due_us: tuple[int, ...]
    """For each unit, when it was due, since the feed's start."""

    def first_key(self) -> int | None:
        """When the first key unit in it was due, since the feed's start; None when there is none."""
        keys = (due for due, unit in zip(self.due_us, self.strip.units[self.first : self.last], strict=True) if unit.key)
        return next(keys, None)

    def from_due(self, due_us: int) -> Burst | None:
        """What of the burst was due at `due_us` after the feed's start or later, None when nothing was."""
        skip = sum(due < due_us for due in self.due_us)
        first = self.first + skip
        if first == self.last:
            return None
        sequence = self.timing.sequence + self.strip.packets(self.first, first) & 0xFFFF
        timing = Timing(sequence, self.timing.stamps[skip:], self.timing.ssrc)
        return Burst(self.track, self.strip, first, self.last, timing, self.due_us[skip:])


@dataclass(frozen=True, slots=True)
class NextPacket:
    """What RTP-Info says of a track (RFC 2326 §12.33): the first packet that a new listener gets."""

    track: int
    sequence: int
    stamp: int


class Lane:
    """One track's place in RTP: SSRC, next sequence number, timestamp of the feed's start, counts for the SR."""

    def __init__(self, track: int, params: TrackParams, ssrc: int, sequence: int, base: int) -> None:
        self.track = track
        self.params = params
        self.ssrc = ssrc
        self.sequence = sequence
        self.base = base
        self._packets = 0
        self._octets = 0

    def emit(self, strip: Strip, first: int, ticks: Sequence[int], due_us: Sequence[int]) -> Burst:
        """A burst of the units from `first` on, one a tick since the feed's start; moves the sequence number on."""
        last = first + len(ticks)
        stamps = tuple(self.base + tick & 0xFFFFFFFF for tick in ticks)
        burst = Burst(self.track, strip, first, last, Timing(self.sequence, stamps, self.ssrc), tuple(due_us))
        packets = strip.packets(first, last)
        self.sequence = self.sequence + packets & 0xFFFF
        self._packets += packets
        self._octets += strip.payload_bytes(first, last)
        return burst

    def report(self, elapsed_us: int, wall_us: int) -> bytes:
        """The SR of this track `elapsed_us` after the feed's start, at UTC `wall_us`."""
        stamp = self.base + elapsed_us * self.params.timescale // US
        return sender_report(self.ssrc, wall_us, stamp, self._packets, self._octets)


class Feed(Protocol):
    """What the server needs of a source. Times are of the monotonic clock in µs, except `wall_us` (UTC)."""

    lanes: list[Lane]
    start_us: int

    def next_us(self) -> int:
        """When the next unit is due."""
        ...

    def take(self, mono_us: int, wall_us: int) -> list[Burst]:
        """Every unit due by now, as bursts in sending order."""
        ...

    def next_packets(self) -> list[NextPacket]:
        """Where a listener that joins now begins; empty when the source cannot foretell it."""
        ...

    def join(self) -> None:
        """A listener is coming: a live source makes its next picture a key frame."""
        ...


class LoopLane(Lane):
    """A lane that goes round a loop. `position` counts units since the loop's first one, laps included."""

    def __init__(self, track: int, loop: LoopTrack, strip: Strip, numbers: tuple[int, int, int], offset_us: int = 0) -> None:
        super().__init__(track, loop.params, *numbers)
        self.loop = loop
        self.strip = strip
        ticks = offset_us * loop.params.timescale // US % loop.ticks
        self.position = next((number for number, unit in enumerate(loop.units) if unit.dts >= ticks), 0)
        self._origin = self.dts(self.position)

    def dts(self, position: int) -> int:
        """Decode time in ticks of the unit at this position, laps included."""
        lap, index = divmod(position, len(self.loop.units))
        return lap * self.loop.ticks + self.loop.units[index].dts

    def tick(self, position: int) -> int:
        """Presentation time in ticks since the feed's start."""
        lap, index = divmod(position, len(self.loop.units))
        return lap * self.loop.ticks + self.loop.units[index].pts - self._origin

    def due_us(self, position: int | None = None) -> int:
        """Since the feed's start, when the unit at this (else the present) position is to be sent."""
        return (self.dts(self.position if position is None else position) - self._origin) * US // self.params.timescale

    def take(self, elapsed_us: int) -> list[Burst]:
        """All units due; one burst unless the loop's end lies in between. What is seconds late is left out."""
        out: list[Burst] = []
        count = len(self.loop.units)
        if elapsed_us - self.due_us() > _LATE_US:
            while self.due_us() <= elapsed_us:
                self.position += 1
        while self.due_us() <= elapsed_us:
            first = self.position
            end = first - first % count + count
            while self.position < end and self.due_us() <= elapsed_us:
                self.position += 1
            taken = range(first, self.position)
            out.append(self.emit(self.strip, first % count, [self.tick(at) for at in taken], [self.due_us(at) for at in taken]))
        return out

    def next_key(self) -> int:
        """When the next key unit is due, since the feed's start; the next unit if the loop has none."""
        count = len(self.loop.units)
        keys = (at for at in range(self.position, self.position + count) if self.loop.units[at % count].key)
        return self.due_us(next(keys, self.position))

    def next_packet(self, due_us: int) -> NextPacket:
        """The first packet of the first unit due then or later, and the timestamp of that instant."""
        count = len(self.loop.units)
        position, skipped = self.position, 0
        while self.due_us(position) < due_us:
            skipped += self.strip.packets(position % count, position % count + 1)
            position += 1
        return NextPacket(self.track, self.sequence + skipped & 0xFFFF, self.base + self.tick(position) & 0xFFFFFFFF)


class LoopFeed:
    """A pre-encoded loop going round, from `start_us` of the monotonic clock on, `offset_us` into the loop."""

    def __init__(
        self, loop: Loop, strips: Sequence[Strip], start_us: int, numbers: Callable[[int], int], offset_us: int = 0
    ) -> None:
        self.start_us = start_us
        self._lanes = [
            LoopLane(number, track, strip, (numbers(32), numbers(16), numbers(32)), offset_us)
            for number, (track, strip) in enumerate(zip(loop.tracks, strips, strict=True))
        ]
        self.lanes: list[Lane] = list(self._lanes)

    def next_us(self) -> int:
        return self.start_us + min(lane.due_us() for lane in self._lanes)

    def take(self, mono_us: int, wall_us: int) -> list[Burst]:
        return [burst for lane in self._lanes for burst in lane.take(mono_us - self.start_us)]

    def next_packets(self) -> list[NextPacket]:
        due_us = self._lanes[0].next_key()
        return [lane.next_packet(due_us) for lane in self._lanes]

    def join(self) -> None:
        pass


def payload_type(number: int, codec: Codec) -> int:
    """The payload type of track `number`."""
    return PAYLOAD_TYPES.get(codec, 96 + number)


def strips_of(loop: Loop, aggregate: bool = False) -> list[Strip]:
    """The loop's packets, made once for all feeds."""
    return [
        Strip(track.params.codec, track.units, payload_type(number, track.params.codec), aggregate)
        for number, track in enumerate(loop.tracks)
    ]


def one_unit(params: TrackParams, track: int, unit: Unit) -> Strip:
    """A strip of a single unit that no loop holds."""
    return Strip(params.codec, (unit,), payload_type(track, params.codec))
