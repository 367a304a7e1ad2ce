"""The custody of an export: who took what, when, for whom and why, and from which stored bytes. Values and their canonical JSON.

Nothing is read or written here. Every field is described in `access/package/PACKAGE.md`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from access.occasion import Occasion
from access.package.verifier.forms import MAX_COMMAS, MAX_GROUPS, MAX_LIST_BYTES
from vault.errors import UsageError
from vault.ids import CameraId, CameraNumber
from vault.ledger.canonical import Value, canonical
from vault.timebase import Interval

FORMAT: Final = 1
_SOFTWARE = re.compile(r"[!-~](?:[ -~]{0,98}[!-~])?")
_EXPORT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file of the payload, durable. `path`: from the package's folder, `data/media/…`; `sha256`: hex."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Taken:
    """One media file and what it shows. `held`: with the frames before the cut, which players do not show; `whole`: a stored
    segment as it is, not a cut."""

    file: MediaFile
    shown: Interval
    held: Interval
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing was recorded in `interval`; `reason` as the timeline has it, `expired` for what was deleted by rule."""

    interval: Interval
    reason: str


@dataclass(frozen=True, slots=True)
class Source:
    """A stored segment that was read. `blake3`: of the whole stored object, looked at while it was read; `sha256`: of the same
    bytes; both hex. `damaged`: they were not what was recorded, and the export was told to go on."""

    key: str
    size_bytes: int
    blake3: str
    sha256: str
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class TakenCamera:
    """`clock_offset_us`: its own clock against the host's, None where nobody knows. `taken` and `held` are None where nothing was there."""

    number: CameraNumber
    id: CameraId
    name: str
    site: str
    site_name: str
    gb_code: str
    clock_offset_us: int | None
    asked: Interval
    taken: Interval | None
    held: Interval | None
    missing: tuple[Missing, ...]
    files: tuple[Taken, ...]
    sources: tuple[Source, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Custody:
    """The whole export. `deed`: the id of its opening entry in the ledger. `wanted`: the range asked for, as the ledger has it.

    `approver`: the second person's actor, empty where none had to approve. `zone`: in which the report for people shows times.
    `made_us`: when the payload was complete; it must be the same each time the payload is closed again.
    """

    export: str
    deed: str
    asked_us: int
    made_us: int
    actor: str
    user: str
    unit: str
    unit_name: str
    said: Occasion
    authority: tuple[str, ...]
    wanted: Interval
    cameras: tuple[TakenCamera, ...]
    software: str
    approver: str = ""
    approved_us: int | None = None
    address: str = ""
    zone: str = "UTC"
    notes: tuple[str, ...] = ()


def export_id(text: str) -> str:
    """Check an export's id: it names the package's folder. Raises UsageError."""
    if not _EXPORT_ID.fullmatch(text):
        raise UsageError(f"export id {text[:60]!r} is not usable: 1 to 40 letters, digits, '-' or '_'")
    return text


def media_name(number: CameraNumber, camera: CameraId, span: Interval, part: int = 0) -> str:
    """A media file's name below `data/media`, from typed fields only: `c7-gate/20261122T023000.000000Z-….mp4`. `part` tells
    files of one span apart."""
    first, last = (
        (_EPOCH + timedelta(microseconds=at_us)).strftime("%Y%m%dT%H%M%S.%fZ") for at_us in (span.start_us, span.end_us)
    )
    return f"c{number}-{camera}/{first}-{last}{f'-{part}' if part else ''}.mp4"


def custody_json(custody: Custody) -> bytes:
    """Canonical JSON, as `data/custody.json` holds it. Raises UsageError for what cannot be written or is too long."""
    said = custody.said
    if not _SOFTWARE.fullmatch(custody.software):
        raise UsageError(f"{custody.software[:60]!a} does not name a program and its version")
    data = canonical(
        {
            "format": FORMAT,
            "export": export_id(custody.export),
            "deed": custody.deed,
            "asked_us": custody.asked_us,
            "made_us": custody.made_us,
            "actor": custody.actor,
            "user": custody.user,
            "unit": custody.unit,
            "unit_name": custody.unit_name,
            "purpose": str(said.purpose),
            "why": said.why,
            "case": said.case,
            "destination": said.destination,
            "person": said.taker,
            "staff_number": said.staff_number,
            "approval_ref": said.approval_ref,
            "authority": list(custody.authority),
            "approver": custody.approver,
            "approved_us": custody.approved_us,
            "address": custody.address,
            "start_us": custody.wanted.start_us,
            "end_us": custody.wanted.end_us,
            "cameras": [_camera(taken) for taken in custody.cameras],
            "software": custody.software,
            "zone": custody.zone,
            "notes": list(custody.notes),
        }
    )
    # About 150,000 segments, a hundred days of one camera.
    if len(data) > MAX_LIST_BYTES or data.count(b"{") + data.count(b"[") > MAX_GROUPS or data.count(b",") > MAX_COMMAS:
        raise UsageError(
            f"export {custody.export}: its custody of {len(data)} bytes is more than a verifier would read; export a shorter range or "
            "fewer cameras at once"
        )
    return data


def _camera(taken: TakenCamera) -> Value:
    return {
        "number": int(taken.number),
        "id": taken.id,
        "name": taken.name,
        "site": taken.site,
        "site_name": taken.site_name,
        "gb_code": taken.gb_code,
        "clock_offset_us": taken.clock_offset_us,
        "asked": _interval(taken.asked),
        "taken": _interval(taken.taken),
        "held": _interval(taken.held),
        "missing": [
            {"start_us": gap.interval.start_us, "end_us": gap.interval.end_us, "reason": gap.reason} for gap in taken.missing
        ],
        "files": [
            {
                "path": item.file.path,
                "bytes": item.file.size_bytes,
                "sha256": item.file.sha256,
                "shown": _interval(item.shown),
                "held": _interval(item.held),
                "whole": item.whole,
            }
            for item in taken.files
        ],
        "sources": [
            {
                "key": source.key,
                "bytes": source.size_bytes,
                "blake3": source.blake3,
                "sha256": source.sha256,
                "damaged": source.damaged,
            }
            for source in taken.sources
        ],
        "notes": list(taken.notes),
    }


def _interval(interval: Interval | None) -> Value:
    return None if interval is None else {"start_us": interval.start_us, "end_us": interval.end_us}
