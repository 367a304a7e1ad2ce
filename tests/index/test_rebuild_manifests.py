"""An index that is lost comes back from its manifests equal to what it was, whatever was cut short before or during that."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.catalog import Catalog
from index.check import check_overlaps, check_removal, check_time, check_usage
from index.check_objects import UNKNOWN_HASH, Level, ObjectCheck
from index.environment import Environment, Table
from index.minima import put_raise
from index.raising import Raising
from index.rebuild import LOST, Rebuilt, can_go_on, rebuild
from index.timeline import Timeline
from tests.support.index_vault import MAP_BYTES, Vault, closed_segment, open_vault
from tests.support.indexing import DAY_US, T0
from tests.support.lives import FOOTAGE, ONE, TWO, Watched, live, manifests, stale_hours, tables, write_manifests
from tests.support.lives_killed import exit_code, rebuild_and_die
from vault.errors import Refused
from vault.ids import SegmentKey
from vault.manifest import HOUR_US, ManifestKey
from vault.timebase import US, Interval

RANGE = Interval(T0 - 60 * US, T0 + 8 * HOUR_US)


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with open_vault(tmp_path, T0) as opened:
        yield opened


def rebuilt(vault: Vault, **options: object) -> tuple[Rebuilt, Environment, Watched]:
    target, store = vault.folder / "rebuilt", Watched(vault.store)
    report = rebuild(store, vault.spool, target, map_bytes=MAP_BYTES, clock=vault.clock, **options)  # type: ignore[arg-type]
    return report, Environment(target, MAP_BYTES), store


def test_every_table_is_as_it_was_and_no_footage_is_read(vault: Vault) -> None:
    live(vault, lambda: write_manifests(vault))
    before = tables(vault.environment)
    assert before["STALE"] == {}
    report, environment, store = rebuilt(vault)
    with environment:
        assert tables(environment) == before
        assert not [key for key in store.opened if key.startswith("segments/")]
        for camera in (ONE, TWO):
            assert Timeline(environment).view(camera, RANGE) == Timeline(vault.environment).view(camera, RANGE)
        for check in (check_overlaps, check_removal, check_usage):
            assert list(check(environment)) == []
        now_us = vault.clock.now_us()
        assert list(ObjectCheck(environment, vault.store, vault.spool, Level.HASH, now_us).findings()) == []
        assert list(check_time(environment, now_us)) == []
    assert (report.cameras, report.sites, report.segments, report.from_spool) == (2, 1, 7, 0)
    assert (report.refused, report.absent) == ([], [])


def test_what_is_newer_than_the_manifests_comes_from_the_objects_and_the_spool(vault: Vault) -> None:
    live(vault, lambda: write_manifests(vault))
    epoch = vault.catalog.raise_epoch(ONE)
    newer = vault.settled(ONE, T0 + 6 * HOUR_US, epoch)
    vault.spooled(ONE, T0 + 6 * HOUR_US + US, epoch)
    vault.catalog.open_gap(ONE, T0 + 6 * HOUR_US + 2 * US, "not told anywhere")
    before = tables(vault.environment, FOOTAGE)
    report, environment, store = rebuilt(vault)
    with environment:
        after = tables(environment, FOOTAGE)
        # The gap that no manifest names keeps its time, and loses its reason.
        (changed,) = [key for key in before["GAPS"] if before["GAPS"][key] != after["GAPS"].get(key)]
        assert after["GAPS"].pop(changed).endswith(LOST.encode())
        assert before["GAPS"].pop(changed).endswith(b"not told anywhere")
        assert after == before
        assert [key for key in store.opened if key.startswith("segments/")] == [newer.object_key]
        # What a manifest has yet to tell is known to have to be told.
        assert (ONE, 6) in stale_hours(environment)
    assert report.from_spool == 1


def test_a_raise_made_while_the_store_was_away_is_in_the_rows_that_older_manifests_tell(vault: Vault) -> None:
    live(vault, lambda: write_manifests(vault))
    with vault.environment.write("raise") as txn:
        put_raise(txn, vault.registry, [ONE], 200, "Asia/Shanghai", by="Li", why="more days", at_us=vault.clock.now_us())
    assert Raising(vault.environment, vault.clock).run() > 0
    before = tables(vault.environment, FOOTAGE)
    marked = stale_hours(vault.environment)
    assert marked
    _, environment, _ = rebuilt(vault)
    with environment:
        assert tables(environment, FOOTAGE) == before
        # Those manifests are to be written anew, as they were before.
        assert stale_hours(environment) == marked
        # Nobody knows any more which of their objects have the new term in the store.
        with environment.read() as after, vault.environment.read() as lost:
            owed = [key for key, _ in after.scan(Table.RELOCK)]
            assert owed
            assert owed == [key for key, _ in lost.scan(Table.RELOCK)]


def test_hashes_come_from_the_manifests_and_not_from_the_bytes(vault: Vault) -> None:
    live(vault, lambda: write_manifests(vault))
    known = Timeline(vault.environment).find(ONE, T0 + 4 * US)
    assert known is not None
    newer = vault.settled(ONE, T0 + 6 * HOUR_US, vault.catalog.raise_epoch(ONE))
    path = vault.folder / "store" / known.key.object_key
    whole = bytearray(path.read_bytes())
    whole[2_000] ^= 1
    path.write_bytes(whole)
    _, environment, _ = rebuilt(vault, hash_bytes=False)
    with environment:
        row = Catalog(environment).row(known.key)
        assert row is not None
        assert row.blake3 == known.blake3
        unread = Catalog(environment).row(newer)
        assert unread is not None
        assert unread.blake3 == UNKNOWN_HASH
        findings = ObjectCheck(environment, vault.store, vault.spool, Level.HASH, vault.clock.now_us()).findings()
        assert [finding.ids for finding in findings] == [(known.key.object_key,)]


def test_without_any_manifest_everything_comes_from_the_objects(vault: Vault) -> None:
    live(vault)
    before = tables(vault.environment, FOOTAGE)
    report, environment, _ = rebuilt(vault)
    with environment:
        after = tables(environment, FOOTAGE)
        for name in ("SEGMENTS", "PENDING", "PARAMS", "CLASSES", "REGISTRY", "NAMES"):
            assert after[name] == before[name]
        assert list(check_time(environment, vault.clock.now_us())) == []
    assert report.segments == 7


def test_the_newest_manifest_that_can_be_read_has_the_say(vault: Vault) -> None:
    live(vault, lambda: write_manifests(vault))
    before = tables(vault.environment, FOOTAGE)
    key = manifests(vault.store)[0]
    torn = ManifestKey(key.camera, key.hour_us, key.generation + 1)
    vault.store.put_bytes(torn.object_key, b"torn")
    vault.store.put_bytes("manifests/notes.txt", b"x")
    report, environment, _ = rebuilt(vault)
    with environment:
        assert tables(environment, FOOTAGE) == before
        assert stale_hours(environment) == [(key.camera, (key.hour_us - T0) // HOUR_US)]
        assert {name for name, _ in report.refused} == {torn.object_key, "manifests/notes.txt"}


def test_an_object_that_is_gone_is_told_unless_a_list_of_deletions_names_it(vault: Vault) -> None:
    live(vault, lambda: write_manifests(vault))
    listed = SegmentKey(ONE, T0 + 4 * US, 1, 0)
    lost = SegmentKey(ONE, T0 + 5 * US, 1, 0)
    assert vault.store.delete([listed.object_key, lost.object_key]) == []
    report, environment, _ = rebuilt(vault, erased={listed, SegmentKey(ONE, T0 + 3 * HOUR_US, 1, 7)})
    with environment:
        assert report.absent == [lost.object_key]
        catalog = Catalog(environment)
        assert catalog.row(listed) is None
        assert catalog.row(lost) is not None
        # That a list names what is still there says only that its deletion was not finished.
        assert catalog.row(SegmentKey(ONE, T0 + 3 * HOUR_US, 1, 7)) is not None
        gone = Timeline(environment).expired(ONE, Interval(listed.start_us, listed.start_us + US))
        assert gone == [Interval(listed.start_us, listed.start_us + US)]
        assert list(check_usage(environment)) == []
        assert (ONE, 0) in stale_hours(environment)


def test_footage_ends_a_gap_that_an_old_manifest_lets_last(vault: Vault) -> None:
    vault.sites.ensure_default()
    vault.add_camera("cam-1", ONE)
    epoch = vault.catalog.raise_epoch(ONE)
    vault.catalog.open_gap(ONE, T0, "connecting")
    vault.clock.advance(2 * HOUR_US)
    write_manifests(vault)
    vault.settled(ONE, T0 + HOUR_US, epoch)
    vault.catalog.open_gap(ONE, T0 + HOUR_US + US, "camera silent")
    _, environment, _ = rebuilt(vault)
    with environment:
        gaps = Timeline(environment).gaps(ONE, Interval(T0, T0 + 3 * HOUR_US))
        assert [(gap.start_us - T0, gap.reason, gap.lasting) for gap in gaps] == [
            (0, "connecting", False), (HOUR_US + US, LOST, True)
        ]  # fmt: skip


def test_nothing_is_doomed_before_all_is_back_nor_while_a_document_that_may_forbid_it_is_not(vault: Vault) -> None:
    live(vault, lambda: write_manifests(vault))
    key, target = SegmentKey(ONE, T0 + 4 * US, 1, 0), vault.folder / "rebuilt"

    def doom(environment: Environment) -> tuple[tuple[SegmentKey, str], ...]:
        return Catalog(environment).doom([key], at_us=T0 + 60 * DAY_US, reason="past its minimum").refused

    vault.store.put_bytes("registry/holds/case-7/0000000001.json", b"not to be read")
    run_until_killed(vault.folder, target, 5)
    with Environment(target, MAP_BYTES) as environment:
        assert "being rebuilt" in doom(environment)[0][1]
    report, environment, _ = rebuilt(vault)
    with environment:
        assert [name for name, _ in report.refused] == ["registry/holds/case-7/0000000001.json"]
        assert "could not be read" in doom(environment)[0][1]
    vault.store.delete(["registry/holds/case-7/0000000001.json"])
    again = vault.folder / "again"
    rebuild(vault.store, vault.spool, again, map_bytes=MAP_BYTES, clock=vault.clock)
    with Environment(again, MAP_BYTES) as environment:
        assert doom(environment) == ()


def run_until_killed(folder: Path, target: Path, write: int) -> int | None:
    """A rebuild in a process that is killed at its n-th transaction, each an hour or a segment; its exit code."""
    return exit_code(rebuild_and_die, folder, target, write)


def test_killed_at_each_transaction_it_goes_on_and_ends_equal(vault: Vault) -> None:
    live(vault, lambda: write_manifests(vault))
    for at in range(3):
        vault.settled(ONE, T0 + 6 * HOUR_US + at * US, 2)
    vault.spooled(ONE, T0 + 6 * HOUR_US + 3 * US, 2)
    vault.store.put_bytes("segments/notes.txt", b"x")
    target, ends = vault.folder / "rebuilt", []
    while not ends or ends[-1] == -signal.SIGKILL:
        # Each run begins, does one transaction more than nothing, and dies in the next.
        ends.append(run_until_killed(vault.folder, target, 2))
        assert len(ends) < 40
    assert ends[-1] == 0
    assert len(ends) > 10
    straight = vault.folder / "straight"
    report = rebuild(vault.store, vault.spool, straight, map_bytes=MAP_BYTES, clock=vault.clock)
    with Environment(target, MAP_BYTES) as resumed, Environment(straight, MAP_BYTES) as expected:
        assert tables(resumed) == tables(expected)
        with resumed.read() as txn:
            assert txn.get(Table.META, b"rebuild") is None
    assert [name for name, _ in report.refused] == ["segments/notes.txt"]


def test_what_was_begun_from_another_state_is_not_gone_on_with(vault: Vault) -> None:
    live(vault, lambda: write_manifests(vault))
    target = vault.folder / "rebuilt"
    run_until_killed(vault.folder, target, 3)
    assert can_go_on(target, vault.store, "", MAP_BYTES)
    assert not can_go_on(target, vault.store, "another", MAP_BYTES)
    with pytest.raises(Refused, match="another state"):
        rebuild(vault.store, vault.spool, target, map_bytes=MAP_BYTES, origin="another")
    vault.store.put_bytes(closed_key := SegmentKey(TWO, T0, 9, 0).object_key, closed_segment(SegmentKey.parse(closed_key)))
    rebuild(vault.store, vault.spool, target, map_bytes=MAP_BYTES)
    assert not can_go_on(target, vault.store, "", MAP_BYTES)
