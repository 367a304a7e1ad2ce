"""The loop over a receive buffer: interleaved frames of RTSP in place, and single datagrams. Nothing here does I/O.

Import its names from `ingest.rtp.engine`, which chooses between the compiled and the interpreted form.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from ingest.rtp.track import Track

if TYPE_CHECKING:
    from ingest.rtp.octets import Frames

MAX_CONTROL = 256
"""RTCP packets one walk hands on; more in one read are a hostile peer's and are dropped."""


class Channel(enum.Enum):
    """What a channel carries when it is not a track."""

    RTCP = "rtcp"


RTCP: Final = Channel.RTCP


def walk(
    buf: bytearray,
    start: int,
    end: int,
    channels: list[Track | Channel | None],
    frames: Frames,
    control: list[tuple[int, bytes]],
) -> int:
    """Walk the interleaved frames (RFC 2326 §10.12) of `buf[start:end]`; the number of bytes used.

    It stops at a frame that is not whole yet and at a byte that is not `$`, where an RTSP message begins. `channels` has
    256 entries: the track of an RTP channel, RTCP, or None for a channel to pass over. Complete access units go to
    `frames` as `Track` says, RTCP packets to `control` as `(channel, bytes)`. Raises ValueError for a range outside `buf`
    or another number of channels, never for what is in the bytes.
    """
    if not 0 <= start <= end <= len(buf) or len(channels) != 256:
        raise ValueError(f"cannot walk bytes {start} to {end} of {len(buf)} with {len(channels)} channels")
    data = buf
    at = start
    while at + 4 <= end and data[at] == 0x24:
        body = at + 4
        stop = body + (data[at + 2] << 8 | data[at + 3])
        if stop > end:
            break
        entry = channels[data[at + 1]]
        at = stop
        if entry is None:
            continue
        if entry is RTCP:
            if len(control) < MAX_CONTROL:
                control.append((buf[body - 3], bytes(buf[body:stop])))
            continue
        track = entry
        track.packet(data, body, stop, frames)
        at = track.middles(data, body - 4, stop, end)
    return at - start


def feed_datagram(track: Track, buf: bytearray | bytes, start: int, end: int, frames: Frames) -> None:
    """One RTP packet at `buf[start:end]`, as UDP brought it. Raises ValueError for a range outside `buf` only."""
    if not 0 <= start <= end <= len(buf):
        raise ValueError(f"there is no packet at bytes {start} to {end} of {len(buf)}")
    track.packet(buf, start, end, frames)


def feed_joined(track: Track, buf: bytearray, start: int, end: int, step: int, frames: Frames) -> int:
    """Datagrams of `step` bytes each, the last maybe shorter, as long as each follows the newest packet of the track.

    Where the first that does not follow begins, or `end`. Raises ValueError for a range outside `buf` or a step below 1.
    """
    if not 0 <= start <= end <= len(buf) or step < 1:
        raise ValueError(f"there are no packets of {step} bytes at bytes {start} to {end} of {len(buf)}")
    data = buf
    at = start
    while at + 12 <= end and step >= 12 and track.follows(data, at):
        stop = at + step
        if stop > end:
            stop = end
        track.packet(data, at, stop, frames)
        at = stop
    return at
