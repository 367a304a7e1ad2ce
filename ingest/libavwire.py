"""What the libav process says to the worker: messages with a bound on everything, since the worker trusts none of it. Sans-IO.

A message is its kind (1 byte), the length of its body (4 bytes big-endian) and the body:

| Kind | Body |
| --- | --- |
| TRACKS 1 | JSON: a list of `{codec, rate, sets, channels, name}`, `sets` in hexadecimal; once, before the first FRAME |
| FRAME 2 | track (1), flags (1, `ingest.rtp.flags`), timestamp in ticks of the track's rate modulo 2³² (4), the sample |
| CLOCK 3 | track (1), timestamp (4), µs of the clock that all tracks share (8) |
| NOTE 4 | JSON: a text for the log |
| END 5 | JSON: `{refused, text}`: the stream is over, why, and whether trying again is useless |

The other way goes one line of JSON, a `Request`, and then nothing: the end of the worker is the end of the pipe.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

from ingest.rtp.flags import DAMAGED, KEY, PARAMS, RECOVERY
from vault.errors import Damaged
from vault.media import Codec, TrackParams
from vault.segment.params import parse_aac, video_params
from vault.timebase import VIDEO_RATE

HEAD = struct.Struct(">BI")
FRAME = struct.Struct(">BBI")
CLOCK = struct.Struct(">BIQ")

MAX_TRACKS = 8
MAX_TEXT_BYTES = 4096
MAX_TRACKS_BYTES = 256 << 10
MAX_VIDEO_BYTES = 8 << 20
MAX_SOUND_BYTES = 64 << 10
"""Of one sample; the same bounds as an RTP camera has."""

_MAX_SETS = 64
_MAX_NAME = 1024
_FLAGS = KEY | PARAMS | DAMAGED | RECOVERY


class Kind(IntEnum):
    TRACKS = 1
    FRAME = 2
    CLOCK = 3
    NOTE = 4
    END = 5


_LIMITS = {
    Kind.TRACKS: MAX_TRACKS_BYTES,
    Kind.FRAME: FRAME.size + MAX_VIDEO_BYTES,
    Kind.CLOCK: CLOCK.size,
    Kind.NOTE: MAX_TEXT_BYTES,
    Kind.END: MAX_TEXT_BYTES,
}


@dataclass(frozen=True, slots=True)
class Request:
    """What to open. `url` has its credentials in it. `options` are libav's; `paced`: give frames no faster than they play."""

    url: str = field(repr=False)
    options: dict[str, str]
    open_seconds: float
    read_seconds: float
    paced: bool

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


def request_of(line: bytes) -> Request:
    fields = json.loads(line)
    return Request(**fields)


@dataclass(frozen=True, slots=True)
class WireTrack:
    """A track as it is announced. `params` None: a picture whose parameter sets are still to come in band."""

    codec: Codec
    rate: int
    params: TrackParams | None

    @property
    def limit_bytes(self) -> int:
        """Of one sample."""
        return MAX_SOUND_BYTES if self.codec.is_audio else MAX_VIDEO_BYTES


@dataclass(frozen=True, slots=True)
class End:
    refused: bool
    text: str


# The libav process's side.


def pack(kind: Kind, body: bytes) -> bytes:
    return HEAD.pack(kind, len(body)) + body


def pack_json(kind: Kind, value: object) -> bytes:
    return pack(kind, json.dumps(value).encode())


def pack_frame_head(track: int, flags: int, timestamp: int, size_bytes: int) -> bytes:
    """All of a FRAME but the sample."""
    return HEAD.pack(Kind.FRAME, FRAME.size + size_bytes) + FRAME.pack(track, flags, timestamp & 0xFFFFFFFF)


def pack_clock(track: int, timestamp: int, clock_us: int) -> bytes:
    return pack(Kind.CLOCK, CLOCK.pack(track, timestamp & 0xFFFFFFFF, clock_us & 0x7FFF_FFFF_FFFF_FFFF))


def track_fields(codec: Codec, rate: int, sets: Sequence[bytes] = (), channels: int = 0, name: str = "") -> dict[str, Any]:
    """One entry of TRACKS."""
    return {"codec": str(codec), "rate": rate, "sets": [one.hex() for one in sets], "channels": channels, "name": name}


