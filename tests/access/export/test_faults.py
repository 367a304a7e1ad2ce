"""An export meets a disk that fills, a store that goes away, a ledger that cannot be written: one clear error, and it goes on later."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from access.export.job import Step
from access.export.taking import Taker
from access.package.container import Form
from tests.access.export.test_engine import custody, verify
from tests.support.disks import small_disk
from tests.support.exporting import OPERATOR, SAID, exporting, outcomes, wish
from tests.support.s3servers import KEYS, server
from tests.support.segments import START_US, Track, video_track
from tests.support.stopping import stop
from tests.support.streams import encode_h264
from tests.support.vaults import make_vault
from vault.clock import SystemClock
from vault.config import Config
from vault.errors import StoreError, StoreFull
from vault.ledger.ledger import Ledger
from vault.timebase import Interval

US = 1_000_000
SPAN = Interval(START_US, START_US + 14 * US)


@pytest.fixture(autouse=True)
def _one_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("access.export.run.PICTURES", 1)


@pytest.fixture(scope="module")
def track() -> Track:
    return video_track(encode_h264(frames=100, gop=25, size=(640, 384)))


def fill(path: Path) -> None:
    """To the last page of the disk."""
    with path.open("ab", buffering=0) as file:
        for size in (65_536, 512):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


@pytest.mark.parametrize("reserve", [True, False], ids=["before recording's part is touched", "to the last byte"])
def test_a_disk_that_fills_stops_the_export_and_nothing_else(
    tmp_path: Path, track: Track, monkeypatch: pytest.MonkeyPatch, reserve: bool
) -> None:
    if not reserve:
        monkeypatch.setattr("access.export.working.LOW_PART", 1 << 62)
        monkeypatch.setattr("access.export.run.expected_bytes", lambda *_: 0)
    with small_disk(tmp_path, 48 << 20) as disk:
        make_vault(disk / "data", [track], START_US, ["store"] * 3, gap_us=US)
        with exporting(disk / "data") as (node, exports):
            job = exports.ask(OPERATOR, wish(tmp_path / "out", SPAN), SAID)
            filler = disk / "filler"
            real = Taker.take

            def take(self: Taker, *arguments: Any) -> Any:
                fill(filler)
                return real(self, *arguments)

            if reserve:
                fill(filler)
                # Just enough for the ledger and the index to say so.
                with filler.open("ab") as file:
                    file.truncate(filler.stat().st_size - (1 << 20))
            else:
                monkeypatch.setattr(Taker, "take", take)
            with pytest.raises(StoreFull) as caught:
                exports.run(job.id, OPERATOR)
            assert str(disk) in str(caught.value)
            assert not list((disk / "data" / "exports").rglob("*.mp4"))
            assert exports.get(job.id).step in (Step.TAKING,)
            monkeypatch.setattr(Taker, "take", real)
            filler.unlink()
            _, made = exports.run(job.id, OPERATOR)
            assert outcomes(node) == ["asked", "aborted", "asked", "done"]
        assert verify(made.path).returncode == 0


def test_a_target_that_is_full_leaves_the_package_to_be_handed_over_later(tmp_path: Path, track: Track) -> None:
    make_vault(tmp_path / "data", [track], START_US, ["store"])
    with small_disk(tmp_path, 2 << 20) as disk, exporting(tmp_path / "data") as (node, exports):
        fill(disk / "filler")
        job = exports.ask(OPERATOR, wish(disk / "out", SPAN), SAID)
        with pytest.raises(StoreFull, match=str(disk)):
            exports.run(job.id, OPERATOR)
        assert exports.get(job.id).step is Step.SEALED
        assert not (disk / "out").exists()
        (disk / "filler").unlink()
        _, made = exports.run(job.id, OPERATOR)
        # The ledger heard once that it was whole: nothing was taken anew.
        assert outcomes(node) == ["asked", "done"]
        assert verify(made.path).returncode == 0


def test_an_export_given_up_while_it_is_handed_over_says_what_had_left(tmp_path: Path, track: Track) -> None:
    make_vault(tmp_path / "data", [track], START_US, ["store"])
    with small_disk(tmp_path, 32 << 10) as disk, exporting(tmp_path / "data") as (node, exports):
        job = exports.ask(OPERATOR, wish(disk / "out.tar", SPAN, form=Form.TAR), SAID)
        with pytest.raises(StoreFull):
            exports.run(job.id, OPERATOR)
        job = exports.abort(job.id, OPERATOR)
        assert outcomes(node) == ["asked", "done", "aborted"]
        assert 0 < job.left_bytes <= 32 << 10
        assert list(disk.iterdir()) == []
    assert not list((tmp_path / "data" / "exports").iterdir())


def test_a_store_that_is_away_is_said_and_waited_for_by_nobody(tmp_path: Path, track: Track) -> None:
    make_vault(tmp_path / "data", [track], START_US, ["store", "store"], gap_us=US)
    store = tmp_path / "data" / "store"
    with exporting(tmp_path / "data") as (node, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", SPAN), SAID)
        store.rename(tmp_path / "away")
        with pytest.raises(StoreError):
            exports.run(job.id, OPERATOR)
        assert not (tmp_path / "out").exists()
        (tmp_path / "away").rename(store)
        _, made = exports.run(job.id, OPERATOR)
        assert outcomes(node) == ["asked", "aborted", "asked", "done"]
    assert verify(made.path).returncode == 0


@pytest.mark.parametrize("calls", [0, 1], ids=["at the beginning", "at the end"])
def test_a_ledger_that_cannot_be_written_lets_nothing_out(
    tmp_path: Path, track: Track, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    make_vault(tmp_path / "data", [track], START_US, ["store"])
    with exporting(tmp_path / "data") as (node, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", SPAN), SAID)
        real, seen = Ledger.append, []

        def append(self: Ledger, *arguments: Any, **options: Any) -> Any:
            seen.append(arguments)
            if len(seen) > calls:
                raise StoreFull("writing the ledger: no space left")
            return real(self, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "append", append)
            with pytest.raises(StoreFull, match="ledger"):
                exports.run(job.id, OPERATOR)
        assert not (tmp_path / "out").exists()
        assert bool(list((tmp_path / "data").glob("exports/*/*/data/media/*/*.mp4"))) == bool(calls)
        _, made = exports.run(job.id, OPERATOR)
        assert outcomes(node).count("done") == 1
    assert verify(made.path).returncode == 0


def test_an_export_from_a_bucket_that_stands_still_is_taken_up_when_it_answers(
    tmp_path: Path, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with server("versitygw", tmp_path / "server") as bucket:
        store = replace(bucket.settings, prefix="node-1", timeout_seconds=1.0, request_seconds=2.0, attempts=1)
        config = Config(store=store)
        # The bucket goes by the host's clock.
        clock = SystemClock()
        start_us = clock.now_us() - 3_600 * US
        make_vault(tmp_path / "data", [track], start_us, ["store", "store"], gap_us=US, config=config, clock=clock)
        with exporting(tmp_path / "data", clock, config=config) as (node, exports):
            job = exports.ask(OPERATOR, wish(tmp_path / "out", Interval(start_us, start_us + 14 * US)), SAID)
            stop(bucket.process.pid)
            try:
                with pytest.raises(StoreError):
                    exports.run(job.id, OPERATOR)
            finally:
                os.kill(bucket.process.pid, signal.SIGCONT)
            _, made = exports.run(job.id, OPERATOR)
            assert outcomes(node) == ["asked", "aborted", "asked", "done"]
    assert len(custody(made.path)["cameras"][0]["sources"]) == 2
    assert verify(made.path).returncode == 0
