"""Where a listener's media leaves: its TCP connection with a bounded backlog, or the server's UDP sockets."""

from __future__ import annotations

import socket
import struct
from collections import deque

from ingest.simulate.volley import Run
from vault.errors import SourceError

_UDP_SEGMENT = 103
"""From linux/udp.h; Python's socket module has no name for it."""


class Backlog:
    """Bytes on their way through one non-blocking TCP socket; what the kernel does not take waits, up to a limit."""

    def __init__(self, sock: socket.socket, limit_bytes: int) -> None:
        self._sock = sock
        self._limit_bytes = limit_bytes
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = 0

    @property
    def empty(self) -> bool:
        return not self._waiting

    def send(self, data: bytes) -> None:
        """Send or keep. Raises SourceError when the client has not read for too long, or has gone."""
        if not self._waiting:
            sent = self._try(memoryview(data))
            if sent == len(data):
                return
            rest = memoryview(data)[sent:]
        else:
            rest = memoryview(data)
        self._waiting.append(rest)
        self._waiting_bytes += len(rest)
        if self._waiting_bytes > self._limit_bytes:
            raise SourceError(f"the client has left {self._waiting_bytes} bytes unread")

    def drain(self) -> None:
        """The socket takes more: go on. Raises SourceError when the client has gone."""
        while self._waiting:
            first = self._waiting[0]
            sent = self._try(first)
            self._waiting_bytes -= sent
            if sent < len(first):
                self._waiting[0] = first[sent:]
                return
            self._waiting.popleft()

    def _try(self, data: memoryview) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise SourceError(f"the client has gone: {error.strerror}") from error


class DatagramPair:
    """The server's pair of UDP sockets, RTP on an even port and RTCP on the next, one for all listeners."""

    def __init__(self, host: str) -> None:
        self.rtp, self.rtcp = _bind_pair(host)
        self.ports = (self.rtp.getsockname()[1], self.rtcp.getsockname()[1])
        self._segments = True

    def send_run(self, run: Run, address: tuple[str, int]) -> None:
        """Send datagrams; one system call where the kernel cuts them up. A full or refusing peer loses them, as in a network."""
        packets, size = run
        if self._segments and len(packets) > 1:
            try:
                self.rtp.sendmsg(packets, [(socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("=H", size))], 0, address)
                return
            except BlockingIOError:
                return
            except OSError:
                # No offload on this kernel or this route: one call a packet from here on.
                self._segments = False
        for packet in packets:
            self.send(packet, address)

    def send(self, packet: bytes | memoryview, address: tuple[str, int]) -> None:
        _send_one(self.rtp, packet, address)

    def send_control(self, packet: bytes, address: tuple[str, int]) -> None:
        _send_one(self.rtcp, packet, address)

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


def _send_one(sock: socket.socket, packet: bytes | memoryview, address: tuple[str, int]) -> None:
    try:
        sock.sendto(packet, address)
    except OSError:
        return


def _bind_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """An even port and the one above (RFC 3550 §11)."""
    for _ in range(100):
        first = _udp(host, 0)
        port = first.getsockname()[1]
        first.close()
        even = port & ~1
        pair: list[socket.socket] = []
        try:
            pair.append(_udp(host, even))
            pair.append(_udp(host, even + 1))
        except OSError:
            for sock in pair:
                sock.close()
            continue
        return pair[0], pair[1]
    raise SourceError(f"no two neighbouring UDP ports are free on {host}")


def _udp(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
