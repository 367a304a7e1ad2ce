"""Stub while receiving is put together."""

from __future__ import annotations

import socket

from ingest.rtp.engine import Track
from ingest.source import Frame


class UdpTrack:
    def __init__(self, index: int, track: Track, rtp: socket.socket, rtcp: socket.socket) -> None: ...

    def aim(self, peer: object, ports: tuple[int, int] | None) -> None: ...

    def receive(self, frames: list[Frame], control: list[tuple[int, bytes]], limit: int, mono_us: int) -> int:
        return 0

    def pace_us(self, rate: float) -> int:
        return 0

    def send_report(self, packet: bytes) -> None: ...

    def close(self) -> None: ...


def bind_pair(near: socket.socket) -> tuple[socket.socket, socket.socket]:
    raise OSError
