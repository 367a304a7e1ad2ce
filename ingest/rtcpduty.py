"""Stub while receiving is put together."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.rtp.engine import Track
from ingest.source import Report


class RtcpDuty:
    def received(self, index: int, packet: bytes, now_us: int) -> list[Report]:
        return []

    def due(self, tracks: Sequence[Track], mono_us: int) -> list[tuple[int, bytes]]:
        return []
