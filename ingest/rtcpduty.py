"""RTCP of one session: sender reports taken in, receiver reports due every five seconds (RFC 3550 §6.2). Sans-IO."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from ingest.rtp.engine import Track
from ingest.rtp.rtcp import Reception, SenderReport, build_receiver_report, parse_compound
from ingest.source import Report

INTERVAL_US = 5_000_000


class RtcpDuty:
    """Times are monotonic µs."""

    def __init__(self) -> None:
        self._ssrc = secrets.randbits(32)
        self._cname = f"streamvault-{secrets.token_hex(6)}"
        self._receptions: list[Reception] = []
        self._due_us = 0

    def begin(self, clock_rates: Sequence[int], mono_us: int) -> None:
        """The session's tracks play."""
        self._receptions = [Reception(rate) for rate in clock_rates]
        self._due_us = mono_us + INTERVAL_US

    def swept(self, tracks: Sequence[Track], mono_us: int) -> None:
        """After a sweep that brought something."""
        for track, reception in zip(tracks, self._receptions, strict=True):
            reception.swept(track, mono_us)

    def received(self, index: int, packet: bytes, mono_us: int) -> list[Report]:
        """One RTCP packet of a track: the sender reports in it that name a wall clock."""
        out: list[Report] = []
        for item in parse_compound(packet):
            if isinstance(item, SenderReport) and index < len(self._receptions):
                self._receptions[index].reported(item, mono_us)
                if item.utc_us is not None:
                    out.append(Report(index, item.utc_us, item.timestamp))
        return out

    def due(self, tracks: Sequence[Track], mono_us: int) -> list[tuple[int, bytes]]:
        """Receiver reports to send now, one for each track that has received anything."""
        if not self._receptions or mono_us < self._due_us:
            return []
        self._due_us = mono_us + INTERVAL_US
        return [
            (index, build_receiver_report(self._ssrc, [self._receptions[index].block(track, mono_us)], self._cname))
            for index, track in enumerate(tracks)
            if track.started
        ]
