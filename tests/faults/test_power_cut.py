"""The power fails while cameras record: what was acknowledged is there and whole, and no more is missing than promised.

The disk is a real ext4, shut down without its journal's last words (`EXT4_IOC_SHUTDOWN`). What was acknowledged is noted on
another disk. `make powercuts` does twenty rounds.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from index.check import Severity
from index.check_objects import digest_of
from index.node import Node
from index.registry import DocumentName
from index.rows import Place
from index.sites import DEFAULT_SITE
from tests.support.disks import PowerCutDisk, power_cut_disk
from tests.support.node import TestNode, alive, end, epoch_of, wait_until
from tests.support.probe import decode_errors
from vault.errors import NotFound
from vault.grant import system_grant
from vault.ids import SegmentKey
from vault.timebase import US

ROUNDS = int(os.environ.get("POWER_CUTS", "4"))
SHORT = {"segment_seconds": 3, "sync_seconds": 0.5}
SYNC_US = 500_000
CYCLE_US = 2 * US
"""For sweeping, writing and the sync itself, on a machine that does other things too."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PowerCutDisk]:
    with power_cut_disk(tmp_path, 256 << 20) as made:
        yield made


@pytest.fixture
def node(disk: PowerCutDisk, tmp_path: Path) -> Iterator[TestNode]:
    made = TestNode(disk.path / "data", cameras=4, log=tmp_path / "node.log")
    yield made
    made.close()


def rename_until(node: TestNode, moment: float, names: list[str]) -> None:
    """Give the site one name after the other, and note each that was acknowledged."""
    with node.open() as opened:
        site = opened.sites.get(DEFAULT_SITE)
        while time.monotonic() < moment:
            name = f"name {len(names)}"
            opened.sites.set(replace(site, name=name))
            names.append(name)


def end_all(node: TestNode) -> None:
    """The machine has no power: nobody says good-bye."""
    workers = node.kill()
    for pid in workers:
        end(pid)
    wait_until(lambda: not any(map(alive, workers)), 20, "the end of all processes")


def assert_acknowledged_is_there(node: TestNode, names: list[str], known: set[SegmentKey]) -> None:
    """As the power comes back, before anything is repaired. `known` were looked at after an earlier cut."""
    with node.open() as opened:
        # Walks every page of every table.
        opened.environment.copy(node.commits.parent / f"copy-{len(names)}")
        assert opened.sites.get(DEFAULT_SITE).name == names[-1]
        assert has_registry_object(opened)
        for key, digest in node.acknowledged().items():
            row = opened.catalog.row(key)
            assert row is not None, f"{key} was acknowledged and is not there"
            if key not in known:
                stored = row.place is Place.STORE
                with (
                    opened.store.open(key.object_key)
                    if stored
                    else opened.spool.open_source(key, system_grant("test")) as source
                ):
                    assert digest_of(source) == row.blake3 == digest
            known.add(key)
    # Since when nobody recorded is for the next start to say (I6).
    assert [one for one in node.findings() if one.severity is Severity.ERROR and one.invariant != "I6"] == []


def has_registry_object(opened: Node) -> bool:
    """Whether the object of the newest version waits or has been uploaded."""
    name = DocumentName("sites", DEFAULT_SITE)
    with opened.environment.read() as txn:
        key = name.object_key(opened.registry.version(txn, name))
    try:
        return bool(opened.registry.read(key))
    except NotFound:
        return opened.store.stat(key) is not None


@pytest.mark.slow
def test_what_was_acknowledged_survives_every_power_cut(
    node: TestNode, disk: PowerCutDisk, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    sys.stdout.write(f"seed {seed}\n")
    cuts: list[int] = []
    names: list[str] = []
    known: set[SegmentKey] = set()
    for _ in range(ROUNDS):
        node.start(**SHORT)
        node.wait_recording(epoch_above=node.last_epoch())
        rename_until(node, time.monotonic() + chance.uniform(0.1, 3), names)
        cuts.append(time.time_ns() // 1000)
        disk.cut()
        end_all(node)
        disk.mend()
        assert_acknowledged_is_there(node, names, known)
    last = node.last_epoch()
    node.start(**SHORT)
    node.wait_recording(epoch_above=last)
    wait_until(lambda: all(epoch_of(path) > last for path in node.spool_files()), 30, "adopted files")
    stopped_us = time.time_ns() // 1000
    assert node.stop() == 0

    assert node.findings() == []
    tails: list[int] = []
    for number in node.numbers:
        compared = node.compare(number, until_us=stopped_us - US)
        assert compared.strange == []
        missing = {id(unit) for unit in compared.missing}
        for before, first in itertools.pairwise(node.sent(number)):
            if id(first) in missing and id(before) not in missing:
                # Nothing is missing anywhere but from around a cut to the next start.
                cut = next((cut for cut in cuts if before.sent_us - CYCLE_US < cut), None)
                assert cut is not None, f"camera {number}: missing from {first.sent_us}; the cuts were {cuts}"
                tails.append(cut - before.sent_us)
        assert {gap.reason for gap in node.gaps(number)} == {"connecting", "crash", "recorder stopped"}
    assert max(tails) <= SYNC_US + CYCLE_US, sorted(tails)
    assert len(tails) == ROUNDS * len(node.numbers)
    paths = node.segment_paths()
    for path in paths[:: max(1, len(paths) // 8)]:
        assert decode_errors(path) == ""
    with capsys.disabled():
        tails.sort()
        sys.stdout.write(
            f"\n{len(cuts)} power cuts, {len(known)} segments and {len(names)} registry changes acknowledged, all there; of each "
            f"camera were missing: median {tails[len(tails) // 2] / US:.2f} s, most {tails[-1] / US:.2f} s before the cut\n"
        )
