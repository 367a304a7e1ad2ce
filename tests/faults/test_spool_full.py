"""A store that stays away until the spool is full: the lowest class stops first and says why, nothing in the spool is dropped, and
all go on by themselves when the store is back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.alarms import Alarms
from index.sites import Site
from tests.support.node import SPEC, TestNode, wait_until

SIZE_BYTES = 2_000_000
SETTINGS = {"ingest.turns:LAST_STORE_BACKOFF_US": 1_000_000, "ingest.spoolguard:EVERY_US": 300_000}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    made = TestNode(tmp_path / "data", cameras=2, spec=dataclasses.replace(SPEC, bitrate=500_000))
    with made.open() as opened:
        opened.sites.add(Site("gate", "key", 90))
        opened.cameras.set("cam-2", site="gate")
    yield made
    made.close()


def alarms(node: TestNode) -> dict[str, str]:
    with node.open() as opened:
        return {alarm.kind: alarm.message for alarm in Alarms(opened.environment).lasting()}


def state(node: TestNode, number: int) -> str:
    return str(node.status().get(str(number), {}).get("why"))


@pytest.mark.slow
def test_the_lowest_class_stops_first_and_all_go_on_when_the_store_is_back(node: TestNode) -> None:
    # Large enough that a class's step is seconds of footage, and more than half full, so that nobody waits for the rest.
    size_bytes, filler = 4 * SIZE_BYTES, node.folder.spool / "filler"
    filler.write_bytes(bytes(size_bytes * 6 // 10))
    store = node.folder.path / "store"
    node.start(settings=SETTINGS, spool_bytes=size_bytes, segment_seconds=2)
    node.wait_recording()
    general, key = node.numbers
    away = store.with_name("store.away")
    store.rename(away)
    wait_until(lambda: "h at the present rate" in alarms(node).get("spool filling", ""), 60, "an alarm that knows the rate")
    wait_until(lambda: state(node, general) == "spool full", 60, lambda: f"a class stopped; the log says\n{node.log[-3000:]}")
    assert "store away" in alarms(node)
    wait_until(
        lambda: state(node, key) == "spool full", 60, lambda: f"the other class stopped; the log says\n{node.log[-3000:]}"
    )
    assert "class general, key are not recorded" in alarms(node)["spool full"]
    kept = set(node.spool_files())
    filler.unlink()
    away.rename(store)
    last = node.last_epoch()
    wait_until(lambda: not alarms(node), 60, lambda: f"no alarm; the log says\n{node.log[-3000:]}")
    node.wait_recording(60, epoch_above=last)
    assert node.stop() == 0
    stored = {path.name for path in node.segment_paths()}
    assert {path.name for path in kept} <= stored
    assert node.findings() == []
    for number in node.numbers:
        assert [gap.reason for gap in node.gaps(number)] == ["connecting", "spool full", "recorder stopped"]
        assert node.compare(number).strange == []
    assert node.gaps(general)[1].start_us < node.gaps(key)[1].start_us


@pytest.mark.slow
def test_a_recorder_that_starts_with_a_full_spool_says_so_and_waits(node: TestNode) -> None:
    node.start(settings=SETTINGS)
    node.wait_recording()
    assert node.stop() == 0
    filler = node.folder.spool / "filler"
    filler.write_bytes(bytes(SIZE_BYTES))
    node.start(settings=SETTINGS, spool_bytes=SIZE_BYTES)
    for number in node.numbers:
        wait_until(lambda number=number: state(node, number) == "spool full", 30, lambda: f"the log says\n{node.log[-3000:]}")
    last = node.last_epoch()
    filler.unlink()
    node.wait_recording(30, epoch_above=last)
    assert node.stop() == 0
    for number in node.numbers:
        assert [gap.reason for gap in node.gaps(number)] == [
            "connecting", "recorder stopped", "spool full", "recorder stopped",
        ]  # fmt: skip
