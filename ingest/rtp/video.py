"""H.264 (RFC 6184) and H.265 (RFC 7798): from payloads to access units of NAL units, each behind a 4-byte length.

NAL units are kept byte-exact and in order: SEI, delimiters and parameter sets too. A NAL unit that lost a fragment goes
whole. Reading what stands in a parameter set belongs to `vault.segment.params`. Compiled with the types in `video.pxd`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.rtp import flags, octets
from ingest.rtp.track import MAX_UNIT_BYTES, Track
from vault.media import Codec

if TYPE_CHECKING:
    from ingest.rtp.octets import Frames, Octets

MAX_NALS = 4096
"""Of one access unit; more are a hostile peer's."""

MAX_LEAD_BYTES = 256 << 10
"""Of NAL units without a picture (parameter sets, SEI) that wait for one."""

TRUST_AFTER = 64
"""Picture NAL units searched for start codes before they are trusted to hold none; the others are always searched."""

_MAX_SEI_MESSAGES = 16


class VideoTrack(Track):
    """H.264 or H.265. A unit completes at the marker bit or when the timestamp changes, and holds at least one slice:
    what comes before a picture under its own timestamp or marker is joined to that picture's unit.
    """

    __slots__ = ("annexb", "clean", "fu_at", "fu_first", "fu_middle", "fu_start", "hevc", "nals", "skip", "vcl")

    def __init__(self, index: int, codec: Codec, payload_type: int = -1, unit_limit: int = MAX_UNIT_BYTES) -> None:
        """`codec`: H264 or H265, else ValueError. The rest as `Track` says."""
        if not codec.is_video:
            raise ValueError(f"{codec} is not a video codec")
        Track.__init__(self, index, payload_type, unit_limit)
        self.hevc = codec is Codec.H265
        self.fu_at = 2 if self.hevc else 1
        # The fragmented NAL unit under way: where its length stands, and what its next fragment begins with.
        self.fu_start = self.fu_first = self.fu_middle = -1
        self.nals = 0
        self.vcl = False
        self.skip = False
        self.annexb = False
        self.clean = 0

    def payload(self, data: Octets, at: int, end: int, marker: int, frames: Frames) -> int:
        """RFC 6184 §5.6 to §5.8, RFC 7798 §4.4."""
        body = at + self.fu_at
        if body < end and data[at] == self.fu_first and data[body] == self.fu_middle:
            # A middle fragment, which is nearly every packet. Its marker bit would contradict it and is not believed.
            body += 1
            size = end - body
            if self.pos + size <= self.limit:
                octets.copy(self.data, self.pos, data, body, size)
                self.pos += size
                return 0
            return self.drop()
        if at < end and not self.skip:
            self.piece(data, at, end)
        if marker and self.fu_start < 0:
            self.finish(frames)
        elif self.last_frame is not None and self.vcl:
            self.reopen(frames)
        return 0

    def middles(self, data: Octets, model: int, at: int, end: int) -> int:
        """Middle fragments come in rows of one length: all that are like the one at `model` go in one loop."""
        if self.fu_start < 0:
            return at
        first = model + 16
        skipped = 17 + self.fu_at
        step = at - model
        if (
            step < skipped
            or data[first] != self.fu_first
            or data[first + self.fu_at] != self.fu_middle
            or data[model + 4] != 0x80
            or data[model + 5] & 0x7F != self.payload_type >= 0
            or octets.u16(data, model + 6) != self.highest & 0xFFFF
            or not octets.same8(data, model + 8, self.stamp)
        ):
            return at
        count = octets.take_alike(data, at, end, model, step, skipped, self.data, self.pos, self.limit)
        self.highest += count
        self.pos += count * (step - skipped)
        return at + count * step

    def piece(self, data: Octets, at: int, end: int) -> int:
        """A payload that is not a middle fragment."""
        if self.hevc:
            if end - at < 2:
                return self.refuse(0)
            kind = data[at] >> 1 & 63
            if data[at + 1] == 0:
                # No NAL unit header has a zero there, but an Annex B start code has.
                self.annexb = True
            if kind == 49:
                return self.fragment(data, at, end)
            self.end_fragments()
            if kind < 48:
                return self.whole(data, at, end)
            if kind == 48:
                return self.aggregate(data, at + 2, end)
            return self.refuse(1)
        kind = data[at] & 31
        if kind == 28:
            return self.fragment(data, at, end)
        self.end_fragments()
        if 1 <= kind <= 23:
            return self.whole(data, at, end)
        if kind == 24:
            return self.aggregate(data, at + 1, end)
        if kind == 0 and end - at > 4 and octets.find_start(data, at, at + 4) >= 0:
            # Annex B start codes have no place in RTP, but some cameras send them.
            return self.whole(data, at, end)
        return self.refuse(1)

    def refuse(self, unsupported: int) -> int:
        """A payload that we do not take: STAP-B, MTAP, FU-B, PACI and reserved ones, or one that breaks the standard."""
        if unsupported:
            self.unsupported += 1
        else:
            self.malformed += 1
        return self.tear()

    def whole(self, data: Octets, at: int, end: int) -> int:
        """One NAL unit in `[at, end)`."""
        nal = self.pos
        stop = nal + 4 + end - at
        if stop > self.limit:
            return self.drop()
        octets.copy(self.data, nal + 4, data, at, end - at)
        self.pos = stop
        return self.close_nal(nal, 1)

    def aggregate(self, data: Octets, at: int, end: int) -> int:
        """STAP-A and AP: NAL units, each behind two bytes of length (RFC 6184 §5.7.1, RFC 7798 §4.4.2)."""
        while at + 2 < end:
            size = octets.u16(data, at)
            at += 2
            if at + size > end:
                return self.refuse(0)
            if size:
                self.whole(data, at, at + size)
                if self.skip:
                    return 0
            at += size
        return 0

    def fragment(self, data: Octets, at: int, end: int) -> int:
        """FU-A and FU (RFC 6184 §5.8, RFC 7798 §4.4.3), as far as it is not the fast path's."""
        header = at + self.fu_at
        if header >= end:
            return self.refuse(0)
        byte = data[header]
        kind = byte & 63 if self.hevc else byte & 31
        size = end - header - 1
        if byte & 0x80:
            self.end_fragments()
            if (kind > 47) if self.hevc else not 1 <= kind <= 23:
                return self.refuse(0)
            nal = self.pos
            if nal + 4 + self.fu_at + size > self.limit:
                return self.drop()
            if self.hevc:
                self.data[nal + 4] = data[at] & 0x81 | kind << 1
                self.data[nal + 5] = data[at + 1]
            else:
                self.data[nal + 4] = data[at] & 0xE0 | kind
            self.pos = nal + 4 + self.fu_at
            self.fu_start = nal
            self.fu_first = data[at]
            self.fu_middle = kind
        elif self.fu_start < 0:
            # Its start is missing. Nothing of this NAL unit is stored.
            return self.tear()
        elif kind != self.fu_middle:
            return self.refuse(0)
        if self.pos + size > self.limit:
            return self.drop()
        octets.copy(self.data, self.pos, data, header + 1, size)
        self.pos += size
        if byte & 0x40:
            self.end_fragments()
        return 0

    def end_fragments(self) -> int:
        """The fragmented NAL unit is whole: its end came, or no packet is missing and another NAL unit begins."""
        nal = self.fu_start
        if nal >= 0:
            self.fu_start = self.fu_first = -1
            self.close_nal(nal, 1)
        return 0

    def close_nal(self, nal: int, search: int) -> int:
        """The bytes behind `nal` are one NAL unit: write its length, see what it is. `search`: for start codes inside."""
        first = nal + 4
        size = self.pos - first
        if self.hevc:
            kind = self.data[first] >> 1 & 63
            picture = kind < 32
        else:
            kind = self.data[first] & 31
            picture = 1 <= kind <= 5
        if search and (self.annexb or not picture or self.clean < TRUST_AFTER):
            if octets.find_start(self.data, first, self.pos) >= 0:
                return self.split(nal)
            self.clean += picture
        if (kind > 47 or size < 2) if self.hevc else not 1 <= kind <= 23:
            self.pos = nal
            return self.refuse(0)
        self.nals += 1
        if self.nals > MAX_NALS:
            return self.drop()
        octets.put32(self.data, nal, size)
        if picture:
            self.vcl = True
            if (16 <= kind <= 23) if self.hevc else kind == 5:
                self.flags |= flags.KEY
        elif self.hevc:
            if 32 <= kind <= 34:
                self.flags |= flags.PARAMS
        elif kind == 7 or kind == 8 or kind == 13 or kind == 15:
            self.flags |= flags.PARAMS
        elif kind == 6 and self.recovers(first + 1, self.pos):
            self.flags |= flags.RECOVERY
        return 0

    def split(self, nal: int) -> int:
        """Start codes stand inside what came as one NAL unit (ITU-T H.264 §B.1): make it the several that it is."""
        self.annexb = True
        raw = octets.take(self.data, nal + 4, self.pos - nal - 4)
        self.pos = nal
        size = len(raw)
        at = 0
        while at < size:
            code = octets.find_start(raw, at, size)
            stop = size if code < 0 else code
            end = stop
            while end > at and code >= 0 and raw[end - 1] == 0:
                end -= 1
            # A header alone before the first start code is a fragment's, put before a whole byte stream.
            if end - at > self.fu_at or (end > at and at > 0):
                piece = self.pos
                if piece + 4 + end - at > self.limit:
                    return self.drop()
                octets.copy(self.data, piece + 4, raw, at, end - at)
                self.pos = piece + 4 + end - at
                self.close_nal(piece, 0)
                if self.skip:
                    return 0
            at = stop + 3
        return 0

    def recovers(self, at: int, end: int) -> int:
        """Whether a recovery point is among the messages of an SEI NAL unit (ITU-T H.264 §7.3.2.3.1, §D.1.8)."""
        for _ in range(_MAX_SEI_MESSAGES):
            kind = 0
            while at < end and self.data[at] == 255:
                kind += 255
                at += 1
            if at >= end:
                return 0
            kind += self.data[at]
            at += 1
            size = 0
            while at < end and self.data[at] == 255:
                size += 255
                at += 1
            if at >= end:
                return 0
            if kind == 6:
                return 1
            size += self.data[at]
            at += 1
            at = octets.skip_escaped(self.data, at, end, size)
        return 0

    def reopen(self, frames: Frames) -> int:
        """A camera that sets the marker bit behind every slice: when the unit under way begins with a slice that does not
        begin a picture, it belongs to the unit before it of the same timestamp (first_mb_in_slice of H.264 §7.3.3,
        first_slice_segment_in_pic_flag of H.265 §7.3.6.1: a first bit of 1 begins a picture).
        """
        last = self.last_frame
        where = self.last_frame_at
        if last is None:
            return 0
        self.last_frame = None
        if last[1] != self.timestamp or self.pos - last[2] > self.unit_limit:
            return 0
        first = self.data[self.start + 4]
        picture = first >> 1 & 63 < 32 if self.hevc else 1 <= first & 31 <= 5
        if picture and not self.data[self.start + 4 + self.fu_at] & 0x80 and where < len(frames) and frames[where] is last:
            del frames[where]
            self.start = last[2]
            self.flags |= last[4]
            self.settle_limit()
        return 0

    def tear(self) -> int:
        """A fragment is missing: the NAL unit that it belonged to goes whole."""
        if self.fu_start >= 0:
            self.pos = self.fu_start
            self.fu_start = self.fu_first = -1
        self.flags |= flags.DAMAGED
        return 0

    def finish(self, frames: Frames) -> int:
        """A unit without a picture waits for the next one."""
        self.end_fragments()
        if self.skip:
            self.skip = False
        elif self.vcl:
            self.reopen(frames)
            self.emit(self.timestamp, frames)
            self.nals = 0
            self.vcl = False
        elif self.pos - self.start > MAX_LEAD_BYTES:
            self.drop()
            self.skip = False
        return 0

    def drop(self) -> int:
        """What is left of a unit above a bound is passed over."""
        Track.drop(self)
        self.fu_start = self.fu_first = -1
        self.nals = 0
        self.vcl = False
        self.skip = True
        return 0

    def shift(self, by: int) -> int:
        if self.fu_start >= 0:
            self.fu_start -= by
        return 0
