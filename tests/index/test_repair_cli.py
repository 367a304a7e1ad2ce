"""The commands `repair …` on a data folder: the plan that is printed is what is done, and `check` is content afterwards."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import streamvault
from index.cameras import NewCamera
from index.doom import Hold, put_hold
from index.environment import Table
from index.node import open_node
from index.rows import CAMERA as CAMERA_KEY
from index.rows import State, pack_usage, pending_key, segment_key
from index.writes import SegmentWriter
from tests.support.index_vault import closed_segment, row_of
from tests.support.ledgers import announce_deletion
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.ids import CameraNumber, SegmentKey
from vault.ledger.entry import Kind
from vault.store.bound import MARKER, marker
from vault.timebase import US, Interval

CAMERA = CameraNumber(1)
OLD_SECONDS = 8 * 86_400


@pytest.fixture
def start_us() -> int:
    """Six seconds of footage end just now."""
    return SystemClock().now_us() - 6 * US


@pytest.fixture(autouse=True)
def folder(data_path: Path, start_us: int) -> DataFolder:
    """A camera with three segments in the store and three in the spool."""
    made = DataFolder.init(data_path)
    with open_node(made, Config(), SystemClock(), create=True) as node:
        node.sites.ensure_default()
        assert node.cameras.add(NewCamera("cam-1", "rtsp://192.0.2.1/s")).number == CAMERA
        node.catalog.raise_epoch(CAMERA)
        for at in range(6):
            key = SegmentKey(CAMERA, start_us + at * US, 1, at)
            data = closed_segment(key)
            path = node.spool.path_of(key)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            node.catalog.commit([row_of(data)])
            if at < 3:
                node.store.put_file(key.object_key, path)
                node.catalog.settle([key])
                node.spool.remove(key)
    return made


class Runner:
    def __init__(self, folder: DataFolder, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.err = ""

    def __call__(self, *arguments: str) -> int:
        code = streamvault.run(["--data", str(self.folder.path), *arguments])
        self.out, self.err = self.capsys.readouterr()
        return code

    def plan(self, *arguments: str) -> list[tuple[str, str]]:
        assert self("repair", *arguments, "--json") in (0, 8), self.err
        whole: dict[str, Any] = json.loads(self.out)
        return [(item["action"], item["id"]) for item in whole["items"]]

    def dry(self, *arguments: str) -> list[tuple[str, str]]:
        return self.plan(*arguments, "--dry-run")

    def is_clean(self) -> bool:
        return self("check", "--level", "hash") == 0


@pytest.fixture
def run(folder: DataFolder, capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(folder, capsys)


def age(path: Path) -> None:
    at = time.time() - OLD_SECONDS
    os.utime(path, (at, at))


def forget(folder: DataFolder, at: int, start_us: int) -> SegmentKey:
    """The row goes, its object stays."""
    key = SegmentKey(CAMERA, start_us + at * US, 1, at)
    segments = SegmentWriter()
    with open_node(folder, Config(), SystemClock()) as node, node.environment.write("forget") as txn:
        row = segments.get(txn, key)
        assert row is not None
        segments.remove(txn, row)
    return key


def recorded(folder: DataFolder) -> list[tuple[str, object, object]]:
    """What the ledger has about repairs."""
    with open_node(folder, Config(), SystemClock()) as node:
        entries = [entry for entry in node.ledger.entries() if entry.kind == Kind.REPAIR]
    return [(entry.kind, entry.subject["cameras"], entry.body) for entry in entries]


def test_nothing_is_done_where_nothing_is_wrong(run: Runner) -> None:
    assert run.is_clean()
    for name in ("orphans", "missing", "usage", "lists"):
        assert run("repair", name) == 0
        assert run.out == "nothing to repair\n"


def test_a_segment_that_no_row_knows_is_taken_in_again_with_its_minimum(run: Runner, folder: DataFolder, start_us: int) -> None:
    key = forget(folder, 1, start_us)
    path = folder.path / "store" / key.object_key
    assert run.dry("orphans") == [("keep", key.object_key)]
    age(path)
    assert run("check") == 8
    assert "repair orphans" in run.out
    assert run.dry("orphans") == [("adopt", key.object_key)] == run.dry("orphans")
    assert run.plan("orphans") == [("adopt", key.object_key)]
    assert run.is_clean()
    with open_node(folder, Config(), SystemClock()) as node:
        row = node.catalog.row(key)
        assert row is not None
        assert row.min_until_us > 0


def test_only_an_empty_object_of_a_segments_name_is_deleted_and_strange_names_stay(
    run: Runner, folder: DataFolder, start_us: int
) -> None:
    store = folder.path / "store" / "segments" / "c0000000001"
    (day,) = {path.parent for path in store.rglob("*.mp4")}
    empty = SegmentKey(CAMERA, start_us + 60 * US, 1, 60).object_key
    torn = SegmentKey(CAMERA, start_us + 70 * US, 1, 70).object_key
    for name, data in ((empty, b""), (torn, b"x" * 1000)):
        (folder.path / "store" / name).write_bytes(data)
        age(folder.path / "store" / name)
    (day / "notes.txt").write_bytes(b"")
    age(day / "notes.txt")
    assert run("repair", "orphans") == 4
    assert "more than 2 %" in run.err
    for at in range(100):
        (day / f"other-{at}").write_bytes(b"x")
    assert ("delete", empty) in run.dry("orphans")
    assert (folder.path / "store" / empty).exists()
    done = dict(reversed(pair) for pair in run.plan("orphans"))
    assert (done[empty], done[torn], done[f"segments/c0000000001/{day.name}/notes.txt"]) == ("delete", "keep", "keep")
    assert not (folder.path / "store" / empty).exists()
    assert (folder.path / "store" / torn).exists()
    assert (day / "notes.txt").exists()


def test_nothing_is_repaired_in_a_store_that_is_anothers_or_away(run: Runner, folder: DataFolder, start_us: int) -> None:
    path = folder.path / "store" / SegmentKey(CAMERA, start_us, 1, 0).object_key
    path.unlink()
    (folder.path / "store" / MARKER).write_bytes(marker("f" * 32))
    for name in ("orphans", "missing"):
        assert run("repair", name, *(["--confirm", "1"] if name == "missing" else [])) == 7
        assert "another index" in run.err
    (folder.path / "store").rename(folder.path / "away")
    assert run("repair", "missing", "--confirm", "1") == 7
    (folder.path / "store").mkdir()
    assert run("repair", "missing", "--confirm", "3") == 7
    assert "no marker" in run.err
    with open_node(folder, Config(), SystemClock()) as node:
        assert node.catalog.usage(CAMERA).segments == 6


def test_lost_footage_becomes_a_gap_once_its_count_is_confirmed(run: Runner, folder: DataFolder, start_us: int) -> None:
    key = SegmentKey(CAMERA, start_us + US, 1, 1)
    (folder.path / "store" / key.object_key).unlink()
    assert run.dry("missing") == [("gap", key.object_key)]
    assert run("repair", "missing") == 4
    assert "--confirm 1" in run.err
    assert run("repair", "missing", "--confirm", "2") == 4
    assert not recorded(folder)
    assert run.plan("missing", "--confirm", "1") == [("gap", key.object_key)]
    assert recorded(folder) == [("repair", [CAMERA], {"action": "gap", "objects": [key.object_key]})]
    assert run.is_clean()
    with open_node(folder, Config(), SystemClock()) as node:
        (gap,) = node.timeline.gaps(CAMERA, Interval(start_us, start_us + 6 * US), [])
        assert (gap.start_us, gap.end_us, gap.reason) == (key.start_us, key.start_us + US, "footage lost from the store")


def test_what_the_ledger_says_was_deleted_is_expired_and_no_gap(run: Runner, folder: DataFolder, start_us: int) -> None:
    deleted, gone = (SegmentKey(CAMERA, start_us + at * US, 1, at) for at in (0, 1))
    for key in (deleted, gone):
        (folder.path / "store" / key.object_key).unlink()
    with open_node(folder, Config(), SystemClock()) as node:
        announce_deletion(node.ledger, "batch-1", [deleted])
    assert run.dry("missing") == [("expire", deleted.object_key), ("gap", gone.object_key)]
    assert run.plan("missing", "--confirm", "1") == [("expire", deleted.object_key), ("gap", gone.object_key)]
    # The deletion is on record already.
    assert recorded(folder) == [("repair", [CAMERA], {"action": "gap", "objects": [gone.object_key]})]
    assert run.is_clean()
    with open_node(folder, Config(), SystemClock()) as node:
        whole = Interval(start_us, start_us + 6 * US)
        (gap,) = node.timeline.gaps(CAMERA, whole, [])
        assert (gap.start_us, gap.reason) == (gone.start_us, "footage lost from the store")
        assert node.timeline.expired(CAMERA, whole) == [Interval(deleted.start_us, deleted.start_us + US)]


def test_a_lost_segment_under_a_hold_keeps_its_row(run: Runner, folder: DataFolder, start_us: int) -> None:
    key = SegmentKey(CAMERA, start_us + US, 1, 1)
    (folder.path / "store" / key.object_key).unlink()
    with open_node(folder, Config(), SystemClock()) as node, node.environment.write("hold") as txn:
        put_hold(txn, Hold("case-1", CAMERA, Interval(key.start_us, key.start_us + 1)))
    assert run.plan("missing") == [("keep", key.object_key)]
    with open_node(folder, Config(), SystemClock()) as node:
        assert node.catalog.row(key) is not None


def test_a_row_of_the_spool_whose_object_is_in_the_store_is_settled(run: Runner, folder: DataFolder, start_us: int) -> None:
    key = SegmentKey(CAMERA, start_us + 4 * US, 1, 4)
    with open_node(folder, Config(), SystemClock()) as node:
        node.store.put_file(key.object_key, node.spool.path_of(key))
        node.spool.remove(key)
    assert run("check") == 8
    assert run.plan("missing") == [("settle", key.object_key)]
    assert run.is_clean()


def test_counters_are_counted_anew(run: Runner, folder: DataFolder) -> None:
    with open_node(folder, Config(), SystemClock()) as node, node.environment.write("break") as txn:
        good = node.catalog.usage(CAMERA)
        txn.put(Table.USAGE, CAMERA_KEY.pack(CAMERA), pack_usage(replace(good, segments=99, spool_bytes=1)))
    assert run("check") == 8
    assert run.dry("usage") == [("count", "camera 1")]
    assert run.plan("usage") == [("count", "camera 1")]
    assert run.is_clean()
    with open_node(folder, Config(), SystemClock()) as node:
        assert node.catalog.usage(CAMERA) == good


def test_counts_of_when_segments_expire_are_counted_anew(run: Runner, folder: DataFolder) -> None:
    def counts() -> list[dict[bytes, bytes]]:
        with node.environment.read() as txn:
            return [dict(txn.scan(table)) for table in (Table.EXPIRYHOURS, Table.EXPIRYSUMS)]

    with open_node(folder, Config(), SystemClock()) as node:
        good = counts()
        with node.environment.write("break") as txn:
            # Hours and sums wrong in ways of their own, and an hour that no row has.
            for raw_key, raw in good[0].items():
                txn.put(Table.EXPIRYHOURS, raw_key, bytes([raw[0] + 2]) + raw[1:])
                txn.put(Table.EXPIRYHOURS, raw_key[:-4] + b"\0\0\0\1", raw)
            for raw_key in good[1]:
                txn.delete(Table.EXPIRYSUMS, raw_key)
    assert run("check") == 8
    assert run.dry("usage") == [("count", "expiry")]
    assert run.plan("usage") == [("count", "expiry")]
    assert run.is_clean()
    with open_node(folder, Config(), SystemClock()) as node:
        assert counts() == good


def test_lists_are_made_what_the_rows_say(run: Runner, folder: DataFolder, start_us: int) -> None:
    first, waiting = SegmentKey(CAMERA, start_us, 1, 0), SegmentKey(CAMERA, start_us + 5 * US, 1, 5)
    gone = segment_key(SegmentKey(CAMERA, start_us + 50 * US, 1, 50))
    with open_node(folder, Config(), SystemClock()) as node:
        segments = SegmentWriter()
        with node.environment.write("break") as txn:
            txn.delete(Table.PENDING, pending_key(waiting))
            row = segments.get(txn, first)
            assert row is not None
            segments.change(txn, row, state=State.DOOMED)
            txn.put(Table.DOOMED, gone, b'{"at_us":1,"reason":"","rule":"","batch":""}')
    assert run("check") == 8
    assert "list of what is to be uploaded" in run.out
    assert {name for action, name in run.plan("lists") if action == "relist"} == {
        first.object_key, waiting.object_key, gone.hex(),
    }  # fmt: skip
    assert run.is_clean()
    with open_node(folder, Config(), SystemClock()) as node:
        assert waiting in {row.key for row in node.catalog.pending()}
