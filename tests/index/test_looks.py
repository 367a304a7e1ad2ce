"""I7 for looks: one without an end that nothing has under way is found, and closed where the index was lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.environment import Environment
from index.looks import LOST, LOST_HANDING, LOST_WAITING, check_looks, close_lost
from index.outbox import Outbox
from index.visits import LEASE_US, WHY, Visits
from tests.support.index_processes import MAP_BYTES
from tests.support.index_vault import Vault, open_vault
from tests.support.indexing import T0
from tests.support.ledgers import new_ledger
from vault.ledger.entry import Entry, Kind, NewEntry
from vault.ledger.ledger import Ledger


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with open_vault(tmp_path, T0) as opened:
        yield opened


@pytest.fixture
def ledger(vault: Vault) -> Ledger:
    return new_ledger(vault.folder)


@pytest.fixture
def visits(vault: Vault) -> Visits:
    return Visits(vault.environment, vault.clock)


def step(outcome: str, id_: str = "look-1", action: str = "clip") -> NewEntry:
    body = {"action": action, "outcome": outcome, "refers": id_}
    return NewEntry(Kind.READ, "operator@test", {"cameras": [1]}, body, id_ if outcome == "asked" else f"{id_}.{outcome}")


def found(vault: Vault, ledger: Ledger) -> list[tuple[str, ...]]:
    findings = list(check_looks(vault.environment, ledger))
    assert {finding.invariant for finding in findings} <= {"I7"}
    return [finding.ids for finding in findings]


def ends(ledger: Ledger) -> list[Entry]:
    return [entry for entry in ledger.entries() if entry.body["outcome"] != "asked"]


def test_a_look_is_whole_at_every_step_of_its_life(vault: Vault, ledger: Ledger, visits: Visits) -> None:
    outbox = Outbox(vault.environment, ledger)
    visits.open("look-1", step("asked"), step("aborted"))
    assert found(vault, ledger) == []
    outbox.drain()
    assert found(vault, ledger) == []
    visits.close("look-1", step("done"))
    assert found(vault, ledger) == []
    outbox.drain()
    assert found(vault, ledger) == []
    assert visits.under_way() == []


def test_a_look_that_nobody_has_under_way_is_found(vault: Vault, ledger: Ledger) -> None:
    ledger.append([step("asked"), step("asked", "look-2"), step("aborted", "look-2"), step("refused", "look-3")])
    assert found(vault, ledger) == [("look-1",)]


def test_an_export_that_waits_for_a_second_person_and_whoever_read_the_register_are_none(vault: Vault, ledger: Ledger) -> None:
    ledger.append([step("asked"), step("waiting"), step("asked", "list-1", "register")])
    assert found(vault, ledger) == []


def test_a_look_whose_process_stopped_is_closed_once_with_what_had_gone_out(
    vault: Vault, ledger: Ledger, visits: Visits
) -> None:
    visits.open("look-1", step("asked"), step("aborted"))
    visits.renew("look-1", 700)
    vault.clock.advance(LEASE_US - 1)
    assert visits.close_left() == 0
    vault.clock.advance(1)
    assert (visits.close_left(), visits.close_left()) == (1, 0)
    Outbox(vault.environment, ledger).drain()
    (end,) = ends(ledger)
    assert (end.body["outcome"], end.body["bytes"], end.body["why_ended"]) == ("aborted", 700, WHY)
    # What is over is not taken up again.
    visits.renew("look-1", 800)
    assert visits.under_way() == []


def test_a_look_that_began_before_the_last_reboot_is_over(vault: Vault, visits: Visits) -> None:
    vault.clock.advance(LEASE_US)
    visits.open("look-1", step("asked"), step("aborted"))
    rebooted = Visits(vault.environment, type(vault.clock)(T0))
    assert rebooted.close_left() == 1


def export(outcome: str, refers: str, export: str = "e-1") -> NewEntry:
    body = {"action": "export", "outcome": outcome, "refers": refers} | ({"bytes": 700} if outcome == "done" else {})
    id_ = refers if outcome == "asked" else f"{refers}.{outcome}"
    return NewEntry(Kind.EXPORT, "operator@test", {"cameras": [1], "export": export}, body, id_)


@pytest.mark.parametrize(
    ("steps", "end"),
    [
        ([("asked", "e-1"), ("waiting", "e-1")], ("e-1", LOST_WAITING, 0)),
        ([("asked", "e-1"), ("waiting", "e-1"), ("refused", "other"), ("approved", "e-1")], ("e-1", LOST_WAITING, 0)),
        ([("asked", "e-1"), ("waiting", "e-1"), ("refused", "e-1")], None),
        ([("asked", "e-1"), ("waiting", "e-1"), ("approved", "e-1"), ("asked", "run-1")], ("run-1", LOST, 0)),
        ([("asked", "e-1"), ("waiting", "e-1"), ("approved", "e-1"), ("asked", "run-1"), ("aborted", "run-1")], None),
        ([("asked", "run-1"), ("done", "run-1"), ("refused", "other")], ("run-1", LOST_HANDING, 700)),
        ([("asked", "run-1"), ("done", "run-1"), ("aborted", "run-1")], None),
        ([("asked", "run-1"), ("done", "run-1"), ("aborted", "run-1"), ("asked", "run-2")], ("run-2", LOST, 0)),
    ],
)  # fmt: skip
def test_a_lost_index_ends_exports_that_it_alone_knew(
    ledger: Ledger, tmp_path: Path, steps: list[tuple[str, str]], end: tuple[str, str, int] | None
) -> None:
    ledger.append([export(*step) for step in steps])
    # Another export's, handed over long ago: it has no folder any more.
    ledger.append([export("asked", "run-9", "e-9"), export("done", "run-9", "e-9")])
    with Environment(tmp_path / "fresh", MAP_BYTES) as fresh:
        # A folder that is no export's, whatever it is called, is no matter.
        assert close_lost(fresh, ledger, T0, ["e-1", "\udcff"]) == (end is not None)
        Outbox(fresh, ledger).drain()
    added = [entry.body for entry in ledger.entries()][len(steps) + 2 :]
    assert [(body["refers"], body["why_ended"], body["bytes"], body["outcome"]) for body in added] == (
        [(*end, "aborted")] if end else []
    )


def test_a_lost_index_leaves_no_look_open(vault: Vault, ledger: Ledger, tmp_path: Path) -> None:
    ledger.append([step("asked"), step("asked", "look-2"), step("done", "look-2")])
    with Environment(tmp_path / "fresh", MAP_BYTES) as fresh:
        assert close_lost(fresh, ledger, T0) == 1
        # Cut short and repeated.
        assert close_lost(fresh, ledger, T0) == 1
        Outbox(fresh, ledger).drain()
        assert list(check_looks(fresh, ledger)) == []
    ended = [entry for entry in ends(ledger) if entry.body["refers"] == "look-1"]
    assert [entry.body["why_ended"] for entry in ended] == [LOST]
