"""A run of retention against a real index, store and ledger: what goes, in which steps, and what stops it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from index.alarms import Alarms
from index.cameras import NewCamera
from index.environment import Environment
from index.holds import Holds
from index.minima import put_raise
from index.pins import Pins
from index.rows import Place, State
from index.timeline import Timeline
from retention import deleter
from retention.deleter import GRACE_US
from retention.sweep import OVERDUE_US
from tests.support.indexing import CAMERA, OTHER, T0
from tests.support.retaining import DAY_US, HOUR_US, MINUTE_US, Kept, open_kept
from vault.config import Config, Retention
from vault.errors import Busy, Refused, StoreError
from vault.ids import SegmentKey
from vault.store.interface import Failure
from vault.timebase import Interval

AFTER_US = T0 + 31 * DAY_US
"""When footage of T0 in class general is over: the end of the local day, and 30 more."""


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with open_kept(tmp_path / "data") as opened:
        yield opened


def alarms(kept: Kept) -> list[tuple[str, str]]:
    return [(alarm.kind, alarm.subject) for alarm in Alarms(kept.node.environment).lasting()]


def starts(count: int, first_us: int = T0) -> list[int]:
    return [first_us + at * MINUTE_US for at in range(count)]


def row_states(kept: Kept, keys: list[SegmentKey]) -> list[State | None]:
    return [row.state if (row := kept.node.catalog.row(key)) else None for key in keys]


def test_footage_goes_an_hour_after_its_minimum_and_not_before(kept: Kept) -> None:
    old = kept.put(starts(3))
    spooled = kept.put(starts(2, T0 + HOUR_US), place=Place.SPOOL)
    key = kept.put(starts(3), OTHER, site_class="key")
    until_us = T0 + 30 * DAY_US + 16 * HOUR_US
    kept.clock.advance(until_us - T0 - 1)
    assert kept.run().doomed == 0
    kept.clock.advance(1)
    report = kept.run()
    assert (report.doomed, report.deleted.segments) == (5, 0)
    assert row_states(kept, old) == [State.DOOMED] * 3
    assert Timeline(kept.node.environment).find(CAMERA, T0) is None, "readers no longer see it"
    kept.clock.advance(GRACE_US - 1)
    assert kept.run().deleted.segments == 0
    assert kept.there() == {*old, *key}
    kept.clock.advance(1)
    assert kept.run().deleted.segments == 5
    assert kept.there() == set(key)
    assert not any(kept.node.spool.path_of(each).exists() for each in spooled)
    assert row_states(kept, [*old, *spooled]) == [None] * 5
    view = Timeline(kept.node.environment).view(CAMERA, Interval(T0, T0 + 3 * MINUTE_US))
    assert view.expired == (Interval(T0, T0 + 3 * MINUTE_US),)
    assert kept.findings() == []
    assert alarms(kept) == []


def test_the_ledger_has_the_list_before_the_first_object_goes_and_the_end_after_the_last(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = kept.put(starts(3))
    kept.clock.advance(AFTER_US - T0)
    real, seen = kept.node.store.delete, []

    def delete(names: Any) -> Any:
        seen.extend(entry.kind for entry in kept.entries())
        return real(names)

    kept.run()
    monkeypatch.setattr(type(kept.node.store), "delete", lambda self, names: delete(names))
    kept.clock.advance(GRACE_US)
    kept.run()
    assert "deletion" in seen
    assert "deleted" not in seen
    begun, done = [entry for entry in kept.entries() if entry.kind in ("deletion", "deleted")]
    assert begun.body["segments"] == done.body["segments"] == 3
    assert begun.body["rules"] == ["Decree 799 Art. 23"]
    listed = deleter.write_list(kept.ledger.folder, [key.object_key for key in keys])
    assert begun.body["list"] == done.body["list"] == listed.value


def test_a_hold_spares_what_is_doomed_and_what_it_keeps_is_not_doomed_again(kept: Kept) -> None:
    keys = kept.put(starts(4))
    kept.clock.advance(AFTER_US - T0)
    assert kept.run().doomed == 4
    holds = Holds(kept.node.registry, kept.clock)
    span = Interval(T0, T0 + 2 * MINUTE_US)
    order, outcome = holds.place(by="a", case="c-1", why="theft", cameras=[CAMERA], interval=span)
    assert len(outcome.done) == 2
    kept.clock.advance(GRACE_US)
    report = kept.run()
    assert (report.deleted.segments, report.doomed) == (2, 0)
    assert report.kept == {"hold (封存)": 2}
    assert kept.there() == set(keys[:2])
    kept.clock.advance(2 * DAY_US)
    kept.run()
    assert alarms(kept) == [], "what is held is not overdue"
    holds.release(order.number, by="a")
    holds.confirm(order.number, by="b")
    assert kept.run().doomed == 2


def test_a_raise_that_nobody_finished_spares_what_is_doomed_and_is_finished(kept: Kept) -> None:
    keys = kept.put(starts(3))
    kept.clock.advance(AFTER_US - T0)
    assert kept.run().doomed == 3
    node = kept.node
    with node.environment.write("test") as txn:
        put_raise(txn, node.registry, [CAMERA], 90, "Asia/Shanghai", by="Li", why="test", at_us=kept.clock.now_us())
    kept.clock.advance(GRACE_US)
    report = kept.run()
    assert (report.doomed, report.deleted.segments) == (0, 0)
    assert row_states(kept, keys) == [State.COMMITTED] * 3
    assert {row.min_until_us - T0 for key in keys if (row := node.catalog.row(key))} == {90 * DAY_US + 16 * HOUR_US}
    assert kept.findings() == []


def test_what_is_being_read_waits_for_its_reader(kept: Kept) -> None:
    keys = kept.put(starts(2))
    kept.clock.advance(AFTER_US - T0)
    kept.run()
    pins = Pins(kept.node.environment, kept.clock)
    kept.clock.advance(GRACE_US)
    pin = pins.made(CAMERA, Interval(T0, T0 + MINUTE_US), "clip")
    pins.put(pin)
    report = kept.run()
    assert (report.deleted.segments, report.deleted.spared) == (1, 1)
    assert kept.there() == {keys[0]}
    pins.drop(pin)
    assert kept.run().deleted.segments == 1


def test_an_unconfirmed_clock_and_another_deleter_stop_everything(kept: Kept) -> None:
    kept.put(starts(2))
    kept.clock.advance(AFTER_US - T0)
    kept.trusted = False
    assert "clock" in kept.run().stopped
    kept.trusted = True
    with kept.node.folder.retention_lock(), pytest.raises(Busy, match="deleting"):
        kept.run()
    assert kept.run().doomed == 2


def test_an_unknown_minimum_or_class_means_keep(kept: Kept) -> None:
    unknown = kept.put(starts(2), until_us=0)
    kept.clock.advance(10_000 * DAY_US)
    assert kept.run_through_grace().deleted.segments == 0
    assert kept.there() == set(unknown)


@pytest.mark.parametrize("harm", ["gone", "emptied", "foreign"])
def test_a_store_that_is_not_the_indexs_loses_nothing(tmp_path: Path, harm: str) -> None:
    with open_kept(tmp_path / "data") as kept:
        keys = kept.put(starts(3))
        kept.clock.advance(AFTER_US - T0)
        kept.run()
        kept.clock.advance(GRACE_US)
        store = tmp_path / "data" / "store"
        store.rename(tmp_path / "mount")
        if harm != "gone":
            store.mkdir()
        if harm == "foreign":
            with open_kept(tmp_path / "other") as other:
                other.put(starts(3))
            shutil.rmtree(store)
            shutil.move(tmp_path / "other" / "store", store)
        kept.clock.advance(10 * MINUTE_US)
        with pytest.raises(StoreError):
            kept.run()
        assert row_states(kept, keys) == [State.DOOMED] * 3
        if harm == "foreign":
            assert len(list(store.glob("segments/*/*/*.mp4"))) == 3


def test_an_empty_index_with_a_full_store_deletes_nothing(tmp_path: Path) -> None:
    with open_kept(tmp_path / "data") as kept:
        kept.put(starts(3))
    shutil.rmtree(tmp_path / "data" / "index")
    Environment(tmp_path / "data" / "index").close()
    with open_kept(tmp_path / "data", T0 + 400 * DAY_US) as kept, pytest.raises(StoreError):
        kept.run()
    assert len(list((tmp_path / "data" / "store").glob("segments/*/*/*.mp4"))) == 3


def test_one_object_that_cannot_be_deleted_is_set_aside_and_becomes_an_alarm(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = kept.put(starts(5))
    kept.clock.advance(AFTER_US - T0)
    bad = keys[2].object_key
    real: Callable[..., Any] = type(kept.node.store).delete
    stuck = True

    def delete(self: Any, names: Any) -> list[Failure]:
        wanted = [name for name in names if not (stuck and name == bad)]
        failures: list[Failure] = real(self, wanted)
        return [*failures, Failure(bad, StoreError("is locked"))] if stuck else failures

    monkeypatch.setattr(type(kept.node.store), "delete", delete)
    report = kept.run_through_grace()
    assert report.deleted.segments == 4
    assert report.deleted.failed == [(bad, "is locked")]
    assert kept.there() == {keys[2]}
    kept.clock.advance(MINUTE_US - 1)
    lists = list(kept.ledger.folder.glob("lists/*/*"))
    kept.run()
    kept.clock.advance(2 * DAY_US)
    kept.run()
    assert ("overdue deletion", "") in alarms(kept)
    stuck = False
    kept.clock.advance(DAY_US)
    assert kept.run().deleted.segments == 1
    assert alarms(kept) == []
    assert kept.findings() == []
    assert len(list(kept.ledger.folder.glob("lists/*/*"))) == len(lists) + 1


def test_a_store_that_only_says_that_it_deletes_is_found(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = kept.put(starts(5))
    kept.run()
    kept.clock.advance(AFTER_US - T0)
    monkeypatch.setattr(type(kept.node.store), "delete", lambda self, names: [])
    report = kept.run_through_grace()
    assert report.deleted.segments == 0
    assert all("still there" in why for _, why in report.deleted.failed)
    assert report.canary is not None
    assert ("overdue deletion", "canary") in alarms(kept)
    assert kept.there() == set(keys)


def test_more_than_was_foretold_asks_first(kept: Kept) -> None:
    kept.put(starts(10))
    assert kept.run().halt is None
    kept.put(starts(1_100, T0 + HOUR_US), until_us=T0 + 2 * DAY_US)
    kept.clock.advance(3 * DAY_US)
    report = kept.run()
    assert report.halt is not None
    assert (report.halt.due, report.halt.foretold, report.doomed) == (1_100, 0, 0)
    assert ("retention halted", "") in alarms(kept)
    plan = kept.sweep.halted()
    assert plan == report.halt.plan
    with pytest.raises(Refused, match="is not what would be done"):
        kept.sweep.confirm("0123456789ab", "an officer")
    kept.sweep.confirm(plan, "an officer")
    assert alarms(kept) == []
    assert kept.run().doomed == 1_100
    told = [entry for entry in kept.entries() if entry.kind == "retention"]
    assert [next(iter(entry.body)) for entry in told] == ["doomed_since_last", "at_us", "at_us", "doomed_since_last"]
    assert told[2].actor == "an officer"
    with pytest.raises(Refused, match="no run is halted"):
        kept.sweep.confirm(plan, "an officer")


def test_what_was_foretold_is_doomed_whatever_its_number(kept: Kept) -> None:
    kept.put(starts(1_300), until_us=T0 + 30 * DAY_US)
    kept.run()
    kept.clock.advance(AFTER_US - T0)
    assert kept.run().doomed == 1_300


def test_an_overdue_segment_is_told_and_its_age_remembered(kept: Kept) -> None:
    kept.put(starts(1_200), until_us=T0 + DAY_US)
    kept.clock.advance(DAY_US + OVERDUE_US + 1)
    report = kept.run()
    assert report.halt is not None, "nothing was ever foretold"
    assert report.oldest_us == T0 + DAY_US
    assert ("overdue deletion", "") in alarms(kept)


class Cut(BaseException):
    """The process ends here."""


STEPS = ["mark_deleting", "write_list", "announce", "delete", "spool", "complete", "erase"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_run_cut_short_at_any_step_is_finished_by_the_next(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    kept.put(starts(3))
    kept.put(starts(2, T0 + HOUR_US), place=Place.SPOOL)
    kept.clock.advance(AFTER_US - T0)
    kept.run()
    kept.clock.advance(GRACE_US)
    with monkeypatch.context() as patch:
        cut(patch, kept, step, after)
        with pytest.raises(Cut):
            kept.run()
    kept.restart()
    kept.run()
    assert kept.there() == set()
    assert kept.node.spool.list_keys() == []
    assert kept.node.catalog.doomed() == []
    assert kept.findings() == []
    entries = [entry for entry in kept.entries() if entry.kind in ("deletion", "deleted")]
    assert [(entry.kind, entry.body["segments"]) for entry in entries] == [("deletion", 5), ("deleted", 5)]


def test_what_was_erased_in_part_is_told_once(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.put(starts(5))
    kept.clock.advance(AFTER_US - T0)
    kept.run()
    kept.clock.advance(GRACE_US)
    with monkeypatch.context() as patch:
        real = type(kept.node.catalog).erase

        def half(catalog: Any, keys: Any) -> Any:
            real(catalog, [*keys][:2])
            raise Cut

        patch.setattr(type(kept.node.catalog), "erase", half)
        with pytest.raises(Cut):
            kept.run()
    kept.restart()
    assert kept.run().deleted.segments == 3
    assert [entry.body["segments"] for entry in kept.entries() if entry.kind == "deleted"] == [5]
    assert kept.node.catalog.doomed() == []


def cut(patch: pytest.MonkeyPatch, kept: Kept, step: str, after: bool) -> None:
    """End the process before or after this step."""
    owner: Any = {
        "mark_deleting": type(kept.node.catalog), "erase": type(kept.node.catalog), "write_list": deleter,
        "announce": deleter.Deleter, "complete": deleter.Deleter, "delete": type(kept.node.store), "spool": type(kept.node.spool),
    }[step]  # fmt: skip
    name = {"announce": "_announce", "complete": "_complete", "spool": "remove"}.get(step, step)
    real = getattr(owner, name)

    def cutting(*given: Any, **named: Any) -> Any:
        # The canary is deleted the same way, and is not what this is about.
        if step == "delete" and not any(str(key).startswith("segments/") for key in given[1]):
            return real(*given, **named)
        if after:
            real(*given, **named)
        raise Cut

    patch.setattr(owner, name, cutting)


def test_more_days_in_the_configuration_keep_the_footage_that_exists(tmp_path: Path) -> None:
    with open_kept(tmp_path / "more") as kept:
        kept.node.sites.ensure_default()
        kept.node.cameras.add(NewCamera("yard", "rtsp://192.0.2.1/stream"))
        keys = kept.put(starts(3), kept.node.cameras.get("yard").number)
        assert kept.run().doomed == 0
    config = Config(retention=Retention(general_days=60))
    with open_kept(tmp_path / "more", AFTER_US, config) as kept:
        report = kept.run()
        assert (report.doomed, row_states(kept, keys)) == (0, [State.COMMITTED] * 3)
        assert [entry.body for entry in kept.entries() if "class_days" in entry.body] == [{"class_days": {"general": [30, 60]}}]
        kept.clock.advance(T0 + 60 * DAY_US + 16 * HOUR_US - AFTER_US - 1)
        assert kept.run().doomed == 0
        kept.clock.advance(1)
        assert kept.run().doomed == 3
        assert kept.findings() == []
