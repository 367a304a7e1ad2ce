"""A loop feed whose source misbehaves: it stalls, its timestamps jump or wrap, its parameters change, its SSRC changes,
its key pictures are missing.

What goes wrong between source and client is in `ingest.simulate.tamper`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ingest.simulate.encode import Unit, nal_type
from ingest.simulate.feed import Burst, LoopFeed, LoopLane, one_unit
from ingest.simulate.loop import Loop, LoopTrack
from ingest.simulate.misbehave import Kind, Misbehaviour
from ingest.simulate.packets import Strip
from vault.media import Codec

SOURCE_KINDS = {Kind.STALL, Kind.JUMP, Kind.WRAP, Kind.PARAMS, Kind.SSRC, Kind.NOKEY}
_PPS = {Codec.H264: 8, Codec.H265: 34}


class TroubledLane(LoopLane):
    """A lane that takes its units one at a time and spoils them as told."""

    def __init__(
        self,
        track: int,
        loop: LoopTrack,
        strip: Strip,
        numbers: Callable[[int], int],
        misbehaviours: Sequence[Misbehaviour],
        other: tuple[LoopTrack, Strip] | None,
    ) -> None:
        super().__init__(track, loop, strip, (numbers(32), numbers(16), numbers(32)))
        self._numbers = numbers
        self._of = {kind: [item for item in misbehaviours if item.kind is kind] for kind in SOURCE_KINDS}
        self._forms = [(loop, strip), other] if other else [(loop, strip)]
        self._jumps = self._restarts = self._extras = 0
        for item in self._of[Kind.WRAP]:
            self.base = -int(item.after_s * loop.params.timescale) & 0xFFFFFFFF

    def take(self, elapsed_us: int) -> list[Burst]:
        out: list[Burst] = []
        while self.due_us() <= elapsed_us:
            due_us = self.due_us()
            stalls = [item for item in self._of[Kind.STALL] if item.active(due_us)]
            if any(item.late and item.active(elapsed_us) for item in stalls):
                break
            self._renumber(due_us)
            unit = self.loop.units[self.position % len(self.loop.units)]
            left_out = self.params.codec.is_video and unit.key and bool(self._of[Kind.NOKEY])
            if not left_out and all(item.late for item in stalls):
                out.append(self._one(unit, due_us))
            self.position += 1
        return out

    def next_try_us(self, elapsed_us: int) -> int:
        """When to look again: the next unit, or soon while units are held back."""
        return max(self.due_us(), elapsed_us + 10_000) if self.due_us() <= elapsed_us else self.due_us()

    def _renumber(self, due_us: int) -> None:
        for item in self._of[Kind.JUMP]:
            count = item.count(due_us)
            self.base += int((count - self._jumps) * item.by_s * self.params.timescale)
            self._jumps = count
        for item in self._of[Kind.SSRC]:
            if item.count(due_us) > self._restarts:
                self._restarts = item.count(due_us)
                self.ssrc, self.sequence, self.base = self._numbers(32), self._numbers(16), self._numbers(32)

    def _one(self, unit: Unit, due_us: int) -> Burst:
        index = self.position % len(self.loop.units)
        if self.params.codec.is_video:
            for item in self._of[Kind.PARAMS]:
                changes = item.count(due_us)
                if item.inside and not unit.key and changes > self._extras:
                    self._extras = changes
                    changed = Unit((self._other_pps(changes), *unit.nals), unit.pts, unit.dts, False)
                    return self.emit(one_unit(self.params, self.track, changed), 0, [self.tick(self.position)], [due_us])
                if not item.inside and unit.key:
                    self.loop, self.strip = self._forms[changes % len(self._forms)]
        return self.emit(self.strip, index, [self.tick(self.position)], [due_us])

    def _other_pps(self, number: int) -> bytes:
        codec = self.params.codec
        pps = next(nal for nal in self.params.sets if nal_type(codec, nal) == _PPS[codec])
        return renumbered_pps(codec, pps, number)


def renumbered_pps(codec: Codec, pps: bytes, number: int) -> bytes:
    """The picture parameter set with another id, 0 replaced by 1 or 2: legal inside a GOP since no slice refers to it.

    The id is the first syntax element, ue(v) (ITU-T H.264 §7.3.2.2, H.265 §7.3.2.3).
    """
    head = 1 if codec is Codec.H264 else 2
    raw = pps[head:].replace(b"\x00\x00\x03", b"\x00\x00")
    bits = f"{int.from_bytes(raw, 'big'):0{len(raw) * 8}b}".rstrip("0")
    bits = ("010" if number % 2 else "011") + bits[1:]
    bits += "0" * (-len(bits) % 8)
    body = int(bits, 2).to_bytes(len(bits) // 8, "big")
    out = bytearray()
    for byte in body:
        if byte <= 3 and out[-2:] == b"\x00\x00":
            out.append(3)
        out.append(byte)
    return pps[:head] + bytes(out)


class TroubledFeed(LoopFeed):
    """A loop feed of one connection. `other` is the loop that a parameter change goes to, with the same frame grid."""

    def __init__(
        self,
        loop: Loop,
        strips: Sequence[Strip],
        start_us: int,
        numbers: Callable[[int], int],
        misbehaviours: Sequence[Misbehaviour],
        other: tuple[Loop, Sequence[Strip]] | None = None,
    ) -> None:
        super().__init__(loop, strips, start_us, numbers)
        self._troubled = [
            TroubledLane(
                number,
                track,
                strips[number],
                numbers,
                misbehaviours,
                (other[0].tracks[number], other[1][number]) if other and number == 0 else None,
            )
            for number, track in enumerate(loop.tracks)
        ]
        self._lanes = list(self._troubled)
        self.lanes = list(self._troubled)
        self._now_us = 0

    def take(self, mono_us: int, wall_us: int) -> list[Burst]:
        self._now_us = mono_us - self.start_us
        return super().take(mono_us, wall_us)

    def next_us(self) -> int:
        return self.start_us + min(lane.next_try_us(self._now_us) for lane in self._troubled)
