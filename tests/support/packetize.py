"""Access units into RTP packets, by the standards' rules and with chosen sizes: the other side of `ingest.rtp`, for tests."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

START_CODE = b"\0\0\0\1"


def rtp(
    sequence: int,
    timestamp: int,
    payload: bytes,
    *,
    marker: bool = False,
    payload_type: int = 96,
    ssrc: int = 0x51,
    csrcs: Sequence[int] = (),
    extension: bytes | None = None,
    padding: int = 0,
) -> bytes:
    """One packet (RFC 3550 §5.1). `extension` is a multiple of four bytes; `padding` counts its own last byte."""
    first = 0x80 | len(csrcs) | (0x10 if extension is not None else 0) | (0x20 if padding else 0)
    head = struct.pack(">BBHII", first, payload_type | (0x80 if marker else 0), sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    head += b"".join(one.to_bytes(4) for one in csrcs)
    if extension is not None:
        head += struct.pack(">HH", 0xBEDE, len(extension) // 4) + extension
    return head + payload + (bytes(padding - 1) + bytes((padding,)) if padding else b"")


def interleave(packets: Iterable[bytes], channel: int = 0) -> bytes:
    """The packets as one TCP stream (RFC 2326 §10.12)."""
    return b"".join(struct.pack(">BBH", 0x24, channel, len(packet)) + packet for packet in packets)


@dataclass
class Packetizer:
    """One sender: numbers its packets on. `mtu` bounds a payload in bytes."""

    mtu: int = 1400
    sequence: int = 0
    payload_type: int = 96
    ssrc: int = 0x51

    def packet(self, timestamp: int, payload: bytes, marker: bool = False) -> bytes:
        out = rtp(self.sequence, timestamp, payload, marker=marker, payload_type=self.payload_type, ssrc=self.ssrc)
        self.sequence += 1
        return out

    def unit(
        self, timestamp: int, nals: Sequence[bytes], *, h265: bool = False, aggregate: bool = True, marker: bool = True
    ) -> list[bytes]:
        """One access unit: small NAL units in a row are put together (STAP-A, AP), large ones in pieces (FU-A, FU)."""
        payloads: list[bytes] = []
        run: list[bytes] = []
        for nal in nals:
            small = sum(len(one) + 2 for one in run) + len(nal) + 2 + 2 <= self.mtu
            if aggregate and small:
                run.append(nal)
                continue
            payloads += self._together(run, h265)
            run = []
            if aggregate and len(nal) + 4 <= self.mtu:
                run.append(nal)
            elif len(nal) <= self.mtu:
                payloads.append(nal)
            else:
                payloads += fragments(nal, self.mtu, h265=h265)
        payloads += self._together(run, h265)
        return [self.packet(timestamp, one, marker and at == len(payloads) - 1) for at, one in enumerate(payloads)]

    def _together(self, run: list[bytes], h265: bool) -> list[bytes]:
        if len(run) < 2:
            return run
        return [aggregation(run, h265=h265)]


def aggregation(nals: Sequence[bytes], *, h265: bool = False) -> bytes:
    """STAP-A (RFC 6184 §5.7.1) or AP (RFC 7798 §4.4.2)."""
    head = bytes((48 << 1, 1)) if h265 else bytes((max(nal[0] & 0x60 for nal in nals) | 24,))
    return head + b"".join(len(nal).to_bytes(2) + nal for nal in nals)


def fragments(nal: bytes, mtu: int, *, h265: bool = False) -> list[bytes]:
    """FU-A (RFC 6184 §5.8) or FU (RFC 7798 §4.4.3); at least two."""
    head = 2 if h265 else 1
    size = min(mtu - head - 1, max(1, len(nal) - head - 1))
    pieces = [nal[at : at + size] for at in range(head, len(nal), size)]
    out = []
    for at, piece in enumerate(pieces):
        edge = (0x80 if at == 0 else 0) | (0x40 if at == len(pieces) - 1 else 0)
        if h265:
            lead = bytes((nal[0] & 0x81 | 49 << 1, nal[1], edge | (nal[0] >> 1 & 63)))
        else:
            lead = bytes((nal[0] & 0xE0 | 28, edge | nal[0] & 31))
        out.append(lead + piece)
    return out


def aac_hbr(units: Sequence[bytes]) -> bytes:
    """Whole AAC access units of one packet (RFC 3640 §3.3.6: 13 bits of size, 3 of index)."""
    headers = b"".join((len(unit) << 3).to_bytes(2) for unit in units)
    return (len(headers) * 8).to_bytes(2) + headers + b"".join(units)


def aac_fragments(unit: bytes, mtu: int) -> list[bytes]:
    """One access unit over several packets, each with the whole unit's size (RFC 3640 §3.2.3.3)."""
    head = (16).to_bytes(2) + (len(unit) << 3).to_bytes(2)
    return [head + unit[at : at + mtu - 4] for at in range(0, len(unit), mtu - 4)]
