"""A real process whose wall clock is stepped, or starts dead: nothing is deleted, an alarm lasts, recording goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.alarms import Alarms
from index.clockwatch import ClockWatch
from index.expiry import expiry_sums
from index.node import open_node
from tests.support.node import ROOT, TestNode, wait_until
from tests.support.retaining import DAY_US, MINUTE_US, open_kept
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@pytest.fixture
def faked(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that reads its wall clock through the file `now`; the monotonic one is true."""
    if not LIBRARIES:
        pytest.skip("apt-get install faketime")
    (tmp_path / "now").write_text("+0d\n")
    return {
        "LD_PRELOAD": str(LIBRARIES[0]), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1",
        "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "now"), "FAKETIME_DONT_RESET": "1",
    }  # fmt: skip


def run(folder: Path, faked: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streamvault", "--data", str(folder), *words]
    return subprocess.run(command, env=os.environ | faked, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("step", ["+400d", "-400d"])
def test_a_run_under_a_stepped_clock_deletes_nothing(tmp_path: Path, faked: dict[str, str], step: str) -> None:
    now_us = SystemClock().now_us()
    folder = tmp_path / "data"
    with open_kept(folder, now_us) as kept:
        keys = kept.put([now_us - DAY_US + at * MINUTE_US for at in range(3)])
        ClockWatch(kept.node.environment, SystemClock()).look()
    (tmp_path / "now").write_text(f"{step}\n")
    done = run(folder, faked, "retention", "apply", "--json")
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["doomed"] == 0
    with open_kept(folder, now_us) as kept:
        assert kept.there() == set(keys)
        assert kept.node.catalog.doomed() == []
        assert [alarm.kind for alarm in Alarms(kept.node.environment).lasting()] == ["clock unconfirmed"]


@pytest.mark.parametrize("start", ["@1970-01-02 00:00:00", "@2099-01-01 00:00:00"])
def test_a_dead_clock_at_the_first_start_is_not_believed(tmp_path: Path, faked: dict[str, str], start: str) -> None:
    folder = tmp_path / "data"
    (tmp_path / "now").write_text(f"{start}\n")
    assert run(folder, faked, "init").returncode == 0
    shown = run(folder, faked, "clock", "show", "--json")
    assert json.loads(shown.stdout)["confirmed"] is False
    assert run(folder, faked, "retention", "apply").returncode == 4
    assert run(folder, faked, "clock", "confirm").returncode == 4


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    made = TestNode(tmp_path / "data")
    yield made
    made.close()


def unknown(folder: DataFolder) -> int:
    with open_node(folder, Config(), SystemClock()) as opened, opened.environment.read() as txn:
        return sum(item.segments for item in expiry_sums(txn, 0))


@pytest.mark.parametrize("step", ["+400d", "-20d"])
def test_recording_goes_on_over_a_step_and_its_segments_have_no_minimum(
    tmp_path: Path, faked: dict[str, str], node: TestNode, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patch:
        for name, value in faked.items():
            patch.setenv(name, value)
        node.start()
    node.wait_recording()
    assert unknown(node.folder) == 0
    (tmp_path / "now").write_text(f"{step}\n")
    wait_until(lambda: unknown(node.folder) >= 3, 60, "segments after the step")
    with open_node(node.folder, Config(), SystemClock()) as opened:
        assert "clock unconfirmed" in [alarm.kind for alarm in Alarms(opened.environment).lasting()]
