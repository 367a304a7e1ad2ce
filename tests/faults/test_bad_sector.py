"""A sector that the disk does not give any more: one segment is damaged then, and said so; a disk of which nothing can be read is
a store that is away. The errors are the kernel's, made by `strace` for one file, and by a file system that was shut down."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from access.export.intake import Intake
from access.export.job import Step
from index.check_objects import Level, ObjectCheck
from index.growing import growing_intervals
from index.renew import renew
from index.repair import DAY_US, Action, plan_orphans
from index.repair_look import orphans
from index.repair_run import run
from tests.access.export.test_engine import custody, verify
from tests.support.disks import power_cut_disk
from tests.support.exporting import OPERATOR, SAID, exporting, outcomes, wish
from tests.support.index_vault import closed_segment
from tests.support.probe import decode_errors
from tests.support.segments import START_US, video_track
from tests.support.streams import encode_h264
from tests.support.vaults import make_vault
from vault.clock import ManualClock, SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import Damaged, StoreError
from vault.ids import CameraNumber, SegmentKey
from vault.timebase import US, Interval, format_us

SPAN = Interval(START_US, START_US + 14 * US)
OCCASION = [
    "--purpose", "traffic", "--why", "collision", "--case", "9901", "--destination", "archive", "--person", "first officer",
    "--staff-number", "9901",
]  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three segments of four seconds in the store, a second apart."""
    track = video_track(encode_h264(frames=100, gop=25, size=(160, 96)))
    make_vault(tmp_path / "data", [track], START_US, ["store"] * 3, gap_us=US)
    return tmp_path / "data"


def segment(data: Path, number: int = 1) -> Path:
    return sorted((data / "store" / "segments").rglob("*.mp4"))[number]


def test_a_segment_that_cannot_be_read_is_damaged_to_every_command(data: Path, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("a disk that does not give one file needs strace: apt-get install strace")
    bad, out = segment(data), tmp_path / "out"
    key = bad.relative_to(data / "store").as_posix()
    span = ["--from", format_us(SPAN.start_us), "--to", format_us(SPAN.end_us)]
    commands = [
        ["clip", "cam-1", *span, "-o", str(tmp_path / "clip.mp4"), *OCCASION],
        ["snapshot", "cam-1", "--at", format_us(START_US + 6 * US), "-o", str(tmp_path / "one.jpg"), *OCCASION],
        ["check", "--level", "hash", "--json"],
        ["export", "create", "cam-1", *span, "-o", str(out), *OCCASION],
        ["export", "resume", "--allow-damaged"],
    ]
    program = (
        "import json, sys, streamvault\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    print('ended', streamvault.run(['--data', sys.argv[2], *words]), flush=True)\n"
        "    print('next', file=sys.stderr, flush=True)\n"
    )
    inject = "inject=?pread64,?preadv,?preadv2:error=EIO"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(bad), "-e", inject, sys.executable, "-c", program,
         json.dumps(commands), str(data)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    ended = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("ended")]
    assert ended == [8, 8, 8, 8, 0], done.stdout + done.stderr
    clip, snapshot, _, create, _, _ = done.stderr.split("next\n")
    assert all(key in text and "cannot be read" in text for text in (clip, snapshot, create)), done.stderr
    assert "--allow-damaged" in create
    assert key in done.stdout
    assert not (tmp_path / "clip.mp4").exists()
    assert_left_out(out, key)


