"""A manifest: what the index knows of one camera and one hour, as an object of the store. Encoding and decoding only.

It is never changed: what it lists anew stands in one of the next generation, which is whole, so the highest that can be read is the
hour. When one is written, and what becomes of the older ones, is `index.manifests`; the bytes are in `vault/FORMAT.md`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from vault.digest import bytes_digest
from vault.errors import Damaged, UsageError
from vault.ids import CameraNumber, SegmentKey
from vault.media import SegmentFlag, TrackParams
from vault.timebase import MAX_US, US, format_us
from vault.trackjson import MAX_PARAMS_BYTES, decode_params, encode_params

FORMAT: Final = 1
PREFIX: Final = "manifests/"
HOUR_US: Final = 3_600 * US
MAX_MANIFEST_BYTES: Final = 16 * 1024 * 1024
"""Many times an hour of one-second segments. A longer one is none of ours, and is not read."""

_MAX_REASON_CHARS = 200
_MAX_CLASS_CHARS = 64
_U32 = 2**32 - 1
_U63 = 2**63 - 1
_KEY = re.compile(r"manifests/c([0-9]{10})/([0-9]{4}-[0-9]{2}-[0-9]{2})/([0-9]{2})-([0-9]{10})\.json")
_ROW_BOUNDS = (MAX_US, _U32, _U32, HOUR_US, _U63, _U32, _U32, _U32, MAX_US, 2**16 - 1)
"""Of the numbers of a segment's line, in order: none is below 0 or above these."""


@dataclass(frozen=True, slots=True, order=True)
class ManifestKey:
    """Whose hour (its first microsecond, UTC), and which generation of it, from 1."""

    camera: CameraNumber
    hour_us: int
    generation: int

    def __post_init__(self) -> None:
        whole = self.hour_us % HOUR_US == 0 and 0 <= self.hour_us <= MAX_US
        if not (whole and 1 <= self.camera <= _U32 and 1 <= self.generation <= _U32):
            raise UsageError(f"not a manifest: camera {self.camera}, hour {self.hour_us}, generation {self.generation}")

    @property
    def object_key(self) -> str:
        """Sorted listing = cameras, their hours, their generations: `manifests/c0000000001/2026-11-22/10-0000000001.json`."""
        moment = format_us(self.hour_us)
        return f"{PREFIX}c{self.camera:010d}/{moment[:10]}/{moment[11:13]}-{self.generation:010d}.json"

    @classmethod
    def parse(cls, object_key: str) -> ManifestKey:
        """The inverse of `object_key`. Raises UsageError for anything that `object_key` would not have written."""
        match = _KEY.fullmatch(object_key)
        if match:
            camera, day, hour, generation = match.groups()
            try:
                moment = datetime.fromisoformat(f"{day}T{hour}:00:00").replace(tzinfo=UTC)
            except ValueError:
                moment = None
            if moment is not None:
                return cls(CameraNumber(int(camera)), int(moment.timestamp()) * US, int(generation))
        raise UsageError(f"{object_key[:120]!r} is not the key of a manifest")


@dataclass(frozen=True, slots=True)
class ListedSegment:
    """A segment whose object is in the store, with all that its row says. `params`: of each track."""

    key: SegmentKey
    end_us: int
    size_bytes: int
    blake3: bytes
    tail_bytes: int
    params: tuple[TrackParams, ...]
    site_class: str
    min_until_us: int
    flags: SegmentFlag
    counted_us: int | None = None


