"""Datagrams put back into the order of their sequence numbers, for a bounded time and in bounded memory. Sans-IO.

TCP needs none of this. Reading datagrams from a socket is in `ingest.rtp.datagrams`.
"""

from __future__ import annotations

from ingest.rtp.engine import Track, feed_datagram, feed_joined
from ingest.rtp.octets import Frames

MAX_PACKETS = 64
MAX_BYTES = 1 << 20
MAX_WAIT_US = 200_000

_NEAR = 3000
"""A sequence number farther off than this is not one of the stream's (RFC 3550 §A.1), until a second one follows it."""


class ReorderBuffer:
    """Packets of one track. In order they go straight from the receive buffer to the track, without a copy.

    `duplicates`: packets that came twice or too late, and are dropped.
    `strays`: of another source or numbering, dropped while they do not go on.
    """

    def __init__(
        self, track: Track, max_packets: int = MAX_PACKETS, max_bytes: int = MAX_BYTES, max_wait_us: int = MAX_WAIT_US
    ) -> None:
        self._track = track
        self._max_packets = max_packets
        self._max_bytes = max_bytes
        self._max_wait_us = max_wait_us
        self._next = -1
        self._source = b""
        self._held: dict[int, tuple[bytes, int]] = {}
        self._held_bytes = 0
        self._stray: tuple[int, bytes, bytes] | None = None
        self.duplicates = 0
        self.strays = 0

    def push(self, buf: bytearray | bytes, start: int, end: int, frames: Frames, now_us: int) -> None:
        """One datagram at `buf[start:end]`; between the track's `begin` and `carry`. Units completed by it go to `frames`."""
        if end - start < 12:
            feed_datagram(self._track, buf, start, end, frames)
            return
        sequence = buf[start + 2] << 8 | buf[start + 3]
        source = bytes(buf[start + 8 : start + 12])
        if sequence == self._next and source == self._source:
            self._next = (sequence + 1) & 0xFFFF
            feed_datagram(self._track, buf, start, end, frames)
            if self._held:
                self._drain(frames)
            return
        if self._next < 0:
            self._restart(sequence, source)
            feed_datagram(self._track, buf, start, end, frames)
            return
        ahead = (sequence - self._next) & 0xFFFF
        if source != self._source or _NEAR <= ahead < 0x10000 - _NEAR:
            self._meet_stray(sequence, source, bytes(buf[start:end]), frames)
        elif ahead >= 0x8000 or sequence in self._held:
            self.duplicates += 1
        else:
            self._held[sequence] = (bytes(buf[start:end]), now_us)
            self._held_bytes += end - start
            while len(self._held) > self._max_packets or self._held_bytes > self._max_bytes:
                self._skip(frames)

    def push_joined(self, buf: bytearray, start: int, end: int, step: int, frames: Frames, now_us: int) -> None:
        """Datagrams of `step` bytes each, the last maybe shorter, as one read of joined ones brought them; see `push`."""
        at = start
        while at < end:
            if not self._held and self._next >= 0:
                stop = feed_joined(self._track, buf, at, end, step, frames)
                if stop > at:
                    last = at + (stop - at - 1) // step * step
                    self._next = ((buf[last + 2] << 8 | buf[last + 3]) + 1) & 0xFFFF
                    at = stop
                    continue
            stop = min(at + step, end)
            self.push(buf, at, stop, frames, now_us)
            at = stop

    def flush(self, frames: Frames, now_us: int) -> None:
        """Once a sweep: whoever has waited too long goes, and what is missing before it counts as lost."""
        while self._held and now_us - min(at for _, at in self._held.values()) >= self._max_wait_us:
            self._skip(frames)

    def _restart(self, sequence: int, source: bytes) -> None:
        self._next = (sequence + 1) & 0xFFFF
        self._source = source
        self._stray = None

    def _meet_stray(self, sequence: int, source: bytes, packet: bytes, frames: Frames) -> None:
        """Another source or numbering: one packet is a stray, a second that follows it is a stream begun anew."""
        stray = self._stray
        if stray is None or stray[0] != sequence or stray[1] != source:
            self.strays += stray is not None
            self._stray = ((sequence + 1) & 0xFFFF, source, packet)
            return
        while self._held:
            self._skip(frames)
        self._restart(sequence, source)
        for one in (stray[2], packet):
            feed_datagram(self._track, one, 0, len(one), frames)

    def _skip(self, frames: Frames) -> None:
        """Give up what is missing before the nearest held packet."""
        self._next = min(self._held, key=lambda sequence: (sequence - self._next) & 0xFFFF)
        self._drain(frames)

    def _drain(self, frames: Frames) -> None:
        while (found := self._held.pop(self._next, None)) is not None:
            packet = found[0]
            self._held_bytes -= len(packet)
            self._next = (self._next + 1) & 0xFFFF
            feed_datagram(self._track, packet, 0, len(packet), frames)
