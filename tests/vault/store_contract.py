"""The contract of every object store, as tests: a store's own test module inherits it and gives a `store`."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vault.digest import bytes_digest
from vault.errors import Damaged, NotFound, UsageError
from vault.store.interface import NewObject, ObjectStore, check_key

KEY = "segments/c0000009901/2026-11-22/00001795368653856-0000000001-0000000001.mp4"
BAD_KEYS = [
    "",
    "/",
    "a/",
    "/a",
    "a//b",
    "..",
    "../a",
    "a/../b",
    ".hidden",
    "a/.tmp/b",
    "a b",
    "a\nb",
    "a\0b",
    "é",
    "a" * 513,
    "a/" + "b" * 201,
]


def read_back(store: ObjectStore, key: str) -> bytes:
    with store.open(key) as source:
        return source.read(0, source.size)


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [item.key for item in store.list(prefix)]


class StoreContract:
    """Inherit and define the fixtures `store` and, where files for it must lie somewhere, `inbox`."""

    @pytest.fixture
    def inbox(self, tmp_path: Path) -> Path:
        """A folder for files that are put."""
        folder = tmp_path / "inbox"
        folder.mkdir()
        return folder

    def test_a_file_is_there_as_it_was_and_stays_where_it_lay(self, store: ObjectStore, inbox: Path) -> None:
        data = bytes(range(256)) * 5000
        (inbox / "a").write_bytes(data)
        store.put_file(KEY, inbox / "a", digest=bytes_digest(data))
        assert read_back(store, KEY) == data
        assert (inbox / "a").read_bytes() == data
        (inbox / "a").unlink()
        assert read_back(store, KEY) == data

    def test_ranges_are_read_exactly(self, store: ObjectStore) -> None:
        store.put_bytes("r/a", b"0123456789")
        with store.open("r/a") as source:
            assert source.size == 10
            assert source.read(0, 10) == b"0123456789"
            assert source.read(3, 4) == b"3456"
            assert source.read(10, 0) == b""

    @pytest.mark.parametrize(("offset", "length"), [(0, 11), (10, 1), (11, 0), (-1, 2), (3, -1), (2**62, 1), (0, 2**62)])
    def test_a_range_outside_is_damaged(self, store: ObjectStore, offset: int, length: int) -> None:
        store.put_bytes("r/a", b"0123456789")
        with store.open("r/a") as source, pytest.raises(Damaged):
            source.read(offset, length)

    def test_an_empty_object_is_an_object(self, store: ObjectStore) -> None:
        store.put_bytes("e/a", b"")
        stat = store.stat("e/a")
        assert stat is not None
        assert stat.size_bytes == 0
        assert read_back(store, "e/a") == b""

    def test_stat_tells_size_and_time_or_none(self, store: ObjectStore) -> None:
        store.put_bytes("s/a", b"12345")
        stat = store.stat("s/a")
        assert stat is not None
        assert (stat.key, stat.size_bytes) == ("s/a", 5)
        assert stat.modified_us > 0
        assert store.stat("s/b") is None
        assert store.stat("s") is None
        assert store.stat("s/a/b") is None

    def test_a_missing_object_is_not_found(self, store: ObjectStore) -> None:
        store.put_bytes("m/a", b"1")
        for key in ("m/b", "m", "m/a/b", "other"):
            with pytest.raises(NotFound, match=key):
                store.open(key)

    def test_putting_the_same_again_is_fine(self, store: ObjectStore, inbox: Path) -> None:
        (inbox / "a").write_bytes(b"same")
        (inbox / "b").write_bytes(b"same")
        for _ in range(2):
            store.put_file("i/a", inbox / "a")
        store.put_file("i/a", inbox / "b")
        store.put_bytes("i/a", b"same")
        assert read_back(store, "i/a") == b"same"
        assert keys(store) == ["i/a"]

    @pytest.mark.parametrize("other", [b"Same", b"sam", b"same!", b""])
    def test_other_bytes_under_a_key_that_is_taken_are_damaged_and_change_nothing(
        self, store: ObjectStore, inbox: Path, other: bytes
    ) -> None:
        store.put_bytes("i/a", b"same")
        (inbox / "b").write_bytes(other)
        with pytest.raises(Damaged, match="i/a"):
            store.put_bytes("i/a", other)
        with pytest.raises(Damaged, match="i/a"):
            store.put_file("i/a", inbox / "b")
        assert read_back(store, "i/a") == b"same"

    def test_a_difference_in_the_last_byte_of_a_long_file_is_seen(self, store: ObjectStore, inbox: Path) -> None:
        data = bytes(1_500_000)
        store.put_bytes("i/long", data)
        (inbox / "b").write_bytes(data[:-1] + b"x")
        with pytest.raises(Damaged):
            store.put_file("i/long", inbox / "b")

    def test_a_file_that_is_missing_or_no_file_is_said_so(self, store: ObjectStore, inbox: Path) -> None:
        with pytest.raises(NotFound):
            store.put_file("f/a", inbox / "nothing")
        with pytest.raises(Damaged):
            store.put_file("f/a", inbox)
        assert store.stat("f/a") is None

    def test_one_bad_file_of_several_stops_no_other(self, store: ObjectStore, inbox: Path) -> None:
        files = []
        for name in ("a", "b", "c", "d", "e", "f"):
            (inbox / name).write_bytes(name.encode())
            files.append(NewObject(f"many/{name}/x", inbox / name, bytes_digest(name.encode())))
        store.put_bytes("many/c/x", b"something else")
        (inbox / "e").unlink()
        files.append(NewObject("../out", inbox / "a"))
        failures = store.put_files(files)
        assert [(item.key, type(item.error)) for item in failures] == [
            ("many/c/x", Damaged),
            ("many/e/x", NotFound),
            ("../out", UsageError),
        ]
        assert keys(store) == ["many/a/x", "many/b/x", "many/c/x", "many/d/x", "many/f/x"]
        assert read_back(store, "many/f/x") == b"f"

    def test_nothing_put_is_nothing_done(self, store: ObjectStore) -> None:
        assert store.put_files([]) == []
        assert store.delete([]) == []
        assert keys(store) == []

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_a_key_that_could_leave_the_store_is_refused_everywhere(self, store: ObjectStore, inbox: Path, key: str) -> None:
        (inbox / "a").write_bytes(b"1")
        for step in (
            lambda: store.put_bytes(key, b"1"),
            lambda: store.put_file(key, inbox / "a"),
            lambda: store.open(key),
            lambda: store.stat(key),
        ):
            with pytest.raises(UsageError):
                step()
        assert [item.key for item in store.delete([key])] == [key]
        assert keys(store) == []

    def test_listing_is_in_the_order_of_the_keys_and_by_prefix(self, store: ObjectStore) -> None:
        names = ["a", "b/1", "b/10", "b/2", "b-/x", "b.x", "b0", "c/d/e/f", "c/d/e.f", "c/d-e"]
        for name in reversed(names):
            store.put_bytes(name, name.encode())
        assert keys(store) == sorted(names)
        for prefix in ("b", "b/", "b/1", "c/d", "c/d/", "c/d/e", "nothing", "b/1/", "c/nothing/"):
            assert keys(store, prefix) == sorted(name for name in names if name.startswith(prefix)), prefix
        assert [item.size_bytes for item in store.list("b/")] == [3, 4, 3]

    @settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors])
    @given(
        names=st.lists(st.from_regex(r"[a-b0.-]{1,3}(/[a-b0.-]{1,3}){0,2}", fullmatch=True), min_size=1, max_size=12),
        cut=st.integers(0, 5),
    )
    def test_any_set_of_keys_is_listed_as_a_sorted_set(self, store: ObjectStore, names: list[str], cut: int) -> None:
        known: set[str] = set()
        for name in names:
            # No key is the folder of another, by contract.
            parts = name.split("/")
            usable = all(part[0] != "." for part in parts) and not any(
                other.startswith(name + "/") or name.startswith(other + "/") for other in known
            )
            if usable:
                store.put_bytes(check_key(name), name.encode())
                known.add(name)
        prefix = names[0][:cut]
        try:
            assert keys(store, prefix) == sorted(name for name in known if name.startswith(prefix))
        except UsageError:
            assert prefix.startswith(".") or "/." in prefix
        assert store.delete(known) == []
        assert keys(store) == []

    @pytest.mark.parametrize("prefix", ["/", "..", "../", "a//", ".", "a/.", "a\0", " "])
    def test_a_prefix_that_begins_no_key_is_refused(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(UsageError):
            keys(store, prefix)

    def test_deleting_is_repeatable_and_leaves_the_others(self, store: ObjectStore) -> None:
        for name in ("d/a", "d/b", "e/f/a"):
            store.put_bytes(name, b"1")
        for _ in range(2):
            assert store.delete(["d/a", "e/f/a", "never/was", "d/b/below"]) == []
            assert keys(store) == ["d/b"]
        store.put_bytes("e/f/a", b"2")
        assert read_back(store, "e/f/a") == b"2"

    def test_a_reader_goes_on_while_its_object_is_deleted(self, store: ObjectStore) -> None:
        store.put_bytes("d/a", b"0123456789")
        with store.open("d/a") as source:
            assert store.delete(["d/a"]) == []
            assert source.read(2, 3) == b"234"

    def test_the_buffers_stay_the_callers(self, store: ObjectStore) -> None:
        buffer = bytearray(b"mine")
        store.put_bytes("b/a", bytes(buffer))
        buffer[:] = b"hers"
        assert read_back(store, "b/a") == b"mine"

    def test_puts_of_one_key_at_once_leave_one_whole_object(self, store: ObjectStore, inbox: Path) -> None:
        """Four threads, two contents: exactly one content wins, its threads succeed, the others are told."""
        contents = [b"A" * 300_000, b"B" * 300_000]
        for number, data in enumerate(contents * 2):
            (inbox / str(number)).write_bytes(data)
        for turn in range(5):
            results: dict[int, bool] = {}
            start = threading.Barrier(4)

            def put(number: int, key: str, results: dict[int, bool], start: threading.Barrier) -> None:
                start.wait(timeout=30)
                try:
                    store.put_file(key, inbox / str(number))
                    results[number] = True
                except Damaged:
                    results[number] = False

            threads = [threading.Thread(target=put, args=(number, f"race/{turn}/x", results, start)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout=60)
            winner = contents.index(read_back(store, f"race/{turn}/x"))
            assert {number for number, good in results.items() if good} == {winner, winner + 2}
            assert len(results) == 4

    def test_keys_below_one_folder_may_come_and_go_at_once(self, store: ObjectStore) -> None:
        """A folder that empties under one thread must not lose what another puts into it."""
        errors: list[BaseException] = []

        def churn(name: str) -> None:
            try:
                for turn in range(60):
                    store.put_bytes(f"busy/folder/{name}-{turn}", name.encode())
                    refused = store.delete([f"busy/folder/{name}-{turn}"])
                    assert not refused, refused
                store.put_bytes(f"busy/folder/{name}", name.encode())
            except BaseException as error:  # handed to the test's own thread
                errors.append(error)

        threads = [threading.Thread(target=churn, args=(name,)) for name in ("a", "b", "c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        assert not errors, [repr(error) for error in errors]
        assert keys(store) == ["busy/folder/a", "busy/folder/b", "busy/folder/c"]
