"""The node of `tests.support.retention_world` with what is lost and found again: files that a crash left open, and its index.

`put_right_and_audit` says what must be left when all is put right.
"""

from __future__ import annotations

from index.check import Severity
from index.check_all import Depth, all_findings
from index.check_objects import Level
from index.classdays import days_in_force
from index.manifests import Manifests
from index.renew import renew
from index.rows import Place, State
from index.sites import kept
from ingest.adopter import Adopter
from ingest.closer import Keep
from tests.support.retention_world import World
from vault.datafolder import DataFolder
from vault.ids import CameraNumber
from vault.ledger.entry import Kind
from vault.ledger.lists import read_list
from vault.ledger.verify import verify


class LosingWorld(World):
    """What the machine is."""

    def adopt(self) -> None:
        """What a crash left open is closed and gets its rows, under epochs that are over."""
        self.new_epochs()
        believed, now_us = self.trusted(), self.clock.now_us()
        adopter = Adopter(self.node.spool, self.node.catalog, self.clock, self.config, self.keep_of)
        adopter._watch = self.watch
        done = adopter.adopt()
        assert (set(done.committed), done.failed, done.emptied, done.busy) == (set(self.model.left), [], [], [])
        for key in done.committed:
            item, row = self.model.left.pop(key), self.node.catalog.row(key)
            assert row is not None
            item.interval, item.size_bytes = row.interval, row.size_bytes
            self.model.adopt(item, now_us, believed=believed)
        self.look()

    def keep_of(self, camera: CameraNumber) -> Keep:
        """As `ingest.keeper` does it."""
        now_us = self.clock.now_us()
        eye = next(one for one in self.node.cameras.list(removed=True) if one.number == camera).at(now_us)
        retention = days_in_force(self.node.environment, self.config.retention)
        return Keep(*kept(eye.days, self.node.sites.get(eye.site), retention, now_us))

    def lose_the_index(self, *, told: bool) -> None:
        """And make it anew from store and spool. `told`: manifests are as new as the rows."""
        self.node.outbox.drain()
        if told:
            Manifests(self.node.environment, self.node.store, self.clock).write_all()
        rows = {item.key: row for item in self.items() if (row := self.row_of(item)) is not None}
        self.stack.close()
        renew(DataFolder(self.folder / "data"), self.config, self.clock, lambda step, seen: None)
        self.model.pins.clear()
        self.open()
        for item in self.items():
            row, before = self.row_of(item), rows[item.key]
            if row is None:
                # Deleted, and the index lost at the latest before its row went, maybe before the ledger was told.
                assert before.state is State.DELETING
                item.gone, item.untold = True, item.key.object_key not in self.completed()
                continue
            # Dooms do not come back, and what was not deleted yet is decided anew.
            if item.deleting:
                # What was raised meanwhile has it, now that it is not past saving.
                item.deleting = False
                self.model.comes_in(item)
            if item.doubt and row.min_until_us == 0 and (not told or before.place is Place.SPOOL):
                # The file says that it is in doubt, and nobody else said more: manifests list what is in the store.
                item.day = item.until_us = None
            elif before.state is State.COMMITTED:
                assert (row.min_until_us, row.counted_us) == (item.until_us or 0, before.counted_us), item.key.object_key
        if not self.trusted():
            # Of a first time that is likely and wrong an index without a memory cannot know (`vault.clockguard`): a person looks.
            self.confirm_clock("first officer")
        self.new_epochs()
        self.look(settled=True)

    def put_right_and_audit(self) -> None:
        """All is put right: then nothing is left to find."""
        self.end_faults()
        self.put_clock_right()
        self.confirm_clock("first officer")
        self.adopt()
        self.put_into_the_store()
        self.run_for_a_day()
        self.node.outbox.drain()
        found = all_findings(self.node, Depth(Level.HASH))
        assert [one for one in found if one.severity is Severity.ERROR and one.invariant != "I6"] == []
        ledger = self.node.ledger
        report = verify(ledger.folder, ledger.keys)
        assert (report.findings, report.unsigned) == ([], 0)
        self.compare_with_the_ledger()

    def compare_with_the_ledger(self) -> None:
        self.hear()
        gone = {item.key.object_key for item in self.model.footage.values() if item.gone}
        there = {item.key for item in self.node.store.list("segments/")}
        assert gone.isdisjoint(there)
        assert there | gone == {
            item.key.object_key
            for item in self.model.footage.values()
            if item.gone or ((row := self.row_of(item)) is not None and row.place is Place.STORE)
        }
        completed = self.completed()
        assert len(completed) == len(set(completed)), "a deletion is completed twice"
        assert gone - set(completed) == {item.key.object_key for item in self.model.footage.values() if item.untold}
        assert set(completed) <= gone
        assert gone <= self.announced

    def completed(self) -> list[str]:
        """Of which objects the ledger says that they are gone."""
        found: list[str] = []
        for entry in self.node.ledger.entries():
            if entry.kind == Kind.DELETED:
                named = entry.body["list"]
                assert isinstance(named, dict)
                found += read_list(self.node.ledger.folder, str(named["sha256"]))
        return found
