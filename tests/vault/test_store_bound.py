"""A store is used only while it is this index's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vault.store_contract import StoreContract, keys, read_back
from vault.clock import ManualClock
from vault.errors import Damaged, StoreError, UsageError
from vault.store.bound import MARKER, TRUST_US, BoundStore, marker, marker_of
from vault.store.interface import NewObject, ObjectStore
from vault.store.local import LocalStore
from vault.store.memory import MemoryStore


class FakeBond:
    """An index's half in memory."""

    def __init__(self, objects: bool = False, store_id: str | None = None) -> None:
        self.id = store_id
        self.objects = objects

    def store_id(self) -> str | None:
        return self.id

    def bind(self, store_id: str) -> str:
        self.id = self.id or store_id
        return self.id

    def expects_objects(self) -> bool:
        return self.objects


def bound(inner: ObjectStore, bond: FakeBond, clock: ManualClock | None = None) -> BoundStore:
    return BoundStore(lambda: inner, bond, clock or ManualClock(0))


class TestBoundStore(StoreContract):
    @pytest.fixture
    def store(self) -> BoundStore:
        return bound(MemoryStore(), FakeBond())


def refused_everywhere(store: BoundStore, path: Path, why: str) -> None:
    path.write_bytes(b"1")
    for step in (
        lambda: store.put_bytes("a", b"1"),
        lambda: store.put_file("a", path),
        lambda: store.open("a"),
        lambda: store.stat("a"),
        lambda: keys(store),
        lambda: store.delete(["a"]),
    ):
        with pytest.raises(StoreError, match=why) as caught:
            step()
        assert caught.value.retryable
    assert [(item.key, type(item.error)) for item in store.put_files([NewObject("a", path)])] == [("a", StoreError)]


def test_a_new_store_is_marked_at_its_first_use_and_known_again() -> None:
    inner, bond = MemoryStore(), FakeBond()
    bound(inner, bond).put_bytes("a", b"1")
    assert marker_of(inner) == bond.id is not None
    bond.objects = True
    assert read_back(bound(inner, bond), "a") == b"1"
    assert keys(bound(inner, bond)) == ["a"]


def test_an_emptied_store_under_a_full_index_is_not_touched(tmp_path: Path) -> None:
    inner = MemoryStore()
    refused_everywhere(bound(inner, FakeBond(objects=True, store_id="a" * 32)), tmp_path / "f", "no marker")
    refused_everywhere(bound(inner, FakeBond(objects=True)), tmp_path / "f", "no marker")
    assert keys(inner) == []


def test_a_swapped_store_is_not_touched_until_it_is_swapped_back(tmp_path: Path) -> None:
    inner, bond = MemoryStore(), FakeBond(store_id="a" * 32)
    inner.put_bytes(MARKER, marker("b" * 32))
    inner.put_bytes("a", b"theirs")
    refused_everywhere(bound(inner, bond), tmp_path / "f", "another index .*" + "b" * 32)
    refused_everywhere(bound(inner, FakeBond()), tmp_path / "f", "none yet.*index rebuild")
    assert read_back(inner, "a") == b"theirs"
    bond.id = "b" * 32
    assert read_back(bound(inner, bond), "a") == b"theirs"


def test_a_store_that_is_swapped_while_it_is_used_is_noticed_and_never_deleted_from() -> None:
    inner, clock = MemoryStore(), ManualClock(0)
    store = bound(inner, FakeBond(), clock)
    store.put_bytes("a", b"1")
    assert inner.delete([MARKER]) == []
    inner.put_bytes(MARKER, marker("b" * 32))
    assert read_back(store, "a") == b"1"
    with pytest.raises(StoreError, match="another index"):
        store.delete(["a"])
    with pytest.raises(StoreError, match="another index"):
        store.stat("a")
    fresh = bound(inner, FakeBond(store_id="b" * 32), clock)
    assert fresh.stat("a")
    assert inner.delete([MARKER]) == []
    clock.advance(TRUST_US)
    # Nothing is known to be there, so it is marked anew.
    assert fresh.stat("a")


def test_a_store_from_before_there_were_markers_is_taken_over() -> None:
    inner, bond = MemoryStore(), FakeBond(objects=True)
    inner.put_bytes("segments/x", b"1")
    assert keys(bound(inner, bond)) == ["segments/x"]
    assert marker_of(inner) == bond.id


def test_the_marker_is_nobodys_object() -> None:
    store = bound(MemoryStore(), FakeBond())
    for step in (lambda: store.put_bytes(MARKER, b"x"), lambda: store.delete([MARKER]), lambda: store.open(MARKER)):
        with pytest.raises(UsageError):
            step()


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b'{"format":1,"store":5}', b'{"format":2,"store":"' + b"a" * 32 + b'"}', b"x" * 5000]
)
def test_a_marker_that_is_none_is_damaged(raw: bytes) -> None:
    inner = MemoryStore()
    inner.put_bytes(MARKER, raw)
    with pytest.raises(Damaged, match=MARKER):
        bound(inner, FakeBond()).stat("a")


def test_a_store_whose_folder_is_missing_is_tried_again(tmp_path: Path) -> None:
    store = BoundStore(lambda: LocalStore(tmp_path / "mount"), FakeBond(), ManualClock(0))
    for _ in range(2):
        with pytest.raises(StoreError, match="mounted"):
            store.stat("a")
    (tmp_path / "mount").mkdir()
    store.put_bytes("a", b"1")
    assert read_back(store, "a") == b"1"
    store.close()


def test_a_mount_that_comes_while_we_run_is_used_without_a_new_start(tmp_path: Path) -> None:
    """We began over the empty folder below it."""
    mounted, path, clock = tmp_path / "mounted", tmp_path / "store", ManualClock(0)
    mounted.mkdir()
    bond = FakeBond(objects=True, store_id="ab" * 16)
    LocalStore(mounted).put_bytes(MARKER, marker("ab" * 16))
    path.mkdir()
    store = BoundStore(lambda: LocalStore(path), bond, clock)
    with pytest.raises(StoreError, match="no marker"):
        store.stat("a/b")
    path.rename(tmp_path / "below")
    mounted.rename(path)
    assert store.stat("a/b") is None
    store.put_bytes("a/b", b"1")
    assert read_back(store, "a/b") == b"1"
    path.rename(mounted)
    (tmp_path / "below").rename(path)
    clock.advance(TRUST_US)
    with pytest.raises(StoreError):
        store.stat("a/b")
    store.close()
