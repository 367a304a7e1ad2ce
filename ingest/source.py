"""What a worker needs of a source, whatever is behind it: RTSP, plain RTP, libav in another process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ingest.tracks import RecordedTrack
from vault.errors import SourceError

Frame = tuple[int, int, int, int, int]
"""A complete unit: track, RTP timestamp, offset and size in the track's arena, flags (`ingest.rtp.flags`)."""


@dataclass(frozen=True, slots=True)
class Report:
    """An RTCP sender report: the camera's wall clock (UTC µs) at an RTP timestamp of a track.

    `is_wall` False: some clock that the tracks have in common, such as a container's. It bonds them and says no time of day.
    """

    track: int
    ntp_us: int
    timestamp: int
    is_wall: bool = True


class Source(Protocol):
    """One connection to one camera. Nothing here blocks, and everything is called from the sweep thread."""

    @property
    def playing(self) -> bool:
        """Whether media may arrive: then `tracks` is complete and `sweep` is to be called."""
        ...

    @property
    def tracks(self) -> Sequence[RecordedTrack]:
        """The tracks in the order of frames' track numbers; empty until `playing`."""
        ...

    @property
    def failure(self) -> SourceError | None:
        """Why the connection is over, None while it is not."""
        ...

    @property
    def lost_packets(self) -> int: ...

    def service(self, mono_us: int) -> None:
        """Go on with the handshake or the keep-alive: called each tick while not playing, each second or two afterwards."""
        ...

    def carried(self) -> Sequence[int]:
        """Bytes of partial units that each track will put at the head of its next arena."""
        ...

    def sweep(self, arenas: Sequence[bytearray], frames: list[Frame], limit_bytes: int, mono_us: int) -> int:
        """Read what is there, at most about `limit_bytes`, and append complete units. Returns bytes read.

        Less than `limit_bytes` means that the socket is empty.
        """
        ...

    def reports(self) -> Sequence[Report]:
        """Sender reports since the last call."""
        ...

    def pace_us(self, wanted_us: int) -> int:
        """How long the next sweep may wait without a buffer running over, at most `wanted_us`."""
        ...

    def close(self) -> None:
        """Say good-bye as far as that does not block, and let go of everything."""
        ...
