"""One track's datagram sockets: bound, read in sweeps, put in order. Nothing here blocks."""

from __future__ import annotations

import contextlib
import socket

from ingest.rtp.datagrams import MAX_READ_BYTES, Prepared, prepare, read
from ingest.rtp.engine import Track
from ingest.rtp.reorder import ReorderBuffer
from ingest.source import Frame
from vault.errors import SourceError

MAX_READS = 4096
"""Calls that one sweep makes at most: a flood must not hold up the other cameras."""

TRUESIZE = 2
"""A datagram takes about twice its bytes of the kernel's buffer, its bookkeeping included; fewer where they are joined."""

_buffer = bytearray(MAX_READ_BYTES)
_view = memoryview(_buffer)


def bind_pair(near: socket.socket) -> tuple[socket.socket, socket.socket]:
    """An even port for RTP and the odd one above it for RTCP (RFC 3550 §11), on the address that `near` uses.

    Raises SourceError when no pair is free.
    """
    host = near.getsockname()[0]
    for _ in range(64):
        rtp = socket.socket(near.family, socket.SOCK_DGRAM)
        rtcp = socket.socket(near.family, socket.SOCK_DGRAM)
        try:
            rtp.bind((host, 0))
            port = rtp.getsockname()[1]
            if port % 2 == 0 and port < 65535:
                rtcp.bind((host, port + 1))
                return rtp, rtcp
        except OSError:
            pass
        rtp.close()
        rtcp.close()
    raise SourceError("no free pair of UDP ports to receive on: too many are in use")


class UdpTrack:
    """RTP and RTCP sockets of one track. Packets from another host than `aim` named are dropped and counted."""

    def __init__(self, index: int, track: Track, rtp: socket.socket, rtcp: socket.socket | None) -> None:
        self._index = index
        self._rtp = rtp
        self._rtcp = rtcp
        self._order = ReorderBuffer(track)
        self._granted: Prepared = prepare(rtp)
        if rtcp is not None:
            rtcp.setblocking(False)
        self._host: str | None = None
        self._report_to: tuple[str, int] | None = None
        self.strangers = 0

    @property
    def buffer_bytes(self) -> int:
        """What the kernel granted."""
        return self._granted.buffer_bytes

    def aim(self, peer: tuple[str, int], ports: tuple[int, int] | None) -> None:
        """Take packets from this host only. Sends a little to its ports, so that a firewall on the way lets the answer in."""
        self._host = peer[0]
        if ports is None:
            return
        self._report_to = (peer[0], ports[1])
        with contextlib.suppress(OSError):
            self._rtp.sendto(b"\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", (peer[0], ports[0]))

    def receive(self, frames: list[Frame], control: list[tuple[int, bytes]], limit_bytes: int, mono_us: int) -> int:
        """Read what is there, at most about `limit_bytes`; RTCP goes to `control` with the track's number. Bytes read.

        Raises SourceError when the socket fails.
        """
        count = 0
        try:
            for _ in range(MAX_READS):
                got = read(self._rtp, _view)
                if got is None:
                    break
                if self._host is not None and got.address[0] != self._host:
                    self.strangers += 1
                    continue
                count += got.size_bytes
                self._order.push_joined(_buffer, 0, got.size_bytes, got.step_bytes, frames, mono_us)
                if count >= limit_bytes:
                    break
            self._order.flush(frames, mono_us)
            while self._rtcp is not None and len(control) < 64:
                try:
                    packet, address = self._rtcp.recvfrom(2048)
                except ConnectionRefusedError:
                    continue
                except (BlockingIOError, InterruptedError):
                    break
                if self._host is None or address[0] == self._host:
                    control.append((self._index, packet))
        except OSError as error:
            raise SourceError(f"the UDP socket failed: {error.strerror or error}") from error
        return count

    def pace_us(self, bytes_per_second: float) -> int:
        """How long until a quarter of the kernel's buffer is full at this rate."""
        if bytes_per_second <= 0:
            return 200_000
        return max(20_000, int(self._granted.buffer_bytes / TRUESIZE / 4 / bytes_per_second * 1e6))

    def send_report(self, packet: bytes) -> None:
        if self._rtcp is not None and self._report_to is not None:
            with contextlib.suppress(OSError):
                self._rtcp.sendto(packet, self._report_to)

    def close(self) -> None:
        self._rtp.close()
        if self._rtcp is not None:
            self._rtcp.close()