@pytest.mark.parametrize("original", [False, True])
def test_a_bad_sector_in_the_midst_of_a_segment_is_the_same(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, original: bool
) -> None:
    bad, real = segment(data), os.preadv

    def preadv(fd: int, buffers: Any, offset: int, *flags: int) -> int:
        if offset == 0 and Path(f"/proc/self/fd/{fd}").readlink() == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, buffers, offset, *flags)

    monkeypatch.setattr(os, "preadv", preadv)
    key = bad.relative_to(data / "store").as_posix()
    with exporting(data) as (node, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", SPAN, original=original), SAID)
        with pytest.raises(Damaged, match=f"{key}.*--allow-damaged"):
            exports.run(job.id, OPERATOR)
        _, made = exports.run(job.id, OPERATOR, allow_damaged=True)
        assert outcomes(node) == ["asked", "aborted", "asked", "done"]
    assert_left_out(made.path, key)


def test_a_store_that_gives_nothing_is_no_finding_and_no_damage(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unread(fd: int, *_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with exporting(data) as (node, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", SPAN, allow_damaged=True), SAID)
        # By now it knows the store for its own.
        assert node.store.stat("marker") is None
        with monkeypatch.context() as patched:
            patched.setattr(os, "preadv", unread)
            patched.setattr("vault.source.os.pread", unread)
            check = ObjectCheck(node.environment, node.store, node.spool, Level.HASH, node.clock.now_us())
            with pytest.raises(StoreError):
                list(check.findings())
            with pytest.raises(StoreError):
                exports.run(job.id, OPERATOR)
        assert list(check.findings()) == []
        exports.run(job.id, OPERATOR)


def test_one_segment_that_cannot_be_read_does_not_stop_a_rebuild(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, real = segment(data), os.pread

    def pread(fd: int, length: int, offset: int) -> bytes:
        if Path(f"/proc/self/fd/{fd}").readlink() == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, length, offset)

    monkeypatch.setattr(os, "pread", pread)
    made = renew(DataFolder.open(data), Config(), ManualClock(START_US + 3_600 * US), lambda step, seen: None)
    ((key, why),) = made.refused
    assert key == bad.relative_to(data / "store").as_posix()
    assert "cannot be read" in why
    with exporting(data) as (node, _):
        assert len(node.timeline.span(CameraNumber(1), SPAN)) == 2


def test_one_orphan_that_cannot_be_read_is_kept_and_the_other_is_taken_in(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pread
    keys = [SegmentKey(CameraNumber(1), START_US + at * 60 * US, 1, at) for at in (10, 11)]
    with exporting(data) as (node, _):
        for key in keys:
            node.store.put_bytes(key.object_key, closed_segment(key))
        bad = data / "store" / keys[0].object_key

        def pread(fd: int, length: int, offset: int) -> bytes:
            if Path(f"/proc/self/fd/{fd}").readlink() == bad:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(fd, length, offset)

        now_us = SystemClock().now_us() + DAY_US
        with monkeypatch.context() as patched:
            patched.setattr(os, "pread", pread)
            found, objects = orphans(node, now_us, 0)
            plan = plan_orphans(found, objects, now_us, 0)
        assert [item.action for item in plan.items] == [Action.KEEP, Action.ADOPT]
        assert keys[0].object_key in plan.items[0].reason
        # It is read as a whole only when it is taken in.
        plan = plan_orphans(orphans(node, now_us, 0)[0], objects, now_us, 0)
        with monkeypatch.context() as patched:
            patched.setattr(os, "pread", pread)
            refusals = run(node, plan)
        assert [name for name, _ in refusals] == [keys[0].object_key]
        assert node.catalog.row(keys[1]) is not None


def test_one_open_file_that_cannot_be_read_hides_no_other(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, camera = os.pread, CameraNumber(1)
    keys = [SegmentKey(camera, START_US + at * 60 * US, 1, at) for at in (10, 11)]
    with exporting(data) as (node, _):
        for key in keys:
            os.write(fd := node.spool.create(key), closed_segment(key))
            os.close(fd)
        bad = node.spool.path_of(keys[0])

        def pread(fd: int, length: int, offset: int) -> bytes:
            if Path(f"/proc/self/fd/{fd}").readlink() == bad:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(fd, length, offset)

        monkeypatch.setattr(os, "pread", pread)
        found = growing_intervals(node.environment, node.spool, camera, START_US + 3_600 * US)
        assert [interval.start_us for interval in found] == [keys[1].start_us]
    assert str(bad) in str([vars(record) for record in caplog.records])


def assert_left_out(package: Path, key: str) -> None:
    """The package says which segment is not in it and when that was, and is whole all the same."""
    (camera,) = custody(package)["cameras"]
    assert [gap["reason"] for gap in camera["missing"]] == ["unreachable", "damaged", "unreachable"]
    assert camera["notes"] == [f"segment {key} cannot be read whole and is left out"]
    assert key not in [source["key"] for source in camera["sources"]]
    assert not any(decode_errors(package / file["path"]) for file in camera["files"])
    assert verify(package).returncode == 0


def test_a_disk_of_which_nothing_can_be_read_is_a_store_that_is_away(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with power_cut_disk(tmp_path, 32 << 20) as disk:
        store = disk.path / "store"
        shutil.copytree(data / "store", store)
        os.sync()
        shutil.rmtree(data / "store")
        (data / "store").symlink_to(store)
        begin = Intake.begin

        def cut(intake: Intake) -> None:
            disk.cut()
            begin(intake)

        with exporting(data) as (node, exports):
            job = exports.ask(OPERATOR, wish(tmp_path / "out", SPAN, allow_damaged=True), SAID)
            with monkeypatch.context() as patched:
                patched.setattr(Intake, "begin", cut)
                with pytest.raises(StoreError, match="store"):
                    exports.run(job.id, OPERATOR)
            assert exports.get(job.id).step is Step.TAKING
            assert outcomes(node) == ["asked", "aborted"]
        disk.mend()
        with exporting(data) as (_, exports):
            _, made = exports.run(job.id, OPERATOR)
        assert len(custody(made.path)["cameras"][0]["sources"]) == 3