def end_body(refused: bool, text: str) -> dict[str, Any]:
    """The text is cut so that it fits however it is escaped."""
    return {"refused": refused, "text": text[: MAX_TEXT_BYTES // 16]}


# The worker's side. Whatever comes in, nothing but Damaged is raised.


def parse_head(data: bytes | memoryview) -> tuple[Kind, int]:
    """Kind and body length of a message, of its first 5 bytes."""
    number, size = HEAD.unpack_from(data)
    try:
        kind = Kind(number)
    except ValueError:
        raise Damaged(f"the libav process sent a message of kind {number}") from None
    if size > _LIMITS[kind]:
        raise Damaged(f"the libav process sent a message {kind.name} of {size} bytes; at most {_LIMITS[kind]}")
    return kind, size


def parse_frame(data: bytes | memoryview, size_bytes: int, tracks: Sequence[WireTrack]) -> tuple[int, int, int]:
    """(track, flags, timestamp) of the head of a FRAME whose body has `size_bytes`."""
    if size_bytes < FRAME.size:
        raise Damaged(f"the libav process sent a frame of {size_bytes} bytes")
    track, flags, timestamp = FRAME.unpack_from(data)
    if track >= len(tracks):
        raise Damaged(f"the libav process sent a frame of track {track} of {len(tracks)}")
    if not 0 < size_bytes - FRAME.size <= tracks[track].limit_bytes:
        raise Damaged(f"the libav process sent a sample of {size_bytes - FRAME.size} bytes on track {track}")
    return track, flags & _FLAGS, timestamp


def parse_clock(data: bytes, tracks: Sequence[WireTrack]) -> tuple[int, int, int]:
    """(track, timestamp, µs)."""
    if len(data) != CLOCK.size:
        raise Damaged(f"the libav process sent a clock of {len(data)} bytes")
    track, timestamp, clock_us = CLOCK.unpack(data)
    if track >= len(tracks) or clock_us >> 62:
        raise Damaged("the libav process sent a clock that cannot be")
    return track, timestamp, clock_us


def parse_text(data: bytes) -> str:
    value = _json(data)
    if not isinstance(value, str):
        raise Damaged("the libav process sent a note that is no text")
    return value


def parse_end(data: bytes) -> End:
    value = _json(data)
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise Damaged("the libav process ended without a reason")
    return End(value.get("refused") is True, value["text"])


def parse_tracks(data: bytes) -> tuple[WireTrack, ...]:
    value = _json(data)
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_TRACKS:
        raise Damaged(f"the libav process announced no tracks, or more than {MAX_TRACKS}")
    try:
        return tuple(_track(item) for item in value)
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"the libav process announced a track that cannot be ({type(error).__name__})") from error


def _track(item: dict[str, Any]) -> WireTrack:
    codec, rate, channels, name = Codec(item["codec"]), item["rate"], item["channels"], item["name"]
    sets = tuple(bytes.fromhex(one) for one in item["sets"][:_MAX_SETS])
    if type(rate) is not int or not 0 < rate <= 1_000_000_000 or type(channels) is not int or not 0 <= channels <= 64:
        raise ValueError("rate or channels")
    if codec.is_video:
        if rate != VIDEO_RATE:
            raise ValueError("rate of a picture")
        return WireTrack(codec, rate, _video(codec, sets))
    if codec is Codec.AAC:
        config = sets[0] if sets else b""
        return WireTrack(codec, rate, TrackParams(codec, rate, (config,), channels=parse_aac(config).channels))
    if codec.is_audio:
        return WireTrack(codec, rate, TrackParams(codec, rate, channels=channels or 1))
    if not isinstance(name, str) or not name.isprintable():
        raise ValueError("name")
    return WireTrack(codec, rate, TrackParams(codec, rate, channels=channels, name=name[:_MAX_NAME]))


def _video(codec: Codec, sets: tuple[bytes, ...]) -> TrackParams | None:
    try:
        return video_params(codec, sets)
    except Damaged:
        return None


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Damaged("the libav process sent a message that is no JSON") from error
