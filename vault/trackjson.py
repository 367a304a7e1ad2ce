"""What a segment's tracks are made of, as canonical JSON: the index keeps it once, manifests name it. No I/O."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final

from vault.errors import Damaged
from vault.media import Codec, TrackParams

MAX_PARAMS_BYTES: Final = 1024 * 1024
_MAX_TRACKS = 16
_MAX_SETS = 512
_MAX_SET_CHARS = 2 * 65_535
_MAX_NAME_CHARS = 1_024
_U32 = 2**32 - 1


@lru_cache(maxsize=4096)
def encode_params(tracks: tuple[TrackParams, ...]) -> bytes:
    """The tracks' parameters as canonical JSON."""
    return json.dumps(
        [
            {
                "codec": track.codec.value,
                "timescale": track.timescale,
                "sets": [item.hex() for item in track.sets],
                "width": track.width,
                "height": track.height,
                "channels": track.channels,
                "name": track.name,
            }
            for track in tracks
        ],
        separators=(",", ":"),
        sort_keys=True,
    ).encode()


@lru_cache(maxsize=4096)
def decode_params(raw: bytes) -> tuple[TrackParams, ...]:
    """The inverse, for bytes from anywhere. Raises Damaged."""
    try:
        tracks = json.loads(raw) if len(raw) <= MAX_PARAMS_BYTES else None
        if not isinstance(tracks, list) or len(tracks) > _MAX_TRACKS:
            raise ValueError("not a list of tracks")
        return tuple(_track(track) for track in tracks)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged("the parameters of a segment's tracks cannot be read; run `index rebuild`") from error


def _track(track: Any) -> TrackParams:
    sets, name = track["sets"], track["name"]
    if not isinstance(sets, list) or len(sets) > _MAX_SETS or any(len(item) > _MAX_SET_CHARS for item in sets):
        raise ValueError("not parameter sets")
    if not isinstance(name, str) or len(name) > _MAX_NAME_CHARS:
        raise ValueError("not an encoding name")
    numbers = [track[key] for key in ("timescale", "width", "height", "channels")]
    if any(type(number) is not int or not 0 <= number <= _U32 for number in numbers):
        raise ValueError("not a number")
    timescale, width, height, channels = numbers
    return TrackParams(Codec(track["codec"]), timescale, tuple(map(bytes.fromhex, sets)), width, height, channels, name)
