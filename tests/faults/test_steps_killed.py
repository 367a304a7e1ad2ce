"""SIGKILL at every step of W1 to W4, of the close and of a manifest, before and after it; then whatever was durable is committed,
once, and an index made anew is equal to it.

Each fault happens in a process of its own, one after the other: the worker (or supervisor) that replaces a killed one is given
the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from index.environment import Environment
from index.node import open_node
from index.rebuild import rebuild
from tests.support.lives import tables
from tests.support.node import TestNode, end, epoch_of, wait_until
from tests.support.probe import decode_errors
from vault.clock import SystemClock
from vault.store.choose import open_store

SHORT = {"segment_seconds": 2, "sync_seconds": 0.2, "workers": 1}

# A worker's first segments last no two seconds here, so that each life comes to its close within three.
WORKER: list[dict[str, Any]] = [
    {"at": "vault.spool:Spool.create", "when": "after"},
    {"at": "ingest.writer:append", "call": 1, "when": "after"},
    {"at": "ingest.writer:append", "call": 4, "when": "before"},
    {"at": "ingest.closer:append", "when": "before"},
    {"at": "ingest.closer:append", "when": "after"},
    {"at": "ingest.closer:overwrite", "when": "before"},
    {"at": "ingest.closer:overwrite", "when": "after"},
    {"at": "ingest.closer:fd_digest", "when": "after"},
    {"at": "index.catalog:Catalog.commit", "when": "before"},
    {"at": "index.writes:SegmentWriter.insert", "when": "after"},
    {"at": "index.catalog:Catalog.commit", "when": "after"},
]
SUPERVISOR: list[dict[str, Any]] = [
    {"at": "vault.store.local:LocalStore.put_files", "when": "before"},
    {"at": "vault.store.local:LocalStore.put_files", "when": "after"},
    {"at": "index.catalog:Catalog.settle", "when": "after"},
    {"at": "vault.spool:Spool.remove", "when": "after"},
    {"at": "ingest.adopter:recover", "when": "after"},
    {"at": "index.manifests:Manifests._take_up", "when": "after"},
    {"at": "index.manifests:Manifests._put", "when": "after"},
    {"at": "index.manifests:Manifests._finish", "when": "before"},
]
# Each start opens and ends gaps, so there is the next generation of an hour to write.
MANIFESTS_AT_ONCE = {"index.manifests:EARLY_US": 200_000, "index.manifests:LOOK_US": 100_000}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    made = TestNode(tmp_path / "data")
    yield made
    made.close()


def assert_whole(node: TestNode, kills: int) -> None:
    """Everything is committed once and plays; what is missing is what the kills cost."""
    assert node.spool_files() == []
    assert node.findings() == []
    for number in node.numbers:
        compared = node.compare(number)
        assert compared.strange == []
        assert compared.found > 15 * kills
        assert len(compared.missing) <= 25 * 2 * (kills + 1)
    for path in node.segment_paths():
        assert decode_errors(path) == ""
    assert_rebuilt_equal(node)


def assert_rebuilt_equal(node: TestNode) -> None:
    """The stopped node's index, made anew beside it."""
    target, clock = node.folder.path.parent / "rebuilt", SystemClock()
    with (
        open_node(node.folder, node.config, clock) as known,
        closing(open_store(node.folder.path, node.config.store, clock)) as store,
    ):
        report = rebuild(store, known.spool, target, map_bytes=node.config.index.map_bytes, clock=clock)
        with Environment(target) as environment:
            assert tables(environment) == tables(known.environment)
    assert (report.refused, report.absent) == ([], [])


@pytest.mark.slow
def test_a_worker_killed_at_any_step_of_a_segments_life_leaves_nothing_torn(node: TestNode) -> None:
    faults = [fault | {"who": "worker"} for fault in WORKER]
    node.start(faults=faults, **SHORT)
    wait_until(lambda: len(list(node.markers.iterdir())) == len(faults), 90, lambda: f"faults;\n{node.log[-2000:]}")
    last = node.last_epoch()
    node.wait_recording(epoch_above=last)
    assert node.stop() == 0
    node.start(**SHORT)
    wait_until(lambda: all(epoch_of(path) > last for path in node.spool_files()), 30, "adopted files")
    assert node.stop() == 0
    assert_whole(node, len(faults))


@pytest.mark.slow
def test_a_supervisor_killed_at_any_step_after_the_commit_leaves_nothing_torn(node: TestNode) -> None:
    for number, fault in enumerate(SUPERVISOR):
        if fault["at"].endswith("recover"):
            # Something must be there to adopt.
            last = node.last_epoch()
            node.start(**SHORT)
            node.wait_recording(epoch_above=last)
            for pid in node.kill():
                end(pid)
        faults = [fault | {"who": "supervisor"} for fault in SUPERVISOR[: number + 1]]
        node.start(faults=faults, settings=MANIFESTS_AT_ONCE, **SHORT)
        assert node.process is not None
        assert node.process.wait(timeout=30) == -9
        node.process = None
        assert (node.markers / f"{number:03d}").exists()
        wait_until(lambda: not node.workers_left(), 20, "workers that end by themselves")
    last = node.last_epoch()
    node.start(**SHORT)
    node.wait_recording(epoch_above=last)
    wait_until(lambda: all(epoch_of(path) > last for path in node.spool_files()), 30, "adoption")
    assert node.stop() == 0
    assert_whole(node, len(SUPERVISOR))
