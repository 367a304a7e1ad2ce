"""The index over the ledger: every deed once, whatever dies or is lost, and never another line than the ledger's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access.occasion import Outcome
from index.environment import Environment, Table
from index.register import MAX_DEED_ENTRIES, Register
from tests.support.deeds import START_US, step
from tests.support.index_processes import MAP_BYTES
from tests.support.ledgers import entry, new_ledger, small_files
from vault.errors import Busy, Damaged
from vault.ledger.entry import Kind, NewEntry
from vault.ledger.ledger import Ledger
from vault.timebase import US, Interval

EVER = Interval(0, 2**62)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return new_ledger(tmp_path)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with Environment(tmp_path / "index", MAP_BYTES, create=True) as made:
        yield made


def ids(register: Register, asked: Interval = EVER, unit: str | None = None) -> list[list[str]]:
    register.fill()
    return [[one.id for one in deed] for deed in register.deeds(asked, unit)]


def test_a_deed_is_its_steps_wherever_they_stand_and_other_entries_are_none(ledger: Ledger, environment: Environment) -> None:
    ledger.append([step("a", Outcome.ASKED, START_US), entry(1), step("b", Outcome.ASKED, START_US + 1, unit="unit-2")])
    register = Register(environment, ledger)
    assert ids(register) == [["a"], ["b"]]
    ledger.append(
        [NewEntry(Kind.CLOCK, "x", {}, {}), step("a", Outcome.DONE, START_US + 2), step("c", Outcome.REFUSED, START_US)]
    )
    assert ids(register) == [["a", "a.done"], ["c.refused"], ["b"]]
    assert ids(register, unit="unit-1") == [["a", "a.done"], ["c.refused"]]
    assert ids(register, unit="unit") == []
    assert ids(register, Interval(START_US + 1, START_US + 2)) == [["b"]]
    assert ids(register, Interval(START_US, START_US + 1), "unit-2") == []


def test_entries_without_end_do_not_hide_how_a_deed_ended(ledger: Ledger, environment: Environment) -> None:
    tried = [replace(step("a", Outcome.REFUSED, START_US + at), id=f"t{at}") for at in range(1, 2 * MAX_DEED_ENTRIES)]
    ledger.append([step("a", Outcome.ASKED, START_US), *tried, step("a", Outcome.DONE, START_US + 900)])
    register = Register(environment, ledger)
    (found,) = ids(register)
    assert (found[0], found[-1], len(found)) == ("a", "a.done", MAX_DEED_ENTRIES)
    assert [[one.id for one in deed] for deed in register.unindexed(EVER)] == [found]


def test_who_wrote_out_the_register_or_passwords_took_no_footage(ledger: Ledger, environment: Environment) -> None:
    ledger.append(
        [
            step("a", Outcome.DONE, START_US, action="register"),
            NewEntry(Kind.READ, "x", {"registry": "cameras"}, {"what": "credentials exported"}),
        ]
    )
    assert ids(Register(environment, ledger)) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400)), max_size=60), st.integers(1, 9))
@settings(max_examples=15, deadline=None)
def test_it_finds_what_a_look_at_every_entry_finds(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[int, int]], batch: int
) -> None:
    path = tmp_path_factory.mktemp("register")
    ledger = new_ledger(path)
    news = [
        step(f"d{at}", Outcome.ASKED, START_US + second * US, unit=f"unit-{unit}") if second % 3 else entry(at)
        for at, (unit, second) in enumerate(made)
    ]
    with Environment(path / "index", MAP_BYTES, create=True) as environment, small_files(2_000):
        register = Register(environment, ledger)
        with mock.patch("index.register._BATCH", batch), mock.patch("index.register._PAGE", batch):
            for first in range(0, len(news), 7):
                ledger.append(news[first : first + 7])
                register.fill()
            asked = Interval(START_US + 100 * US, START_US + 300 * US)
            found = ids(register, asked, "unit-1")
            scanned = [[one.id for one in deed] for deed in register.unindexed(asked, "unit-1")]
        every = [
            one for one in ledger.entries()
            if one.kind == "export" and one.subject["unit"] == "unit-1" and asked.start_us <= one.time_us < asked.end_us
        ]  # fmt: skip
    assert found == scanned == [[one.id] for one in sorted(every, key=lambda one: (one.time_us, one.sequence))]


def test_filling_that_was_cut_short_goes_on(ledger: Ledger, environment: Environment) -> None:
    ledger.append([step(f"d{at}", Outcome.ASKED, START_US + at) for at in range(10)])
    register = Register(environment, ledger)

    def stop(seen: int) -> None:
        raise KeyboardInterrupt

    with mock.patch("index.register._BATCH", 4):
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                register.fill(stop)
        assert ids(register) == [[f"d{at}"] for at in range(10)]


def test_a_lost_index_and_a_wrong_row_are_made_anew(ledger: Ledger, environment: Environment) -> None:
    ledger.append([step("a", Outcome.ASKED, START_US), step("b", Outcome.ASKED, START_US + 1)])
    register = Register(environment, ledger)
    assert ids(register) == [["a"], ["b"]]
    with environment.write("harm") as txn:
        key = next(key for key, _ in txn.scan(Table.REGISTER, b"t"))
        txn.put(Table.REGISTER, key, b"\0" * 7 + b"\1" + b"\0" * 4)
    with pytest.raises(Damaged):
        ids(register)
    assert ids(register) == [["a"], ["b"]]
    register.forget()
    assert ids(register) == [["a"], ["b"]]


def test_another_ledger_in_the_place_of_the_first_is_read_from_its_beginning(
    tmp_path: Path, ledger: Ledger, environment: Environment
) -> None:
    ledger.append([step("a", Outcome.ASKED, START_US)])
    assert ids(Register(environment, ledger)) == [["a"]]
    (tmp_path / "other").mkdir()
    other = new_ledger(tmp_path / "other")
    other.append([step("x", Outcome.ASKED, START_US), step("y", Outcome.ASKED, START_US)])
    assert ids(Register(environment, other)) == [["x"], ["y"]]


def test_a_line_that_was_edited_is_not_shown(ledger: Ledger, environment: Environment) -> None:
    receipt = ledger.append([step("a", Outcome.ASKED, START_US), step("b", Outcome.ASKED, START_US + 1)])
    register = Register(environment, ledger)
    register.fill()
    file = ledger.folder / receipt.signed.checkpoint.file
    file.write_bytes(file.read_bytes().replace(b'"sequence":0', b'"sequence":7'))
    with pytest.raises(Damaged, match="ledger verify"):
        list(register.deeds(EVER))


def test_several_that_empty_fill_and_read_it_at_once_lose_nothing(ledger: Ledger, environment: Environment) -> None:
    for first in range(0, 400, 100):
        ledger.append([step(f"d{at}", Outcome.ASKED, START_US + at) for at in range(first, first + 100)])
    every = [[f"d{at}"] for at in range(400)]
    wrong: list[object] = []

    def work(number: int) -> None:
        register = Register(environment, ledger)
        for _ in range(8):
            if number == 0:
                register.forget()
            try:
                found = ids(register)
            except Busy:
                continue
            if found != every:
                wrong.append(len(found))

    with mock.patch("index.register._BATCH", 20), mock.patch("index.register._PAGE", 30):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert ids(Register(environment, ledger)) == every
