"""Index and store part: one is lost, emptied, swapped, or restored from an old copy. Nothing is deleted, no number is given twice."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from index.alarms import Alarms
from index.behind import ahead, make_safe
from index.cameras import NewCamera
from index.node import Node, open_node
from index.renew import renew
from ingest.catchup import CatchUp
from tests.support.index_vault import closed_segment, row_of
from tests.support.indexing import DAY_US
from tests.support.node import TestNode, wait_until
from tests.support.s3servers import KEYS, server
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import Damaged, StoreError
from vault.ids import CameraNumber, SegmentKey
from vault.store.bound import MARKER
from vault.store.choose import open_store
from vault.timebase import US

CLOCK = SystemClock()
T0 = CLOCK.now_us() - DAY_US
"""Servers refuse a clock that is not theirs, so all of it happened yesterday."""
LATER_US = T0 + 400 * DAY_US


@dataclasses.dataclass(frozen=True)
class Site:
    """A data folder and its configuration."""

    folder: DataFolder
    config: Config

    def keys(self) -> list[str]:
        """What really is in the store, nobody asked whose it is."""
        with closing(open_store(self.folder.path, self.config.store, CLOCK)) as store:
            return [item.key for item in store.list("")]


@pytest.fixture(params=["local", "minio", "versitygw"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """One camera with two segments in the store and one in the spool."""
    folder = DataFolder.init(tmp_path / "data")
    if request.param == "local":
        made = Site(folder, Config())
        fill(made)
        yield made
        return
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with server(request.param, tmp_path / "server") as running:
        made = Site(folder, Config(store=dataclasses.replace(running.settings, prefix="node-1/")))
        fill(made)
        yield made


def fill(site: Site) -> None:
    with open_node(site.folder, site.config, CLOCK, create=True) as node:
        node.sites.ensure_default()
        number = node.cameras.add(NewCamera("cam-1", "rtsp://192.0.2.1/s")).number
        assert node.catalog.raise_epoch(number) == 1
        for at in range(3):
            record(node, number, T0 + at * US, 1, at, settle=at < 2)
        upload_registry(node)


def record(node: Node, number: CameraNumber, start_us: int, epoch: int, sequence: int, *, settle: bool = True) -> SegmentKey:
    key = SegmentKey(number, start_us, epoch, sequence)
    data = closed_segment(key)
    path = node.spool.path_of(key)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    node.catalog.commit([row_of(data)])
    if settle:
        node.store.put_file(key.object_key, path)
        node.catalog.settle([key])
        node.spool.remove(key)
    return key


def upload_registry(node: Node) -> None:
    for key in node.registry.pending():
        node.store.put_bytes(key, node.registry.read(key))
        node.registry.drop([key])


def untouched(site: Site, why: str) -> None:
    """Reads stop with a word, the spool is kept, and the store stays as it is."""
    before = site.keys()
    waiting = SegmentKey(CameraNumber(1), T0 + 2 * US, 1, 2)
    with open_node(site.folder, site.config, CLOCK) as node:
        for step in (
            lambda: node.store.open(SegmentKey(CameraNumber(1), T0, 1, 0).object_key),
            lambda: node.store.put_file(waiting.object_key, node.spool.path_of(waiting)),
            lambda: node.store.delete([waiting.object_key]),
            lambda: list(node.store.list("")),
        ):
            with pytest.raises(StoreError, match=why):
                step()
        record(node, CameraNumber(1), T0 + 3 * US, 1, 3, settle=False)
        assert len(node.spool.list_keys()) == 2
        assert node.catalog.usage(CameraNumber(1)).segments == 4
    assert site.keys() == before


def test_a_bucket_emptied_under_a_full_index_is_neither_read_nor_changed(site: Site) -> None:
    with closing(open_store(site.folder.path, site.config.store, CLOCK)) as store:
        assert store.delete([item.key for item in store.list("")]) == []
    untouched(site, "no marker")


def test_a_bucket_swapped_for_another_is_neither_read_nor_changed(site: Site, tmp_path: Path) -> None:
    other = DataFolder.init(tmp_path / "other")
    theirs = dataclasses.replace(
        site.config.store, prefix="node-2/" if site.config.store.prefix else "", path=str(tmp_path / "theirs")
    )
    (tmp_path / "theirs").mkdir()
    fill(Site(other, Config(store=theirs)))
    untouched(Site(site.folder, Config(store=theirs)), "another index")


def test_a_lost_index_comes_back_from_the_full_bucket(site: Site) -> None:
    shutil.rmtree(site.folder.index)
    before = site.keys()
    with pytest.raises(Damaged, match="index rebuild"), open_node(site.folder, site.config, CLOCK):
        pass
    renew(site.folder, site.config, CLOCK, lambda step, seen: None)
    with open_node(site.folder, site.config, CLOCK) as node:
        assert node.catalog.usage(CameraNumber(1)).segments == 3
        assert node.cameras.get("cam-1").number == 1
        assert node.cameras.add(NewCamera("cam-2", "rtsp://192.0.2.2/s")).number == 2
    assert set(before) <= set(site.keys())
    assert MARKER in before


def test_an_index_restored_from_an_old_copy_gives_nothing_twice_and_dooms_nothing(site: Site, tmp_path: Path) -> None:
    with open_node(site.folder, site.config, CLOCK) as node:
        assert not ahead(node.environment, node.registry, node.store, CLOCK.now_us()).is_behind
        node.environment.copy(tmp_path / "copy")
        # A day goes by: a new camera, new epochs, new footage.
        second = node.cameras.add(NewCamera("cam-2", "rtsp://192.0.2.2/s")).number
        for number in (CameraNumber(1), second):
            for _ in range(5):
                epoch = node.catalog.raise_epoch(number)
            record(node, number, T0 + DAY_US, epoch, 0)
        upload_registry(node)
    assert epoch == 5
    shutil.rmtree(site.folder.index)
    (tmp_path / "copy").rename(site.folder.index)
    with open_node(site.folder, site.config, CLOCK) as node:
        found = ahead(node.environment, node.registry, node.store, CLOCK.now_us())
        assert (found.segments, found.documents, found.number) == (2, 1, 2)
        assert Alarms(node.environment, CLOCK).lasting() == []
        # By what lies in the data folder alone, before the store was asked.
        assert node.cameras.add(NewCamera("early", "rtsp://192.0.2.9/s")).number == 3
        make_safe(node.environment, node.catalog, found)
        make_safe(node.environment, node.catalog, found)
        assert (node.catalog.raise_epoch(CameraNumber(1)), node.catalog.raise_epoch(second)) == (7, 6)
        outcome = node.catalog.doom([SegmentKey(CameraNumber(1), T0, 1, 0)], at_us=LATER_US, reason="past its minimum")
        assert "older than its store" in outcome.refused[0][1]
        for _ in range(2):
            CatchUp(node).run_once()
            assert [alarm.kind for alarm in Alarms(node.environment, CLOCK).lasting()] == ["index behind store"]
    renew(site.folder, site.config, CLOCK, lambda step, seen: None)
    with open_node(site.folder, site.config, CLOCK) as node:
        assert node.catalog.usage(second).segments == 1
        assert not ahead(node.environment, node.registry, node.store, CLOCK.now_us()).is_behind
        CatchUp(node).run_once()
        assert Alarms(node.environment, CLOCK).lasting() == []
        assert node.catalog.doom([SegmentKey(CameraNumber(1), T0, 1, 0)], at_us=LATER_US, reason="past its minimum").done


def test_spool_files_of_a_forgotten_epoch_do_not_wait_for_it(tmp_path: Path) -> None:
    site = Site(DataFolder.init(tmp_path / "data"), Config())
    fill(site)
    with open_node(site.folder, site.config, CLOCK) as node:
        key = SegmentKey(CameraNumber(1), T0 + 60 * US, 9, 0)
        node.spool.path_of(key).write_bytes(closed_segment(key))
        catchup = CatchUp(node)
        catchup.start()
        catchup.stop()
        assert node.catalog.raise_epoch(CameraNumber(1)) == 10


@pytest.mark.slow
def test_a_node_goes_on_recording_over_a_restored_index_and_a_rebuild_makes_it_whole(tmp_path: Path) -> None:
    node = TestNode(tmp_path / "data", cameras=1)
    try:
        node.start()
        wait_until(lambda: node.segment_paths(), 60, lambda: f"a segment in the store; the log says\n{node.log[-3000:]}")
        assert node.stop() == 0
        with node.open() as opened:
            opened.environment.copy(tmp_path / "copy")
        count = len(node.segment_paths())
        node.start()
        wait_until(lambda: len(node.segment_paths()) > count + 1, 60, lambda: f"more of them; the log says\n{node.log[-3000:]}")
        assert node.stop() == 0
        with node.open() as opened:
            last = opened.catalog.epoch(node.numbers[0])
        shutil.rmtree(node.folder.index)
        (tmp_path / "copy").rename(node.folder.index)
        node.start()
        node.wait_recording(60, epoch_above=last)
        assert "index older than its store" in node.log
        assert node.stop() == 0
        with node.open() as opened:
            config = opened.config
        renew(node.folder, config, opened.clock, lambda step, seen: None)
        assert not node.compare(node.numbers[0]).strange
        assert not [finding for finding in node.findings() if finding.severity == "error"]
    finally:
        node.close()
