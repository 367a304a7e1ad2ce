"""A disk that fills while cameras record: the silence is explained, nothing is torn, and it goes on by itself afterwards."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.alarms import Alarms
from tests.support.disks import small_disk
from tests.support.indexing import DAY_US
from tests.support.node import TestNode, epoch_of, wait_until
from vault.ids import SegmentKey

SETTINGS = {
    "ingest.supervisor:RETAKE_US": 1_000_000,
    "ingest.adoption:SOON_SECONDS": 1.0,
    "index.guard:LOOK_US": 1_000_000,
}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    with small_disk(tmp_path, 48 << 20) as disk:
        made = TestNode(disk / "data", cameras=2, log=tmp_path / "node.log")
        yield made
        made.close()


def fill(path: Path) -> None:
    """To the last page of the disk; again, and what was freed meanwhile is full too."""
    with path.open("ab", buffering=0) as file:
        for size in (65_536, 512):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


def alarms(node: TestNode) -> set[str]:
    with node.open() as opened:
        return {alarm.kind for alarm in Alarms(opened.environment).lasting()}


def erase_the_oldest(node: TestNode) -> SegmentKey:
    """All of removal, D2 to D6, as long after its recording as its class demands."""
    key = SegmentKey.parse(node.segment_paths()[0].relative_to(node.folder.path / "store").as_posix())
    with node.open() as opened:
        assert opened.catalog.doom([key], at_us=key.start_us + 40 * DAY_US, reason="expired").done == (key,)
        assert opened.catalog.mark_deleting([key], "batch-1").done == (key,)
        assert opened.store.delete([key.object_key]) == []
        assert opened.catalog.erase([key]).done == (key,)
    return key


@pytest.mark.slow
def test_a_full_disk_ends_recording_with_its_reason_and_space_brings_it_back(node: TestNode) -> None:
    node.start(settings=SETTINGS)
    node.wait_recording()
    wait_until(lambda: len(node.segment_paths()) >= 2, 30, "segments in the store")
    assert alarms(node) == set()
    first = node.last_epoch()
    filler = node.folder.path.parent / "filler"
    fill(filler)
    wait_until(lambda: all(f'"cannot write" camera=cam-{number}' in node.log for number in node.numbers), 30, "errors of both")
    workers = node.worker_pids()
    wait_until(lambda: "disk low" in alarms(node), 20, "an alarm")
    erased = erase_the_oldest(node)
    fill(filler)
    os.unlink(filler)
    node.wait_recording(30, epoch_above=first)
    wait_until(lambda: all(epoch_of(path) > first for path in node.spool_files()), 30, "adopted files")
    wait_until(lambda: "disk low" not in alarms(node), 20, "the end of the alarm")
    # Nobody died of it.
    assert node.worker_pids() == workers
    assert node.stop() == 0
    assert node.findings() == []
    for number in node.numbers:
        assert [gap.reason for gap in node.gaps(number)] == ["connecting", "disk full or failing", "recorder stopped"]
        assert node.compare(number).strange == []
    with node.open() as opened:
        assert opened.catalog.row(erased) is None
