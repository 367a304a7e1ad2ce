"""What a feed sends in one go, in the forms its listeners want: interleaved bytes for TCP, runs of datagrams for UDP.

Each form is made once and kept, so that a hundred listeners cost one stamping. Sockets are elsewhere.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ingest.simulate.feed import Burst, Lane
from ingest.simulate.packets import segment_runs

Channels = tuple[int | None, ...]
"""For each track the channel of its RTP, None where the listener did not set the track up; RTCP goes on the next one."""

Run = tuple[list[memoryview], int]
"""Datagrams for one sendmsg, and the segment size; only the last one may be smaller."""


class Volley:
    """The bursts of one tick of a feed `elapsed_us` after its start, at UTC `wall_us`."""

    def __init__(self, bursts: Sequence[Burst], lanes: Sequence[Lane], elapsed_us: int, wall_us: int) -> None:
        self.bursts = bursts
        self._lanes = lanes
        self._elapsed_us = elapsed_us
        self._wall_us = wall_us
        self._interleaved: dict[Channels, bytes] = {}
        self._runs: dict[int, list[Run]] = {}

    def first_key(self) -> int | None:
        """When the first key picture in it was due, since the feed's start."""
        for burst in self.bursts:
            if burst.track == 0 and (due := burst.first_key()) is not None:
                return due
        return None

    def from_due(self, due_us: int) -> Volley:
        """What was due then or later: where a new listener begins."""
        bursts = [later for burst in self.bursts if (later := burst.from_due(due_us)) is not None]
        return Volley(bursts, self._lanes, self._elapsed_us, self._wall_us)

    def interleaved(self, channels: Channels) -> bytes:
        """All packets in interleaved framing (RFC 2326 §10.12)."""
        made = self._interleaved.get(channels)
        if made is None:
            blocks = []
            for burst in self.bursts:
                channel = channels[burst.track]
                if channel is not None:
                    blocks.append(burst.strip.stamp(burst.first, burst.last, burst.timing, channel))
            made = self._interleaved[channels] = b"".join(blocks)
        return made

    def runs(self, track: int) -> list[Run]:
        """The track's packets as datagrams, grouped for segmentation offload."""
        made = self._runs.get(track)
        if made is None:
            made = self._runs[track] = []
            for burst in self.bursts:
                if burst.track != track:
                    continue
                view = burst.strip.stamp(burst.first, burst.last, burst.timing, 0)
                packets = [view[start:end] for start, end in burst.strip.spans(burst.first, burst.last)]
                sizes = [len(packet) for packet in packets]
                made += [(packets[first:last], sizes[first]) for first, last in segment_runs(sizes)]
        return made

    def packets(self) -> list[tuple[int, bytes]]:
        """Track and bytes of every RTP packet, for a listener whose packets are tampered with."""
        out = []
        for burst in self.bursts:
            block = burst.strip.stamp(burst.first, burst.last, burst.timing, 0).tobytes()
            out += [(burst.track, block[start:end]) for start, end in burst.strip.spans(burst.first, burst.last)]
        return out

    def reports(self) -> list[tuple[int, bytes]]:
        """A sender report for each track, of the true wall clock."""
        return [(lane.track, lane.report(self._elapsed_us, self._wall_us)) for lane in self._lanes]

    def reports_interleaved(self, channels: Channels) -> bytes:
        """The sender reports in interleaved framing."""
        out = []
        for track, report in self.reports():
            channel = channels[track]
            if channel is not None:
                out.append(frame(channel + 1, report))
        return b"".join(out)


def frame(channel: int, packet: bytes) -> bytes:
    """One packet in interleaved framing."""
    return struct.pack(">BBH", 0x24, channel & 0xFF, len(packet)) + packet
