"""An index and its store belong together: what happens when one of them is lost or another takes its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from index.node import open_node
from index.renew import renew
from tests.support.index_vault import closed_segment
from tests.support.indexing import CAMERA, DAY_US
from vault.clock import ManualClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import Damaged, StoreError
from vault.ids import SegmentKey
from vault.store.bound import MARKER

KEY = SegmentKey(CAMERA, DAY_US, 1, 1)
CLOCK = ManualClock(DAY_US)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A node with one segment in its store."""
    made = DataFolder.init(tmp_path / "data")
    with open_node(made, Config(), CLOCK, create=True) as node:
        node.store.put_bytes(KEY.object_key, closed_segment(KEY))
    renew(made, Config(), CLOCK, lambda step, seen: None)
    return made


def readable(folder: DataFolder) -> bool:
    with open_node(folder, Config(), CLOCK) as node, node.store.open(KEY.object_key) as source:
        return source.size > 0


def test_an_index_that_was_lost_is_a_stranger_to_its_store_until_it_is_rebuilt(folder: DataFolder) -> None:
    assert readable(folder)
    shutil.rmtree(folder.index)
    with pytest.raises(Damaged, match="index rebuild"):
        readable(folder)
    with open_node(folder, Config(), CLOCK, create=True) as node, pytest.raises(StoreError, match="index rebuild"):
        node.store.open(KEY.object_key)
    renew(folder, Config(), CLOCK, lambda step, seen: None)
    assert readable(folder)
    with open_node(folder, Config(), CLOCK) as node:
        assert node.timeline.find(CAMERA, KEY.start_us) is not None


def test_a_store_that_was_emptied_is_read_by_nobody_and_a_store_of_before_is_taken_over(folder: DataFolder) -> None:
    store = folder.path / "store"
    assert (store / MARKER).is_file()
    saved = store.rename(folder.path / "elsewhere")
    store.mkdir()
    with pytest.raises(StoreError, match="mounted"):
        readable(folder)
    assert not (store / MARKER).exists()
    shutil.rmtree(store)
    # A store made before there were markers, under an index rebuilt from it.
    (saved / MARKER).unlink()
    saved.rename(store)
    renew(folder, Config(), CLOCK, lambda step, seen: None)
    assert readable(folder)
    assert (store / MARKER).is_file()


def test_what_needs_no_store_works_without_it(folder: DataFolder) -> None:
    shutil.rmtree(folder.path / "store")
    with open_node(folder, Config(), CLOCK) as node:
        node.sites.ensure_default()
        assert node.timeline.find(CAMERA, KEY.start_us) is not None
        with pytest.raises(StoreError, match="mounted"):
            node.store.stat(KEY.object_key)
