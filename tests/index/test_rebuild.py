"""An index that is lost comes back from the store and the spool, equal to what it was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from index.cameras import Cameras, camera_document
from index.catalog import Catalog
from index.check import check_overlaps, check_removal, check_time, check_usage
from index.check_objects import Level, ObjectCheck
from index.environment import Environment, Table
from index.rebuild import LOST, Rebuilt, rebuild
from index.registry import FORMAT, Registry, encode
from index.sites import Site
from index.timeline import UNKNOWN, Timeline, View
from tests.support.index_vault import MAP_BYTES, Vault, closed_segment, open_vault
from tests.support.indexing import T0
from vault.clock import SystemClock
from vault.errors import Refused, TooNew
from vault.ids import CameraNumber, SegmentKey
from vault.media import GapBefore
from vault.timebase import US, Interval

ONE, TWO = CameraNumber(1), CameraNumber(2)
RANGE = Interval(T0 - 10 * US, T0 + 60 * US)
SAME = (
    Table.SEGMENTS,
    Table.PENDING,
    Table.GAPS,
    Table.USAGE,
    Table.EPOCHS,
    Table.PARAMS,
    Table.CLASSES,
    Table.REGISTRY,
    Table.NAMES,
    Table.HOLDS,
)


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    """Two cameras, two epochs, gaps, footage in both places, registry objects in both places."""
    with open_vault(tmp_path, T0) as opened:
        opened.sites.ensure_default()
        opened.add_camera("cam-1", ONE)
        opened.cameras.begin_recording(ONE, T0 - 5 * US)
        opened.upload_registry()
        opened.sites.add(Site("gate", "key", 90))
        opened.add_camera("cam-2", TWO)
        opened.cameras.set("cam-1", name="North gate")
        opened.cameras.remove("cam-2")
        catalog = opened.catalog
        for camera in (ONE, TWO):
            opened.holds.place(by="Li", case="7", why="theft", cameras=[camera], interval=RANGE)
        opened.holds.release(2, by="Li")
        opened.holds.confirm(2, by="Wang")
        first, other = catalog.raise_epochs([ONE, TWO]).values()
        catalog.open_gap(ONE, T0 - 5 * US, "connecting")
        opened.settled(ONE, T0, first, gap_before=GapBefore(T0 - 5 * US, "connecting"))
        opened.settled(ONE, T0 + US, first)
        catalog.open_gap(ONE, T0 + 2 * US, "camera silent")
        second = catalog.raise_epoch(ONE)
        opened.settled(ONE, T0 + 9 * US, second, gap_before=GapBefore(T0 + 2 * US, "camera silent"))
        opened.spooled(ONE, T0 + 10 * US, second)
        opened.settled(TWO, T0 + 3 * US, other, 3 * US)
        yield opened


def tables(environment: Environment) -> dict[str, dict[bytes, bytes]]:
    with environment.read() as txn:
        return {
            table.name: {
                key: value for key, value in txn.scan(table) if table is not Table.GAPS or not value.endswith(LOST.encode())
            }
            for table in SAME
        }


def views(environment: Environment) -> list[View]:
    """What each camera's time reads as. Time that the lost index had no word for either gets one in the rebuilt index."""
    seen = [Timeline(environment).view(camera, RANGE) for camera in (ONE, TWO)]
    return [
        replace(
            view, gaps=tuple(replace(gap, reason=UNKNOWN, lasting=False) if gap.reason == LOST else gap for gap in view.gaps)
        )
        for view in seen
    ]


def rebuilt(vault: Vault, **options: bool) -> tuple[Rebuilt, Environment]:
    target = vault.folder / "rebuilt"
    report = rebuild(vault.store, vault.spool, target, map_bytes=MAP_BYTES, **options)
    return report, Environment(target, MAP_BYTES)


def test_the_rebuilt_index_equals_the_lost_one_row_by_row(vault: Vault) -> None:
    before, shown = tables(vault.environment), views(vault.environment)
    report, environment = rebuilt(vault)
    with environment:
        assert tables(environment) == before
        assert views(environment) == shown
        for check in (check_overlaps, check_removal, check_usage):
            assert list(check(environment)) == []
        now_us = SystemClock().now_us()
        assert list(ObjectCheck(environment, vault.store, vault.spool, Level.HASH, now_us).findings()) == []
        assert list(check_time(environment, now_us)) == []
    assert (report.cameras, report.sites, report.segments, report.from_spool, report.refused) == (2, 2, 5, 1, [])


def test_numbers_and_epochs_go_on_where_they_were(vault: Vault) -> None:
    _, environment = rebuilt(vault)
    with environment:
        waiting = Registry(environment, vault.registry._waiting)
        assert Cameras(waiting).get("cam-1") == vault.cameras.get("cam-1")
        assert Cameras(waiting).list(removed=True) == vault.cameras.list(removed=True)
        with environment.read() as txn:
            assert txn.get(Table.META, b"last-camera-number") == (2).to_bytes(8, "big")
        assert Catalog(environment).raise_epoch(ONE) == vault.catalog.raise_epoch(ONE)


