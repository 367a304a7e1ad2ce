"""The engine against a plain model, on a disk whose unsynced writes are dropped, torn and reordered when the power fails.

Spool, writer, closer, catalog, uploader, registry and local store in one process, without threads. The power fails between two
steps or in the middle of one, and what is on the disk then is any state that the syncs allow (`tests.support.torn_disk`). LMDB is
taken at its word: a commit is whole and durable. A failing run prints its steps and how to repeat them.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from index.check import Severity
from index.check_objects import digest_of
from index.environment import WriteTxn
from index.node import Node, init_node, open_node
from index.registry import DocumentName
from index.rows import Place, SegmentRow, State
from index.sites import DEFAULT_SITE
from index.writes import SegmentWriter
from ingest.adopter import Adopter
from ingest.closer import Closer, Keep
from ingest.jobs import Appended, Finished, Opened
from ingest.lanes import Lanes
from ingest.uploader import Uploader
from ingest.writer import Writer
from tests.support.node import findings_of
from tests.support.short_life import ALAW, DAYS_US, ONE, START_US, finish_removal, submit_here
from tests.support.torn_disk import TornDisk
from vault.clock import ManualClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import NotFound, StoreError, StreamvaultError
from vault.grant import system_grant
from vault.ids import SegmentKey
from vault.media import SegmentFlag, SegmentHead
from vault.segment.build import TrackRun
from vault.timebase import US, Interval

KEEP = Keep("general", 30)
SAMPLES = 25
FOLDER = Path(tempfile.gettempdir()) / f"streamvault-machine-{os.getpid()}"
FRAGMENT_US = US // 2


class Machine(RuleBasedStateMachine):
    """`durable`: fragments of each segment that a sync covered; `committed`, `erased`: what was acknowledged."""

    @initialize(at_once=st.booleans())
    def start(self, at_once: bool) -> None:
        # The same names in each run, and the same chance: what Hypothesis draws depends on nothing else.
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        self.patch = pytest.MonkeyPatch()
        self.at_once, self.lives = at_once, 0
        self.clock = ManualClock(START_US)
        root = FOLDER / "life-0"
        init_node(root, lambda _: Config(), self.clock)
        self.disk = TornDisk(root, ["spool", "store"])
        self.disk.install(self.patch)
        disk, commit = self.disk, WriteTxn.__exit__

        def no_commit_without_power(txn: WriteTxn, kind: object, error: BaseException | None, trace: object) -> None:
            if disk.is_cut and error is None:
                error = StoreError("the power is cut")
                commit(txn, StoreError, error, None)
                raise error
            commit(txn, kind, error, trace)  # type: ignore[arg-type]

        self.patch.setattr(WriteTxn, "__exit__", no_commit_without_power)
        serial = itertools.count()
        self.patch.setattr(os, "urandom", lambda size: next(serial).to_bytes(size, "big"))
        self.patch.setattr(Lanes, "submit", submit_here)
        if not at_once:
            for module in ("vault.spool", "vault.store.local"):
                self.patch.setattr(f"{module}.find_syncfs", lambda: None)
        self.committed: dict[SegmentKey, bytes] = {}
        self.erased: set[SegmentKey] = set()
        self.durable: dict[SegmentKey, int] = {}
        self.names = [""]
        self.open()
        self.tried = ""
        self.open()

    def open(self) -> None:
        self.stack = ExitStack()
        self.node: Node = self.stack.enter_context(open_node(DataFolder(self.disk.root), Config(), self.clock))
        self.catalog = self.node.catalog
        self.closer = Closer(
            self.node.spool, self.catalog, self.clock, self.node.config.retention, lambda _: KEEP,
            sync_us=US, fenced=lambda *_: None, failed=self.failed,
        )  # fmt: skip
        self.writer = Writer(self.node.spool, self.closer.finish, self.failed)
        self.uploader = Uploader(self.node.spool, self.node.store, self.catalog, self.node.registry, self.clock)
        self.epoch = self.catalog.raise_epoch(ONE)
        self.closer.took(ONE, self.epoch)
        self.recording: Opened | None = None
        self.appended: dict[SegmentKey, int] = {}
        self.finished: set[SegmentKey] = set()

    def failed(self, camera: int, epoch: int, error: Exception) -> None:
        assert self.disk.is_cut, error

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.disk.cut_after = None
            self.patch.undo()
            self.stack.close()
            shutil.rmtree(FOLDER)

    def act(self, step: Callable[[], object]) -> bool:
        """Do something in which the power may fail; whether it was done."""
        try:
            step()
        except (StreamvaultError, OSError):
            if not self.disk.is_cut:
                raise
        return not self.disk.is_cut

    def has_power(self) -> bool:
        return not self.disk.is_cut

    def rows(self) -> list[SegmentRow]:
        with self.node.environment.read() as txn:
            return list(SegmentWriter().rows_over(txn, ONE, Interval(0, 2 * START_US)))

    def note_committed(self) -> None:
        self.committed |= {row.key: row.blake3 for row in self.rows() if row.state is State.COMMITTED}

    # What the engine does.

    @precondition(has_power)
    @rule(fragments=st.integers(1, 3), finish=st.booleans())
    def record(self, fragments: int, finish: bool) -> None:
        if self.recording is None:
            key = SegmentKey(ONE, self.clock.now_us(), self.epoch, len(self.appended))
            opened = Opened(SegmentHead(key, "cam-1", 0.0, None, SegmentFlag.NONE), (ALAW,))
            if not self.act(partial(self.writer._do, opened)):
                return
            self.recording, self.appended[key] = opened, 0
        opened = self.recording
        for _ in range(fragments):
            first = self.appended[opened.head.key] * SAMPLES
            run = TrackRun(0, [at * 160 for at in range(first, first + SAMPLES)], None, [160] * SAMPLES, None)
            self.clock.advance(FRAGMENT_US)
            fragment = Appended(opened, [run], [bytes([first % 251]) * 4000])
            if not self.act(partial(self.writer._do, fragment)):
                return
            self.appended[opened.head.key] += 1
        if finish:
            end_dts = [self.appended[opened.head.key] * SAMPLES * 160]
            self.writer._do(Finished(opened, self.clock.now_us(), end_dts, SegmentFlag.NONE, None))
            self.finished.add(opened.head.key)
            self.recording = None

    @precondition(has_power)
    @rule()
    def close(self) -> None:
        if self.act(self.closer.cycle):
            for key, count in self.appended.items():
                # Without syncfs only what is being closed is synced.
                if self.at_once or key in self.finished:
                    self.durable[key] = count
            self.note_committed()

    @precondition(has_power)
    @rule()
    def upload(self) -> None:
        self.act(self.uploader.run_once)

    @precondition(has_power)
    @rule()
    def change_the_registry(self) -> None:
        site = self.node.sites.get(DEFAULT_SITE)
        self.tried = f"name {len(self.names)}"
        if self.act(partial(self.node.sites.set, replace(site, name=self.tried))):
            self.names.append(self.tried)

    @precondition(lambda self: self.has_power() and self.recording is None)
    @rule()
    def remove_what_is_in_the_store(self) -> None:
        """Days later: D2 to D6."""
        self.clock.advance(DAYS_US)
        self.disk.write_back()
        keys = [row.key for row in self.rows() if row.place is Place.STORE]

        def remove() -> None:
            # What was adopted while nobody vouched for the clock has no minimum and stays.
            doomed = self.catalog.doom(keys, at_us=self.clock.now_us(), reason="expired").done
            finish_removal(self.node)
            self.erased.update(doomed)

        for key in keys:
            self.committed.pop(key, None)
            self.durable.pop(key, None)
        self.act(remove)
        if self.has_power():
            self.note_committed()

    # The power.

    @precondition(has_power)
    @rule(after=st.integers(1, 25))
    def fail_soon(self, after: int) -> None:
        self.disk.cut_after = after

    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        """After the power failed: now, or in the step before."""
        self.disk.cut_after = 0
        self.stack.close()
        self.lives += 1
        root = FOLDER / f"life-{self.lives}"
        old = self.disk.root
        root.mkdir()
        for kept in ("index", "keys", "ledger", "run"):
            (old / kept).rename(root / kept)
        self.disk.make_torn(root, lambda most: data.draw(st.integers(0, most)))
        self.open()
        self.look_around()

    @precondition(has_power)
    @rule()
    def start_again(self) -> None:
        """The process was killed: what it wrote is there, and no more durable than before."""
        self.stack.close()
        self.disk.let_go()
        if self.act(self.open) and self.act(self.look_around):
            # What was taken in is committed, and that is durable.
            self.note_committed()

    def look_around(self) -> None:
        """The next start, and what it finds."""
        self.compare_registry()
        for key, digest in self.committed.items():
            self.compare_segment(key, digest)
        adopted = Adopter(self.node.spool, self.catalog, self.clock, Config(), lambda _: KEEP).adopt()
        if self.disk.is_cut:
            return
        # A file whose beginning was torn before its first sync is kept for somebody to look at.
        assert not any(self.durable.get(key) for key in adopted.failed), adopted.failed
        finish_removal(self.node)
        ends = {row.key: row.end_us for row in self.rows()}
        for key, count in self.durable.items():
            assert ends[key] >= key.start_us + count * FRAGMENT_US, f"{key}: fragments that were synced"
        for key in self.erased:
            assert self.node.store.stat(key.object_key) is None
            assert key not in ends
        self.node.outbox.drain()
        if self.disk.is_cut:
            return
        findings = findings_of(self.node, 2 * DAYS_US)
        assert [one for one in findings if one.severity is Severity.ERROR and one.invariant != "I6"] == []

    def compare_segment(self, key: SegmentKey, digest: bytes) -> None:
        row = self.catalog.row(key)
        assert row is not None, f"{key} was acknowledged"
        assert row.blake3 == digest
        stored = row.place is Place.STORE
        with (
            self.node.store.open(key.object_key) if stored else self.node.spool.open_source(key, system_grant("test")) as source
        ):
            assert digest_of(source) == digest

    def compare_registry(self) -> None:
        name = self.node.sites.get(DEFAULT_SITE).name
        assert name in (self.names[-1], self.tried)
        self.names.append(name)
        document = DocumentName("sites", DEFAULT_SITE)
        with self.node.environment.read() as txn:
            key = document.object_key(self.node.registry.version(txn, document))
        try:
            raw = self.node.registry.read(key)
        except NotFound:
            with self.node.store.open(key) as source:
                raw = source.read(0, source.size)
        assert f'"name":"{name}"' in raw.decode()


TestEngine = pytest.mark.slow(Machine.TestCase)
TestEngine.settings = settings(stateful_step_count=25, max_examples=max(1, settings.default.max_examples // 2))
