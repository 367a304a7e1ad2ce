"""A disk that fills while cameras record: the silence is explained, nothing is torn, and it goes on by itself afterwards."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.disks import small_disk
from tests.support.node import TestNode, epoch_of, wait_until

SETTINGS = {"ingest.supervisor:RETAKE_US": 1_000_000, "ingest.supervisor:ADOPT_SOON_SECONDS": 1.0}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    with small_disk(tmp_path, 48 << 20) as disk:
        made = TestNode(disk / "data", cameras=2, log=tmp_path / "node.log")
        yield made
        made.close()


def fill(path: Path) -> None:
    """To the last page of the disk."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 512):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


@pytest.mark.slow
def test_a_full_disk_ends_recording_with_its_reason_and_space_brings_it_back(node: TestNode) -> None:
    node.start(settings=SETTINGS)
    node.wait_recording()
    first = node.last_epoch()
    filler = node.folder.path.parent / "filler"
    fill(filler)
    wait_until(lambda: all(f'"cannot write" camera=cam-{number}' in node.log for number in node.numbers), 30, "errors of both")
    workers = node.worker_pids()
    os.unlink(filler)
    node.wait_recording(30, epoch_above=first)
    wait_until(lambda: all(epoch_of(path) > first for path in node.spool_files()), 30, "adopted files")
    # Nobody died of it.
    assert node.worker_pids() == workers
    assert node.stop() == 0
    assert node.findings() == []
    for number in node.numbers:
        assert [gap.reason for gap in node.gaps(number)] == ["connecting", "disk full or failing", "recorder stopped"]
        assert node.compare(number).strange == []
