"""What a running recorder says of its cameras, and what is made of old or broken news."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from index.status import read_status
from vault.timebase import US

NOW_US = 1_795_305_600_000_000
RECORDING = {
    "state": "recording",
    "worker": 1,
    "recorded_to_us": NOW_US - US,
    "received_bytes": 5,
    "lost_packets": 2,
    "why": "",
}


def written(tmp_path: Path, whole: object) -> Path:
    path = tmp_path / "status.json"
    path.write_text(json.dumps(whole))
    return path


def test_fresh_news_are_by_camera_number(tmp_path: Path) -> None:
    path = written(tmp_path, {"at_us": NOW_US - US, "cameras": {"7": RECORDING, "8": {"state": "starting", "worker": 2}}})
    found = read_status(path, NOW_US)
    assert found is not None
    assert (found[7].state, found[7].recorded_to_us, found[7].lost_packets) == ("recording", NOW_US - US, 2)
    assert (found[8].state, found[8].recorded_to_us) == ("starting", None)


def test_old_news_are_none(tmp_path: Path) -> None:
    path = written(tmp_path, {"at_us": NOW_US - 6 * US, "cameras": {"7": RECORDING}})
    assert read_status(path, NOW_US) is None


@pytest.mark.parametrize(
    "whole", [None, [], {}, {"at_us": NOW_US}, {"at_us": NOW_US, "cameras": {"x": {}}}, {"at_us": NOW_US, "cameras": []}]
)
def test_what_is_not_ours_is_no_news(tmp_path: Path, whole: object) -> None:
    assert read_status(written(tmp_path, whole), NOW_US) is None
    assert read_status(tmp_path / "none", NOW_US) is None
