"""SIGKILL at every step of an export: the next run goes on, the package is whole, and the ledger tells of each run how it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from access.export.job import Step
from access.export.tidying import tidy
from index.visits import LEASE_US
from tests.access.export.test_engine import custody, verify
from tests.support.export_main import run_apart
from tests.support.exporting import exporting, told
from tests.support.probe import decode_errors
from tests.support.segments import START_US, video_track
from tests.support.streams import encode_h264
from tests.support.vaults import make_vault
from vault.clock import ManualClock

US = 1_000_000
NOW_US = START_US + 3_600 * US

# In the order in which an export comes to them, so that each run gets one step further than the one before.
STEPS = [
    ("access.export.jobs:Jobs.put", "after"),
    ("index.visits:Visits.open", "after"),
    ("access.export.intake:Intake.finish", "before"),
    ("access.package.builder:MediaSink.close", "before"),
    ("access.export.kept:append_line", "before"),
    ("access.export.kept:append_line", "after"),
    ("access.package.builder:PackageBuilder.close_payload", "after"),
    ("index.visits:Visits.close", "before"),
    ("index.visits:Visits.close", "after"),
    ("access.package.builder:PackageBuilder.seal", "after"),
    ("access.package.container:sync_folder", "before"),
    ("access.export.run:deliver", "after"),
    ("access.export.working:Working.remove", "before"),
]


@pytest.mark.slow
def test_an_export_killed_at_every_step_is_taken_up_again_and_handed_over_once(tmp_path: Path) -> None:
    data, target = tmp_path / "data", tmp_path / "out"
    make_vault(data, [video_track(encode_h264(frames=100, gop=25, size=(160, 96)))], START_US, ["store", "store"], gap_us=US)
    said: dict[str, Any] = {
        "data": str(data), "target": str(target), "start_us": START_US + US, "end_us": START_US + 8 * US, "now_us": NOW_US,
    }  # fmt: skip
    for number, (at, when) in enumerate(STEPS):
        run = run_apart(said | {"kill": {"at": at, "when": when}, "mono_us": (number + 1) * 2 * LEASE_US})
        assert run.returncode == -9, f"{at} {when}: {run.stderr[-2000:]}"
        if at != "access.export.run:deliver" and "remove" not in at:
            assert not target.exists(), at
    with exporting(data, ManualClock(NOW_US, (len(STEPS) + 2) * 2 * LEASE_US)) as (node, exports):
        tidy(exports._door)
        exports._door._visits.close_left()
        (job,) = exports.all()
        assert job.step is Step.DONE
        entries = told(node)
    assert list((data / "exports").iterdir()) == []
    assert verify(target).returncode == 0, verify(target).stdout
    said_there = custody(target)
    assert decode_errors(target / said_there["cameras"][0]["files"][0]["path"]) == ""
    ends = {str(entry.body["refers"]): str(entry.body["outcome"]) for entry in entries if entry.body["outcome"] != "asked"}
    asked = [entry.id for entry in entries if entry.body["outcome"] == "asked"]
    # Each run that began to take has an end, and one of them is the package's.
    assert set(ends) == set(asked)
    assert [deed for deed, how in ends.items() if how == "done"] == [said_there["deed"]]
    assert {entry.subject["export"] for entry in entries} == {job.id}
