"""What a working folder knows of pieces that are done, so that an export that was cut short takes only the rest.

A line behind each piece: the SHA-256 of its JSON, a space, the JSON, which becomes part of what the custody says. Media files themselves
are noted by the package's builder. Derived data: gone with the folder.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from access.export.taking import Piece
from access.package.custody import MediaFile, Missing, Source, Taken
from access.package.durable import append_line
from access.package.report import Thumbnail
from vault.errors import StreamvaultError
from vault.files import store_error
from vault.ids import CameraNumber
from vault.timebase import Interval

NAME: Final = "pieces.jsonl"

Key = tuple[CameraNumber, Interval]


def keep(folder: Path, key: Key, piece: Piece) -> None:
    """Durable when it returns. Raises StoreFull, StoreError."""
    number, wanted = key
    pictures = [[one.at_us, base64.b64encode(one.jpeg).decode()] for one in piece.thumbnails]
    line = {"camera": number, "wanted": asdict(wanted), **asdict(piece), "thumbnails": pictures}
    try:
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode()
        append_line(folder / NAME, _digest(text) + b" " + text)
    except OSError as error:
        raise store_error(f"writing in the working folder {folder}", error) from error


def kept(folder: Path, finished: Mapping[str, MediaFile]) -> dict[Key, Piece]:
    """The pieces that are done and whose files are all `finished`. Raises StoreError."""
    found: dict[Key, Piece] = {}
    try:
        lines = (folder / NAME).read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise store_error(f"reading the working folder {folder}", error) from error
    whole = set(finished.values())
    for line in lines:
        # What a kill left of a line, or a disk changed in it, is none: that piece is taken again.
        digest, _, text = line.partition(b" ")
        if digest != _digest(text):
            continue
        with suppress(ValueError, KeyError, TypeError, StreamvaultError):
            row = json.loads(text)
            piece = _piece(row)
            if {taken.file for taken in piece.files} <= whole:
                found[CameraNumber(row["camera"]), _interval(row["wanted"])] = piece
    return found


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()


def _piece(row: Mapping[str, Any]) -> Piece:
    return Piece(
        files=tuple(
            Taken(MediaFile(**one["file"]), _interval(one["shown"]), _interval(one["held"]), one["whole"])
            for one in row["files"]
        ),
        sources=tuple(Source(**one) for one in row["sources"]),
        left_out=tuple(Missing(_interval(one["interval"]), one["reason"]) for one in row["left_out"]),
        notes=tuple(row["notes"]),
        offsets_us=tuple(row["offsets_us"]),
        thumbnails=tuple(Thumbnail(row["camera"], at_us, base64.b64decode(jpeg)) for at_us, jpeg in row["thumbnails"]),
    )


def _interval(row: Mapping[str, int]) -> Interval:
    return Interval(row["start_us"], row["end_us"])
