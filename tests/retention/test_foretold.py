"""What was foretold outlives the index: it is read back from the ledger, with what was confirmed and deleted since, or not believed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.duties import Duties
from index.renew import renew
from retention.deleter import GRACE_US
from retention.foretold import foretold_in
from retention.halt import MAX_MINIMA, NOTHING, Forecast
from retention.sweep import DUTY
from tests.support.index_vault import closed_segment
from tests.support.indexing import CAMERA, T0
from tests.support.retaining import DAY_US, HOUR_US, MINUTE_US, Kept, open_kept
from vault.clock import ManualClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.ids import SegmentKey
from vault.ledger.entry import Kind, NewEntry
from vault.ledger.ledger import Ledger

UNTIL_US = T0 + 30 * DAY_US + 16 * HOUR_US


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with open_kept(tmp_path / "data") as opened:
        yield opened


def starts(count: int, first_us: int = T0) -> list[int]:
    return [first_us + at * MINUTE_US for at in range(count)]


def forget(kept: Kept) -> None:
    """As an index that was made anew does: nothing of retention's own is in it."""
    Duties(kept.node.environment).put(DUTY, {})
    kept.restart()


def known(kept: Kept) -> Forecast:
    told = Duties(kept.node.environment).get(DUTY)["foretold"]
    return Forecast(told["at_us"], tuple((at, count) for at, count in told["sums"]), told["doomed"])


def test_a_month_that_was_foretold_is_doomed_without_asking_by_an_index_made_anew(kept: Kept) -> None:
    kept.put(starts(1_100), until_us=UNTIL_US)
    kept.run()
    kept.clock.advance(31 * DAY_US)
    forget(kept)
    report = kept.run()
    assert (report.halt, report.doomed) == (None, 1_100)


def test_a_node_that_was_off_for_half_a_year_finds_what_it_foretold(kept: Kept) -> None:
    kept.put(starts(1_100), site_class="key")
    kept.run()
    kept.clock.advance(180 * DAY_US)
    assert kept.run().doomed == 1_100


def test_more_than_the_ledger_foretold_asks_all_the_same(kept: Kept) -> None:
    kept.put(starts(10))
    kept.run()
    kept.put(starts(1_100, T0 + DAY_US), until_us=UNTIL_US)
    kept.clock.advance(31 * DAY_US)
    forget(kept)
    halt = kept.run().halt
    assert halt is not None
    assert (halt.due, halt.foretold) == (1_110, 10)


def test_what_was_deleted_since_counts_and_what_was_only_doomed_is_found_again(kept: Kept) -> None:
    kept.put(starts(7))
    kept.put(starts(5, T0 + DAY_US))
    kept.clock.advance(UNTIL_US - T0 - DAY_US + 2 * HOUR_US)
    kept.run()
    # Foretold on the day before they were due, then doomed and deleted.
    kept.clock.advance(DAY_US - 2 * HOUR_US)
    assert kept.run().doomed == 7
    kept.clock.advance(GRACE_US)
    assert kept.run().deleted.segments == 7
    assert foretold_in(kept.ledger) == known(kept)
    assert foretold_in(kept.ledger).doomed == 7
    kept.clock.advance(2 * HOUR_US - GRACE_US)
    kept.run()
    kept.clock.advance(DAY_US - 2 * HOUR_US)
    assert kept.run().doomed == 5
    assert foretold_in(kept.ledger).doomed == known(kept).doomed - 5, "not deleted yet"


def test_what_a_person_confirmed_is_read_back(kept: Kept) -> None:
    kept.put(starts(10))
    kept.run()
    kept.put(starts(1_100, T0 + HOUR_US), until_us=T0 + 2 * DAY_US)
    kept.clock.advance(3 * DAY_US)
    halt = kept.run().halt
    assert halt is not None
    kept.sweep.confirm(halt.plan, "first officer")
    forget(kept)
    assert kept.run().doomed == 1_100


def test_a_forecast_that_was_not_signed_is_not_believed(kept: Kept) -> None:
    kept.put(starts(3))
    kept.run()
    (path,) = kept.ledger.folder.glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b"%d,3]" % UNTIL_US, b"%d,9]" % UNTIL_US))
    assert foretold_in(kept.ledger) == NOTHING


@pytest.mark.parametrize("foretold", [7, [[1]], [[1, -1]], [[1, "2"]], [["x", 2]], None])
def test_a_forecast_of_another_form_is_none(kept: Kept, foretold: object) -> None:
    kept.ledger.append([NewEntry(Kind.RETENTION, "retention", {}, {"foretold": foretold, "doomed_since_last": 0})])  # type: ignore[dict-item]
    assert foretold_in(kept.ledger) == NOTHING


def test_the_newest_is_found_behind_thousands_of_other_entries_and_an_empty_ledger_has_none(kept: Kept) -> None:
    assert foretold_in(kept.ledger) == NOTHING
    kept.put(starts(3))
    kept.run()
    told = foretold_in(kept.ledger)
    assert told.foretold(UNTIL_US) == 3
    kept.ledger.append([NewEntry(Kind.READ, "operator", {}, {}) for _ in range(1_500)])
    assert foretold_in(kept.ledger) == told
    assert foretold_in(Ledger(kept.ledger.folder / "none", kept.node.folder.ledger_key)) == NOTHING


def test_a_thousand_days_fit_in_an_entry(kept: Kept) -> None:
    for at in range(MAX_MINIMA + 5):
        kept.put([T0 + at * MINUTE_US], until_us=T0 + (at + 1) * DAY_US)
    kept.run()
    assert len(foretold_in(kept.ledger).sums) == MAX_MINIMA + 1


def test_a_forecast_of_a_time_to_come_is_made_anew(kept: Kept) -> None:
    kept.put(starts(3))
    kept.clock.step(365 * DAY_US)
    kept.trusted = False
    kept.put(starts(3, T0 + HOUR_US), until_us=T0 + 800 * DAY_US)
    kept.trusted = True
    kept.run()
    kept.clock.step(-365 * DAY_US)
    kept.run()
    assert known(kept).at_us == kept.clock.now_us()


def test_an_index_made_anew_by_a_rebuild_asks_nobody_about_what_was_foretold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retention.halt.MORE_SEGMENTS", 0)
    path = tmp_path / "data"
    with open_kept(path) as kept:
        for at in range(3):
            key = SegmentKey(CAMERA, T0 + at * MINUTE_US, 1, at)
            kept.node.store.put_bytes(key.object_key, closed_segment(key))
    folder = DataFolder.open(path)
    renew(folder, Config(), ManualClock(T0 + HOUR_US), lambda step, seen: None)
    with open_kept(path, T0 + HOUR_US) as kept:
        minima = [
            row.min_until_us
            for hour in range(3)
            if (row := kept.node.catalog.row(SegmentKey(CAMERA, T0 + hour * MINUTE_US, 1, hour)))
        ]
        assert len(minima) == 3
        kept.run()
    renew(folder, Config(), ManualClock(T0 + HOUR_US), lambda step, seen: None)
    with open_kept(path, max(minima) + DAY_US) as kept:
        assert Duties(kept.node.environment).get(DUTY) == {}
        report = kept.run()
        assert (report.halt, report.doomed) == (None, 3)
