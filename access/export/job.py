"""An export as a value: what was asked, how far it is, and its row. No I/O; who moves it on is `access.export.engine`."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from access.occasion import Occasion, Outcome, Purpose, entry
from access.package.container import Form, part_path
from access.people.model import Act
from vault.errors import Damaged, UsageError
from vault.ids import CameraNumber
from vault.ledger.canonical import Value
from vault.ledger.entry import Kind, NewEntry
from vault.splice.part import Gaps
from vault.timebase import US, Interval, format_us

RESUMABLE_US: Final = 24 * 3_600 * US
"""An export that was cut short and is not resumed for so long is closed as aborted."""
LISTED_US: Final = 90 * 24 * 3_600 * US
"""An export that has ended is listed for so long; the ledger and the register know of it after that too."""
MAX_CAMERAS: Final = 200
MAX_TARGET_CHARS: Final = 4_000

_VERSION: Final = 1


class Step(enum.StrEnum):
    """How far an export is; in this order. The last three are ends."""

    WAITING = "waiting"
    """For a second person."""
    TAKING = "taking"
    """Its intent is in the ledger; media are being taken, or were when it was cut short."""
    CLOSED = "closed"
    """The payload is whole and durable, its manifest's hash is in the row; the ledger is about to hear of it, or has."""
    SEALED = "sealed"
    """Proofs and signature are there; it is about to be handed over, or has been."""
    DONE = "done"
    ABORTED = "aborted"
    REFUSED = "refused"

    @property
    def ended(self) -> bool:
        return self in (Step.DONE, Step.ABORTED, Step.REFUSED)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be taken and how. `target`: absolute path of what is handed over. `original`: whole segments as they are
    stored. `allow_damaged`: go on where a segment is not what its row says, and say so."""

    cameras: tuple[CameraNumber, ...]
    interval: Interval
    target: str
    form: Form = Form.FOLDER
    original: bool = False
    gaps: Gaps = Gaps.KEEP
    allow_damaged: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """`authority`: what the asker's leave rests on. `deed`: the visit that took it last, whose entries tell of it in the ledger.
    `intent`, `approval`, `completion`: sequences there. `manifest_sha256`: hex. `handing`: what stands at the target since then
    is ours. `left_bytes`: what has left, known at the end. `why`: it was refused or ended early.
    """

    id: str
    step: Step
    actor: str
    wish: Wish
    said: Occasion
    asked_us: int
    changed_us: int
    unit: str = ""
    user: str = ""
    authority: tuple[str, ...] = ()
    approved: Act | None = None
    deed: str = ""
    intent: int | None = None
    approval: int | None = None
    completion: int | None = None
    manifest_sha256: str = ""
    size_bytes: int = 0
    files: int = 0
    handing: bool = False
    left_bytes: int = 0
    why: str = ""

    @property
    def target_path(self) -> Path:
        return Path(self.wish.target)

    @property
    def part_path(self) -> Path:
        """What the container writes before it has its last name."""
        return part_path(self.target_path, self.id)

    def pack(self) -> bytes:
        """The row; `index/SCHEMA.md`."""
        return json.dumps({"version": _VERSION, **asdict(self)}, ensure_ascii=False, separators=(",", ":")).encode()

    def entry(self, actor: str, outcome: Outcome, more: Mapping[str, Value], user: str = "") -> NewEntry:
        """What the ledger is told of it. Before a run the request itself is the deed; behind it the visit that took."""
        return entry(
            Kind.EXPORT, actor, "export", outcome, self.wish.cameras, self.wish.interval, id=self.deed or self.id, unit=self.unit,
            user=user or self.user, said=self.said, export=self.id, more={"authority": [*self.authority], **more},
        )  # fmt: skip

    def moved(self, step: Step, now_us: int, **more: Any) -> Job:
        return replace(self, step=step, changed_us=now_us, **more)


def unpack(raw: bytes) -> Job:
    """Raises Damaged."""
    try:
        row = json.loads(raw)
        if row.pop("version") != _VERSION or row.keys() != {field.name for field in fields(Job)}:
            raise ValueError("another version")
        wish, said, approved = row.pop("wish"), row.pop("said"), row.pop("approved")
        return Job(
            **row
            | {
                "step": Step(row["step"]),
                "wish": Wish(
                    **wish
                    | {
                        "cameras": tuple(CameraNumber(number) for number in wish["cameras"]),
                        "interval": Interval(wish["interval"]["start_us"], wish["interval"]["end_us"]),
                        "form": Form(wish["form"]),
                        "gaps": Gaps(wish["gaps"]),
                    }
                ),
                "said": Occasion(**said | {"purpose": Purpose(said["purpose"])}),
                "authority": tuple(row["authority"]),
                "approved": None if approved is None else Act(**approved),
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise Damaged("an export's row cannot be read; a newer streamvault may have written it") from error


def new_id(now_us: int, salt: str) -> str:
    """`20261130-231500-1f3a9c`: the moment (UTC) and something random."""
    moment = format_us(now_us)
    return f"{moment[:10].replace('-', '')}-{moment[11:19].replace(':', '')}-{salt}"
