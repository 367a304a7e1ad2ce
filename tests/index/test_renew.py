"""`index rebuild` on a data folder: cut short it goes on, unless something may have changed; deletions are known by the ledger."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

import streamvault
from index.environment import Environment
from index.manifests import Manifests
from index.node import open_node
from index.rebuild import Rebuilt
from index.renew import renew
from tests.support.index_vault import closed_segment, row_of
from tests.support.ledgers import announce_deletion
from tests.support.lives import tables
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.ids import CameraNumber, SegmentKey
from vault.ledger.ledger import Ledger
from vault.store.choose import open_store
from vault.timebase import US

CAMERA = CameraNumber(1)
CLOCK = SystemClock()
START_US = CLOCK.now_us() // US * US - 86_400 * US


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """Three segments of a camera in the store, with their manifest."""
    assert streamvault.run(["--data", str(tmp_path / "data"), "init"]) == 0
    made = DataFolder.open(tmp_path / "data")
    with open_node(made, Config(), CLOCK) as node:
        for at in range(3):
            key = SegmentKey(CAMERA, START_US + at * US, 1, at)
            data = closed_segment(key)
            node.store.put_bytes(key.object_key, data)
            node.catalog.commit([row_of(data)], adopt=True)
            node.catalog.settle([key])
        Manifests(node.environment, node.store, CLOCK).write_all()
    return made


class Cut(Exception):
    """The power, say."""


def run(folder: DataFolder, cut_at: str = "") -> tuple[list[str], Rebuilt | None]:
    """The steps that were told of, and what came of it; None when it was cut short at a step."""
    steps: list[str] = []

    def tell(step: str, seen: int) -> None:
        steps.append(step)
        if step == cut_at:
            raise Cut

    try:
        return steps, renew(folder, Config(), CLOCK, tell)
    except Cut:
        return steps, None


def test_cut_short_it_goes_on_behind_what_is_done(folder: DataFolder) -> None:
    assert run(folder, "manifests")[0] == ["registry", "manifests"]
    steps, done = run(folder)
    assert steps == ["objects"]
    assert done is not None
    assert (done.segments, done.refused, done.absent) == (3, [], [])


def test_it_goes_on_when_the_index_is_gone_and_begins_anew_when_that_was_changed(folder: DataFolder) -> None:
    shutil.rmtree(folder.index)
    assert run(folder, "manifests")[1] is None
    assert run(folder, "objects")[0] == ["objects"]
    assert run(folder)[1] is not None
    assert run(folder, "manifests")[1] is None
    with open_node(folder, Config(), CLOCK) as node:
        node.catalog.open_gap(CAMERA, START_US + 3 * US, "camera silent")
    assert run(folder, "objects")[0] == ["registry", "manifests", "objects"]


def test_what_retention_announced_is_erased_and_what_nobody_announced_is_missing(folder: DataFolder) -> None:
    announced, lost = (SegmentKey(CAMERA, START_US + at * US, 1, at) for at in (0, 2))
    announce_deletion(Ledger(folder.ledger, folder.ledger_key, CLOCK), "batch-1", [announced])
    with closing(open_store(folder.path, Config().store, CLOCK)) as store:
        assert store.delete([announced.object_key, lost.object_key]) == []
    done = run(folder)[1]
    assert done is not None
    assert (done.segments, done.absent) == (2, [lost.object_key])


def test_the_index_in_use_is_the_new_one_and_the_old_one_stays_beside_it(folder: DataFolder) -> None:
    with open_node(folder, Config(), CLOCK) as node:
        before = tables(node.environment)
    done = run(folder)[1]
    assert done is not None
    with open_node(folder, Config(), CLOCK) as node, Environment(folder.path / "index.old") as old:
        assert tables(old) == before
        assert tables(node.environment)["SEGMENTS"] == before["SEGMENTS"]
    assert not (folder.path / "index.new").exists()