@dataclass(frozen=True, slots=True)
class ListedGap:
    """A gap that begins in the hour, wherever it ends. `end_us` None: it lasted when this was written."""

    start_us: int
    end_us: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What begins in one hour of one camera: segments by start and epoch, gaps, erased time as `(start_us, end_us)`.

    `epoch`, `first_us` and `longest_us` are the camera's as of the writing: its current epoch, when it was first to record
    (None: never), and the longest any of its segments ever was.
    """

    key: ManifestKey
    epoch: int
    first_us: int | None
    longest_us: int
    segments: tuple[ListedSegment, ...]
    gaps: tuple[ListedGap, ...]
    expired: tuple[tuple[int, int], ...]

    @property
    def is_empty(self) -> bool:
        """Nothing begins in this hour any more, so there is nothing to keep."""
        return not (self.segments or self.gaps or self.expired)


def encode(manifest: Manifest) -> bytes:
    """Canonical: the same manifest is the same bytes."""
    params: dict[tuple[TrackParams, ...], int] = {}
    classes: dict[str, int] = {}
    lines = [
        [
            item.key.start_us,
            item.key.epoch,
            item.key.sequence,
            item.end_us - item.key.start_us,
            item.size_bytes,
            item.tail_bytes,
            params.setdefault(item.params, len(params)),
            classes.setdefault(item.site_class, len(classes)),
            item.min_until_us,
            int(item.flags),
            item.blake3.hex(),
        ]
        for item in manifest.segments
    ]
    whole: dict[str, Any] = {
        "format": FORMAT,
        "camera": manifest.key.camera,
        "hour_us": manifest.key.hour_us,
        "generation": manifest.key.generation,
        "epoch": manifest.epoch,
        "first_us": manifest.first_us,
        "longest_us": manifest.longest_us,
        "classes": list(classes),
        "params": [encode_params(tracks).decode() for tracks in params],
        "segments": lines,
        "gaps": [[gap.start_us, gap.end_us, gap.reason] for gap in manifest.gaps],
        "expired": manifest.expired,
    }
    # Few segments have it, and most manifests none.
    counted = [[at, item.counted_us] for at, item in enumerate(manifest.segments) if item.counted_us is not None]
    if counted:
        whole["counted"] = counted
    text = json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
    return text + b"\n" + bytes_digest(text).hex().encode() + b"\n"


def decode(raw: bytes, key: ManifestKey) -> Manifest:
    """What stands under `key`. Raises Damaged; the bytes may have come from anywhere."""
    try:
        text, _, digest = raw[:-1].rpartition(b"\n")
        if len(raw) > MAX_MANIFEST_BYTES or raw[-1:] != b"\n" or digest != bytes_digest(text).hex().encode():
            raise ValueError("its hash is another")
        whole = json.loads(text)
        if whole["format"] != FORMAT:
            raise Damaged(f"{key.object_key}: is a manifest of format {whole['format']!s:.20}, this program knows {FORMAT}")
        if (whole["camera"], whole["hour_us"], whole["generation"]) != (key.camera, key.hour_us, key.generation):
            raise Damaged(f"{key.object_key}: it says of itself that it is another manifest")
        first_us = whole["first_us"]
        return Manifest(
            key,
            _number(whole["epoch"], _U32),
            None if first_us is None else _number(first_us, MAX_US),
            _number(whole["longest_us"], HOUR_US),
            _segments(key, whole),
            _gaps(key, whole["gaps"]),
            _expired(key, whole["expired"]),
        )
    except Damaged as error:
        raise Damaged(str(error) if key.object_key in str(error) else f"{key.object_key}: {error}") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, UsageError) as error:
        raise Damaged(f"{key.object_key}: is not a manifest that this program can read: {error!s:.80}") from error


def _segments(key: ManifestKey, whole: Any) -> tuple[ListedSegment, ...]:
    params = [decode_params(_text(item, MAX_PARAMS_BYTES).encode()) for item in whole["params"]]
    classes = [_text(item, _MAX_CLASS_CHARS) for item in whole["classes"]]
    counted = {_number(at, _U32): _number(at_us, MAX_US) for at, at_us in whole.get("counted", ())}
    found: list[ListedSegment] = []
    before = (-1, -1)
    for at, line in enumerate(whole["segments"]):
        *numbers, digest_hex = line
        for number, bound in zip(numbers, _ROW_BOUNDS, strict=True):
            if type(number) is not int or not 0 <= number <= bound:
                raise ValueError("a number of a segment is out of bounds")
        start_us, epoch, sequence, duration_us, size, tail, tracks, site_class, min_until_us, flags = numbers
        digest = bytes.fromhex(digest_hex)
        if not (duration_us > 0 and size > 0 and tail > 0 and len(digest) == 32 and before < (start_us, epoch)):
            raise ValueError("a segment is empty, without a hash, or out of order")
        _in_hour(key, start_us)
        before = start_us, epoch
        found.append(
            ListedSegment(
                SegmentKey(key.camera, start_us, epoch, sequence),
                start_us + duration_us,
                size,
                digest,
                tail,
                params[tracks],
                classes[site_class],
                min_until_us,
                SegmentFlag(flags),
                counted.get(at),
            )
        )
    if any(at >= len(found) for at in counted):
        raise ValueError("the days of a segment that is not listed count from somewhere")
    return tuple(found)


def _gaps(key: ManifestKey, lines: Any) -> tuple[ListedGap, ...]:
    found: list[ListedGap] = []
    free_us = key.hour_us
    for start_us, end_us, reason in lines:
        _in_hour(key, _number(start_us, MAX_US))
        until_us = MAX_US if end_us is None else _number(end_us, MAX_US)
        if not free_us <= start_us < until_us or not _text(reason, _MAX_REASON_CHARS):
            raise ValueError("a gap is empty, without a reason, or out of order")
        free_us = until_us
        found.append(ListedGap(start_us, end_us, reason))
    return tuple(found)


def _expired(key: ManifestKey, lines: Any) -> tuple[tuple[int, int], ...]:
    free_us = key.hour_us
    for start_us, end_us in lines:
        _in_hour(key, _number(start_us, MAX_US))
        if not free_us <= start_us < _number(end_us, MAX_US):
            raise ValueError("erased time is empty or out of order")
        free_us = end_us
    return tuple((start_us, end_us) for start_us, end_us in lines)


def _in_hour(key: ManifestKey, start_us: int) -> None:
    if not key.hour_us <= start_us < key.hour_us + HOUR_US:
        raise ValueError("something in it begins in another hour")


def _number(value: Any, bound: int) -> int:
    if type(value) is not int or not 0 <= value <= bound:
        raise ValueError("a number is out of bounds")
    return value


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError("a text is too long or none")
    return value
