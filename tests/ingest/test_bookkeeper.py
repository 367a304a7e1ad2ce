"""The supervisor's duty to the ledger: it drains, remembers, keeps a checkpoint in the store, and says what is broken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.alarms import Alarms
from index.forwarder import forwarded
from index.ledger_anchor import anchor, stored_anchors
from index.node import Node, open_node
from index.outbox import record
from ingest.bookkeeper import ALARM, LOOK_US, STORE_US, Bookkeeper
from tests.support.ledgers import NOW_US, entry
from tests.support.node import wait_until
from tests.support.receivers import rsyslog
from vault.clock import ManualClock, SystemClock
from vault.config import Config, Forward
from vault.datafolder import DataFolder
from vault.errors import Damaged
from vault.ledger.verify import verify
from vault.signing.keys import Keys


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_US)


@pytest.fixture
def node(data_path: Path, clock: ManualClock) -> Iterator[Node]:
    folder = DataFolder.init(data_path)
    with open_node(folder, Config(), clock, create=True) as made:
        yield made


def note(node: Node, number: int) -> None:
    with node.environment.write("deed") as txn:
        record(txn, entry(number), NOW_US)


def alarms(node: Node) -> list[str]:
    return [alarm.message for alarm in Alarms(node.environment).lasting() if alarm.kind == ALARM]


def test_what_waits_is_drained_and_the_newest_checkpoint_kept_in_index_and_store(node: Node, clock: ManualClock) -> None:
    keeper = Bookkeeper(node)
    note(node, 0)
    keeper.run_once()
    assert node.outbox.waiting() == 0
    newest = node.ledger.newest()
    assert newest is not None
    assert [kept.note for kept in stored_anchors(node.store)] == [newest.note]
    # Somebody appends without the outbox: the index hears of it at the next look, the store at its hour.
    node.ledger.append([entry(1)])
    clock.advance(LOOK_US)
    keeper.run_once()
    newest = node.ledger.newest()
    assert newest is not None
    with node.environment.read() as txn:
        assert anchor(txn) == newest.checkpoint
    assert len(stored_anchors(node.store)) == 1
    clock.advance(STORE_US)
    keeper.run_once()
    anchors = stored_anchors(node.store)
    assert [kept.note for kept in anchors][-1] == newest.note
    assert verify(node.folder.ledger, Keys(node.folder.ledger_key), anchors).findings == []


def test_a_ledger_that_was_cut_back_raises_the_alarm_until_it_is_whole_again(node: Node, clock: ManualClock) -> None:
    keeper = Bookkeeper(node)
    note(node, 0)
    keeper.run_once()
    saved = {path: path.read_bytes() for path in node.folder.ledger.iterdir() if path.is_file()}
    note(node, 1)
    keeper.run_once()
    whole = {path: path.read_bytes() for path in saved}
    for path, content in saved.items():
        path.write_bytes(content)
    clock.advance(LOOK_US)
    with pytest.raises(Damaged):
        keeper.run_once()
    [message] = alarms(node)
    assert "cut back" in message
    # What is done meanwhile waits and is not lost.
    note(node, 2)
    with pytest.raises(Damaged):
        keeper.run_once()
    assert node.outbox.waiting() == 1
    for path, content in whole.items():
        path.write_bytes(content)
    keeper.run_once()
    assert alarms(node) == []
    assert [found.id for found in node.ledger.entries()] == ["deed-0", "deed-1", "deed-2"]


def test_the_thread_drains_what_waits_before_it_ends(node: Node) -> None:
    keeper = Bookkeeper(node)
    keeper.start()
    assert keeper.alive
    note(node, 0)
    keeper.stop(30)
    assert not keeper.alive
    assert node.outbox.waiting() == 0


def test_what_is_in_the_ledger_when_the_recorder_stops_has_been_forwarded(data_path: Path, tmp_path: Path) -> None:
    folder = DataFolder.init(data_path)
    with rsyslog(tmp_path / "log", "tcp") as receiver:
        config = Config(forward=Forward(address=receiver.address))
        with open_node(folder, config, SystemClock(), create=True) as node:
            keeper = Bookkeeper(node)
            keeper.start()
            wait_until(lambda: forwarded(node.environment, receiver.address).behind_since_us is None, 20, "the beginning")
            note(node, 7)
            keeper.stop(20)
            ids = [one.id for one in node.ledger.entries()]
            wait_until(lambda: len(receiver.messages()) > len(ids), 20, "all entries and a checkpoint")
            assert forwarded(node.environment, receiver.address).read == len(ids)
    assert "deed-7" in ids
    assert all(any(f'id="{name}"' in message["data"] for message in receiver.messages()) for name in ids)
