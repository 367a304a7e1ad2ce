"""What a track is made of: codec, parameter sets, and the tables of a segment's samples. Values only, no parsing."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vault.ids import SegmentKey
from vault.timebase import Interval

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
UInt32s = npt.NDArray[np.uint32]
Bools = npt.NDArray[np.bool_]


class Codec(enum.StrEnum):
    """How a track's samples are coded. OPAQUE is bytes we keep and do not understand."""

    H264 = "h264"
    H265 = "h265"
    AAC = "aac"
    ALAW = "alaw"
    ULAW = "ulaw"
    OPAQUE = "opaque"

    @property
    def is_video(self) -> bool:
        return self in (Codec.H264, Codec.H265)

    @property
    def is_audio(self) -> bool:
        return self in (Codec.AAC, Codec.ALAW, Codec.ULAW)


@dataclass(frozen=True, slots=True)
class TrackParams:
    """One track's sample description.

    `timescale`: ticks a second of its times: 90,000 for video, the sample rate for audio, the RTP clock for opaque.
    `sets`: video: parameter-set NAL units without start code or length, in the order VPS, SPS, PPS;
            AAC: one item, the AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1); else empty.
    `width`, `height`: of the picture after cropping, video only. `channels`: audio only.
    `name`: opaque only: encoding name and fmtp as the SDP gave them, at most 1,024 characters.
    A video sample is NAL units, each behind its length as 4 bytes big-endian. An opaque sample is RTP payloads of one
    timestamp, each behind its length as 2 bytes big-endian (the framing of RFC 4571).
    """

    codec: Codec
    timescale: int
    sets: tuple[bytes, ...] = ()
    width: int = 0
    height: int = 0
    channels: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Chunks:
    """Where a track's samples lie one behind the other, as long as possible: arrays of one length, in decode order.

    `first`: number of the stretch's first sample, from 0. `begin`, `end`: its bytes in the file; no stretch begins where the one
    before it ends.
    """

    first: Int64s
    begin: Int64s
    end: Int64s

    @classmethod
    def of(cls, offset: Int64s, size: UInt32s) -> Chunks:
        """From where each sample begins, and its bytes."""
        ends = offset + size
        breaks = np.flatnonzero(offset[1:] != ends[:-1])
        first = np.concatenate((np.zeros(min(len(offset), 1), np.int64), breaks + 1))
        return cls(first, offset[first], np.concatenate((ends[breaks], ends[-1:])))


@dataclass(frozen=True, slots=True, eq=False)
class TrackTable:
    """Where a track's samples lie in one segment, in decode order; all arrays have the same length.

    `dts`: decode time, ticks of `params.timescale` since the segment's start instant; strictly rising. May begin above 0
           (audio) and never below.
    `cts`: composition offset, signed (presentation = dts + cts), or None when every one is 0.
    `size`: bytes; `chunks`: where in the file they lie. `sync`: which samples are random access points.
    `end_dts`: where the last sample ends.
    """

    params: TrackParams
    dts: Int64s
    cts: Int32s | None
    size: UInt32s
    chunks: Chunks
    sync: Bools
    end_dts: int

    @property
    def offset(self) -> Int64s:
        """Where in the file each sample begins. Worked out at each call, since a long clip needs it of its ends only."""
        chunks, before = self.chunks, self.size.cumsum(dtype=np.int64)
        before -= self.size
        offset: Int64s = (chunks.begin - before[chunks.first]).repeat(np.diff(chunks.first, append=len(self.size)))
        offset += before
        return offset


class SegmentFlag(enum.IntFlag):
    """What a reader must know about a segment at a glance."""

    NONE = 0
    CONTINUES = 1
    """It does not begin with a random access point: it continues what came before."""
    RECOVERED = 2
    """Closed by recovery, not by the recorder."""
    DAMAGED_INPUT = 4
    """RTP packets were missing in what it was made from."""
    CLOCK_UNCONFIRMED = 8
    """Closed while the host clock was not confirmed, or recorded while it was ahead. In doubt `min_until_us` was unknown (0), which
    means keep; its days count from the moment at which the clock was confirmed, else from its close."""
    CLOSED_NEXT_DAY = 16
    """Closed on the local day after the one it ended on; its days count from then."""
    CLOSED_LATER = 32
    """Closed later than that."""


@dataclass(frozen=True, slots=True)
class GapBefore:
    """Why nothing was recorded from `start_us` to the segment's own start."""

    start_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """What is known when a segment is opened; stands in the private box at the head of the open file.

    UTC of a media instant t seconds after the segment's start = `key.start_us + t * (1e6 + rate_ppm)`, `rate_ppm` within ±500.
    """

    key: SegmentKey
    camera_id: str
    rate_ppm: float
    gap_before: GapBefore | None
    flags: SegmentFlag


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """A segment's private box after close: the head, its end (where the next access unit begins), and what close fixed.

    `min_until_us` 0 is unknown: keep. `site_class` is the retention class at close.
    `clock_offset_us`: the camera's own clock (RTCP SR) minus ours, or None when the camera gave none.
    """

    head: SegmentHead
    end_us: int
    closed_us: int
    site_class: str
    min_until_us: int
    flags: SegmentFlag
    clock_offset_us: int | None = None

    @property
    def interval(self) -> Interval:
        return Interval(self.head.key.start_us, self.end_us)


@dataclass(frozen=True, slots=True, eq=False)
class SegmentTable:
    """Everything a reader needs of one segment but the samples' bytes. `file_size` is the valid length in bytes."""

    info: SegmentInfo
    tracks: tuple[TrackTable, ...]
    file_size: int

    @property
    def video(self) -> TrackTable | None:
        for track in self.tracks:
            if track.params.codec.is_video:
                return track
        return None
