"""AAC (RFC 3640, mode AAC-hbr and its like), G.711 (RFC 3551 §4.5.14) and payloads that we keep without knowing them.

What a fmtp line means belongs to `ingest.rtp.tracks`. Compiled with the types in `audio.pxd`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.rtp import flags, octets
from ingest.rtp.track import Track

if TYPE_CHECKING:
    from ingest.rtp.octets import Frames, Octets

MAX_AAC_BYTES = 64 << 10
"""Of one AAC access unit; the standard's own bound for two channels is 1,536."""

MAX_OPAQUE_BYTES = 1 << 20
"""Of one opaque sample."""


class AacTrack(Track):
    """Access units of AAC. Each gets its own timestamp: the packet's, plus `unit_ticks` for each one before it there."""

    __slots__ = ("delta_bits", "index_bits", "need", "size_bits", "skip", "unit_ticks")

    def __init__(
        self, index: int, unit_ticks: int, size_bits: int, index_bits: int, delta_bits: int, payload_type: int = -1
    ) -> None:
        """`unit_ticks`: RTP ticks an access unit lasts. The others: sizelength, indexlength and indexdeltalength of the
        fmtp line (RFC 3640 §4.1), 32 at most each; `size_bits` at least 1. Raises ValueError otherwise.
        """
        if not (1 <= size_bits <= 32 and 0 <= index_bits <= 32 and 0 <= delta_bits <= 32 and 0 < unit_ticks < 1 << 24):
            raise ValueError(
                f"no AAC stream has {size_bits}, {index_bits}, {delta_bits} header bits and {unit_ticks} ticks a unit"
            )
        Track.__init__(self, index, payload_type, MAX_AAC_BYTES)
        self.unit_ticks = unit_ticks
        self.size_bits = size_bits
        self.index_bits = index_bits
        self.delta_bits = delta_bits
        # The size of the fragmented access unit under way, 0 when there is none.
        self.need = 0
        self.skip = False

    def payload(self, data: Octets, at: int, end: int, marker: int, frames: Frames) -> int:
        """The AU header section, then the access units (RFC 3640 §3.2)."""
        if at == end or self.skip:
            return 0
        if at + 2 > end:
            return self.refuse()
        left = octets.u16(data, at)
        at += 2
        body = at + ((left + 7) >> 3)
        if body > end:
            return self.refuse()
        bit = 0
        timestamp = self.timestamp
        index_bits = self.index_bits
        while left >= self.size_bits + index_bits:
            size = octets.bits(data, at, bit, self.size_bits)
            if octets.bits(data, at, bit + self.size_bits, index_bits):
                # Interleaved access units (§3.2.3.2): no camera sends them, and they would be stored out of order.
                self.unsupported += 1
                return self.tear()
            bit += self.size_bits + index_bits
            left -= self.size_bits + index_bits
            index_bits = self.delta_bits
            if size > end - body:
                if bit > self.size_bits + self.index_bits or left >= self.size_bits + index_bits:
                    return self.refuse()
                return self.fragment(data, body, end, size, frames)
            if self.need and size:
                return self.fragment(data, body, body + size, size, frames)
            if size:
                if self.pos + size > self.limit:
                    return self.drop()
                octets.copy(self.data, self.pos, data, body, size)
                self.pos += size
                self.emit(timestamp, frames)
            body += size
            timestamp = (timestamp + self.unit_ticks) & 0xFFFFFFFF
        return 0

    def fragment(self, data: Octets, at: int, end: int, size: int, frames: Frames) -> int:
        """A piece of one access unit of `size` bytes (§3.2.3.3): each has the whole unit's size in its header."""
        if (self.need and size != self.need) or size > self.unit_limit:
            return self.refuse()
        self.need = size
        if self.pos + end - at > self.limit or self.pos - self.start + end - at > size:
            return self.drop()
        octets.copy(self.data, self.pos, data, at, end - at)
        self.pos += end - at
        if self.pos - self.start == size:
            self.need = 0
            self.emit(self.timestamp, frames)
        return 0

    def refuse(self) -> int:
        """The packet breaks the standard."""
        self.malformed += 1
        return self.tear()

    def tear(self) -> int:
        """A fragment is missing: what came of its access unit goes, and so does the rest of this timestamp."""
        self.pos = self.start
        self.skip = self.need > 0
        self.need = 0
        self.flags |= flags.DAMAGED
        return 0

    def finish(self, frames: Frames) -> int:
        """An access unit whose last fragment never came goes."""
        self.skip = False
        if self.need:
            self.malformed += 1
            self.tear()
            self.skip = False
        return 0

    def drop(self) -> int:
        Track.drop(self)
        self.need = 0
        return 0


