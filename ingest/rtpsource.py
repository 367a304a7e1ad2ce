"""What RTSP and plain RTP have in common as sources: tracks that take RTP apart, sweeps over them, reports and rates.

How the packets come is in `ingest.rtspsource` and `ingest.plainrtp`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ingest.rtcpduty import RtcpDuty
from ingest.rtp.engine import Track
from ingest.rtp.tracks import MadeTrack
from ingest.source import Frame, Report
from ingest.tracks import RecordedTrack
from ingest.udp import UdpTrack
from vault.errors import SourceError


class RtpSource:
    """The half of `ingest.source.Source` that does not depend on how packets come."""

    def __init__(self, mono_us: int) -> None:
        self._media: list[Track] = []
        self._recorded: list[RecordedTrack] = []
        self._udp: dict[int, UdpTrack] = {}
        self._datagrams: list[tuple[int, bytes]] = []
        self._reports: list[Report] = []
        self._duty = RtcpDuty()
        self._rate_bytes = 0.0
        self._swept_us = mono_us
        self.playing = False
        self.failure: SourceError | None = None

    @property
    def tracks(self) -> Sequence[RecordedTrack]:
        return self._recorded

    @property
    def lost_packets(self) -> int:
        return sum(track.lost for track in self._media)

    def carried(self) -> Sequence[int]:
        return [track.carried_bytes for track in self._media]

    def reports(self) -> Sequence[Report]:
        reports, self._reports = self._reports, []
        return reports

    def _add_track(self, made: MadeTrack) -> None:
        self._media.append(made.track)
        self._recorded.append(RecordedTrack(made.codec, made.clock_rate, made.params))

    def sweep(self, arenas: Sequence[bytearray], frames: list[Frame], limit_bytes: int, mono_us: int) -> int:
        media = self._media
        for track, arena in zip(media, arenas, strict=True):
            track.begin(arena)
        count = 0
        try:
            for udp in self._udp.values():
                count += udp.receive(frames, self._datagrams, limit_bytes, mono_us)
            count += self._sweep_stream(frames, limit_bytes, mono_us)
        except SourceError as error:
            self.failure = error
        finally:
            for track in media:
                track.carry()
        for recorded, track in zip(self._recorded, media, strict=True):
            recorded.lost_packets = track.lost
        if count:
            self._duty.swept(media, mono_us)
        self._take_control(mono_us)
        elapsed_us = mono_us - self._swept_us
        if elapsed_us > 0:
            self._rate_bytes = 0.7 * self._rate_bytes + 0.3 * count * 1e6 / elapsed_us
            self._swept_us = mono_us
        return count

    def _sweep_stream(self, frames: list[Frame], limit_bytes: int, mono_us: int) -> int:
        """What comes by a connection and not by datagrams: bytes read."""
        return 0

    def _take_control(self, mono_us: int) -> None:
        """RTCP of the sweep."""
        if self._datagrams:
            datagrams, self._datagrams = self._datagrams, []
            for index, packet in datagrams:
                if index < len(self._media):
                    self._reports += self._duty.received(index, packet, mono_us)

    def pace_us(self, wanted_us: int) -> int:
        """A datagram socket's buffer runs over."""
        for udp in self._udp.values():
            wanted_us = udp.pace_us(self._rate_bytes, wanted_us)
        return wanted_us
