"""A real process whose wall clock is stepped, or starts dead: nothing is deleted, an alarm lasts, recording goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
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
        "PYTHONPATH": str(ROOT / "tests/support/faketime"),
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
            if name != "PYTHONPATH":
                patch.setenv(name, value)
        node.start()
    node.wait_recording()
    assert unknown(node.folder) == 0
    (tmp_path / "now").write_text(f"{step}\n")
    wait_until(lambda: unknown(node.folder) >= 3, 60, "segments after the step")
    with open_node(node.folder, Config(), SystemClock()) as opened:
        assert "clock unconfirmed" in [alarm.kind for alarm in Alarms(opened.environment).lasting()]


CONFIG = """\
[recording]
segment_seconds = 10
sweep_seconds = 0.2
sync_seconds = 1.0
workers = 1
"""


@contextmanager
def serving(node: TestNode, faked: dict[str, str]) -> Iterator[None]:
    """`streamvault serve` as a person starts it, recording and deleting, until the end of the block."""
    node.folder.config_file.write_text(CONFIG)
    words = [sys.executable, "-m", "streamvault", "--data", str(node.folder.path), "serve"]
    with node.log_path.open("ab") as log:
        node.process = subprocess.Popen(words, cwd=ROOT, env=os.environ | faked, stdout=log, stderr=log)
    node.wait_recording(40, epoch_above=node.last_epoch())
    yield
    assert node.stop() == 0


def lasting(node: TestNode) -> list[str]:
    with node.open() as opened:
        return [alarm.kind for alarm in Alarms(opened.environment).lasting()]


def put_footage(node: TestNode) -> set[str]:
    """Footage of yesterday, far inside its minimum; of any wrong clock's future it is long over."""
    with open_kept(node.folder.path, SystemClock().now_us()) as kept:
        first_us = kept.clock.now_us() - DAY_US
        return {key.object_key for key in kept.put([first_us + at * MINUTE_US for at in range(3)], node.numbers[0])}


def there(node: TestNode) -> set[str]:
    return {path.relative_to(node.folder.path / "store").as_posix() for path in node.segment_paths()}


@pytest.mark.slow
@pytest.mark.parametrize("year", [1970, 2099])
def test_serve_records_under_a_dead_clock_and_deletes_nothing(
    tmp_path: Path, faked: dict[str, str], node: TestNode, year: int
) -> None:
    footage = put_footage(node)
    days = (datetime(year, 1, 3, tzinfo=UTC) - datetime.now(UTC)).days
    (tmp_path / "now").write_text(f"{days:+d}d\n")
    with serving(node, faked):
        wait_until(lambda: "clock unconfirmed" in lasting(node), 20, "an alarm")
    assert footage < there(node)
    assert {path.parent.name[:4] for path in node.segment_paths()} == {str(year), str(datetime.now(UTC).year)}
    assert unknown(node.folder) >= 1
    with node.open() as opened:
        assert opened.catalog.doomed() == []
    first = node.last_epoch()
    assert node.findings() == []
    if year == 1970:
        return
    # Somebody sets the clock right.
    (tmp_path / "now").write_text("+0d\n")
    with serving(node, faked):
        wait_until(lambda: "clock unconfirmed" not in lasting(node), 20, "a clock that is believed")
        wait_until(lambda: unknown(node.folder) == 0, 40, "minima")
    assert node.last_epoch() > first
    assert footage < there(node)
    assert node.findings() == []


@pytest.mark.slow
def test_serve_goes_on_over_steps_on_and_back_and_deletes_nothing(
    tmp_path: Path, faked: dict[str, str], node: TestNode
) -> None:
    footage = put_footage(node)
    with serving(node, faked):
        assert "clock unconfirmed" not in lasting(node)
        for step in ("+400d", "-400d"):
            before = node.last_epoch()
            (tmp_path / "now").write_text(f"{step}\n")
            node.wait_recording(40, epoch_above=before)
            wait_until(lambda: "clock unconfirmed" in lasting(node), 20, "an alarm")
            if step == "+400d":
                # All of it would be over.
                assert run(node.folder.path, faked, "retention", "apply").returncode == 4
            before = node.last_epoch()
            (tmp_path / "now").write_text("+0d\n")
            node.wait_recording(40, epoch_above=before)
            wait_until(lambda: "clock unconfirmed" not in lasting(node), 20, "a clock that goes on as before")
    assert footage < there(node)
    with node.open() as opened:
        assert opened.catalog.doomed() == []
    assert node.findings() == []