class G711Track(Track):
    """A-law or µ-law in samples of 20 ms each, whatever the packets' length. What is left over waits for the next packet."""

    __slots__ = ("channels", "due", "sample_bytes", "sample_ticks", "silence")

    def __init__(self, index: int, alaw: bool, rate: int = 8000, channels: int = 1, payload_type: int = -1) -> None:
        """`rate`: of the RTP clock, ticks a second; a tick is one byte for each of `channels`. Raises ValueError for a rate
        that 20 ms do not divide, or above 192,000, and for more than 8 channels.
        """
        if rate % 50 or not 50 <= rate <= 192_000 or not 1 <= channels <= 8:
            raise ValueError(f"no G.711 stream has {rate} ticks a second and {channels} channels")
        Track.__init__(self, index, payload_type)
        self.channels = channels
        self.sample_ticks = rate // 50
        self.sample_bytes = self.sample_ticks * channels
        self.silence = 0xD5 if alaw else 0xFF
        # The timestamp of the byte that follows what is left over.
        self.due = 0

    def payload(self, data: Octets, at: int, end: int, marker: int, frames: Frames) -> int:
        """One byte a tick and channel (RFC 3551 §4.5.14)."""
        size = end - at
        over = self.pos - self.start
        if over:
            off = (self.timestamp - self.due) & 0xFFFFFFFF
            if self.sample_ticks < off < 0x1_0000_0000 - self.sample_ticks:
                # Time jumps here, so what is left over ends in silence. A few ticks off are a camera's rounding.
                self.pad(frames)
                over = 0
        if self.pos + size > self.limit:
            return self.drop()
        octets.copy(self.data, self.pos, data, at, size)
        self.pos += size
        self.due = self.timestamp + size // self.channels
        # The stamp of the packet is that of its first byte; the sample may begin in the packet before.
        timestamp = self.timestamp - over // self.channels
        while self.pos - self.start >= self.sample_bytes:
            self.chop(timestamp & 0xFFFFFFFF, frames)
            timestamp += self.sample_ticks
        return 0

    def chop(self, timestamp: int, frames: Frames) -> int:
        """The next 20 ms are one sample."""
        stop = self.pos
        self.pos = self.start + self.sample_bytes
        self.emit(timestamp, frames)
        self.pos = stop
        return 0

    def pad(self, frames: Frames) -> int:
        """What is left over becomes a whole sample; the flags belong to what comes after it."""
        over = self.pos - self.start
        stop = self.start + self.sample_bytes
        if stop > self.limit:
            return self.drop()
        octets.fill(self.data, self.pos, self.silence, stop - self.pos)
        self.pos = stop
        kept = self.flags
        self.flags = 0
        self.emit((self.due - over // self.channels) & 0xFFFFFFFF, frames)
        self.flags = kept
        return 0

    def finish(self, frames: Frames) -> int:
        """A new timestamp ends nothing here."""
        return 0


class OpaqueTrack(Track):
    """Payloads that we do not understand: those of one timestamp are one sample, each behind its length in two bytes."""

    __slots__ = ()

    def __init__(self, index: int, payload_type: int = -1) -> None:
        Track.__init__(self, index, payload_type, MAX_OPAQUE_BYTES)

    def payload(self, data: Octets, at: int, end: int, marker: int, frames: Frames) -> int:
        """The framing of RFC 4571 §2. The marker bit ends a sample where a payload has one to end (RFC 3550 §5.1)."""
        size = end - at
        if size:
            if self.pos + 2 + size > self.limit:
                return self.drop()
            octets.put16(self.data, self.pos, size)
            octets.copy(self.data, self.pos + 2, data, at, size)
            self.pos += 2 + size
        if marker:
            self.finish(frames)
        return 0
