"""The few operations on bytes that Python and C spell differently. Nothing here knows RTP.

The modules of the inner loop say `octets.copy(...)`. Interpreted, that is the function below; compiled, Cython finds the
same name in `octets.pxd` and puts its C body in place. This file itself is never compiled. No function checks bounds:
the caller has.
"""

from __future__ import annotations

Octets = bytes | bytearray

Frame = tuple[int, int, int, int, int]
"""A complete access unit: track, RTP timestamp, offset and size in the track's arena, flags (`ingest.rtp.flags`)."""

Frames = list[Frame]


def u16(data: Octets, at: int) -> int:
    """Big-endian 16 bits."""
    return data[at] << 8 | data[at + 1]


def u32(data: Octets, at: int) -> int:
    """Big-endian 32 bits."""
    return int.from_bytes(data[at : at + 4])


def bits(data: Octets, at: int, bit: int, count: int) -> int:
    """`count` bits, 0 to 32, from the bit `bit` behind the byte `at`."""
    first, stop = at + (bit >> 3), at + ((bit + count + 7) >> 3)
    return int.from_bytes(data[first:stop]) >> (-(bit + count) & 7) & ((1 << count) - 1)


def same8(data: Octets, at: int, stamp: bytes) -> bool:
    """Whether the eight bytes at `at` are `stamp`. Never so for a stamp of another length."""
    return data[at : at + 8] == stamp


def take_alike(
    data: Octets, at: int, end: int, model: int, step: int, skipped: int, to: bytearray, to_at: int, limit: int
) -> int:
    """Copies the interleaved RTP packets from `at` on that are like the one at `model`: each of `step` bytes, the first `skipped`
    the same but for a sequence number that counts on. What follows those goes to `to`, not beyond `limit`. How many there were.
    """
    head, tail = data[model : model + 6], data[model + 8 : model + skipped]
    sequence = u16(data, model + 6)
    room = step - skipped
    count = 0
    while at + step <= end and to_at + room <= limit:
        sequence = (sequence + 1) & 0xFFFF
        if data[at : at + skipped] != head + sequence.to_bytes(2) + tail:
            break
        to[to_at : to_at + room] = data[at + skipped : at + step]
        to_at += room
        at += step
        count += 1
    return count


def take(data: Octets, at: int, size: int) -> bytes:
    """A copy of `size` bytes."""
    return bytes(data[at : at + size])


def copy(to: bytearray, to_at: int, data: Octets, at: int, size: int) -> None:
    """`size` bytes of `data` into `to`, whose length stays."""
    to[to_at : to_at + size] = data[at : at + size]


def fill(to: bytearray, at: int, value: int, size: int) -> None:
    """`size` bytes of `value`."""
    to[at : at + size] = bytes((value,)) * size


def put16(to: bytearray, at: int, value: int) -> None:
    """`value` as big-endian 16 bits."""
    to[at : at + 2] = value.to_bytes(2)


def put32(to: bytearray, at: int, value: int) -> None:
    """`value` as big-endian 32 bits."""
    to[at : at + 4] = value.to_bytes(4)


def find_start(data: Octets, at: int, end: int) -> int:
    """Where 00 00 01 begins in `[at, end)`, or -1."""
    return data.find(b"\0\0\1", at, end)


def skip_escaped(data: Octets, at: int, end: int, size: int) -> int:
    """Where `size` bytes from `at` on end, emulation prevention bytes not counted (ITU-T H.264 §7.3.1); `end` at most."""
    stop = at + size
    while stop < end and (escapes := data.count(b"\0\0\3", at, stop)) > stop - at - size:
        stop = at + size + escapes
    return min(stop, end)
