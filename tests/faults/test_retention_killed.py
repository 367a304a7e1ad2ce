"""Retention in a real process: SIGKILL before and after each durable step of D1 to D6, a scheduler whose thread dies, a run that
ends in a fault of the program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from index.alarms import Alarms
from index.check_ledger import check_ledger
from index.duties import Duties
from index.holds import Holds
from index.rows import Place
from retention.sweep import DUTY
from tests.support.indexing import CAMERA, OTHER
from tests.support.node import ROOT, wait_until
from tests.support.retaining import DAY_US, HOUR_US, MINUTE_US, Kept, open_kept
from vault.clock import SystemClock
from vault.ledger.lists import read_list
from vault.ledger.verify import verify
from vault.timebase import Interval

AT_ONCE = {"retention.deleter:GRACE_US": 0}
STEPS: list[dict[str, Any]] = [
    {"at": "retention.sweep:Sweep._doom_piece", "when": "before"},
    {"at": "index.doom:Doomer.doom", "call": 3, "when": "after"},
    {"at": "index.catalog:Catalog.doom", "when": "after"},
    {"at": "retention.deleter:Deleter.run", "when": "before"},
    {"at": "index.catalog:mark_deleting", "call": 3, "when": "after"},
    {"at": "index.catalog:Catalog.mark_deleting", "when": "after"},
    {"at": "retention.deleter:write_list", "when": "after"},
    {"at": "retention.deleter:Deleter._announce", "when": "after"},
    {"at": "vault.store.local:LocalStore._prune", "when": "before"},
    {"at": "vault.store.local:LocalStore.delete", "when": "after"},
    {"at": "vault.spool:Spool.remove", "call": 2, "when": "after"},
    {"at": "retention.deleter:Deleter._complete", "when": "before"},
    {"at": "retention.deleter:Deleter._complete", "when": "after"},
    {"at": "index.catalog:erase", "call": 3, "when": "after"},
    {"at": "index.catalog:Catalog.erase", "when": "after"},
    {"at": "retention.sweep:Sweep._remember", "when": "before"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "markers").mkdir()
    return tmp_path / "data"


@contextmanager
def retention(folder: Path, **told: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The process; killed at the end if it still runs."""
    told = {"data": str(folder), "markers": str(folder.parent / "markers"), **told}
    environment = os.environ | {"NODE_TEST": json.dumps(told), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests/support/retention_main.py")]
    with (folder.parent / "log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=ROOT)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def said(folder: Path) -> str:
    return (folder.parent / "log").read_text()


def put(kept: Kept, number: int) -> set[str]:
    """Footage that is over, in the store and in the spool, of both cameras. Its names."""
    first_us = kept.clock.now_us() - 40 * DAY_US + number * HOUR_US
    over_us = kept.clock.now_us() - 12 * HOUR_US
    keys = kept.put([first_us + at * MINUTE_US for at in range(3)], until_us=over_us)
    keys += kept.put([first_us + at * MINUTE_US for at in range(2)], OTHER, until_us=over_us)
    keys += kept.put([first_us + 10 * MINUTE_US], place=Place.SPOOL, until_us=over_us)
    return {key.object_key for key in keys}


@pytest.mark.slow
def test_a_run_killed_at_any_step_is_finished_by_the_next_and_everything_is_told_once(folder: Path) -> None:
    wanted: set[str] = set()
    with open_kept(folder, SystemClock().now_us()) as kept:
        now_us = kept.clock.now_us()
        held = kept.put([now_us - 50 * DAY_US], until_us=now_us - DAY_US)
        young = kept.put([now_us - 20 * DAY_US])
        span = Interval(now_us - 51 * DAY_US, now_us - 49 * DAY_US)
        Holds(kept.node.registry, kept.clock).place(by="first officer", case="9901", why="x", cameras=[CAMERA], interval=span)
        kept.node.outbox.drain()
    for number, fault in enumerate(STEPS):
        with open_kept(folder, SystemClock().now_us()) as kept:
            wanted |= put(kept, number)
        faults = STEPS[: number + 1]
        with retention(folder, once=True, faults=faults, set=AT_ONCE) as process:
            assert process.wait(60) == -9, f"{fault} never came: {said(folder)[-2000:]}"
        with open_kept(folder, SystemClock().now_us()) as kept:
            assert {*held, *young} <= kept.there()
            assert kept.findings() == []
            assert list(check_ledger(kept.node.environment, kept.ledger, kept.node.store, kept.clock.now_us())) == []
    with retention(folder, once=True, set=AT_ONCE) as process:
        assert process.wait(60) == 0, said(folder)[-2000:]
    with open_kept(folder, SystemClock().now_us()) as kept:
        assert kept.there() == {*held, *young}
        assert kept.node.spool.list_keys() == []
        assert kept.node.catalog.doomed() == []
        assert kept.findings() == []
        assert Alarms(kept.node.environment).lasting() == []
        report = verify(kept.ledger.folder, kept.ledger.keys)
        assert (report.findings, report.unsigned) == ([], 0)
        for kind in ("deletion", "deleted"):
            named = [name for entry in kept.entries() if entry.kind == kind for name in listed(kept, entry.body["list"])]
            assert len(named) == len(set(named))
            assert set(named) == wanted


def listed(kept: Kept, reference: Any) -> list[str]:
    return read_list(kept.ledger.folder, str(reference["sha256"]))


def last_run_us(folder: Path) -> int:
    """When the last run was, by what it remembers."""
    with open_kept(folder, SystemClock().now_us()) as kept:
        return int(Duties(kept.node.environment).get(DUTY).get("run_us", 0))


EACH_SECOND = {"run_minutes": 1 / 60}


@pytest.mark.slow
def test_a_scheduler_whose_thread_was_killed_is_made_anew_and_runs_go_on(folder: Path) -> None:
    with open_kept(folder, SystemClock().now_us()):
        pass
    patience = {"retention.schedule:PATIENCE_US": 500_000}
    with retention(folder, retention=EACH_SECOND, set=patience) as process:
        wait_until(lambda: last_run_us(folder), 30, "a first run")
        (folder.parent / "markers" / "kill-scheduler").touch()
        wait_until((folder.parent / "markers" / "killed-scheduler").exists, 30, f"a dead thread; {said(folder)[-2000:]}")
        killed_us = SystemClock().now_us()
        wait_until(lambda: last_run_us(folder) > killed_us + 1_000_000, 40, f"runs that go on; {said(folder)[-2000:]}")
        assert "scheduler was silent, made anew" in said(folder)
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.slow
def test_a_run_that_ends_in_a_fault_of_the_program_is_an_alarm_and_the_next_run_comes(folder: Path) -> None:
    with open_kept(folder, SystemClock().now_us()) as kept:
        put(kept, 0)
    faults = [{"at": "retention.deleter:Deleter.run", "raise": "RuntimeError"}]
    with retention(folder, retention=EACH_SECOND, faults=faults, set=AT_ONCE) as process:
        wait_until(lambda: gone(folder), 40, f"what the next run deletes; {said(folder)[-2000:]}")
        wait_until(lambda: not alarms(folder), 30, "the end of the alarm")
        process.terminate()
        assert process.wait(30) == 0
    with open_kept(folder, SystemClock().now_us()) as kept:
        assert kept.findings() == []
        kinds = [(event.alarm.kind, event.ended_us is None) for event in Alarms(kept.node.environment).events()]
    assert kinds == [("retention failed", True), ("retention failed", False)]


@pytest.mark.slow
def test_what_is_overdue_is_told_while_a_run_does_not_end(folder: Path) -> None:
    with open_kept(folder, SystemClock().now_us()) as kept:
        now_us = kept.clock.now_us()
        kept.put([now_us - 40 * DAY_US], until_us=now_us - 2 * DAY_US)
    faults = [{"at": "retention.deleter:Deleter.run", "hang": 1_000}]
    with retention(folder, faults=faults, set={"retention.service:LONG_US": 100_000}):
        wait_until(lambda: alarms(folder) == ["overdue deletion"], 30, f"the alarm; {said(folder)[-2000:]}")


def alarms(folder: Path) -> list[str]:
    with open_kept(folder, SystemClock().now_us()) as kept:
        return [alarm.kind for alarm in Alarms(kept.node.environment).lasting()]


def gone(folder: Path) -> bool:
    return not list((folder / "store").glob("segments/*/*/*.mp4"))
