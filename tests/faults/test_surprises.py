"""Errors that nobody foresaw, inside a thread: they cost one camera a new start at most, and never go unnoticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import TestNode, epoch_of, wait_until
from tests.support.probe import decode_errors
from vault.ids import CameraNumber

SHORT = {"segment_seconds": 2, "sync_seconds": 0.2, "workers": 1}
SETTINGS = {"ingest.supervisor:RETAKE_US": 200_000, "ingest.adoption:SOON_SECONDS": 0.5}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    made = TestNode(tmp_path / "data", cameras=2)
    yield made
    made.close()


def error(at: str, call: int = 1, who: str = "worker", kind: str = "RuntimeError") -> dict[str, Any]:
    return {"at": at, "call": call, "who": who, "raise": kind}


def settled(node: TestNode, number: CameraNumber) -> bool:
    """Whether no file of the camera is left of an epoch before its last two."""
    epochs = [epoch_of(path) for path in node.spool_files(number)]
    return all(epoch >= max(epochs) - 1 for epoch in epochs)


def test_an_error_in_a_file_of_one_camera_costs_no_other_camera_anything(node: TestNode) -> None:
    faults = [
        error("vault.segment.build:SegmentBuilder.fragment", 7),
        error("vault.segment.build:SegmentBuilder.closing", 2),
        error("ingest.closer:fd_digest", 4),
        error("index.catalog:Catalog.commit", 2),
        error("ingest.camera:CameraTask.step", 60),
    ]
    node.start(faults=faults, settings=SETTINGS, **SHORT)
    wait_until(lambda: len(list(node.markers.iterdir())) == len(faults), 40, "all errors")
    worker = node.worker_pids()
    last = node.last_epoch()
    wait_until(lambda: any(epoch_of(path) >= last for path in node.segment_paths()), 40, "segments after all of it")
    # Which camera an error hits is chance, so each has epochs of its own.
    wait_until(lambda: all(settled(node, number) for number in node.numbers), 30, "adopted files")
    assert node.stop() == 0
    # The same process all along.
    assert len(worker) == 1
    assert "worker lost" not in node.log
    assert node.spool_files() == []
    assert node.findings() == []
    for number in node.numbers:
        assert node.compare(number).strange == []
    for path in node.segment_paths():
        assert decode_errors(path) == ""


@pytest.mark.parametrize("thread", ["ingest.writer:Writer._do", "ingest.closer:Closer.cycle"])
def test_a_worker_whose_thread_is_dead_is_replaced(node: TestNode, thread: str) -> None:
    node.start(faults=[error(thread, 6, kind="SystemExit")], settings=SETTINGS, **SHORT)
    wait_until(lambda: list(node.markers.iterdir()), 30, "the end of the thread")
    wait_until(lambda: "worker lost" in node.log, 20, "the end of the process")
    wait_until(lambda: any(epoch_of(path) > 1 for path in node.segment_paths()), 40, "segments of the next worker")
    assert node.stop() == 0
    assert node.findings() == []


def test_errors_in_the_supervisors_own_threads_are_repeated_away(node: TestNode) -> None:
    faults = [
        error("index.catalog:Catalog.open_gaps", 1, "supervisor"),
        error("index.catalog:Catalog.raise_epochs", 2, "supervisor"),
        error("ingest.adopter:Adopter.adopt", 1, "supervisor"),
        error("ingest.uploader:Uploader.step", 2, "supervisor"),
    ]
    node.start(faults=faults, settings=SETTINGS | {"ingest.supervisor:REFUSED_US": 500_000}, **SHORT)
    node.wait_recording()
    wait_until(lambda: len(node.segment_paths()) >= 4, 30, "segments in the store")
    assert len(list(node.markers.iterdir())) == len(faults)
    assert node.stop() == 0
    assert node.findings() == []
