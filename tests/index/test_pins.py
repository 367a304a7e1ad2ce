"""Pins: deletion waits for a reader, for as long as the reader lives and for six hours at most."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.catalog import Catalog
from index.environment import Environment, Table
from index.pins import LEASE_US, LONGEST_US, RENEW_US, Pin, Pinned, Pins, pins_of
from tests.support.indexing import CAMERA, DAY_US, MINUTE_US, OTHER, T0, minutes, new_row
from vault.clock import ManualClock
from vault.errors import Damaged
from vault.ids import SegmentKey

LATER = T0 + 40 * DAY_US


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(LATER, 5_000_000)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with Environment(tmp_path / "index", 64 * 1024 * 1024) as opened:
        yield opened


@pytest.fixture
def catalog(environment: Environment, clock: ManualClock) -> Catalog:
    return Catalog(environment, clock)


@pytest.fixture
def pins(environment: Environment, clock: ManualClock) -> Pins:
    return Pins(environment, clock)


def doomed(catalog: Catalog, start_us: int = T0) -> SegmentKey:
    row = new_row(start_us=start_us, epoch=0)
    catalog.commit([row])
    assert catalog.doom([row.key], at_us=LATER, reason="past its minimum").done
    return row.key


def test_what_is_being_read_is_not_deleted_until_the_reading_ends(catalog: Catalog, pins: Pins, clock: ManualClock) -> None:
    key = doomed(catalog)
    with Pinned(pins, clock, CAMERA, minutes(0, 1), "clip"):
        ((refused, why),) = catalog.mark_deleting([key], "b1").refused
        assert refused == key
        assert why.startswith("clip (process ")
        assert [pin.camera for pin in pins.all()] == [CAMERA]
    assert catalog.mark_deleting([key], "b1").done == (key,)
    assert not pins.all()


def test_a_pin_keeps_only_its_camera_and_time(catalog: Catalog, pins: Pins) -> None:
    first, second = doomed(catalog), doomed(catalog, T0 + MINUTE_US)
    pins.put(pins.made(OTHER, minutes(0, 9), "clip"))
    pins.put(pins.made(CAMERA, minutes(1, 2), "clip"))
    outcome = catalog.mark_deleting([first, second], "b1")
    assert outcome.done == (first,)
    assert [key for key, _ in outcome.refused] == [second]


def test_a_reader_that_died_keeps_its_footage_for_minutes_only(catalog: Catalog, pins: Pins, clock: ManualClock) -> None:
    key = doomed(catalog)
    pins.put(pins.made(CAMERA, minutes(0, 1), "killed"))
    clock.advance(LEASE_US - 1)
    assert catalog.mark_deleting([key], "b1").refused
    clock.advance(1)
    assert catalog.mark_deleting([key], "b1").done


def test_a_pin_that_is_renewed_lasts_six_hours_and_no_longer(catalog: Catalog, pins: Pins, clock: ManualClock) -> None:
    key = doomed(catalog)
    with Pinned(pins, clock, CAMERA, minutes(0, 1), "clip") as pinned:
        began_us = clock.mono_us()
        while clock.mono_us() - began_us < LONGEST_US:
            assert catalog.mark_deleting([key], "b1").refused
            clock.advance(RENEW_US)
            pinned.renew()
        assert clock.mono_us() - began_us == LONGEST_US
        assert catalog.mark_deleting([key], "b1").done


@pytest.mark.parametrize("step_us", [400 * DAY_US, -400 * DAY_US])
def test_a_step_of_the_wall_clock_neither_ends_nor_prolongs_a_pin(
    catalog: Catalog, pins: Pins, clock: ManualClock, step_us: int
) -> None:
    key = doomed(catalog)
    pins.put(pins.made(CAMERA, minutes(0, 1), "clip"))
    clock.step(step_us)
    assert catalog.mark_deleting([key], "b1").refused
    clock.advance(LEASE_US)
    assert catalog.mark_deleting([key], "b1").done


def test_a_pin_of_before_a_reboot_keeps_nothing(catalog: Catalog, environment: Environment, pins: Pins) -> None:
    key = doomed(catalog)
    pins.put(pins.made(CAMERA, minutes(0, 1), "before"))
    rebooted = Catalog(environment, ManualClock(LATER, 0))
    assert rebooted.mark_deleting([key], "b1").done


def test_reaching_back_pins_what_the_first_picture_is_decoded_from(catalog: Catalog, pins: Pins, clock: ManualClock) -> None:
    key = doomed(catalog)
    with Pinned(pins, clock, CAMERA, minutes(1, 2), "clip") as pinned:
        pinned.reach(T0 + MINUTE_US - 1)
        pinned.reach(T0 + 2 * MINUTE_US)
        assert catalog.mark_deleting([key], "b1").refused


def test_pins_that_are_over_are_wiped_when_the_next_one_is_made(
    environment: Environment, pins: Pins, clock: ManualClock
) -> None:
    for _ in range(3):
        pins.put(pins.made(CAMERA, minutes(0, 1), "killed"))
        clock.advance(LEASE_US)
    with environment.read() as txn:
        assert len(list(pins_of(txn, CAMERA))) == 1


def test_a_pin_that_cannot_be_read_keeps_its_camera(catalog: Catalog, environment: Environment) -> None:
    key = doomed(catalog)
    with environment.write("test") as txn:
        txn.put(Table.PINS, Pin("0" * 16, CAMERA, minutes(0, 1), "", 0, 0).row_key, b'{"start_us": 5}')
    with pytest.raises(Damaged, match="nothing of its camera is deleted"):
        catalog.mark_deleting([key], "b1")
