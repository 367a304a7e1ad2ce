"""Which segments go and which stay, each with a reason and an article. Pure: values and `now` in, a plan out.

Whether the clock may be trusted, whether a run dooms more than was foretold, and doing it, belong to `retention.sweep`. The index
asks everything that keeps a segment once more in the transactions that doom and delete (I4): this decides what to ask for.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from index.doom import Hold
from index.pins import Pin
from index.rows import SegmentRow
from retention.policy import CLOCK, DELETION, HELD, INDEX, READING, Rules
from vault.ids import CameraNumber
from vault.timebase import format_local


class Fate(enum.StrEnum):
    """What becomes of a segment."""

    GO = "go"
    STAY = "stay"


@dataclass(frozen=True, slots=True)
class Item:
    """One segment's fate, why, and by which article or order."""

    row: SegmentRow
    fate: Fate
    reason: str
    article: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What `decide` found at `at_us`, in the order of what it was given."""

    at_us: int
    items: tuple[Item, ...]

    @property
    def going(self) -> list[Item]:
        return [item for item in self.items if item.fate is Fate.GO]

    @property
    def due(self) -> list[Item]:
        """What goes, or would in an index that is whole: overdue when it stays for long."""
        return [item for item in self.items if item.fate is Fate.GO or item.article == INDEX]


Holds = Mapping[CameraNumber, Sequence[Hold]]
PinsByCamera = Mapping[CameraNumber, Sequence[Pin]]
"""Those that last at the time of the decision."""


def decide(
    segments: Iterable[SegmentRow], rules: Rules, holds: Holds, pins: PinsByCamera, now_us: int, *, all_stay: str | None = None
) -> Plan:
    """The fate of each segment at `now_us`. In doubt it stays. `segments` have their minimum with every raise counted; `all_stay`:
    why the index lets none go, None when it does not."""
    # A day's segments share few reasons: made once for each class and minimum.
    over = _Over(rules)
    items = []
    for row in segments:
        camera = row.key.camera
        stay = _unripe(row, rules, now_us)
        if stay is None and all_stay is not None:
            stay = all_stay, INDEX
        if stay is None and (camera in holds or camera in pins):
            stay = _kept(row, holds.get(camera, ()), pins.get(camera, ()), now_us)
        items.append(Item(row, Fate.GO, *over.words(row)) if stay is None else Item(row, Fate.STAY, *stay))
    return Plan(now_us, tuple(items))


class _Over:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._words: dict[tuple[str, int], tuple[str, str]] = {}

    def words(self, row: SegmentRow) -> tuple[str, str]:
        key = row.site_class, row.min_until_us
        found = self._words.get(key)
        if found is None:
            rule = self._rules[row.site_class]
            reason = (
                f"its time as class {rule.site_class} (at least {rule.days} days) was over at {format_local(row.min_until_us)}"
            )
            found = self._words[key] = reason, DELETION
        return found


def _unripe(row: SegmentRow, rules: Rules, now_us: int) -> tuple[str, str] | None:
    if row.min_until_us == 0:
        return "its minimum is not known yet, which means keep", CLOCK
    rule = rules.get(row.site_class)
    if rule is None:
        return f"its class {row.site_class[:40]!r} is not known, which means keep", "none known"
    if now_us < row.min_until_us:
        return f"it is inside its minimum until {format_local(row.min_until_us)}", rule.article
    return None


def _kept(row: SegmentRow, holds: Sequence[Hold], pins: Sequence[Pin], now_us: int) -> tuple[str, str] | None:
    for hold in holds:
        if hold.interval.overlaps(row.interval) and (hold.until_us is None or now_us < hold.until_us):
            return f"hold {hold.id} keeps it", HELD
    for pin in pins:
        if pin.interval.overlaps(row.interval):
            return f"{pin.owner} is reading it", READING
    return None
