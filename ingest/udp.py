"""One track's datagram sockets: bound, read in sweeps, put in order. Nothing here blocks."""

from __future__ import annotations

import contextlib
import socket

from ingest.rtp.datagrams import MAX_READ_BYTES, Prepared, Read, prepare, read
from ingest.rtp.engine import Track
from ingest.rtp.reorder import ReorderBuffer
from ingest.source import Frame
from vault.errors import SourceError
from vault.logs import Log

log = Log("ingest.udp")

MAX_READS = 4096
"""Calls that one sweep makes at most: a flood must not hold up the other cameras."""

TRUESIZE = 2
"""A datagram takes about twice its bytes of the kernel's buffer, its bookkeeping included; fewer where they are joined."""

FIRST_PACE_US = 200_000
"""Between sweeps while the rate is not known."""

MIN_PACE_US = 20_000

MAX_CONTROL = 64
"""RTCP packets of one sweep and track; more are a flood and stay in the kernel."""

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
    """RTP and RTCP sockets of one track. Packets from another host than the sender's are dropped and counted.

    The sender is whom `aim` names; with `keep_first` the host that the first packet came from, until then nobody is dropped.
    """

    def __init__(
        self,
        index: int,
        track: Track,
        rtp: socket.socket,
        rtcp: socket.socket | None,
        *,
        keep_first: bool = False,
        muxed: bool = False,
        shown: str = "",
    ) -> None:
        """`muxed`: RTCP comes on the RTP socket too (RFC 5761). `shown`: the camera in a log line."""
        self._index = index
        self._track = track
        self._rtp = rtp
        self._rtcp = rtcp
        self._order = ReorderBuffer(track)
        self._granted: Prepared = prepare(rtp)
        if rtcp is not None:
            rtcp.setblocking(False)
        self._host: str | None = None
        self._keep_first = keep_first
        self._muxed = muxed
        self._shown = shown
        self._report_to: tuple[str, int] | None = None
        self._told = False

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

    def report_to(self, address: tuple[str, int]) -> None:
        """Where receiver reports go; without it, to where sender reports come from."""
        self._report_to = address

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
                if got.address[0] != self._host and not self._admits(got.address[0], got.size_bytes):
                    continue
                count += got.size_bytes
                if self._muxed:
                    self._take_apart(got, frames, control, mono_us)
                else:
                    self._order.push_joined(_buffer, 0, got.size_bytes, got.step_bytes, frames, mono_us)
                if count >= limit_bytes:
                    break
            self._order.flush(frames, mono_us)
            self._receive_control(control)
        except OSError as error:
            raise SourceError(f"the UDP socket failed: {error.strerror or error}") from error
        return count

    def _admits(self, host: str, size_bytes: int) -> bool:
        """Whether a packet from another host than the known one is taken."""
        if self._host is not None:
            # The scope behind a link-local address is ours, not the sender's.
            return "%" in host and host.partition("%")[0] == self._host
        if self._keep_first and is_rtp_of(_buffer, size_bytes, self._track.payload_type):
            self._host = host
        return True

    def _take_apart(self, got: Read, frames: list[Frame], control: list[tuple[int, bytes]], mono_us: int) -> None:
        """RTP and RTCP of one socket, told apart by the second byte (RFC 5761 §4)."""
        for at in range(0, got.size_bytes, got.step_bytes):
            end = min(at + got.step_bytes, got.size_bytes)
            if end - at < 2 or not 192 <= _buffer[at + 1] <= 223:
                self._order.push(_buffer, at, end, frames, mono_us)
            elif len(control) < MAX_CONTROL:
                control.append((self._index, bytes(_view[at:end])))
                self._report_to = self._report_to or got.address

    def _receive_control(self, control: list[tuple[int, bytes]]) -> None:
        while self._rtcp is not None and len(control) < MAX_CONTROL:
            try:
                packet, address = self._rtcp.recvfrom(2048)
            except ConnectionRefusedError:
                continue
            except (BlockingIOError, InterruptedError):
                return
            if self._host is None or address[0].partition("%")[0] == self._host.partition("%")[0]:
                control.append((self._index, packet))
                self._report_to = self._report_to or (address[0], address[1])

    def pace_us(self, bytes_per_second: float, wanted_us: int) -> int:
        """How long until a quarter of the kernel's buffer is full at this rate, at most `wanted_us`.

        What makes a camera dearer than it need be is said once.
        """
        if bytes_per_second <= 0:
            return min(wanted_us, FIRST_PACE_US)
        bound_us = max(MIN_PACE_US, int(self._granted.buffer_bytes / TRUESIZE / 4 / bytes_per_second * 1e6))
        if bound_us < wanted_us and not self._told:
            self._told = True
            log.warning(
                "receive buffer forces faster sweeps",
                camera=self._shown,
                track=self._index,
                granted_bytes=self._granted.buffer_bytes,
                pace_ms=bound_us // 1000,
                wanted_ms=wanted_us // 1000,
                hint="raise net.core.rmem_max, or run with CAP_NET_ADMIN",
            )
        return min(wanted_us, bound_us)

    def send_report(self, packet: bytes) -> None:
        sock = self._rtp if self._muxed else self._rtcp
        if sock is not None and self._report_to is not None:
            with contextlib.suppress(OSError):
                sock.sendto(packet, self._report_to)

    def close(self) -> None:
        self._rtp.close()
        if self._rtcp is not None:
            self._rtcp.close()


def is_rtp_of(head: bytes | bytearray, size_bytes: int, payload_type: int) -> bool:
    """Whether a datagram looks like RTP (RFC 3550 §5.1) of this payload type, -1 being any; RTCP does not (RFC 5761 §4)."""
    if size_bytes < 12 or head[0] >> 6 != 2 or 192 <= head[1] <= 223:
        return False
    return payload_type < 0 or head[1] & 0x7F == payload_type
