"""Joining and leaving groups on a datagram socket, IPv4 and IPv6 alike (RFC 3376, RFC 3810, RFC 3678). Nothing here blocks.

Reading from the socket is in `ingest.udp`.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import socket
import struct

from vault.errors import SourceError, SourceRefused

# Linux; Python's socket module lacks most of them (linux/in.h, linux/in6.h).
_MCAST_JOIN_GROUP = 42
_MCAST_JOIN_SOURCE_GROUP = 46
_IP_MULTICAST_ALL = 49
_IPV6_MULTICAST_ALL = 29
_SIOCGIFADDR = 0x8915


def interface_index(name: str) -> int:
    """The index of an interface by its name or by its IPv4 address; 0, which is the routing table's choice, for none.

    Raises SourceRefused when there is no such interface.
    """
    if not name:
        return 0
    with contextlib.suppress(OSError):
        return socket.if_nametoindex(name)
    with contextlib.suppress(ValueError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        wanted = ipaddress.IPv4Address(name).packed
        for index, known in socket.if_nameindex():
            with contextlib.suppress(OSError):
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("16s24x", known.encode()[:15]))
                if answer[20:24] == wanted:
                    return index
    known_names = ", ".join(known for _, known in socket.if_nameindex())
    raise SourceRefused(f"this machine has no interface {name[:40]!r}: it has {known_names}")


def join(sock: socket.socket, group: str, source: str, index: int) -> None:
    """Take what is sent to `group` on interface `index`, from `source` only when it is given (RFC 4607).

    Raises SourceError when the kernel does not join.
    """
    level = socket.IPPROTO_IPV6 if sock.family == socket.AF_INET6 else socket.IPPROTO_IP
    with contextlib.suppress(OSError):
        # Otherwise Linux hands us what any other process of the machine has joined.
        sock.setsockopt(level, _IPV6_MULTICAST_ALL if level == socket.IPPROTO_IPV6 else _IP_MULTICAST_ALL, 0)
    request = struct.pack("I4x", index) + _sockaddr(group)
    try:
        if source:
            sock.setsockopt(level, _MCAST_JOIN_SOURCE_GROUP, request + _sockaddr(source))
        else:
            sock.setsockopt(level, _MCAST_JOIN_GROUP, request)
    except OSError as error:
        raise SourceError(
            f"the group {group} cannot be joined ({error.strerror}): name the interface it comes in by, as in ?interface=eth1"
        ) from error


def send_on(sock: socket.socket, index: int, ttl: int) -> None:
    """Where and how far what we send to a group goes: receiver reports."""
    with contextlib.suppress(OSError):
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
        else:
            if index:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", b"", b"", index))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)


def _sockaddr(host: str) -> bytes:
    """A `struct sockaddr_storage` of 128 bytes."""
    address = ipaddress.ip_address(host)
    if address.version == 4:
        packed = struct.pack("=HH4s", socket.AF_INET, 0, address.packed)
    else:
        packed = struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, address.packed, 0)
    return packed.ljust(128, b"\0")
