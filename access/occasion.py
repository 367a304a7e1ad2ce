"""On what occasion footage is looked at or taken: what must be said each time, and how the ledger tells it. Values in, values out.

A look or an export is at least two entries: one that it was asked for, durable before the first byte leaves, and one of how it
ended, which refers to it. A refusal is one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from index.texts import cleaned, text_field
from vault.errors import UsageError
from vault.grant import Action, Refusal
from vault.ids import CameraNumber
from vault.ledger.canonical import Value
from vault.ledger.entry import Kind, NewEntry
from vault.timebase import Interval

MAX_TEXT_CHARS: Final = 1_000
MAX_NAME_CHARS: Final = 200


class Purpose(enum.StrEnum):
    """Categories of purpose 用途."""

    INVESTIGATION = "investigation"
    ORDER = "order"
    TRAFFIC = "traffic"
    EMERGENCY = "emergency"
    DISPUTE = "dispute"
    INSPECTION = "inspection"
    PUBLICITY = "publicity"
    MAINTENANCE = "maintenance"
    OTHER = "other"


class Outcome(enum.StrEnum):
    """`ASKED` opens; the others end. `WAITING`: a second person has to approve first."""

    ASKED = "asked"
    WAITING = "waiting"
    APPROVED = "approved"
    DONE = "done"
    ABORTED = "aborted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Occasion:
    """`purpose` and `why`: category and text. `taker`, `staff_number`: the person taking it 调取人员. `destination`: 去向."""

    purpose: Purpose
    why: str
    case: str
    destination: str
    taker: str
    staff_number: str
    approval_ref: str = ""


def occasion(
    purpose: str, why: str, case: str, destination: str, taker: str, staff_number: str, approval_ref: str = ""
) -> Occasion:
    """From what people typed. Raises Refusal that names the missing field and its article, UsageError for one that is too long."""
    missing = [
        name
        for name, text in (
            ("purpose", purpose), ("why", why), ("case", case), ("destination", destination), ("person", taker),
            ("staff number", staff_number),
        )
        # What nobody sees says nothing.
        if not cleaned(text[: 16 * MAX_TEXT_CHARS])
    ]  # fmt: skip
    if missing:
        raise Refusal(f"nothing is handed out without {', '.join(missing)}: say each of them", "field", "Art. 14 (7)")
    try:
        category = Purpose(purpose)
    except ValueError:
        raise UsageError(f"purpose {purpose[:40]!r} is not one of {', '.join(Purpose)}") from None
    found = Occasion(
        category,
        text_field("why", why, MAX_TEXT_CHARS, required=True),
        text_field("case", case, MAX_NAME_CHARS, required=True),
        text_field("destination", destination, MAX_NAME_CHARS, required=True),
        text_field("person", taker, MAX_NAME_CHARS, required=True),
        text_field("staff number", staff_number, MAX_NAME_CHARS, required=True),
        text_field("approval reference", approval_ref, MAX_NAME_CHARS),
    )
    if category is Purpose.PUBLICITY and not found.approval_ref:
        raise Refusal("publicity needs the reference of the police's consent: approval-ref", "approval", "Art. 14 (5)")
    return found


def entry(
    kind: Kind,
    actor: str,
    action: str,
    outcome: Outcome,
    cameras: Sequence[CameraNumber],
    wanted: Interval,
    *,
    id: str,
    unit: str = "",
    user: str = "",
    said: Occasion | None = None,
    export: str = "",
    more: Mapping[str, Value] | None = None,
) -> NewEntry:
    """The ledger's line of one step. `kind`: READ or EXPORT. `action`: `clip`, `snapshot`, `play`, `export`.

    `id` names the deed: the opening entry's own id is `<id>`, each later one's `<id>.<outcome>`, and `body.refers` is `<id>`.
    `more`: `authority`, `address`, `code` and `article` of a refusal, `bytes`, `sha256`, …
    """
    subject: dict[str, Value] = {"cameras": [int(number) for number in cameras]}
    subject |= {name: text for name, text in (("unit", unit), ("user", user), ("export", export)) if text}
    body: dict[str, Value] = {
        "action": action, "outcome": str(outcome), "refers": id, "start_us": wanted.start_us, "end_us": wanted.end_us,
    }  # fmt: skip
    if said is not None:
        body |= {
            "purpose": str(said.purpose), "why": said.why, "case": said.case, "destination": said.destination,
            "person": said.taker, "staff_number": said.staff_number, "approval_ref": said.approval_ref,
        }  # fmt: skip
    body |= more or {}
    opening = outcome is Outcome.ASKED
    return NewEntry(kind, actor, subject, body, id if opening else f"{id}.{outcome}")


ACTIONS: Final[Mapping[str, Action]] = {
    "play": Action.VIEW, "clip": Action.VIEW, "snapshot": Action.VIEW, "export": Action.EXPORT,
}  # fmt: skip
"""Which leave each takes."""
