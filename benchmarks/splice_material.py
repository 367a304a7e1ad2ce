"""Segments for the splice benchmarks: minutes of 1080p at 4 Mbit/s with AAC, whose payload is noise or a hole in the file.

Not a benchmark itself. Nothing here decodes: a splice never looks into samples.
"""

from __future__ import annotations

import os
from pathlib import Path

from vault.ids import CameraNumber, SegmentKey
from vault.media import Codec, SegmentFlag, SegmentHead, SegmentInfo, TrackParams
from vault.segment.build import SegmentBuilder, TrackRun
from vault.segment.params import aac_params, video_params

SPS = bytes.fromhex("674d0028eca03c0113f2e02d4040405000003e90000ea60e8c000f4240003d093bcb8280")
PPS = bytes.fromhex("68ee3c80")
START_US = 1_795_000_000_000_000
MINUTE_US = 60_000_000
FRAGMENT_S = 0.5
_KEY_BYTES, _OTHER_BYTES, _AUDIO_BYTES = 80_000, 17_500, 170


def tracks(sound: bool) -> list[TrackParams]:
    video = video_params(Codec.H264, (SPS, PPS))
    return [video, aac_params(bytes.fromhex("1190"))] if sound else [video]


def minute_key(number: int) -> SegmentKey:
    return SegmentKey(CameraNumber(990100001), START_US + number * MINUTE_US, 1, number)


def write_minute(path: Path, number: int, *, sound: bool, rate_ppm: float, jitter: int, noise: bytes = b"") -> None:
    """One closed segment. Without `noise` its samples are a hole, so that a day of them costs megabytes.

    `jitter`: frames are up to so many ticks off the 25 fps grid. Raises OSError.
    """
    head = SegmentHead(minute_key(number), "cam-1", rate_ppm, None, SegmentFlag.NONE)
    builder = SegmentBuilder(head, tracks(sound))
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.pwrite(fd, builder.opening(), 0)
        for turn in range(int(60 / FRAGMENT_S)):
            first, last = round(turn * FRAGMENT_S * 25), round((turn + 1) * FRAGMENT_S * 25)
            dts = [n * 3600 + (n * 37 + number) % (jitter + 1) for n in range(first, last)]
            sizes = [_KEY_BYTES if n % 50 == 0 else _OTHER_BYTES for n in range(first, last)]
            runs = [TrackRun(0, dts, None, sizes, [n % 50 == 0 for n in range(first, last)])]
            if sound:
                first, last = round(turn * FRAGMENT_S * 46.875), round((turn + 1) * FRAGMENT_S * 46.875)
                runs.append(TrackRun(1, [n * 1024 for n in range(first, last)], None, [_AUDIO_BYTES] * (last - first), None))
            before = builder.size_bytes
            data = builder.fragment(runs)
            payload = sum(sum(run.sizes) for run in runs)
            os.pwrite(fd, data + noise[:payload], before)
        end_us = head.key.start_us + MINUTE_US
        info = SegmentInfo(head, end_us, end_us, "default", 0, SegmentFlag.NONE)
        at = builder.size_bytes
        os.pwrite(fd, builder.closing(info, [60 * 90_000, round(60 * 46.875) * 1024][: 1 + sound]), at)
        offset, header = builder.mdat_header()
        os.pwrite(fd, header, offset)
    finally:
        os.close(fd)
