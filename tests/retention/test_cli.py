"""The commands on a real data folder: plan, apply, explain, and the clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import streamvault
from index.cameras import NewCamera
from tests.support.retaining import DAY_US, MINUTE_US, open_kept
from vault.clock import SystemClock
from vault.timebase import format_local, format_us, parse_time

NOW_US = SystemClock().now_us()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Camera `cam-1` with three minutes that are over, one that is not, and one without a minimum."""
    path = tmp_path / "data"
    with open_kept(path, NOW_US) as kept:
        kept.node.sites.ensure_default()
        camera = kept.node.cameras.add(NewCamera("cam-1", "rtsp://192.0.2.1/stream", days=60)).number
        kept.node.outbox.drain()
        old_us = NOW_US - 40 * DAY_US
        kept.put([old_us + at * MINUTE_US for at in range(3)], camera, until_us=NOW_US - DAY_US)
        kept.put([old_us + 3 * MINUTE_US], camera, until_us=NOW_US + DAY_US)
        kept.put([old_us + 4 * MINUTE_US], camera, until_us=0)
    return path


def called(capsys: pytest.CaptureFixture[str], folder: Path, *words: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert streamvault.run(["--data", str(folder), *words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def state(capsys: pytest.CaptureFixture[str], folder: Path, minute: int) -> str:
    at = format_us(NOW_US - 40 * DAY_US + minute * MINUTE_US + 5)
    found = called(capsys, folder, "retention", "explain", "cam-1", "--at", at)["found"]
    return str(found[0]["state"])


def test_the_dry_run_prints_the_very_plan_and_apply_carries_it_out(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    plan = called(capsys, folder, "retention", "plan")
    dry = called(capsys, folder, "retention", "apply", "--dry-run")
    assert [item["fate"] for item in plan["items"]] == ["go"] * 3
    assert dry["items"] == plan["items"]
    assert [state(capsys, folder, minute) for minute in range(6)] == ["due", "due", "due", "kept", "kept", "never"]
    # The one without a minimum gets one, since this host's clock is believed.
    assert called(capsys, folder, "retention", "apply")["doomed"] == 3
    assert state(capsys, folder, 0) == "doomed"
    assert called(capsys, folder, "retention", "plan")["doomed_already"] == 3
    assert streamvault.run(["--data", str(folder), "retention", "plan"]) == 0
    assert streamvault.run(["--data", str(folder), "retention", "apply"]) == 0
    assert "3 doomed and waiting" in capsys.readouterr().out


def test_the_clock_is_shown_and_confirmed_and_gives_what_waited_its_minimum(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    shown = called(capsys, folder, "clock", "show")
    assert (shown["confirmed"], shown["segments_without_minimum"]) == (True, 1)
    assert streamvault.run(["--data", str(folder), "clock", "confirm", "--by", "an officer"]) == 0
    assert "1 segment got a minimum" in capsys.readouterr().out
    told = called(capsys, folder, "clock", "show")
    assert told["segments_without_minimum"] == 0
    assert streamvault.run(["--data", str(folder), "clock", "show"]) == 0
    for_people = capsys.readouterr().out
    assert told["now"].endswith("Z")
    assert "Z\n" not in for_people
    assert format_local(parse_time(told["latest_confirmed"], 0)) in for_people
    found = called(capsys, folder, "retention", "explain", "cam-1", "--at", format_us(NOW_US - 40 * DAY_US + 4 * MINUTE_US))
    assert found["found"][0]["min_until"] > format_us(NOW_US + 60 * DAY_US), "the camera's own days"
    with open_kept(folder, NOW_US) as kept:
        said = [entry for entry in kept.entries() if entry.kind == "clock"]
        assert [(entry.actor, entry.body.get("why"), entry.body.get("segments_fixed")) for entry in said] == [
            ("an officer", "a person said so", None), ("an officer", None, 1),
        ]  # fmt: skip


def test_a_halted_run_is_refused_with_its_plan_and_a_wrong_confirmation_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "data"
    with open_kept(path, NOW_US) as kept:
        kept.put([NOW_US - 40 * DAY_US + at * MINUTE_US for at in range(1_001)], until_us=NOW_US - DAY_US)
    halted = called(capsys, path, "retention", "apply", code=4)["halted"]
    assert streamvault.run(["--data", str(path), "retention", "apply", "--confirm", "beef"]) == 4
    assert called(capsys, path, "retention", "apply", "--confirm", halted, "--by", "an officer")["doomed"] == 1_001
