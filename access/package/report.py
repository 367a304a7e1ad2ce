"""The report in a package as one HTML page for screen and A4: everything in it, no script, every text from outside escaped.

The page itself is `report_page.html` beside this file. The same custody gives the same bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from markupsafe import Markup

from access.package.custody import Custody, Source, TakenCamera
from access.package.report_words import LABELS, MISSING, note
from access.register_words import PURPOSES, authority
from retention.inspect_words import reason
from retention.inspection import length_text, seconds_text
from retention.printed import render, said
from vault.errors import UsageError
from vault.timebase import format_local

MAX_SOURCES: Final = 120
"""Of a camera, in the page; the custody has all."""
MAX_MISSING: Final = 500
MAX_THUMBNAILS: Final = 200
MAX_JPEG_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture for the report: JPEG, of the camera with that number at that instant."""

    camera: int
    at_us: int
    jpeg: bytes

    def __post_init__(self) -> None:
        if not self.jpeg.startswith(b"\xff\xd8\xff") or len(self.jpeg) > MAX_JPEG_BYTES:
            raise UsageError(f"a picture for a report is a JPEG of at most {MAX_JPEG_BYTES} bytes")

    @property
    def link(self) -> str:
        """As an `img` takes it, with no file beside the page."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode()}"


def page(custody: Custody, thumbnails: Sequence[Thumbnail]) -> bytes:
    """The page in Chinese and English, UTF-8."""
    moment = partial(format_local, zone=_zone(custody.zone))

    def why(text: str) -> Markup:
        return said(MISSING.get(text) or reason(text))

    pictures = sorted(thumbnails, key=lambda picture: (picture.camera, picture.at_us))[:MAX_THUMBNAILS]
    by_camera = {camera.number: [one for one in pictures if one.camera == camera.number] for camera in custody.cameras}
    return render(
        "access/package/report_page.html", LABELS, "both",
        custody=custody, said_by=custody.said, purpose=PURPOSES[custody.said.purpose], pictures=by_camera, said=said,
        moment=moment, cut=partial(moment, exact=True), why=why, remark=note, authority=authority, length=length_text, seconds=seconds_text, sources=_listed,
        max_missing=MAX_MISSING,
    ).encode()  # fmt: skip


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"{name[:60]!r} is not a time zone") from None


def _listed(camera: TakenCamera) -> list[Source]:
    """The damaged ones first of all, then the first of the others, in order."""
    chosen = sorted(camera.sources, key=lambda source: not source.damaged)[:MAX_SOURCES]
    return sorted(chosen, key=lambda source: source.key)
