"""Deeds for tests of the register: entries as `access.occasion` makes them, of made-up people."""

from __future__ import annotations

from access.occasion import Occasion, Outcome, Purpose, entry
from vault.ids import CameraNumber
from vault.ledger.canonical import Value
from vault.ledger.entry import Kind, NewEntry
from vault.timebase import US, Interval

START_US = 1_790_000_000_000_000
SAID = Occasion(Purpose.INVESTIGATION, "theft of a bicycle", "2026-117", "case file", "first officer", "9901001")


def step(
    deed: str, outcome: Outcome, at_us: int, *, unit: str = "unit-1", user: str = "user-1", cameras: tuple[int, ...] = (7,),
    said: Occasion | None = SAID, kind: Kind = Kind.EXPORT, action: str = "export", **more: Value,
) -> NewEntry:  # fmt: skip
    """One step of a deed at that time."""
    numbers = [CameraNumber(number) for number in cameras]
    made = entry(
        kind, f"{user}@unit", action, outcome, numbers, Interval(START_US - 60 * US, START_US), id=deed, unit=unit, user=user,
        said=said, export=deed if kind is Kind.EXPORT else "", more=more,
    )  # fmt: skip
    return NewEntry(made.kind, made.actor, made.subject, made.body, made.id, at_us)
