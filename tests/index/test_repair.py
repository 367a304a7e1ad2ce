"""What a repair decides: one table of what is found and what becomes of it."""

from __future__ import annotations

import pytest

from index.repair import DAY_US, Action, Lost, Orphan, plan_missing, plan_orphans, plan_usage
from index.rows import Place, SegmentRow, State, Usage
from tests.support.indexing import CAMERA, T0
from vault.ids import SegmentKey
from vault.media import SegmentFlag
from vault.timebase import US

GRACE_US = 7 * DAY_US
KEY = SegmentKey(CAMERA, T0, 1, 1)
NAME = KEY.object_key


def orphan(age_us: int = GRACE_US, size: int = 100, unreadable: str | None = None, key: SegmentKey | None = KEY) -> Orphan:
    return Orphan(NAME if key else "segments/notes.txt", key, size, T0 - age_us, unreadable)


@pytest.mark.parametrize(
    ("found", "action"),
    [
        pytest.param(orphan(), Action.ADOPT, id="a whole segment as old as the grace"),
        pytest.param(orphan(age_us=GRACE_US - 1), Action.KEEP, id="a microsecond younger"),
        pytest.param(orphan(age_us=-DAY_US), Action.KEEP, id="from the future"),
        pytest.param(orphan(size=0, unreadable="no tail"), Action.DELETE, id="empty"),
        pytest.param(orphan(age_us=0, size=0, unreadable="no tail"), Action.KEEP, id="empty and new"),
        pytest.param(orphan(size=1, unreadable="no tail"), Action.KEEP, id="unreadable, which may be footage"),
        pytest.param(orphan(size=0, key=None), Action.KEEP, id="not a name of ours, though empty"),
    ],
)
def test_an_orphan_is_taken_in_or_kept_and_goes_only_when_it_cannot_be_footage(found: Orphan, action: Action) -> None:
    (item,) = plan_orphans([found], 1_000, T0, GRACE_US).items
    assert item.action is action
    assert item.reason


@pytest.mark.parametrize(("objects", "refused"), [(50, False), (49, True)])
def test_more_than_two_in_a_hundred_never_go_at_once(objects: int, refused: bool) -> None:
    plan = plan_orphans([orphan(size=0, unreadable="no tail")], objects, T0, GRACE_US)
    assert (plan.refused is not None) == refused


def lost(place: Place, stored_bytes: int | None = None, hold: str | None = None, deleted: bool = False) -> Lost:
    row = SegmentRow(KEY, T0 + US, 100, bytes(32), 50, 1, "general", 0, SegmentFlag.NONE, place, State.COMMITTED)
    return Lost(row, stored_bytes, hold, deleted)


@pytest.mark.parametrize(
    ("found", "action"),
    [
        (lost(Place.STORE), Action.GAP),
        (lost(Place.SPOOL), Action.GAP),
        (lost(Place.SPOOL, stored_bytes=100), Action.SETTLE),
        (lost(Place.SPOOL, stored_bytes=99), Action.GAP),
        (lost(Place.STORE, hold="case-1"), Action.KEEP),
        (lost(Place.SPOOL, stored_bytes=100, hold="case-1"), Action.SETTLE),
        (lost(Place.STORE, deleted=True), Action.EXPIRE),
        (lost(Place.SPOOL, stored_bytes=100, deleted=True), Action.SETTLE),
        (lost(Place.STORE, hold="case-1", deleted=True), Action.KEEP),
    ],
)
def test_a_lost_segment_becomes_a_gap_unless_its_object_is_there_or_a_hold_is_on_it(found: Lost, action: Action) -> None:
    assert [item.action for item in plan_missing([found]).items] == [action]


def test_counters_that_are_right_and_bounds_that_are_wider_are_left_alone() -> None:
    rows = Usage(segments=2, longest_us=10, first_us=100)
    wide = Usage(segments=2, longest_us=11, first_us=99)
    assert plan_usage([(CAMERA, rows, rows), (CAMERA, wide, rows)]).items == ()
    (item,) = plan_usage([(CAMERA, Usage(segments=3, longest_us=9, first_us=None), rows)]).items
    assert [word.split()[0] for word in item.reason.split("; ")] == ["segments", "longest_us", "first_us"]
