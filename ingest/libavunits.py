"""From the packets of a container to samples as we keep them: NAL units behind 4-byte lengths, raw AAC, 20 ms of G.711. Sans-IO.

Runs in the libav process on bytes that nobody vouches for. Reading a container is libav's, in `ingest.libavchild`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from ingest.rtp.flags import DAMAGED, KEY, PARAMS, RECOVERY
from vault.media import Codec

MAX_NALS = 4096
MAX_PIECE_BYTES = 65_535

_START_CODE = re.compile(rb"\x00\x00\x01")
_START = (b"\x00\x00\x01", b"\x00\x00\x00\x01")

Sample = tuple[bytes, int, int]
"""A sample, its flags, and how many ticks after the packet's time it begins."""


class Units(Protocol):
    """One track's converter."""

    def convert(self, data: bytes, is_key: bool) -> list[Sample]:
        """The samples of one packet; `is_key`: what the container says of it."""
        ...


def split_annexb(data: bytes) -> list[bytes]:
    """NAL units of a byte stream (ITU-T H.264 Annex B), without start codes and the zeros that fill up behind them."""
    starts = [found.end() for found in _START_CODE.finditer(data)]
    ends = [start - 3 for start in starts[1:]] + [len(data)] * bool(starts)
    units = (data[start:end].rstrip(b"\x00") for start, end in zip(starts, ends, strict=True))
    return [unit for unit in units if unit]


def _prefixed(data: bytes, length_bytes: int) -> tuple[list[bytes], bool]:
    """NAL units behind lengths (ISO/IEC 14496-15 §5.3.2), and whether they fill the packet."""
    units: list[bytes] = []
    at = 0
    while at + length_bytes <= len(data) and len(units) < MAX_NALS:
        size = int.from_bytes(data[at : at + length_bytes], "big")
        at += length_bytes
        if at + size > len(data):
            return units, False
        if size:
            units.append(data[at : at + size])
        at += size
    return units, at == len(data)


def avc_record(data: bytes) -> tuple[list[bytes], int]:
    """Parameter sets and the size of lengths of an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1)."""
    sets: list[bytes] = []
    at = 5
    for mask in (0x1F, 0xFF):
        if at >= len(data):
            break
        count = data[at] & mask
        at += 1
        for _ in range(count):
            size = int.from_bytes(data[at : at + 2], "big")
            if size and at + 2 + size <= len(data):
                sets.append(data[at + 2 : at + 2 + size])
            at += 2 + size
    return sets, (data[4] & 3) + 1


def hevc_record(data: bytes) -> tuple[list[bytes], int]:
    """The same of an HEVCDecoderConfigurationRecord (§8.3.3.1)."""
    sets: list[bytes] = []
    at = 23
    for _ in range(data[22]):
        if at + 3 > len(data):
            break
        kind, count = data[at] & 0x3F, int.from_bytes(data[at + 1 : at + 3], "big")
        at += 3
        for _ in range(min(count, 64)):
            size = int.from_bytes(data[at : at + 2], "big")
            if kind in (32, 33, 34) and size and at + 2 + size <= len(data):
                sets.append(data[at + 2 : at + 2 + size])
            at += 2 + size
    return sets, (data[21] & 3) + 1


