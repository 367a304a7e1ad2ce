"""The closer: nothing is forgotten when a step fails, and a camera that another process took is left to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.rows import Place
from ingest.closer import DOUBT_US, Closer, Keep
from ingest.jobs import Appended, Finished, Opened
from ingest.writer import OpenFile, Writer
from tests.support.index_vault import ALAW, Vault, open_vault
from vault.config import Retention
from vault.errors import StoreError
from vault.grant import system_grant
from vault.ids import CameraNumber, SegmentKey
from vault.media import SegmentFlag, SegmentHead
from vault.segment.build import TrackRun
from vault.segment.read import read_closed
from vault.spool import Spool
from vault.timebase import US

START_US = 1_795_000_000_000_000
ONE = CameraNumber(1)


class Bench:
    """A writer and a closer whose cycles the test runs by hand."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.trusted = True
        self.fenced: list[tuple[int, int]] = []
        self.failed: list[tuple[int, int]] = []
        self.closer = Closer(
            vault.spool,
            vault.catalog,
            vault.clock,
            Retention(),
            lambda camera: Keep("general", 30),
            sync_us=3600 * US,
            fenced=lambda camera, epoch: self.fenced.append((camera, epoch)),
            failed=lambda camera, epoch, error: self.failed.append((camera, epoch)),
            trusted=lambda: self.trusted,
        )

    def segment(self, epoch: int, sequence: int) -> SegmentKey:
        """A second of sound, written and handed to the closer."""
        key = SegmentKey(ONE, START_US + sequence * US, epoch, sequence)
        opened = Opened(SegmentHead(key, "cam-1", 0.0, None, SegmentFlag.NONE), (ALAW,))
        run = TrackRun(0, [number * 160 for number in range(50)], None, [160] * 50, None)
        done: list[tuple[OpenFile, Finished]] = []
        writer = Writer(self.vault.spool, lambda file, job: done.append((file, job)), lambda *_: None)
        writer.start()
        finished = Finished(opened, key.start_us + US, [8000], SegmentFlag.NONE, None)
        writer.submit([opened, Appended(opened, [run], [bytes(8000)]), finished])
        writer.stop()
        self.closer.finish(*done[0])
        return key

    def committed(self, key: SegmentKey) -> bool:
        row = self.vault.catalog.row(key)
        return row is not None and row.place is Place.SPOOL


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_vault(tmp_path, START_US + 10 * US) as vault:
        yield Bench(vault)


def test_a_segment_is_committed_after_its_closing_and_then_its_header_are_durable(bench: Bench) -> None:
    bench.closer.took(ONE, bench.vault.catalog.raise_epoch(ONE))
    key = bench.segment(1, 0)
    bench.closer.cycle()
    path = bench.vault.spool.path_of(key)
    assert not bench.committed(key)
    assert b"free" in path.read_bytes()[:64], "its header waits for the sync of its closing"
    bench.closer.cycle()
    assert bench.committed(key)
    with bench.vault.spool.open_source(key, system_grant("test")) as source:
        assert read_closed(source).info.end_us == START_US + US


def test_a_sync_that_fails_keeps_every_segment_at_the_step_it_has_reached(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.closer.took(ONE, bench.vault.catalog.raise_epoch(ONE))
    keys = [bench.segment(1, 0)]
    bench.closer.cycle()
    keys.append(bench.segment(1, 1))
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "sync", _raising)
        for _ in range(3):
            with pytest.raises(StoreError):
                bench.closer.cycle()
        assert not any(map(bench.committed, keys))
        # The second one's closing is not durable: its header must wait.
        assert b"free" in bench.vault.spool.path_of(keys[1]).read_bytes()[:64]
    bench.closer.cycle()
    assert [bench.committed(key) for key in keys] == [True, False]
    bench.closer.cycle()
    assert all(map(bench.committed, keys))
    assert bench.failed == []


def _raising(self: Spool, fds: object = ()) -> None:
    raise StoreError("the disk does not answer")


def test_segments_of_an_epoch_that_this_process_replaced_itself_are_committed(bench: Bench) -> None:
    bench.closer.took(ONE, bench.vault.catalog.raise_epoch(ONE))
    key = bench.segment(1, 0)
    bench.closer.took(ONE, bench.vault.catalog.raise_epoch(ONE))
    bench.closer.cycle()
    bench.closer.cycle()
    assert bench.committed(key)
    assert bench.fenced == []


def test_segments_of_a_camera_that_another_process_took_are_not_committed_and_kept(bench: Bench) -> None:
    bench.closer.took(ONE, bench.vault.catalog.raise_epoch(ONE))
    key = bench.segment(1, 0)
    bench.vault.catalog.raise_epoch(ONE)
    bench.closer.cycle()
    bench.closer.cycle()
    bench.vault.clock.advance(DOUBT_US)
    bench.closer.cycle()
    assert bench.vault.catalog.row(key) is None
    assert bench.fenced == [(1, 1)]
    assert bench.vault.spool.path_of(key).exists()


def test_a_segment_waits_for_the_word_that_its_epoch_was_replaced_for_this_process(bench: Bench) -> None:
    bench.closer.took(ONE, bench.vault.catalog.raise_epoch(ONE))
    key = bench.segment(1, 0)
    bench.vault.catalog.raise_epoch(ONE)
    bench.closer.cycle()
    bench.closer.cycle()
    assert bench.vault.catalog.row(key) is None
    bench.vault.clock.advance(DOUBT_US // 2)
    bench.closer.took(ONE, 2)
    bench.closer.cycle()
    assert bench.vault.catalog.row(key) is not None
    assert bench.fenced == []


def test_a_new_epoch_is_not_asked_for_a_camera_that_another_process_took(bench: Bench) -> None:
    bench.closer.took(ONE, bench.vault.catalog.raise_epoch(ONE))
    bench.vault.catalog.raise_epoch(ONE)
    bench.closer.start()
    bench.closer.ask_epoch(ONE)
    bench.closer.stop()
    assert bench.vault.catalog.epoch(ONE) == 2
    assert bench.closer.granted() == {}
    assert bench.fenced == [(1, 1)]


def test_what_was_handed_over_before_the_stop_is_committed_by_it(bench: Bench) -> None:
    bench.closer.took(ONE, bench.vault.catalog.raise_epoch(ONE))
    bench.closer.start()
    keys = [bench.segment(1, number) for number in range(3)]
    bench.closer.stop()
    assert all(map(bench.committed, keys))


def test_what_is_closed_under_a_clock_that_is_not_believed_says_so_and_has_no_minimum(bench: Bench) -> None:
    bench.closer.took(ONE, bench.vault.catalog.raise_epoch(ONE))
    believed = bench.segment(1, 0)
    bench.closer.cycle()
    bench.trusted = False
    doubtful = bench.segment(1, 1)
    for _ in range(2):
        bench.closer.cycle()
    rows = [bench.vault.catalog.row(key) for key in (believed, doubtful)]
    assert [(row.min_until_us > 0, bool(row.flags & SegmentFlag.CLOCK_UNCONFIRMED)) for row in rows if row] == [
        (True, False), (False, True),
    ]  # fmt: skip
