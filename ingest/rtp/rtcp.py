"""RTCP: sender reports in, receiver reports out (RFC 3550 §6). Bytes and times only; when to send is the caller's."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ingest.rtp.engine import Track

MAX_PACKETS = 32
"""Of one compound that are looked at."""

_SR, _RR, _SDES, _BYE = 200, 201, 202, 203
_SDES_CNAME = 1
_NTP_UNIX_SECONDS = 2_208_988_800
_ERA_SECONDS = 1 << 32
_ERA_PIVOT = 1 << 31


@dataclass(frozen=True, slots=True)
class SenderReport:
    """The sender's wall clock at an RTP timestamp. `utc_us` is None where the sender has no clock (NTP 0).

    `ntp_middle`: the middle 32 bits of its NTP time, which a receiver report hands back.
    """

    ssrc: int
    utc_us: int | None
    timestamp: int
    packets: int
    octets: int
    ntp_middle: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """BYE: these sources end."""

    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CanonicalName:
    """SDES CNAME of a source; at most 255 characters."""

    ssrc: int
    name: str


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """One reception report block (RFC 3550 §6.4.1); the numbers are the fields, `jitter` in ticks, `delay` in 1/65536 s."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest: int
    jitter: int
    last_report: int
    delay: int


def utc_us_of_ntp(ntp: int) -> int | None:
    """A 64-bit NTP time to UTC µs; None for 0. Seconds below 2^31 are of the era from 2036 on (RFC 4330 §3)."""
    if ntp == 0:
        return None
    seconds, fraction = ntp >> 32, ntp & 0xFFFFFFFF
    if seconds < _ERA_PIVOT:
        seconds += _ERA_SECONDS
    return (seconds - _NTP_UNIX_SECONDS) * 1_000_000 + (fraction * 1_000_000 + (1 << 31) >> 32)


def parse_compound(data: bytes) -> list[SenderReport | Goodbye | CanonicalName]:
    """What we use of a compound packet (RFC 3550 §6.1): it ends at the first packet whose length or version is wrong.

    Never raises. A bare packet that is no compound (RFC 5506) is read the same way.
    """
    out: list[SenderReport | Goodbye | CanonicalName] = []
    at = 0
    for _ in range(MAX_PACKETS):
        if at + 4 > len(data) or data[at] >> 6 != 2:
            break
        count, kind = data[at] & 31, data[at + 1]
        stop = at + 4 + 4 * int.from_bytes(data[at + 2 : at + 4])
        if stop > len(data):
            break
        body = data[at + 4 : stop]
        if kind == _SR and len(body) >= 24:
            ssrc, ntp, timestamp, packets, sent = struct.unpack_from(">IQIII", body)
            out.append(SenderReport(ssrc, utc_us_of_ntp(ntp), timestamp, packets, sent, ntp >> 16 & 0xFFFFFFFF))
        elif kind == _BYE and len(body) >= 4 * count:
            out.append(Goodbye(struct.unpack_from(f">{count}I", body)))
        elif kind == _SDES:
            out.extend(_names(body, count))
        at = stop
    return out


def _names(body: bytes, count: int) -> list[CanonicalName]:
    """CNAME items of the chunks of an SDES packet (RFC 3550 §6.5)."""
    out: list[CanonicalName] = []
    at = 0
    for _ in range(count):
        if at + 4 > len(body):
            break
        ssrc = int.from_bytes(body[at : at + 4])
        at += 4
        while at < len(body) and body[at]:
            if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
                return out
            if body[at] == _SDES_CNAME:
                out.append(CanonicalName(ssrc, body[at + 2 : at + 2 + body[at + 1]].decode("utf-8", "replace")))
            at += 2 + body[at + 1]
        # The zero that ends a chunk, and more up to the next 32 bits.
        at = (at + 4) & ~3
    return out


def build_receiver_report(ssrc: int, blocks: list[ReportBlock], cname: str) -> bytes:
    """A compound of RR and SDES with the CNAME (RFC 3550 §6.1, §6.4.2, §6.5); at most 31 blocks and 255 bytes of name."""
    blocks = blocks[:31]
    parts = [struct.pack(">BBHI", 0x80 | len(blocks), _RR, 1 + 6 * len(blocks), ssrc)]
    for block in blocks:
        lost = max(-0x800000, min(block.lost, 0x7FFFFF)) & 0xFFFFFF
        parts.append(
            struct.pack(
                ">IIIIII",
                block.ssrc,
                (block.fraction_lost & 0xFF) << 24 | lost,
                block.highest & 0xFFFFFFFF,
                min(max(block.jitter, 0), 0xFFFFFFFF),
                block.last_report & 0xFFFFFFFF,
                min(max(block.delay, 0), 0xFFFFFFFF),
            )
        )
    name = cname.encode()[:255]
    chunk = struct.pack(">IBB", ssrc, _SDES_CNAME, len(name)) + name
    chunk += bytes(4 - len(chunk) % 4)
    parts.append(struct.pack(">BBH", 0x81, _SDES, len(chunk) // 4) + chunk)
    return b"".join(parts)


class Reception:
    """What the receiver reports of one track need beyond the track's own counters. Times are monotonic µs.

    Jitter is estimated once a sweep from the newest packet, not for each one (RFC 3550 §A.8): all packets of one read
    arrived at the same time as far as we know, so their own differences say nothing.
    """

    def __init__(self, clock_rate: int) -> None:
        self._rate = clock_rate
        self._jitter = 0.0
        self._transit: int | None = None
        self._timestamp = -1
        self._received = 0
        self._expected = 0
        self._report_middle = 0
        self._report_at_us: int | None = None

    def swept(self, track: Track, now_us: int) -> None:
        """After a sweep that brought something."""
        if not track.started or track.timestamp == self._timestamp:
            return
        self._timestamp = track.timestamp
        transit = now_us * self._rate // 1_000_000 - track.timestamp
        if self._transit is not None:
            # Timestamps wrap; so does the difference of two transits.
            step = (transit - self._transit + _ERA_PIVOT) % _ERA_SECONDS - _ERA_PIVOT
            if abs(step) < 10 * self._rate:
                self._jitter += (abs(step) - self._jitter) / 16
        self._transit = transit

    def reported(self, report: SenderReport, now_us: int) -> None:
        """A sender report came."""
        self._report_middle = report.ntp_middle
        self._report_at_us = now_us

    def block(self, track: Track, now_us: int) -> ReportBlock:
        """The block to send now; the fraction lost is that since the last call (RFC 3550 §A.3)."""
        received, expected = track.received, track.expected
        lately = expected - self._expected
        missing = lately - (received - self._received)
        self._received, self._expected = received, expected
        fraction = min(255, missing * 256 // lately) if lately > 0 and missing > 0 else 0
        delay = 0 if self._report_at_us is None else (now_us - self._report_at_us) * 65536 // 1_000_000
        last = self._report_middle if self._report_at_us is not None else 0
        return ReportBlock(track.ssrc, fraction, expected - received, track.highest, int(self._jitter), last, delay)
