"""Names of things that are stored: a camera's number, a segment's key, an object's key. Built from typed fields only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

from vault.errors import UsageError
from vault.timebase import MAX_US, format_us

CameraNumber = NewType("CameraNumber", int)
"""1 to 2^32-1, given once by the registry and never again; what keys and paths use."""

CameraId = NewType("CameraId", str)
"""What people call the camera: letters, digits, `-`, `_`, `.`; at most 64."""

_CAMERA_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_OBJECT_KEY = re.compile(r"segments/c(\d{10})/(\d{4}-\d{2}-\d{2})/(\d{17})-(\d{10})-(\d{10})\.mp4")
_U32 = 2**32 - 1


def camera_id(text: str) -> CameraId:
    """Check a camera id from outside. Raises UsageError."""
    if not _CAMERA_ID.fullmatch(text):
        raise UsageError(
            f"camera id {text[:80]!r} is not usable: 1 to 64 letters, digits, '-', '_' or '.', starting and ending with a letter or digit"
        )
    return CameraId(text)


@dataclass(frozen=True, slots=True, order=True)
class SegmentKey:
    """Identity of a segment, never reused: camera number, start (UTC µs), epoch, sequence within the epoch."""

    camera: CameraNumber
    start_us: int
    epoch: int
    sequence: int

    def __post_init__(self) -> None:
        if not (
            1 <= self.camera <= _U32 and 0 <= self.start_us <= MAX_US and 0 <= self.epoch <= _U32 and 0 <= self.sequence <= _U32
        ):
            raise UsageError(
                f"not a segment key: camera {self.camera}, start {self.start_us}, epoch {self.epoch}, sequence {self.sequence}"
            )

    @property
    def file_name(self) -> str:
        """The last part of the object key; the name of its spool file too."""
        return f"{self.start_us:017d}-{self.epoch:010d}-{self.sequence:010d}.mp4"

    @property
    def object_key(self) -> str:
        """Sorted listing = order of time within a camera: `segments/c0000000001/2026-11-22/<start>-<epoch>-<sequence>.mp4`."""
        return f"segments/c{self.camera:010d}/{format_us(self.start_us)[:10]}/{self.file_name}"

    @classmethod
    def parse(cls, object_key: str) -> SegmentKey:
        """The inverse of `object_key`. Raises UsageError for anything that `object_key` would not have written."""
        match = _OBJECT_KEY.fullmatch(object_key)
        if match:
            camera, _, start_us, epoch, sequence = match.groups()
            key = cls(CameraNumber(int(camera)), int(start_us), int(epoch), int(sequence))
            if key.object_key == object_key:
                return key
        raise UsageError(f"{object_key[:120]!r} is not a segment's object key")
