"""RTP packets made once and stamped many times.

A `Strip` holds the interleaved packets of consecutive access units end to end. Sending a stretch of it is one copy and
one vectorised write of sequence number, timestamp and SSRC; the block that results goes to every camera of a feed alike.
Also the sender report. When something is sent is decided in `ingest.simulate.feed`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import blake3
import numpy as np

from ingest.simulate.encode import Unit
from vault.media import Codec
from vault.timebase import US

MAX_RTP_BYTES = 1400
"""One RTP packet with its header; leaves room for IP, UDP and a tunnel inside an Ethernet frame."""

_RTP_HEAD = 12
_ROOM = MAX_RTP_BYTES - _RTP_HEAD
_NTP_EPOCH_S = 2_208_988_800
_GSO_SEGMENTS = 44
"""So many full packets stay below 64 KB, which one sendmsg with UDP_SEGMENT may carry."""


def payloads(codec: Codec, nals: Sequence[bytes], aggregate: bool = False) -> list[bytes]:
    """RTP payloads of one access unit, in order.

    RFC 6184 §5.6, §5.7.1, §5.8 (single NAL unit, STAP-A, FU-A); RFC 7798 §4.4.1 – §4.4.3 (single, AP, FU);
    RFC 3640 §3.3.6 (AAC-hbr, 13 bits of size, 3 of index); RFC 3551 §4.5.14 (G.711 as it is).
    """
    if codec is Codec.AAC:
        return [struct.pack(">HH", 16, len(frame) << 3) + frame for frame in nals]
    if not codec.is_video:
        return list(nals)
    out: list[bytes] = []
    small: list[bytes] = []
    for nal in nals:
        if aggregate and len(nal) < 200 and sum(len(item) + 2 for item in small) + len(nal) + 4 < _ROOM:
            small.append(nal)
            continue
        _flush(codec, small, out)
        out += [nal] if len(nal) <= _ROOM else _fragments(codec, nal)
    _flush(codec, small, out)
    return out


def _flush(codec: Codec, small: list[bytes], out: list[bytes]) -> None:
    if len(small) > 1:
        body = b"".join(struct.pack(">H", len(nal)) + nal for nal in small)
        if codec is Codec.H264:
            out.append(bytes([max(nal[0] & 0x60 for nal in small) | 24]) + body)
        else:
            out.append(bytes([small[0][0] & 0x81 | 48 << 1, small[0][1]]) + body)
    else:
        out += small
    small.clear()


def _fragments(codec: Codec, nal: bytes) -> list[bytes]:
    if codec is Codec.H264:
        indicator, kind, skip = bytes([nal[0] & 0xE0 | 28]), nal[0] & 0x1F, 1
    else:
        indicator, kind, skip = bytes([nal[0] & 0x81 | 49 << 1, nal[1]]), nal[0] >> 1 & 0x3F, 2
    step = _ROOM - len(indicator) - 1
    out = []
    for at in range(skip, len(nal), step):
        start, end = at == skip, at + step >= len(nal)
        out.append(indicator + bytes([start << 7 | end << 6 | kind]) + nal[at : at + step])
    return out


@dataclass(frozen=True, slots=True)
class Timing:
    """What a stretch of a strip is stamped with: the first packet's sequence number, a timestamp a unit, the SSRC."""

    sequence: int
    stamps: tuple[int, ...]
    ssrc: int


