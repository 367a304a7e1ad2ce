"""What each repair would do, decided from what was found: pure. Finding is `index.repair_look`'s, doing `index.repair_run`'s.

Unknown means keep. An object that no row knows is taken in again where it can be read: whether it may be removed is then decided
by the rules of retention, which look at its minimum and at holds, and write it down. Only what cannot be footage is deleted.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from index.check import usage_faults
from index.rows import Place, SegmentRow, Usage
from vault.ids import CameraNumber, SegmentKey
from vault.timebase import US

DAY_US = 86_400 * US
"""An object without a row is left alone this long: somebody may still be at it."""

MOST_TO_GO = Fraction(2, 100)
"""More than this part of all objects never goes in one repair: then something else is wrong."""

LOST = "footage lost from the store"
"""The gap reason of a row whose object is gone."""

EXPIRY = "expiry"
"""The item for all counts of when segments expire: they are counted anew together."""


class Action(enum.StrEnum):
    """What is done with one item."""

    ADOPT = "adopt"
    DELETE = "delete"
    SETTLE = "settle"
    GAP = "gap"
    EXPIRE = "expire"
    COUNT = "count"
    RELIST = "relist"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing and what is done with it. `id`: an object key, or what names it."""

    action: Action
    id: str
    camera: CameraNumber | None
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`refused`: why nothing of it may be done; None when it may."""

    items: tuple[Item, ...] = ()
    refused: str | None = None

    def of(self, *actions: Action) -> list[Item]:
        """The items of these actions, in order."""
        return [item for item in self.items if item.action in actions]


@dataclass(frozen=True, slots=True)
class Orphan:
    """An object below `segments/` that no row knows. `key` None: its name is no segment's. `unreadable`: why it is no closed
    segment of that name, None when it is one."""

    name: str
    key: SegmentKey | None
    size_bytes: int
    modified_us: int
    unreadable: str | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """A committed row whose bytes are not where it says. `stored_bytes`: the size of its object, for a row whose place is the
    spool. `hold`: what keeps it. `deleted`: a list of deletions in the ledger names it."""

    row: SegmentRow
    stored_bytes: int | None
    hold: str | None
    deleted: bool = False


def plan_orphans(found: Iterable[Orphan], objects: int, now_us: int, grace_us: int) -> Plan:
    """Adopt what can be read, delete what cannot be footage, keep the rest. `objects`: how many there are in all."""
    items = tuple(_orphan(orphan, now_us, grace_us) for orphan in found)
    going = sum(item.action is Action.DELETE for item in items)
    if going > objects * MOST_TO_GO:
        return Plan(items, f"{going} of {objects} objects would go, more than {MOST_TO_GO * 100} %: look at the store first")
    return Plan(items)


def _orphan(orphan: Orphan, now_us: int, grace_us: int) -> Item:
    camera = orphan.key.camera if orphan.key else None
    age_us = now_us - orphan.modified_us
    if age_us < grace_us:
        return Item(Action.KEEP, orphan.name, camera, f"only {max(0, age_us) / DAY_US:.1f} days old")
    if orphan.key is None:
        return Item(Action.KEEP, orphan.name, None, "not a name of ours")
    if orphan.unreadable is None:
        return Item(Action.ADOPT, orphan.name, camera, "a closed segment that no row knows")
    if orphan.size_bytes == 0:
        return Item(Action.DELETE, orphan.name, camera, "empty: what an upload that broke off has left")
    return Item(Action.KEEP, orphan.name, camera, f"cannot be read, look at it by hand: {orphan.unreadable}")


def plan_missing(found: Sequence[Lost]) -> Plan:
    """Rows whose bytes are gone become gaps, or expired time where they were deleted on record, but for those whose object is there
    after all and those that a hold keeps."""
    return Plan(tuple(_missing(lost) for lost in found))


def _missing(lost: Lost) -> Item:
    row, name = lost.row, lost.row.key.object_key
    if row.place is Place.SPOOL and lost.stored_bytes == row.size_bytes:
        return Item(Action.SETTLE, name, row.key.camera, "not in the spool, and in the store with its size")
    if lost.hold is not None:
        return Item(Action.KEEP, name, row.key.camera, f"its bytes are gone, and hold {lost.hold} keeps the row: lift it first")
    if lost.deleted:
        return Item(Action.EXPIRE, name, row.key.camera, "deleted, as a list in the ledger says; the index is older")
    return Item(Action.GAP, name, row.key.camera, "its bytes are neither in the store nor in the spool")


def plan_usage(counted: Iterable[tuple[CameraNumber, Usage, Usage]], expiry: str | None = None) -> Plan:
    """Counters that are not the sum of the rows. Each camera with what is counted and what its rows make; `expiry`: what is
    wrong with the counts of when segments expire, None when nothing is."""
    cameras = tuple(
        Item(Action.COUNT, f"camera {camera}", camera, "; ".join(wrong))
        for camera, says, make in counted
        if (wrong := usage_faults(says, make))
    )
    return Plan(cameras if expiry is None else (*cameras, Item(Action.COUNT, EXPIRY, None, expiry)))
