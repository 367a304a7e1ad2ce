"""Whole segments made of real streams: what a recorder would have written. For tests of the segment, the splice and the store."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.streams import AccessUnit, AudioStream, parameter_sets
from vault.ids import CameraNumber, SegmentKey
from vault.media import Codec, GapBefore, SegmentFlag, SegmentHead, SegmentInfo, TrackParams
from vault.segment.build import SegmentBuilder, TrackRun
from vault.segment.params import aac_params, video_params
from vault.segment.read import utc_of

START_US = 1_795_000_000_000_000


@dataclass(frozen=True, slots=True)
class Track:
    """A track and its samples in decode order. `cts` and `sync` as in `TrackRun`."""

    params: TrackParams
    dts: list[int]
    cts: list[int] | None
    samples: list[bytes]
    sync: list[bool] | None
    end_dts: int


def video_track(units: Sequence[AccessUnit], codec: Codec = Codec.H264, *, fps: int = 25) -> Track:
    """Access units as a track: dts are the sorted presentation times."""
    dts = sorted(unit.pts_90k for unit in units)
    cts = [unit.pts_90k - at for unit, at in zip(units, dts, strict=True)]
    params = video_params(codec, parameter_sets(units[0], h265=codec is Codec.H265))
    sync = [unit.key for unit in units]
    return Track(params, dts, cts if any(cts) else None, [unit.sample for unit in units], sync, dts[-1] + 90_000 // fps)


def audio_track(stream: AudioStream, codec: Codec = Codec.AAC, *, first_dts: int = 0) -> Track:
    """Frames of audio as a track that begins `first_dts` ticks late."""
    params = aac_params(stream.config) if codec is Codec.AAC else TrackParams(codec, stream.rate, channels=stream.channels)
    dts = [first_dts + frame.pts for frame in stream.frames]
    return Track(params, dts, None, [f.data for f in stream.frames], None, dts[-1] + stream.frames[-1].samples)


def opaque_track(payloads: Sequence[bytes], *, name: str = "vnd.example/90000", step: int = 3600) -> Track:
    """Payloads as an opaque track, one a sample."""
    samples = [len(payload).to_bytes(2, "big") + payload for payload in payloads]
    dts = [index * step for index in range(len(samples))]
    return Track(TrackParams(Codec.OPAQUE, 90_000, name=name), dts, None, samples, None, len(samples) * step)


def make_head(
    *,
    start_us: int = START_US,
    camera: int = 990100001,
    sequence: int = 0,
    rate_ppm: float = 0.0,
    gap_before: GapBefore | None = None,
    flags: SegmentFlag = SegmentFlag.NONE,
) -> SegmentHead:
    return SegmentHead(SegmentKey(CameraNumber(camera), start_us, 1, sequence), "cam-1", rate_ppm, gap_before, flags)


@dataclass(slots=True)
class Written:
    """A segment's bytes by part, so that a test can put them on disk in any state."""

    head: SegmentHead
    info: SegmentInfo
    tracks: list[Track]
    opening: bytes
    fragments: list[bytes]
    closing: bytes
    header_at: int
    header: bytes

    @property
    def open_bytes(self) -> bytes:
        """While recording: the opening and all fragments."""
        return self.opening + b"".join(self.fragments)

    @property
    def closing_bytes(self) -> bytes:
        """The closing appended, the header not yet overwritten."""
        return self.open_bytes + self.closing

    @property
    def closed_bytes(self) -> bytes:
        data = self.closing_bytes
        return data[: self.header_at] + self.header + data[self.header_at + len(self.header) :]


def make_segment(tracks: list[Track], *, head: SegmentHead | None = None, fragment_seconds: float = 0.5) -> Written:
    """A segment with a fragment each `fragment_seconds` and at each key frame."""
    head = head or make_head()
    builder = SegmentBuilder(head, [track.params for track in tracks])
    opening = builder.opening()
    fragments = []
    for start, end in _fragment_bounds(tracks, fragment_seconds):
        runs, payload = [], []
        for index, track in enumerate(tracks):
            scale = track.params.timescale
            a, b = (bisect.bisect_left(track.dts, edge, key=lambda at, scale=scale: at / scale) for edge in (start, end))
            if a < b:
                cts = track.cts[a:b] if track.cts else None
                sync = track.sync[a:b] if track.sync else None
                runs.append(TrackRun(index, track.dts[a:b], cts, [len(s) for s in track.samples[a:b]], sync))
                payload += track.samples[a:b]
        if runs:
            fragments.append(builder.fragment(runs) + b"".join(payload))
    shown = next((track for track in tracks if track.params.codec.is_video), tracks[0])
    end_us = utc_of(head, shown.end_dts, shown.params.timescale)
    info = SegmentInfo(head, end_us, end_us + 2_000_000, "default", end_us + 30 * 86_400_000_000, head.flags, -1500)
    closing = builder.closing(info, [track.end_dts for track in tracks])
    header_at, header = builder.mdat_header()
    return Written(head, info, tracks, opening, fragments, closing, header_at, header)


def write_closed(path: Path, tracks: list[Track], *, head: SegmentHead | None = None) -> Written:
    """A closed segment on disk."""
    written = make_segment(tracks, head=head)
    path.write_bytes(written.closed_bytes)
    return written


def _fragment_bounds(tracks: list[Track], seconds: float) -> list[tuple[float, float]]:
    """Half-open stretches of media time, split at key frames too."""
    last = max(track.end_dts / track.params.timescale for track in tracks)
    cuts = {index * seconds for index in range(int(last / seconds) + 1)}
    for track in tracks:
        if track.sync:
            cuts |= {at / track.params.timescale for at, key in zip(track.dts, track.sync, strict=True) if key}
    edges = [*sorted(cuts), last + 1]
    return list(itertools.pairwise(edges))
