"""Each invariant: whole it finds nothing, broken by hand it says which one and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from index.check import SETTLING_US, check_expiry, check_overlaps, check_readable, check_removal, check_time, check_usage
from index.check_objects import UPLOAD_GRACE_US, Level, ObjectCheck, Sample
from index.doom import Hold, Sentence, put_hold
from index.environment import Table
from index.expiry import complete_expiry, expiry_hours, put_hours
from index.gaps import expire
from index.rows import CAMERA as CAMERA_KEY
from index.rows import END, MOMENT, ROW, Usage, pack_usage, segment_key
from index.writes import SegmentWriter
from tests.support.index_vault import Vault, closed_segment, open_vault
from tests.support.indexing import DAY_US, T0
from vault.clock import SystemClock
from vault.ids import CameraNumber, SegmentKey
from vault.timebase import US, Interval

CAMERA = CameraNumber(9901)
LATER = T0 + 40 * DAY_US


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    """Ten seconds of one camera, half of it in the store, half in the spool."""
    with open_vault(tmp_path, T0) as opened:
        for at in range(5):
            opened.settled(CAMERA, T0 + at * US, 0)
        for at in range(5, 10):
            opened.spooled(CAMERA, T0 + at * US, 0)
        yield opened


def key(at: int) -> SegmentKey:
    return SegmentKey(CAMERA, T0 + at * US, 0, 0)


def objects(vault: Vault, level: Level = Level.HASH, late_us: int = 0) -> list[tuple[str, str]]:
    """Invariant and first id of each finding about objects."""
    now_us = SystemClock().now_us() + late_us
    found = ObjectCheck(vault.environment, vault.store, vault.spool, level, now_us).findings()
    return [(finding.invariant, finding.ids[0]) for finding in found]


def test_a_whole_vault_has_no_findings(vault: Vault) -> None:
    seen: list[tuple[str, int]] = []
    for level in Level:
        assert objects(vault, level) == []
    complete_expiry(vault.environment)
    for check in (check_overlaps, check_removal, check_usage, check_expiry):
        assert list(check(vault.environment, lambda step, count: seen.append((step, count)))) == []
    assert list(check_readable(vault.environment)) == []
    assert list(check_time(vault.environment, T0 + 10 * US + SETTLING_US)) == []
    assert ("usage", 1) in seen
    assert ("expiry", 10) in seen


def test_an_hour_of_expiry_that_counts_wrongly_is_found(vault: Vault) -> None:
    complete_expiry(vault.environment)
    with vault.environment.read() as txn:
        hour = next(expiry_hours(txn, 0, LATER))
    for counted in ((hour.segments + 1, hour.size_bytes), (0, 0)):
        with vault.environment.write("break") as txn:
            put_hours(txn, {hour.key: counted})
        found = list(check_expiry(vault.environment))
        assert [item.invariant for item in found] == ["I5"] * len(found)
        assert "are there" in found[-1].message


@pytest.mark.parametrize("at", [2, 7])
def test_i1_names_the_segment_whose_bytes_are_gone(vault: Vault, at: int) -> None:
    vault.store.delete([key(at).object_key])
    vault.spool.remove(key(at))
    assert objects(vault, Level.PRESENCE) == [("I1", key(at).object_key)]


@pytest.mark.parametrize("at", [2, 7])
@pytest.mark.parametrize(("size_changes", "found_at"), [(True, Level.SIZE), (False, Level.HASH)])
def test_i1_finds_changed_bytes_at_the_level_that_looks(vault: Vault, at: int, size_changes: bool, found_at: Level) -> None:
    path = vault.folder / "store" / key(at).object_key if at < 5 else vault.spool.path_of(key(at))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data + b"x" * size_changes)
    for level in Level:
        assert objects(vault, level) == (
            [("I1", key(at).object_key)] if list(Level).index(level) >= list(Level).index(found_at) else []
        )


def test_i2_names_an_object_that_no_row_knows_once_it_is_old(vault: Vault) -> None:
    stray = SegmentKey(CAMERA, T0 + 100 * US, 0, 0)
    vault.store.put_bytes(stray.object_key, closed_segment(stray))
    assert objects(vault) == []
    assert objects(vault, late_us=UPLOAD_GRACE_US + US) == [("I2", stray.object_key)]


def test_i2_warns_of_names_that_are_not_ours_and_of_none_that_are(vault: Vault) -> None:
    for name in ("segments/c0000009901/notes.txt", "strange", "registry/cameras/0000009901/0000000001.json", "manifests/x"):
        vault.store.put_bytes(name, b"x")
    found = ObjectCheck(vault.environment, vault.store, vault.spool, Level.SIZE, SystemClock().now_us() + 2 * UPLOAD_GRACE_US)
    assert [(str(item.severity), item.ids[0]) for item in found.findings()] == [
        ("warning", "segments/c0000009901/notes.txt"), ("warning", "strange"),
    ]  # fmt: skip


@pytest.mark.parametrize("level", list(Level))
def test_a_sample_is_as_large_as_asked_for_and_the_same_for_the_same_seed(vault: Vault, level: Level) -> None:
    for at in range(5):
        vault.store.delete([key(at).object_key])

    def sampled(count: int, seed: int) -> list[str]:
        check = ObjectCheck(vault.environment, vault.store, vault.spool, level, SystemClock().now_us(), Sample(count, seed))
        return [finding.ids[0] for finding in check.findings()]

    assert sampled(10, 1) == sampled(99, 2) == [key(at).object_key for at in range(5)]
    drawn = {tuple(sampled(4, seed)) for seed in range(20)}
    assert len(drawn) > 1
    assert max(map(len, drawn)) <= 4
    assert sampled(4, 7) == sampled(4, 7)


def test_i2_names_leftovers_in_the_spool(vault: Vault) -> None:
    vault.spool.path_of(key(2)).write_bytes(b"x")
    vault.spool.path_of(key(50)).write_bytes(b"x")
    (vault.folder / "spool" / "notes.txt").write_bytes(b"x")
    assert objects(vault) == [("I2", "notes.txt"), ("I2", key(2).object_key)]
    assert objects(vault, late_us=UPLOAD_GRACE_US + US)[-1] == ("I2", key(50).object_key)


def test_doomed_segments_are_neither_missing_nor_strays(vault: Vault) -> None:
    vault.catalog.doom([key(1), key(2)], at_us=LATER, reason="past its minimum")
    vault.catalog.mark_deleting([key(2)], "batch-1")
    vault.store.delete([key(2).object_key])
    assert objects(vault, late_us=UPLOAD_GRACE_US + US) == []
    assert list(check_removal(vault.environment)) == []


def test_i3_names_both_segments_that_overlap(vault: Vault) -> None:
    with vault.environment.write("break") as txn:
        raw = bytearray(txn.get(Table.SEGMENTS, segment_key(key(3))) or b"")
        raw[12:16] = (US + 1).to_bytes(4, "little")
        txn.put(Table.SEGMENTS, segment_key(key(3)), bytes(raw))
    (finding,) = check_overlaps(vault.environment)
    assert (finding.invariant, finding.ids) == ("I3", (key(3).object_key, key(4).object_key))


def test_i4_finds_a_doom_inside_the_minimum_and_one_under_a_hold(vault: Vault) -> None:
    vault.catalog.doom([key(1), key(2)], at_us=LATER, reason="past its minimum")
    with vault.environment.write("break") as txn:
        txn.put(Table.DOOMED, segment_key(key(1)), Sentence(T0, "too early", "").pack())
        put_hold(txn, Hold("case-1", CAMERA, Interval(T0 + 2 * US, T0 + 3 * US)))
    found = [(finding.invariant, finding.ids[0]) for finding in check_removal(vault.environment)]
    assert found == [("I4", key(1).object_key), ("I4", key(2).object_key)]


def test_i5_says_which_counter_is_wrong(vault: Vault) -> None:
    good = vault.catalog.usage(CAMERA)
    for name in ("segments", "size_bytes", "duration_us", "doomed_segments", "doomed_bytes", "spool_segments", "spool_bytes"):
        with vault.environment.write("break") as txn:
            txn.put(Table.USAGE, CAMERA_KEY.pack(CAMERA), pack_usage(replace(good, **{name: getattr(good, name) + 1})))
        (finding,) = check_usage(vault.environment)
        assert (finding.invariant, name in finding.message) == ("I5", True)
    with vault.environment.write("break") as txn:
        txn.put(Table.USAGE, CAMERA_KEY.pack(CAMERA), pack_usage(replace(good, longest_us=1)))
    assert [finding.invariant for finding in check_usage(vault.environment)] == ["I5"]
    assert good != Usage()


def test_i6_names_time_that_nothing_accounts_for(vault: Vault) -> None:
    segments = SegmentWriter()
    with vault.environment.write("break") as txn:
        for at in (3, 4, 6):
            row = segments.get(txn, key(at))
            assert row is not None
            segments.remove(txn, row)
        txn.put(Table.GAPS, MOMENT.pack(CAMERA, T0 + 3 * US), END.pack(T0 + 4 * US) + b"stalled")
        expire(txn, CAMERA, Interval(T0 + 6 * US, T0 + 7 * US))
    (finding,) = check_time(vault.environment, T0 + 10 * US + SETTLING_US)
    assert (finding.invariant, finding.camera, finding.message) == ("I6", CAMERA, "1.000 s without footage or reason")
    later_us = T0 + 12 * US + SETTLING_US
    assert len(list(check_time(vault.environment, later_us))) == 2
    being = Interval(T0 + 10 * US, T0 + 12 * US)
    assert len(list(check_time(vault.environment, later_us, lambda camera: [being]))) == 1


def test_a_row_that_cannot_be_decoded_is_reported_and_not_raised(vault: Vault) -> None:
    with vault.environment.write("break") as txn:
        txn.put(Table.SEGMENTS, segment_key(key(3)), bytes([9]) + bytes(ROW.size - 1))
    assert [finding.invariant for finding in check_readable(vault.environment)] == ["I1"]
