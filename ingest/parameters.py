"""The parameter sets a camera is using now, from its SDP and from its stream. Sans-IO.

Sets may stand in the SDP only, in the stream only, in both, and may change at any time. A set replaces the one of the same
type and id (H.264 §7.4.1.2.1, H.265 §7.4.2.4); another id is kept beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vault.errors import Damaged
from vault.media import Codec, TrackParams
from vault.segment.params import video_params

MAX_SETS = 64
"""H.264 allows 32 sequence and 256 picture sets; no camera uses more than a few, a hostile one gets no more than this."""

MAX_SET_BYTES = 8192

_H264_ORDER = {7: 0, 13: 1, 8: 2}
_H265_ORDER = {32: 0, 33: 1, 34: 2}


def parameter_nal_units(codec: Codec, unit: bytes | bytearray | memoryview) -> Iterator[bytes]:
    """Only the parameter sets of a sample; other NAL units are stepped over without a copy."""
    at, end = 0, len(unit)
    order = _H264_ORDER if codec is Codec.H264 else _H265_ORDER
    while at + 4 < end:
        size = int.from_bytes(unit[at : at + 4], "big")
        if size == 0 or at + 4 + size > end:
            return
        kind = unit[at + 4] & 31 if codec is Codec.H264 else unit[at + 4] >> 1 & 63
        if kind in order:
            yield bytes(unit[at + 4 : at + 4 + size])
        at += 4 + size


def _ue(data: bytes, bit: int) -> int:
    """An unsigned exp-Golomb number (H.264 §9.1) at a bit position; at most 16 leading zeros, -1 when there is none."""
    total = len(data) * 8
    zeros = 0
    while bit < total and not data[bit >> 3] >> (7 - (bit & 7)) & 1:
        zeros += 1
        bit += 1
        if zeros > 16:
            return -1
    value = 0
    for _ in range(zeros + 1):
        if bit >= total:
            return -1
        value = value << 1 | data[bit >> 3] >> (7 - (bit & 7)) & 1
        bit += 1
    return value - 1


def _set_id(codec: Codec, nal: bytes) -> int:
    """The id that a set carries, enough to tell sets of one type apart; an unreadable one gets -1, one for all."""
    body = nal[:64].replace(b"\x00\x00\x03", b"\x00\x00")
    if codec is Codec.H264:
        return _ue(body, 8 * (4 if nal[0] & 31 == 7 else 1))
    kind = nal[0] >> 1 & 63
    if kind == 32:
        return body[2] >> 4 if len(body) > 2 else -1
    if kind == 34:
        return _ue(body, 16)
    # SPS: vps id and sub-layer count, then profile_tier_level (12 bytes for one layer, §7.3.3), then the id.
    layers = body[2] >> 1 & 7 if len(body) > 2 else 0
    return _ue(body, 8 * 15) if layers == 0 else -1


class ParameterSets:
    """Collects a video track's sets; `params()` makes the sample description of the moment."""

    def __init__(self, codec: Codec, initial: Iterable[bytes] = ()) -> None:
        self._codec = codec
        self._order = _H264_ORDER if codec is Codec.H264 else _H265_ORDER
        self._sets: dict[tuple[int, int], bytes] = {}
        self._params: TrackParams | None = None
        self.update(initial)

    def update(self, nals: Iterable[bytes]) -> bool:
        """Take in sets from SDP or stream; other NAL units are passed over. True when anything differs from before."""
        changed = False
        for nal in nals:
            # Most cameras repeat their sets before each key frame. One that is there already needs no reading: it would land
            # on its own place.
            if not 2 <= len(nal) <= MAX_SET_BYTES or nal in self._sets.values():
                continue
            kind = nal[0] & 31 if self._codec is Codec.H264 else nal[0] >> 1 & 63
            if kind not in self._order:
                continue
            key = (self._order[kind], _set_id(self._codec, nal))
            if self._sets.get(key) != nal and (key in self._sets or len(self._sets) < MAX_SETS):
                self._sets[key] = nal
                changed = True
        if changed:
            self._params = None
        return changed

    def params(self) -> TrackParams | None:
        """The sample description with all current sets in order, or None while one is missing or unreadable."""
        if self._params is None and {0, 2} <= {order for order, _ in self._sets}:
            try:
                self._params = video_params(self._codec, [self._sets[key] for key in sorted(self._sets)])
            except Damaged:
                return None
        return self._params
