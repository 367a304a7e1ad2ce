"""One RTP stream's state, whatever it carries: header checks, sequence accounting, the arena, the unit under way.

What is inside a payload belongs to the subclasses in `ingest.rtp.video` and `ingest.rtp.audio`; reordering and clocks do
not belong here. The source is plain Python; `track.pxd` gives it C types when it is compiled. Methods without a leading
underscore that a `.pxd` declares `cdef` (`packet`, `payload`, `turn` …) cannot be called from Python once compiled: use
`ingest.rtp.inner.walk` and `feed_datagram`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.rtp import flags, octets

if TYPE_CHECKING:
    from ingest.rtp.octets import Frame, Frames, Octets

MAX_UNIT_BYTES = 8 << 20
"""An access unit above this is dropped: no camera makes one, a hostile one would."""

MAX_DROPOUT = 3000
MAX_LATE = 100
"""How far ahead a sequence number is a loss, and how far behind it is a late packet (RFC 3550 §A.1); else a new count."""

_NOWHERE = bytearray()


class Track:
    """The base of every track. Counters are attributes to read; a worker calls `begin`, `walk` and `carry` in turn.

    Complete access units are appended to `frames` as `(index, timestamp, offset, size_bytes, flags)`, offset into the
    arena. The units of one sweep stand in the arena from 0 on without a hole between them.

    `lost`: packets missing when they were needed. `late`: packets behind the newest, duplicates too; they are not used.
    `resets`: jumps of the sequence number that are neither. `ssrc_changes`: as it says.
    `malformed`: packets or pieces that break their standard. `unsupported`: payload structures we refuse.
    `other_payload`: packets of a payload type that is not ours. `dropped_units`: units above a bound.
    `highest`: the newest sequence number with its cycles (RFC 3550 §6.4.1), -1 before the first packet.
    """

    __slots__ = (
        "_arena",
        "_carried",
        "_pin",
        "base",
        "capacity",
        "data",
        "dropped_units",
        "earlier",
        "flags",
        "highest",
        "index",
        "last_frame",
        "last_frame_at",
        "late",
        "limit",
        "lost",
        "malformed",
        "missing",
        "other_payload",
        "payload_type",
        "pos",
        "resets",
        "ssrc",
        "ssrc_changes",
        "stamp",
        "start",
        "started",
        "timestamp",
        "unit_limit",
        "unsupported",
    )

    def __init__(self, index: int, payload_type: int = -1, unit_limit: int = MAX_UNIT_BYTES) -> None:
        """`index` goes into every frame; `payload_type` -1 takes any; `unit_limit` in bytes bounds one access unit."""
        self.index = index
        self.payload_type = payload_type
        self.unit_limit = unit_limit
        self.lost = self.late = self.resets = self.ssrc_changes = 0
        self.malformed = self.unsupported = self.other_payload = self.dropped_units = 0
        self.highest = -1
        self.base = self.missing = self.earlier = 0
        self.started = False
        self.ssrc = 0
        self.stamp = b""
        self.timestamp = 0
        self.flags = 0
        self.start = self.pos = self.limit = self.capacity = 0
        self.data = _NOWHERE
        self._arena: bytearray | None = None
        self._pin: memoryview | None = None
        self._carried = b""
        self.last_frame: Frame | None = None
        self.last_frame_at = 0

    @property
    def received(self) -> int:
        """Packets that came, late ones and duplicates included (RFC 3550 §6.4.1)."""
        run = self.highest - self.base + 1 - self.missing if self.started else 0
        return self.earlier + run + self.late

    @property
    def expected(self) -> int:
        """Packets that should have come since the count began, over all resets."""
        run = self.highest - self.base + 1 if self.started else 0
        return self.earlier + self.lost - self.missing + run

    @property
    def carried_bytes(self) -> int:
        """Of the partial access unit that `begin` will put at the head of the next arena."""
        return len(self._carried)

    def begin(self, arena: bytearray) -> None:
        """Take `arena` to write units into, the carried partial unit first. It must be twice what will be read, plus
        `carried_bytes`: a unit that does not fit is dropped and counted. The arena cannot be resized until `carry`.

        Raises ValueError when the carried unit alone does not fit.
        """
        if self._pin is not None:
            self.carry()
        size = len(self._carried)
        if size > len(arena):
            raise ValueError(f"an arena of {len(arena)} bytes cannot take the {size} bytes that track {self.index} carries")
        self._pin = memoryview(arena)
        self._arena = arena
        self.data = arena
        self.capacity = len(arena)
        octets.copy(self.data, 0, self._carried, 0, size)
        self.pos = size
        self.settle_limit()

    def carry(self) -> None:
        """Copy the partial access unit out and let the arena go. Whoever wants the units has taken them before."""
        if self._pin is None:
            return
        self._carried = octets.take(self.data, self.start, self.pos - self.start)
        self.shift(self.start)
        self.start = self.limit = self.capacity = 0
        self.pos = len(self._carried)
        self.data = _NOWHERE
        self._arena = None
        self._pin = None
        self.last_frame = None

    def shift(self, by: int) -> int:
        """The unit under way moves `by` bytes toward the arena's head; a subclass moves its own positions with it."""
        return 0

    def settle_limit(self) -> int:
        """How far the unit that begins at `start` may reach."""
        self.limit = self.start + self.unit_limit
        if self.limit > self.capacity:
            self.limit = self.capacity
        return 0

    def packet(self, data: Octets, start: int, end: int, frames: Frames) -> int:
        """One RTP packet at `[start, end)` of `data` (RFC 3550 §5.1). Whatever is in it, it raises nothing."""
        at = start + 12
        if at > end:
            self.malformed += 1
            return 0
        if data[start] != 0x80:
            # Padding, an extension or contributing sources: each length is checked against the packet's.
            first = data[start]
            at += (first & 15) * 4
            if first >> 6 != 2 or at > end:
                self.malformed += 1
                return 0
            if first & 0x10:
                if at + 4 > end:
                    self.malformed += 1
                    return 0
                at += 4 + octets.u16(data, at + 2) * 4
            if first & 0x20 and at < end:
                end -= data[end - 1]
            if at > end:
                self.malformed += 1
                return 0
        head = data[start + 1]
        sequence = data[start + 2] << 8 | data[start + 3]
        if head & 0x7F != self.payload_type >= 0:
            self.other_payload += 1
            if self.started and octets.u32(data, start + 8) == self.ssrc and (self.highest + 1) & 0xFFFF == sequence:
                # It shares our numbering, so it is not a hole in it.
                self.highest += 1
            return 0
        if (self.highest + 1) & 0xFFFF == sequence and octets.same8(data, start + 4, self.stamp):
            self.highest += 1
        elif not self.turn(data, start, sequence, frames):
            return 0
        return self.payload(data, at, end, head & 0x80, frames)

    def middles(self, data: Octets, model: int, at: int, end: int) -> int:
        """Takes the interleaved packets from `at` on that are like the one at `model`, which was taken just before, as far as a
        subclass can tell. Where the first other one begins."""
        return at

    def turn(self, data: Octets, start: int, sequence: int, frames: Frames) -> int:
        """The packet does not simply follow: a new timestamp, a loss, a new source. 1 when its payload is to be used."""
        timestamp = octets.u32(data, start + 4)
        ssrc = octets.u32(data, start + 8)
        broken = 0
        if not self.started:
            self.started = True
            self.ssrc = ssrc
            self.base = self.highest = sequence
        elif ssrc != self.ssrc:
            self.ssrc_changes += 1
            self.ssrc = ssrc
            self.renumber(sequence)
            broken = flags.DAMAGED | flags.RESTARTED
        else:
            ahead = (sequence - self.highest - 1) & 0xFFFF
            if ahead >= 0x10000 - MAX_LATE:
                self.late += 1
                return 0
            if ahead < MAX_DROPOUT:
                self.highest += 1 + ahead
                self.missing += ahead
                self.lost += ahead
                broken = flags.DAMAGED if ahead else 0
            else:
                self.resets += 1
                self.renumber(sequence)
                broken = flags.DAMAGED
        if broken:
            self.tear()
        if timestamp != self.timestamp or broken & flags.RESTARTED:
            self.finish(frames)
            self.timestamp = timestamp
            self.flags |= broken
        self.stamp = octets.take(data, start + 4, 8)
        return 1

    def follows(self, data: Octets, start: int) -> bool:
        """Whether the packet, of 12 bytes at least, is the next one of the source that we follow."""
        return (
            self.started
            and octets.u16(data, start + 2) == (self.highest + 1) & 0xFFFF
            and octets.u32(data, start + 8) == self.ssrc
        )

    def renumber(self, sequence: int) -> int:
        """Count anew from `sequence`; what was counted before stays counted."""
        self.earlier += self.highest - self.base + 1 - self.missing
        self.missing = 0
        self.base = self.highest = sequence
        return 0

    def payload(self, data: Octets, at: int, end: int, marker: int, frames: Frames) -> int:
        """The payload `[at, end)`, maybe empty, of a packet that follows the one before; for the subclass."""
        return 0

    def tear(self) -> int:
        """Something is missing here: the unit under way is damaged. A subclass drops the piece that is torn."""
        self.flags |= flags.DAMAGED
        return 0

    def finish(self, frames: Frames) -> int:
        """No more comes for the unit under way."""
        if self.pos > self.start:
            self.emit(self.timestamp, frames)
        return 0

    def emit(self, timestamp: int, frames: Frames) -> int:
        """The bytes from `start` to `pos` are one access unit; the next begins behind them."""
        frame = (self.index, timestamp, self.start, self.pos - self.start, self.flags)
        self.last_frame = frame
        self.last_frame_at = len(frames)
        frames.append(frame)
        self.start = self.pos
        self.flags = 0
        return self.settle_limit()

    def drop(self) -> int:
        """The unit under way is above a bound: it goes, and the next says that something is missing before it."""
        self.dropped_units += 1
        self.pos = self.start
        self.flags = flags.DAMAGED
        return 0
