"""The register 调取登记册: one row for each time footage was looked at or taken, made of the ledger's entries alone.

Values in, values out: reading the ledger is `index.register`'s, showing is in the modules beside this one. What a ledger says was
typed by people; whoever shows it makes it harmless there.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from access.occasion import Outcome
from access.people.model import Principal, Role
from vault.grant import Refusal
from vault.ledger.canonical import Value
from vault.ledger.entry import Entry

OPEN: Final = "open"
"""The outcome of what was asked for and has not ended; one that waits for a second person says so."""

_ENDS: Final = frozenset({str(Outcome.DONE), str(Outcome.ABORTED), str(Outcome.REFUSED)})


@dataclass(frozen=True, slots=True)
class Row:
    """One deed. Instants are UTC µs; a text that nobody gave is empty, a number None.

    `taker`, `staff_number`: the person taking it 调取人员; `user`: whoever was signed in. `approver`: the second person, where one
    had to agree. `code`, `article`: of a refusal; `reason`: why it was refused or broken off. `sha256`: of what was handed out; of
    an export that of its package. `entries`: where it stands in the ledger.
    """

    deed: str
    kind: str
    action: str
    asked_us: int
    actor: str
    unit: str = ""
    user: str = ""
    taker: str = ""
    staff_number: str = ""
    cameras: tuple[int, ...] = ()
    start_us: int | None = None
    end_us: int | None = None
    purpose: str = ""
    why: str = ""
    case: str = ""
    destination: str = ""
    approval_ref: str = ""
    authority: str = ""
    address: str = ""
    export: str = ""
    outcome: str = OPEN
    ended_us: int | None = None
    approver: str = ""
    approved_us: int | None = None
    size_bytes: int | None = None
    sha256: str = ""
    code: str = ""
    article: str = ""
    reason: str = ""
    entries: tuple[int, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.outcome not in _ENDS


NAMES: Final = tuple(item.name for item in fields(Row))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows. Empty and None are all. `person`: a user, the person taking it, or a staff number, whole and as it is written."""

    unit: str | None = None
    person: str = ""
    camera: int | None = None
    case: str = ""
    user: str = ""
    still_open: bool = False

    def takes(self, row: Row) -> bool:
        return (
            (self.unit is None or row.unit == self.unit)
            and (not self.person or self.person in (row.user, row.taker, row.staff_number, row.actor, row.approver))
            and (self.camera is None or self.camera in row.cameras)
            and (not self.case or row.case == self.case)
            and (not self.user or row.user == self.user)
            and (not self.still_open or row.is_open)
        )


def row_of(entries: Sequence[Entry]) -> Row:
    """A deed's row. The first entry says what was asked; how it went is what the later ones say, the last word counting."""
    first = entries[0]
    subject, body = first.subject, first.body
    size, hashed, outcome, ended_us = None, "", OPEN, None
    approver, approved_us = "", None
    code = article = reason = ""
    begun: set[str] = set()
    for entry in entries:
        said, step, refers = entry.body, _text(entry.body, "outcome"), _text(entry.body, "refers")
        if step in _ENDS and begun and refers not in begun:
            # A refusal of something else about it: somebody who may not decide on it tried to.
            continue
        if step in (Outcome.ASKED, Outcome.WAITING):
            # It may be taken up again behind its end.
            begun.add(refers)
            outcome, ended_us, code, article, reason = (OPEN if step == Outcome.ASKED else step), None, "", "", ""
        elif step == Outcome.APPROVED:
            approver, approved_us = _text(entry.subject, "user") or entry.actor, entry.time_us
            outcome = OPEN
        elif step in _ENDS:
            outcome, ended_us = step, entry.time_us
        approver = approver or _text(said, "approved_by")
        told = _first_number(said, ("bytes", "size_bytes"))
        size = size if told is None else told
        hashed = _text(said, "sha256") or hashed
        code, article = _text(said, "code") or code, _text(said, "article") or article
        reason = _first_text(said, ("reason", "why_ended")) or reason
    return Row(
        deed=_text(subject, "export") or _text(body, "refers") or first.id, kind=first.kind, action=_text(body, "action"), asked_us=first.time_us,
        actor=first.actor, unit=_text(subject, "unit"), user=_text(subject, "user"),
        taker=_text(body, "person"), staff_number=_text(body, "staff_number"), cameras=_cameras(subject),
        start_us=_first_number(body, ("start_us",)), end_us=_first_number(body, ("end_us",)), purpose=_text(body, "purpose"),
        why=_text(body, "why"), case=_text(body, "case"), destination=_text(body, "destination"),
        approval_ref=_text(body, "approval_ref"), authority=_said(body.get("authority")), address=_text(body, "address"),
        export=next((_text(entry.subject, "export") for entry in entries if _text(entry.subject, "export")), ""),
        outcome=outcome, ended_us=ended_us, approver=approver, approved_us=approved_us, size_bytes=size, sha256=hashed,
        code=code, article=article, reason=reason, entries=tuple(entry.sequence for entry in entries),
    )  # fmt: skip


def rows(deeds: Iterable[Sequence[Entry]], wanted: Wanted) -> Iterator[Row]:
    """In the order in which they were asked for."""
    return (row for entries in deeds if wanted.takes(row := row_of(entries)))


class Sight(enum.StrEnum):
    """How much of the register somebody sees."""

    ALL = "all"
    UNIT = "unit"
    OWN = "own"


SIGHTS: Final[Mapping[Role, Sight | None]] = {
    Role.ADMIN: Sight.ALL,
    Role.INSPECTOR: Sight.ALL,
    # What other units asked for, and in which case, is no matter of an investigation.
    Role.INVESTIGATOR: Sight.OWN,
    Role.UNIT: Sight.UNIT,
    Role.PLANNER: None,
}
"""Art. 14 (7) has each unit keep its own book and Art. 15 the inspector see all. Planners see no footage and not who took any."""


def seen_by(principal: Principal, wanted: Wanted) -> Wanted:
    """What of it this principal may see. Raises Refusal for another unit's book, and for whoever may see none."""
    user = principal.user
    if user is None:
        return wanted
    if user.must_change:
        raise Refusal(f"user {user.id} may do nothing before the password is changed", "password", "Art. 14 (7)")
    sight = SIGHTS[user.role]
    if sight is Sight.ALL:
        return wanted
    if sight is None or (sight is Sight.UNIT and not user.unit):
        raise Refusal(f"the register is not for role {user.role}", "register", "Art. 14 (7)")
    unit = user.unit if sight is Sight.UNIT else wanted.unit
    if wanted.unit not in (None, unit):
        raise Refusal(f"user {user.id} of unit {user.unit} sees the register of that unit only", "register", "Art. 14 (7)")
    return Wanted(
        unit, wanted.person, wanted.camera, wanted.case, user.id if sight is Sight.OWN else wanted.user, wanted.still_open
    )


def _text(value: Mapping[str, Value], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _first_text(value: Mapping[str, Value], names: Sequence[str]) -> str:
    return next((text for name in names if (text := _text(value, name))), "")


def _first_number(value: Mapping[str, Value], names: Sequence[str]) -> int | None:
    return next((found for name in names if type(found := value.get(name)) is int), None)


def _cameras(subject: Mapping[str, Value]) -> tuple[int, ...]:
    several = subject.get("cameras")
    found = several if isinstance(several, list | tuple) else [subject.get("camera")]
    return tuple(number for number in found if type(number) is int)


def _said(value: Value) -> str:
    """A text or a list of them."""
    if isinstance(value, str):
        return value
    return ", ".join(item for item in value if isinstance(item, str)) if isinstance(value, list | tuple) else ""
