"""Reading RTP datagrams from a socket, several a call where the kernel joins them (UDP_GRO). No parsing, no waiting."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass

WANTED_BUFFER_BYTES = 4 << 20
MAX_READ_BYTES = 65_536
"""The most one call can bring: 64 datagrams joined, or a single one."""

_SO_RCVBUFFORCE = 33
_SOL_UDP = 17
_UDP_GRO = 104
_ANCILLARY_BYTES = socket.CMSG_SPACE(4)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a socket was granted. `buffer_bytes` counts the kernel's bookkeeping too: half of it is for packets."""

    buffer_bytes: int
    joins: bool


@dataclass(frozen=True, slots=True)
class Read:
    """`size_bytes` stand at the head of the buffer: datagrams of `step_bytes` each, the last one maybe shorter."""

    size_bytes: int
    step_bytes: int
    address: tuple[str, int]


def prepare(sock: socket.socket, wanted_bytes: int = WANTED_BUFFER_BYTES) -> Prepared:
    """Make a datagram socket non-blocking, ask for a large receive buffer and for joined datagrams; says what it got."""
    sock.setblocking(False)
    try:
        # With CAP_NET_ADMIN this one goes beyond net.core.rmem_max, where the other is cut short without a word.
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, wanted_bytes)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted_bytes)
    granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    try:
        sock.setsockopt(_SOL_UDP, _UDP_GRO, 1)
    except OSError:
        return Prepared(granted, False)
    return Prepared(granted, True)


def read(sock: socket.socket, view: memoryview) -> Read | None:
    """One call into `view` (at least MAX_READ_BYTES of it); None when nothing is there.

    Raises OSError as the socket does; an ICMP "port unreachable" of the peer (ConnectionRefusedError) is None.
    """
    try:
        size, ancillary, flags, address = sock.recvmsg_into([view], _ANCILLARY_BYTES)
    except (BlockingIOError, InterruptedError, ConnectionRefusedError):
        return None
    step = size
    for level, kind, value in ancillary:
        if level == _SOL_UDP and kind == _UDP_GRO and len(value) >= 2:
            step = int.from_bytes(value[:4], sys.byteorder) or size
    if flags & socket.MSG_TRUNC:
        # Larger than any datagram we asked for: what was cut off cannot be used.
        size = step = 0
    return Read(size, max(step, 1), (address[0], address[1]))
