"""What goes wrong on one connection: packets lost, swapped, doubled, garbage between them, and when it closes or falls silent.

Pure: packets and the time since PLAY in, packets or a verdict out. What goes wrong in the source itself (timestamps,
parameters, key frames) is in `ingest.simulate.trouble`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import Enum

from ingest.simulate.misbehave import Kind, Misbehaviour

_PER_PACKET = {Kind.DROP, Kind.REORDER, Kind.DUPLICATE, Kind.GARBAGE}
_VERDICTS = {Kind.CLOSE, Kind.HALFOPEN}

Packet = tuple[int, bytes]
"""Track and RTP packet; track -1 is bytes that are no packet."""


class Verdict(Enum):
    """What becomes of the connection."""

    GO_ON = 0
    CLOSE = 1
    RESET = 2
    MUTE = 3


class Tamper:
    """The misbehaviours of one connection. Times are since its PLAY; the same `chance` gives the same losses."""

    def __init__(self, misbehaviours: Sequence[Misbehaviour], chance: random.Random) -> None:
        self._wire = [item for item in misbehaviours if item.kind in _PER_PACKET]
        self._fate = [item for item in misbehaviours if item.kind in _VERDICTS]
        self._chance = chance
        self._held: Packet | None = None
        self._garbage = 0
        self.touches_packets = bool(self._wire)

    def packets(self, packets: Sequence[Packet], elapsed_us: int) -> list[Packet]:
        """What of these packets is sent, in which order, with what in between."""
        out = list(packets)
        for item in self._wire:
            if item.kind is Kind.GARBAGE:
                out = self._with_garbage(item, out, elapsed_us)
            elif item.active(elapsed_us):
                if item.kind is Kind.DROP:
                    out = [packet for packet in out if self._chance.random() >= item.rate]
                elif item.kind is Kind.DUPLICATE:
                    out = [packet for packet in out for _ in range(2 if self._chance.random() < item.rate else 1)]
                else:
                    out = self._swapped(out, item.rate)
        return out

    def _swapped(self, packets: list[Packet], rate: float) -> list[Packet]:
        out: list[Packet] = []
        for packet in packets:
            if self._held is not None:
                out += [packet, self._held]
                self._held = None
            elif self._chance.random() < rate:
                self._held = packet
            else:
                out.append(packet)
        return out

    def _with_garbage(self, item: Misbehaviour, packets: list[Packet], elapsed_us: int) -> list[Packet]:
        due = item.count(elapsed_us)
        if due <= self._garbage:
            return packets
        self._garbage = due
        middle = len(packets) // 2
        return [*packets[:middle], (-1, self._chance.randbytes(item.size_bytes)), *packets[middle:]]

    def verdict(self, elapsed_us: int) -> Verdict:
        """What becomes of the connection at this instant."""
        for item in self._fate:
            if item.kind is Kind.CLOSE and item.count(elapsed_us):
                return Verdict.RESET if item.reset else Verdict.CLOSE
            if item.kind is Kind.HALFOPEN and item.active(elapsed_us):
                return Verdict.MUTE
        return Verdict.GO_ON

    def next_us(self, elapsed_us: int) -> int | None:
        """When the next verdict may change, None when it will not."""
        instants = []
        for item in self._fate:
            begin_us = int(item.after_s * 1e6)
            instants += [begin_us, begin_us + int(item.for_s * 1e6)]
            if item.every_s and elapsed_us >= begin_us:
                instants.append(elapsed_us + 100_000)
        later = [instant for instant in instants if instant > elapsed_us]
        return min(later, default=None)