class Strip:
    """The packets of consecutive access units, each behind its interleaved header (RFC 2326 §10.12)."""

    def __init__(self, codec: Codec, units: Sequence[Unit], payload_type: int, aggregate: bool = False) -> None:
        self.codec = codec
        self.units = tuple(units)
        parts: list[bytes] = []
        packet_at, unit_packet, unit_byte = [], [0], [0]
        size = 0
        for unit in units:
            made = payloads(codec, unit.nals, aggregate)
            for number, payload in enumerate(made):
                marker = (number == len(made) - 1) << 7 if codec.is_video else 0
                parts.append(struct.pack(">BBHBBHII", 0x24, 0, _RTP_HEAD + len(payload), 0x80, marker | payload_type, 0, 0, 0))
                parts.append(payload)
                packet_at.append(size)
                size += 4 + _RTP_HEAD + len(payload)
            unit_packet.append(len(packet_at))
            unit_byte.append(size)
        self._data = np.frombuffer(b"".join(parts), dtype=np.uint8)
        self._packet_at = np.array([*packet_at, size], dtype=np.int64)
        self.unit_packet = unit_packet
        self._unit_byte = unit_byte
        self._counts = np.array([after - before for before, after in pairwise(unit_packet)], dtype=np.int64)

    def packets(self, first: int, last: int) -> int:
        """How many packets the units `first` to `last` (exclusive) take."""
        return self.unit_packet[last] - self.unit_packet[first]

    def payload_bytes(self, first: int, last: int) -> int:
        """Payload octets of these units, as RTCP counts them (RFC 3550 §6.4.1)."""
        return self._unit_byte[last] - self._unit_byte[first] - self.packets(first, last) * (4 + _RTP_HEAD)

    @cached_property
    def digests(self) -> list[tuple[bytes, ...]]:
        """BLAKE3 of each NAL unit (or sound frame) of each unit."""
        return [tuple(blake3.blake3(nal).digest() for nal in unit.nals) for unit in self.units]

    def stamp(self, first: int, last: int, timing: Timing, channel: int) -> memoryview:
        """Interleaved bytes of units `first` to `last` (exclusive), stamped, for this channel."""
        begin = self._unit_byte[first]
        block = self._data[begin : self._unit_byte[last]].copy()
        one, end = self.unit_packet[first], self.unit_packet[last]
        at = self._packet_at[one:end] - begin
        head = np.empty(end - one, dtype=_STAMPED)
        head["sequence"] = np.arange(timing.sequence, timing.sequence + end - one) & 0xFFFF
        head["stamp"] = np.repeat(np.array(timing.stamps, dtype=np.uint32), self._counts[first:last])
        head["ssrc"] = timing.ssrc
        block[at[:, None] + _STAMPED_AT] = head.view(np.uint8).reshape(-1, 10)
        block[at + 1] = channel
        return block.data

    def spans(self, first: int, last: int) -> list[tuple[int, int]]:
        """Where each RTP packet (without its interleaved header) begins and ends in what `stamp` returns."""
        begin = self._unit_byte[first]
        edges = (self._packet_at[self.unit_packet[first] : self.unit_packet[last] + 1] - begin).tolist()
        return [(edges[number] + 4, edges[number + 1]) for number in range(len(edges) - 1)]


_STAMPED = np.dtype([("sequence", ">u2"), ("stamp", ">u4"), ("ssrc", ">u4")])
_STAMPED_AT = np.arange(6, 16)


def segment_runs(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Packets that one sendmsg with UDP_SEGMENT may carry, as [first, last): equal sizes, only the last one smaller."""
    runs = []
    first = 0
    for number in range(1, len(sizes) + 1):
        if (
            number == len(sizes)
            or sizes[number] > sizes[first]
            or sizes[number - 1] < sizes[first]
            or number - first == _GSO_SEGMENTS
        ):
            runs.append((first, number))
            first = number
    return runs


def sender_report(ssrc: int, wall_us: int, stamp: int, packets: int, octets: int) -> bytes:
    """An RTCP SR and an SDES with a CNAME (RFC 3550 §6.4.1, §6.5): UTC `wall_us` is the instant of RTP time `stamp`."""
    seconds, micros = divmod(wall_us, US)
    fraction = (micros << 32) // US
    report = struct.pack(
        ">BBHIIIIII",
        0x80,
        200,
        6,
        ssrc,
        seconds + _NTP_EPOCH_S & 0xFFFFFFFF,
        fraction,
        stamp & 0xFFFFFFFF,
        packets & 0xFFFFFFFF,
        octets & 0xFFFFFFFF,
    )
    name = b"cam"
    chunk = struct.pack(">IBB", ssrc, 1, len(name)) + name + b"\x00"
    chunk += b"\x00" * (-len(chunk) % 4)
    return report + struct.pack(">BBH", 0x81, 202, len(chunk) // 4) + chunk