class VideoUnits:
    """H.264 or H.265, whichever way its container frames NAL units. `sets`: parameter sets out of band, in order."""

    def __init__(self, codec: Codec, extradata: bytes) -> None:
        self._hevc = codec is Codec.H265
        self._length_bytes = 0
        self._new_sets: list[bytes] = []
        self.sets: list[bytes] = []
        self._configure(extradata)

    def _configure(self, extradata: bytes) -> None:
        if extradata.startswith(_START):
            self._length_bytes = 0
            self.sets = [unit for unit in split_annexb(extradata) if self._is_set(unit)]
        elif len(extradata) > (22 if self._hevc else 6) and extradata[0] <= 1:
            self.sets, self._length_bytes = hevc_record(extradata) if self._hevc else avc_record(extradata)

    def reconfigure(self, extradata: bytes) -> None:
        """The container gives other parameter sets from the next packet on: they are put in band before it."""
        before = self.sets
        self._configure(extradata)
        if self.sets != before:
            self._new_sets = self.sets

    def convert(self, data: bytes, is_key: bool) -> list[Sample]:
        flags = 0
        if self._length_bytes and not (data.startswith(_START) and not _prefixed(data, self._length_bytes)[1]):
            units, whole = _prefixed(data, self._length_bytes)
            flags = 0 if whole else DAMAGED
        else:
            units = split_annexb(data)
        if self._new_sets:
            units, self._new_sets = self._new_sets + units, []
        if not units or len(units) > MAX_NALS:
            return []
        for unit in units:
            kind = unit[0] >> 1 & 63 if self._hevc else unit[0] & 31
            if 16 <= kind <= 23 if self._hevc else kind == 5:
                flags |= KEY
            elif self._is_set(unit):
                flags |= PARAMS
        if is_key and not flags & KEY and not self._hevc:
            # What libav calls a key frame without an IDR picture has a recovery point (ITU-T H.264 §D.1.8).
            flags |= RECOVERY
        return [(b"".join(len(unit).to_bytes(4, "big") + unit for unit in units), flags, 0)]

    def _is_set(self, unit: bytes) -> bool:
        return unit[0] >> 1 & 63 in (32, 33, 34) if self._hevc else unit[0] & 31 in (7, 8, 13)


class AacUnits:
    """AAC, raw or in ADTS frames (ISO/IEC 14496-3 §1.A.2). `config`: the AudioSpecificConfig, empty until it is known."""

    def __init__(self, extradata: bytes) -> None:
        self.config = extradata
        self._adts = not extradata

    def convert(self, data: bytes, is_key: bool) -> list[Sample]:
        if not self._adts:
            return [(data, KEY, 0)] if data else []
        return [(frame, KEY, at * 1024) for at, frame in enumerate(self._frames(data))]

    def _frames(self, data: bytes) -> Iterator[bytes]:
        at = 0
        while at + 7 <= len(data) and data[at] == 0xFF and data[at + 1] & 0xF6 == 0xF0:
            size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
            head = 7 if data[at + 1] & 1 else 9
            # Several raw data blocks in one frame cannot be cut apart without decoding; nobody sends them.
            if size <= head or at + size > len(data) or data[at + 6] & 3:
                return
            profile, rate = data[at + 2] >> 6, data[at + 2] >> 2 & 15
            channels = (data[at + 2] & 1) << 2 | data[at + 3] >> 6
            if not self.config:
                self.config = ((profile + 1) << 11 | rate << 7 | channels << 3).to_bytes(2, "big")
            yield data[at + head : at + size]
            at += size


class G711Units:
    """A-law or µ-law in samples of 20 ms, whatever the packets' length; what is left over waits for the next packet."""

    def __init__(self, rate: int, channels: int) -> None:
        self._ticks = rate // 50
        self._channels = channels
        self._over = b""

    def convert(self, data: bytes, is_key: bool) -> list[Sample]:
        first = -(len(self._over) // self._channels)
        data = self._over + data
        size = self._ticks * self._channels
        count = len(data) // size
        self._over = data[count * size :]
        return [(data[at * size : (at + 1) * size], KEY, first + at * self._ticks) for at in range(count)]


class OpaqueUnits:
    """What we do not understand: the packet in pieces, each behind its length in two bytes (RFC 4571 §2)."""

    def convert(self, data: bytes, is_key: bool) -> list[Sample]:
        pieces = (data[at : at + MAX_PIECE_BYTES] for at in range(0, len(data), MAX_PIECE_BYTES))
        framed = b"".join(len(piece).to_bytes(2, "big") + piece for piece in pieces)
        return [(framed, KEY if is_key else 0, 0)] if framed else []
