"""`serve`: recording and retention together, and a child that is begun anew."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from access.serve import ExportTidier, RetentionChild
from index.duties import Duties
from tests.support.retaining import open_kept
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder

DEADLINE_SECONDS = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with open_kept(tmp_path / "data", SystemClock().now_us()):
        pass
    return tmp_path / "data"


def until(what: Callable[[], object]) -> None:
    deadline = SystemClock().mono_us() + DEADLINE_SECONDS * 1_000_000
    tick = threading.Event()
    while not what():
        assert SystemClock().mono_us() < deadline
        tick.wait(0.05)


def test_a_killed_child_is_begun_anew_and_ends_with_us(folder: Path) -> None:
    child = RetentionChild(folder, Config(), "error", threading.Event())
    child.start()
    try:
        until(lambda: child.process is not None and child.process.pid)
        first = child.process.pid if child.process else None
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: child.process is not None and child.process.pid not in (None, first))

        def has_run() -> bool:
            with open_kept(folder, SystemClock().now_us()) as kept:
                return "run_us" in Duties(kept.node.environment).get("retention")

        until(has_run)
    finally:
        child.stop()
    assert child.process is None
    with DataFolder.open(folder).retention_lock():
        pass


def test_a_node_takes_away_what_an_export_left(folder: Path) -> None:
    orphan = folder / "exports" / "20200101-000000-abcdef"
    orphan.mkdir(parents=True)
    tidier = ExportTidier(folder, Config(), "error")
    tidier.start()
    try:
        until(lambda: tidier.runs)
    finally:
        tidier.stop()
    assert not orphan.exists()
