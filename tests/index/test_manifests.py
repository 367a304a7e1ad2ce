"""Which hours are written when, what becomes of older generations, and what a kill at any step leaves."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.environment import Environment, Table
from index.manifests import EARLY_US, LOOK_US, Manifests
from index.rebuild import LOST, rebuild
from tests.support.index_vault import MAP_BYTES, Vault, open_vault
from tests.support.indexing import T0
from tests.support.lives import FOOTAGE, ONE, Watched, adopted, erase, live, manifests, stale_hours, tables, write_manifests
from tests.support.lives_killed import exit_code, write_manifests_and_die
from vault.errors import StoreError
from vault.ids import SegmentKey
from vault.manifest import HOUR_US, Manifest, ManifestKey, decode
from vault.timebase import US


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with open_vault(tmp_path, T0) as opened:
        opened.catalog.raise_epoch(ONE)
        yield opened


def read(vault: Vault, hour: int = 0) -> Manifest:
    """The one manifest of an hour."""
    (key,) = [key for key in manifests(vault.store) if key.hour_us == T0 + hour * HOUR_US]
    with vault.store.open(key.object_key) as source:
        return decode(source.read(0, source.size), key)


def test_an_hour_is_written_once_it_is_over_and_has_come_in(vault: Vault) -> None:
    writer = Manifests(vault.environment, vault.store, vault.clock)
    kept = vault.settled(ONE, T0 + 60 * US, 1)
    for moment_us in (10 * US, HOUR_US - 20 * US, HOUR_US + 299 * US):
        vault.clock.advance(T0 + moment_us - vault.clock.now_us())
        assert not writer.run_once()
        assert manifests(vault.store) == []
    vault.clock.advance(2 * LOOK_US)
    writer.run_once()
    assert [item.key for item in read(vault).segments] == [kept]
    assert stale_hours(vault.environment) == []


def test_an_hour_waits_for_its_segments_and_its_gaps_do_not(vault: Vault) -> None:
    writer = Manifests(vault.environment, vault.store, vault.clock)
    there = vault.settled(ONE, T0, 1)
    waiting = vault.spooled(ONE, T0 + US, 1)
    vault.clock.advance(2 * HOUR_US)
    vault.catalog.open_gap(ONE, T0 + 2 * HOUR_US - US, "camera silent")
    writer.run_once()
    # The hour before the gap's waits; changed gaps are written every few minutes, in the hour that is not over too.
    assert [key.hour_us for key in manifests(vault.store)] == [T0 + HOUR_US]
    vault.catalog.open_gap(ONE, T0 + 2 * HOUR_US, "unreachable")
    vault.clock.advance(EARLY_US)
    writer.run_once()
    assert [key.hour_us for key in manifests(vault.store)] == [T0 + HOUR_US, T0 + 2 * HOUR_US]
    vault.store.put_file(waiting.object_key, vault.spool.path_of(waiting))
    vault.catalog.settle([waiting])
    vault.clock.advance(LOOK_US)
    writer.run_once()
    assert [item.key for item in read(vault).segments] == [there, waiting]


def test_a_late_segment_makes_the_next_generation_and_the_older_one_goes(vault: Vault) -> None:
    vault.settled(ONE, T0, 1)
    write_manifests(vault)
    vault.catalog.raise_epoch(ONE)
    late = SegmentKey(ONE, T0 + 9 * US, 1, 4)
    adopted(vault, late)
    write_manifests(vault)
    assert manifests(vault.store) == [ManifestKey(ONE, T0, 2)]
    assert [item.key for item in read(vault).segments] == [SegmentKey(ONE, T0, 1, 0), late]
    write_manifests(vault)
    assert manifests(vault.store) == [ManifestKey(ONE, T0, 2)]


def test_a_gap_that_ends_hours_later_is_written_anew_where_it_began(vault: Vault) -> None:
    vault.catalog.open_gap(ONE, T0 + 5 * US, "switched off")
    write_manifests(vault)
    assert read(vault).gaps[0].end_us is None
    vault.settled(ONE, T0 + 5 * HOUR_US, 1)
    write_manifests(vault)
    assert [(gap.start_us, gap.end_us, gap.reason) for gap in read(vault).gaps] == [
        (T0 + 5 * US, T0 + 5 * HOUR_US, "switched off")
    ]


def test_a_manifest_goes_with_its_last_row_and_erased_time_is_told_where_it_begins(vault: Vault) -> None:
    keys = [vault.settled(ONE, T0 + HOUR_US - US + at * US, 1) for at in range(3)]
    write_manifests(vault)
    assert [key.hour_us for key in manifests(vault.store)] == [T0, T0 + HOUR_US]
    erase(vault, keys)
    write_manifests(vault)
    assert [key.hour_us for key in manifests(vault.store)] == [T0]
    assert read(vault).expired == ((T0 + HOUR_US - US, T0 + HOUR_US + 2 * US),)
    with vault.environment.read() as txn:
        assert txn.entries(Table.MANIFESTS) == 1


def test_what_changes_while_a_manifest_is_put_is_told_by_the_next(vault: Vault) -> None:
    vault.settled(ONE, T0, 1)
    late = SegmentKey(ONE, T0 + 9 * US, 0, 4)

    def step(name: str) -> None:
        if name == "after a put" and len(manifests(vault.store)) == 1 and vault.catalog.row(late) is None:
            adopted(vault, late)

    write_manifests(vault, Watched(vault.store, step))
    assert stale_hours(vault.environment) == [(ONE, 0)]
    write_manifests(vault)
    assert late in [item.key for item in read(vault).segments]


def test_a_store_that_is_away_in_the_middle_loses_nothing(vault: Vault) -> None:
    for hour in range(4):
        vault.settled(ONE, T0 + hour * HOUR_US, 1)
    puts = iter([None, None, StoreError("away"), None])

    def step(name: str) -> None:
        error = next(puts, None) if name == "before a put" else None
        if error:
            raise error

    with pytest.raises(StoreError, match="away"):
        write_manifests(vault, Watched(vault.store, step))
    assert stale_hours(vault.environment) == [(ONE, 2), (ONE, 3)]
    write_manifests(vault)
    assert manifests(vault.store) == [ManifestKey(ONE, T0 + hour * HOUR_US, 1) for hour in range(4)]


def test_what_a_killed_life_put_is_replaced_at_the_end_though_the_hour_has_turned(vault: Vault) -> None:
    vault.settled(ONE, T0 + HOUR_US - US, 1)

    def die(name: str) -> None:
        if name == "after a put":
            raise StoreError("killed")

    with pytest.raises(StoreError, match="killed"):
        write_manifests(vault, Watched(vault.store, die))
    # The next life takes the camera and, the hour being another, has no reason to mark the one before.
    epoch = vault.catalog.raise_epoch(ONE)
    vault.clock.advance(T0 + HOUR_US + 5 * US - vault.clock.now_us())
    vault.settled(ONE, T0 + HOUR_US, epoch)
    write_manifests(vault)
    assert stale_hours(vault.environment) == []
    assert manifests(vault.store) == [ManifestKey(ONE, T0, 2), ManifestKey(ONE, T0 + HOUR_US, 1)]
    assert read(vault).epoch == epoch


def test_a_manifest_that_this_index_never_wrote_is_kept(vault: Vault, caplog: pytest.LogCaptureFixture) -> None:
    foreign = ManifestKey(ONE, T0, 1)
    vault.store.put_bytes(foreign.object_key, b"by an index that knew more")
    vault.settled(ONE, T0, 1)
    vault.settled(ONE, T0 + HOUR_US, 1)
    for _ in range(4):
        # Each a life of its own.
        write_manifests(vault)
    assert manifests(vault.store) == [foreign, ManifestKey(ONE, T0 + HOUR_US, 1)]
    assert stale_hours(vault.environment) == [(ONE, 0)]


def test_thousands_of_hours_that_wait_hold_up_none_that_is_due(vault: Vault) -> None:
    with vault.environment.write("a long outage") as txn:
        for camera in range(2, 3_000):
            txn.put(Table.STALE, (T0 - HOUR_US).to_bytes(8, "big") + camera.to_bytes(4, "big"), b"\1")
    vault.settled(ONE, T0, 1)
    vault.clock.advance(2 * HOUR_US)
    writer = Manifests(vault.environment, vault.store, vault.clock)
    for _ in range(60):
        writer.run_once()
        vault.clock.advance(LOOK_US)
    assert manifests(vault.store) == [ManifestKey(ONE, T0, 1)]


def test_killed_at_each_step_it_opens_rebuilds_equal_and_goes_on(vault: Vault) -> None:
    live(vault, lambda: write_manifests(vault))
    ends: list[int | None] = []
    while not ends or ends[-1] == -signal.SIGKILL:
        # Something for each run to do: the next generation of two hours, one of them for the end of the gap that lasted.
        vault.settled(ONE, T0 + 5 * HOUR_US + len(ends) * US, vault.catalog.epoch(ONE))
        ends.append(exit_code(write_manifests_and_die, vault.folder, len(ends) + 1, vault.clock.now_us()))
        assert len(ends) < 40
        target = vault.folder / f"rebuilt-{len(ends)}"
        assert rebuild(vault.store, vault.spool, target, map_bytes=MAP_BYTES, clock=vault.clock).refused == []
        with Environment(target, MAP_BYTES) as rebuilt:
            after = tables(rebuilt, FOOTAGE)
            # From the last footage on the lost index had nothing to tell either.
            after["GAPS"] = {key: value for key, value in after["GAPS"].items() if not value.endswith(LOST.encode())}
            assert after == tables(vault.environment, FOOTAGE)
    assert ends[-1] == 0
    assert len(ends) > 6
    write_manifests(vault)
    keys = manifests(vault.store)
    assert len({(key.camera, key.hour_us) for key in keys}) == len(keys)
    assert stale_hours(vault.environment) == []
