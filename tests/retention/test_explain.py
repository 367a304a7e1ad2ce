"""What the plan and an explanation say is what a doom would do: raises that are not in the rows yet, an index that is not whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from index.behind import Ahead, make_safe
from index.holds import Holds
from index.minima import put_raise
from index.rows import State
from retention.decide import Fate
from retention.deleter import GRACE_US
from retention.expired import plans
from retention.explain import Explanation, explain
from retention.policy import INDEX, rules_of
from tests.support.indexing import CAMERA, OTHER, T0, new_row
from tests.support.retaining import DAY_US, MINUTE_US, Kept, open_kept
from vault.ids import SegmentKey
from vault.media import SegmentFlag
from vault.retain import counted_us, min_until_us
from vault.timebase import Interval

OVER_US = 31 * DAY_US
DAY_OF_T0_US = T0 + 16 * 3_600_000_000


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with open_kept(tmp_path / "data") as opened:
        yield opened


def raise_to(kept: Kept, days: int) -> None:
    """The rule alone, as whoever was cut short leaves it."""
    node = kept.node
    with node.environment.write("test") as txn:
        put_raise(txn, node.registry, [CAMERA], days, "Asia/Shanghai", by="Li", why="test", at_us=kept.clock.now_us())


def planned(kept: Kept) -> dict[SegmentKey, tuple[Fate, str]]:
    node = kept.node
    made = plans(node.environment, rules_of(node.config.retention), kept.clock.now_us(), kept.clock.mono_us())
    return {item.row.key: (item.fate, item.article) for plan in made for item in plan.items}


def explained(kept: Kept) -> Explanation:
    (found,) = explain(kept.node, CAMERA, T0 + 1)
    return found


def test_a_raise_that_is_not_in_the_rows_yet_counts_in_plan_and_explanation(kept: Kept) -> None:
    (raised,), (other,) = kept.put([T0]), kept.put([T0], OTHER)
    kept.clock.advance(OVER_US)
    assert explained(kept).state == "due"
    raise_to(kept, 60)
    assert [fate for fate, _ in planned(kept).values()] == [Fate.STAY, Fate.GO]
    found = explained(kept)
    assert (found.state, found.row and found.row.min_until_us) == ("kept", DAY_OF_T0_US + 60 * DAY_US)
    outcome = kept.node.catalog.doom([raised, other], at_us=kept.clock.now_us(), reason="test")
    assert outcome.done == (other,), "the index decides the same"


def test_what_a_raise_or_a_hold_will_spare_is_explained_so(kept: Kept) -> None:
    (key,) = kept.put([T0])
    kept.clock.advance(OVER_US)
    kept.run()
    assert "a hold can spare it" in explained(kept).reason
    raise_to(kept, 60)
    found = explained(kept)
    assert found.state == "doomed"
    assert "the next run spares it: it is inside its minimum" in found.reason
    kept.run()
    assert explained(kept).state == "kept"
    row = kept.node.catalog.row(key)
    assert row is not None
    assert row.state is State.COMMITTED


def test_an_index_that_is_older_than_its_store_keeps_all_and_what_was_doomed_before(kept: Kept) -> None:
    kept.put([T0, T0 + MINUTE_US])
    kept.clock.advance(OVER_US)
    kept.run()
    kept.put([T0 + 5 * MINUTE_US])
    # The copy that was restored may lack a hold on any of them.
    make_safe(kept.node.environment, kept.node.catalog, Ahead(documents=1))
    assert "older than its store" in explained(kept).reason
    assert [article for _, article in planned(kept).values()] == [INDEX]
    kept.clock.advance(GRACE_US)
    report = kept.run()
    assert (report.doomed, report.deleted.segments) == (0, 0)
    assert len(kept.there()) == 3
    kept.clock.advance(3 * DAY_US)
    assert kept.run().oldest_us == DAY_OF_T0_US + 30 * DAY_US, "overdue all the same"


def test_a_hold_is_explained_by_its_number(kept: Kept) -> None:
    kept.put([T0])
    kept.clock.advance(OVER_US)
    span = Interval(T0, T0 + 1)
    order, _ = Holds(kept.node.registry, kept.clock).place(by="Li", case="c", why="w", cameras=[CAMERA], interval=span)
    found = explained(kept)
    assert (found.state, found.reason) == ("kept", f"hold {order.number} keeps it")


@pytest.mark.parametrize(
    ("flags", "late_days", "days", "says"),
    [
        (SegmentFlag.NONE, 0, 30, "30 days after 2026-11-22: it was closed on the day it ended"),
        (SegmentFlag.CLOSED_NEXT_DAY, 1, 30, "30 days after 2026-11-23: it was closed 1 day after it ended"),
        (SegmentFlag.CLOSED_LATER, 3, 30, "30 days after 2026-11-25: it was closed 3 days after it ended"),
        (SegmentFlag.RECOVERED, 0, 30, "30 days after 2026-11-22: a crash left it open, and it was closed on the day it ended"),
        (
            SegmentFlag.RECOVERED | SegmentFlag.CLOSED_LATER, 9, 90,
            "90 days after 2026-12-01: a crash left it open, and it was closed 9 days after it ended; more than its class's 30",
        ),
        (SegmentFlag.CLOCK_UNCONFIRMED, 9, 30, "30 days after 2026-12-01: when it was recorded is in doubt"),
    ],
)  # fmt: skip
def test_it_is_told_how_many_days_a_segment_has_and_from_which_day_and_why(
    kept: Kept, flags: SegmentFlag, late_days: int, days: int, says: str
) -> None:
    end_us, zone = T0 + MINUTE_US, kept.node.config.retention.zone
    closed_us = end_us + late_days * DAY_US
    until_us = min_until_us(end_us, closed_us, days, zone)
    row = replace(
        new_row(epoch=0, min_until_us=until_us), flags=flags, counted_us=counted_us(end_us, closed_us, until_us, flags)
    )
    kept.node.catalog.commit([row], adopt=True)
    assert explained(kept).days.startswith(says)
