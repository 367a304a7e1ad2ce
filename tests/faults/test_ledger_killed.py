"""The supervisor killed at each step of bringing a change into the ledger: every change stands there once, and signed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node import TestNode, wait_until
from vault.ledger.verify import verify
from vault.signing.keys import Keys

STEPS = [
    {"at": "vault.ledger.book:write_all", "when": "after", "who": "supervisor"},
    {"at": "vault.ledger.hashes:HashFile.put", "when": "after", "who": "supervisor"},
    {"at": "vault.ledger.book:Book._append_checkpoint", "when": "after", "who": "supervisor"},
    {"at": "index.outbox:put_anchor", "when": "after", "who": "supervisor"},
]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    made = TestNode(tmp_path / "data")
    yield made
    made.close()


@pytest.mark.slow
def test_a_supervisor_killed_while_it_drains_tells_every_change_once(node: TestNode) -> None:
    names = []
    for number in range(len(STEPS)):
        names.append(f"name {number}")
        with node.open() as opened:
            opened.cameras.set("cam-1", name=names[-1])
        node.start(faults=STEPS[: number + 1])
        assert node.process is not None
        assert node.process.wait(timeout=30) == -9
        node.process = None
        assert (node.markers / f"{number:03d}").exists()
        wait_until(lambda: not node.workers_left(), 20, "workers that end by themselves")
    node.start()
    node.wait_recording()
    assert node.stop() == 0
    with node.open() as opened:
        assert opened.outbox.waiting() == 0
        changed = [found.body["changed"] for found in opened.ledger.entries() if found.subject.get("camera") == node.numbers[0]]
        told = [field["name"][1] for field in changed if isinstance(field, dict) and "name" in field]
        ids = [found.id for found in opened.ledger.entries()]
    assert told == ["", *names]
    assert len(ids) == len(set(ids))
    report = verify(node.folder.ledger, Keys(node.folder.ledger_key))
    assert (report.findings, report.unsigned) == ([], 0)
