"""The common case of the recorder in one loop: pictures in order, no gap, no cut, nothing to look at but where they lie.

What is out of the ordinary ends the stretch and is the recorder's to decide. Import it from `ingest.rtp.engine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.rtp.octets import Frames


def stretch(
    frames: Frames,
    at: int,
    master: int,
    media: int,
    wrapped: int,
    least_step: int,
    most_step: int,
    limit: int,
    others: Frames,
    ticks: list[int],
    sizes: list[int],
    spans: list[tuple[int, int]],
) -> int:
    """Takes units of the track `master` from `frames[at:]` on; the index of the first that is not ordinary.

    Ordinary is a unit without flags, before `limit`, whose timestamp lies over `least_step` and under `most_step` ticks behind the
    one before.
    `media`, `wrapped`: the media time of the unit before the first, and the 32 bits of its timestamp. To `ticks` go the media
    times, to `sizes` the bytes, to `spans` where they lie in the arena, neighbours as one; frames of other tracks go to `others`.
    """
    stop = len(frames)
    begin = end = 0
    while at < stop:
        frame = frames[at]
        index, timestamp, offset, size, flags = frame
        if index != master:
            others.append(frame)
            at += 1
            continue
        step = (timestamp - wrapped) & 0xFFFFFFFF
        if flags or step <= least_step or step >= most_step or media + step >= limit:
            break
        media += step
        wrapped = timestamp
        ticks.append(media)
        sizes.append(size)
        if offset != end or not end:
            if end:
                spans.append((begin, end))
            begin = offset
        end = offset + size
        at += 1
    if end:
        spans.append((begin, end))
    return at