def test_without_reading_the_footage_hashes_are_unknown_and_all_else_is_there(vault: Vault) -> None:
    _, environment = rebuilt(vault, hash_bytes=False)
    with environment:
        row = Timeline(environment).find(ONE, T0)
        assert row is not None
        assert row.blake3 == bytes(32)
        assert views(environment) == views(vault.environment)
        now_us = SystemClock().now_us()
        assert list(ObjectCheck(environment, vault.store, vault.spool, Level.HASH, now_us).findings()) == []


def test_what_objects_do_not_tell_reads_lost_with_the_index_and_never_recorded(vault: Vault) -> None:
    vault.catalog.open_gap(ONE, T0 + 11 * US, "camera silent")
    vault.catalog.open_gap(ONE, T0 + 20 * US, "switch off")
    report, environment = rebuilt(vault)
    with environment:
        assert report.refused == []
        last = Timeline(environment).gaps(ONE, RANGE)[-1]
        assert (last.start_us, last.end_us, last.reason) == (T0 + 11 * US, RANGE.end_us, LOST)


def test_unreadable_and_foreign_objects_are_noted_and_stall_nothing(vault: Vault) -> None:
    torn = SegmentKey(ONE, T0 + 30 * US, 2, 0)
    vault.store.put_bytes(torn.object_key, closed_segment(torn)[:-7])
    liar = SegmentKey(ONE, T0 + 31 * US, 2, 0)
    vault.store.put_bytes(liar.object_key, closed_segment(SegmentKey(TWO, T0 + 31 * US, 2, 0)))
    overlapping = SegmentKey(ONE, T0 + US // 2, 1, 0)
    vault.store.put_bytes(overlapping.object_key, closed_segment(overlapping))
    vault.store.put_bytes("segments/notes.txt", b"x")
    vault.store.put_bytes("registry/cameras/0000000001/0000009999.json", b"{}")
    vault.store.put_bytes("registry/notes.txt", b"x")
    open_file = vault.spool.path_of(SegmentKey(ONE, T0 + 50 * US, 9, 0))
    open_file.write_bytes(closed_segment(torn)[:200])
    report, environment = rebuilt(vault)
    with environment:
        assert views(environment)[1] == views(vault.environment)[1]
        # The next epoch is above that of the open file, or recovery would take its recorder for alive.
        assert Catalog(environment).raise_epoch(ONE) == 10
    assert report.segments == 5
    assert {key.rpartition("/")[2] for key, _ in report.refused} == {
        torn.file_name, liar.file_name, overlapping.file_name, "notes.txt", "0000009999.json"
    }  # fmt: skip
    assert report.open_files == 1


def test_a_camera_known_by_its_footage_only_keeps_its_number_and_does_not_record(vault: Vault) -> None:
    key = SegmentKey(CameraNumber(77), T0, 4, 0)
    vault.store.put_bytes(key.object_key, closed_segment(key, name="cam-77"))
    _, environment = rebuilt(vault)
    with environment:
        cameras = Cameras(Registry(environment, vault.registry._waiting))
        lost = cameras.get("cam-77")
        assert (lost.number, lost.records, lost.is_removed) == (77, False, True)
        assert Catalog(environment).epoch(lost.number) == 4
        with environment.read() as txn:
            assert txn.get(Table.META, b"last-camera-number") == (77).to_bytes(8, "big")


def test_what_a_newer_version_wrote_is_refused_in_so_many_words_and_stays(vault: Vault) -> None:
    name = camera_document(ONE)
    key = name.object_key(9)
    newer = encode(name, 9, T0, {"new": "words"}).replace(f'"format":{FORMAT}'.encode(), b'"format":99')
    vault.store.put_bytes(key, newer)
    with pytest.raises(TooNew, match="written by a newer version of streamvault: it has format 99"):
        rebuild(vault.store, vault.spool, vault.folder / "rebuilt", map_bytes=MAP_BYTES)
    with vault.store.open(key) as source:
        assert source.read(0, source.size) == newer
    with vault.environment.write("as the newer version") as txn:
        txn.put(Table.REGISTRY, name.row_key, newer)
    for act in (vault.cameras.list, lambda: vault.cameras.set("cam-1", name="x")):
        with pytest.raises(TooNew, match="newer version"):
            act()
    with vault.environment.read() as txn:
        assert txn.get(Table.REGISTRY, name.row_key) == newer


def test_a_target_that_is_not_empty_is_refused(vault: Vault) -> None:
    with pytest.raises(Refused, match="not empty"):
        rebuild(vault.store, vault.spool, vault.folder / "store", map_bytes=MAP_BYTES)


def test_an_empty_vault_gives_an_empty_index(tmp_path: Path) -> None:
    with open_vault(tmp_path, T0) as vault:
        report, environment = rebuilt(vault)
        with environment:
            assert sum(map(len, tables(environment).values())) == 0
        assert report == Rebuilt()
        shutil.rmtree(tmp_path / "rebuilt")
