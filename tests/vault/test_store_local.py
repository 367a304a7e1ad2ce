"""The store in a local folder keeps the contract, linked or copied, and meets real faults of a real file system."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.disks import as_nobody, other_file_system, small_disk
from tests.vault.store_contract import KEY, StoreContract, keys, read_back
from vault.digest import bytes_digest
from vault.errors import Damaged, NotFound, StoreError, StoreFull
from vault.store.interface import NewObject
from vault.store.local import LocalStore


class LocalContract(StoreContract):
    hard_links = True

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[LocalStore]:
        (tmp_path / "store").mkdir()
        store = LocalStore(tmp_path / "store", hard_links=self.hard_links)
        yield store
        leftovers = os.listdir(store.root / ".tmp")
        store.close()
        assert leftovers == []


class TestLinked(LocalContract):
    """File and store on one file system."""

    def test_a_put_file_is_a_link_and_private(self, store: LocalStore, inbox: Path) -> None:
        (inbox / "a").write_bytes(b"1")
        store.put_file(KEY, inbox / "a")
        assert (store.root / KEY).stat().st_ino == (inbox / "a").stat().st_ino


class TestCopied(LocalContract):
    """A file system without hard links, exFAT for one: copy and rename."""

    hard_links = False

    def test_a_put_file_is_a_copy_of_private_mode(self, store: LocalStore, inbox: Path) -> None:
        (inbox / "a").write_bytes(b"1")
        store.put_file(KEY, inbox / "a")
        assert (store.root / KEY).stat().st_ino != (inbox / "a").stat().st_ino
        assert (store.root / KEY).stat().st_mode & 0o777 == 0o600


class TestOverFileSystems(LocalContract):
    """The spool on another file system than the store: copied, then named by a link."""

    @pytest.fixture
    def inbox(self, tmp_path: Path) -> Iterator[Path]:
        with other_file_system(tmp_path) as folder:
            yield folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    (tmp_path / "store").mkdir()
    made = LocalStore(tmp_path / "store")
    yield made
    made.close()


def test_folders_and_small_objects_are_private(store: LocalStore) -> None:
    store.put_bytes("a/b/c", b"1")
    assert (store.root / "a").stat().st_mode & 0o777 == 0o700
    assert (store.root / "a/b").stat().st_mode & 0o777 == 0o700
    assert (store.root / "a/b/c").stat().st_mode & 0o777 == 0o600


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="mounted"):
        LocalStore(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_a_store_whose_folder_went_away_is_never_an_empty_one(store: LocalStore, tmp_path: Path) -> None:
    store.put_bytes("a/b", b"1")
    store.root.rename(tmp_path / "elsewhere")
    for another in (False, True):
        if another:
            # As when a file system is unmounted and the mount point shows.
            store.root.mkdir()
            (store.root / ".tmp").mkdir()
        for step in (
            lambda: keys(store),
            lambda: store.stat("a/b"),
            lambda: store.delete(["a/b"]),
            lambda: store.put_bytes("a/c", b"1"),
        ):
            with pytest.raises(StoreError):
                step()
    assert (tmp_path / "elsewhere/a/b").read_bytes() == b"1"


def test_folders_left_empty_go_with_their_last_object(store: LocalStore) -> None:
    store.put_bytes("a/b/c/one", b"1")
    store.put_bytes("a/two", b"2")
    assert store.delete(["a/b/c/one"]) == []
    assert sorted(os.listdir(store.root / "a")) == ["two"]


def test_what_others_left_in_the_folder_is_no_object_and_is_left_alone(store: LocalStore, tmp_path: Path) -> None:
    store.put_bytes("a/b", b"1")
    (store.root / "a/with space").write_bytes(b"?")
    (store.root / "a/.hidden").write_bytes(b"?")
    (store.root / "a/link").symlink_to(tmp_path / "nowhere")
    os.mkfifo(store.root / "a/pipe")
    (store.root / "loop").symlink_to(store.root)
    assert keys(store) == ["a/b"]
    assert store.delete(["a/b"]) == []
    assert sorted(os.listdir(store.root / "a")) == [".hidden", "link", "pipe", "with space"]
    for name in ("a/link", "a/pipe"):
        with pytest.raises(Damaged, match=name):
            store.open(name)


def test_a_folder_in_the_place_of_an_object_is_damaged_when_put_and_absent_when_read(store: LocalStore) -> None:
    (store.root / "a/b").mkdir(parents=True)
    with pytest.raises(Damaged):
        store.put_bytes("a/b", b"1")
    with pytest.raises(NotFound):
        store.open("a/b")
    assert store.stat("a/b") is None


def test_a_file_in_the_place_of_a_folder_is_an_error_of_the_store(store: LocalStore) -> None:
    store.put_bytes("a", b"1")
    with pytest.raises(StoreError):
        store.put_bytes("a/b", b"1")
    assert read_back(store, "a") == b"1"


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_folder_we_may_not_write_is_a_store_error_and_mends_itself(tmp_path: Path, hard_links: bool) -> None:
    with as_nobody(tmp_path) as folder:
        (folder / "store").mkdir()
        (folder / "file").write_bytes(b"1")
        store = LocalStore(folder / "store", hard_links=hard_links)
        store.put_bytes("a/b", b"1")
        (folder / "store/a").chmod(0o500)
        (folder / "store/.tmp").chmod(0o500)
        with pytest.raises(StoreError, match="Permission denied"):
            store.put_bytes("a/c", b"1")
        with pytest.raises(StoreError, match="Permission denied"):
            store.put_file("a/c", folder / "file")
        assert [type(item.error) for item in store.delete(["a/b"])] == [StoreError]
        (folder / "store/a").chmod(0o300)
        with pytest.raises(StoreError, match="Permission denied"):
            keys(store, "a/")
        (folder / "store/a").chmod(0o700)
        (folder / "store/.tmp").chmod(0o700)
        store.put_file("a/c", folder / "file")
        assert keys(store) == ["a/b", "a/c"]
        store.close()


def test_a_full_disk_is_store_full_leaves_nothing_torn_and_mends_itself(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(900_000))
    with small_disk(tmp_path, 2_000_000) as disk:
        store = LocalStore(disk)
        store.put_file("a/1", tmp_path / "file")
        store.put_file("a/2", tmp_path / "file")
        with pytest.raises(StoreFull, match="free some space"):
            store.put_file("a/3", tmp_path / "file")
        with pytest.raises(StoreFull):
            store.put_bytes("a/3", bytes(900_000))
        assert keys(store) == ["a/1", "a/2"]
        assert os.listdir(disk / ".tmp") == []
        assert store.delete(["a/1"]) == []
        store.put_file("a/3", tmp_path / "file", digest=bytes_digest((tmp_path / "file").read_bytes()))
        assert keys(store) == ["a/2", "a/3"]
        store.close()


def test_a_copy_that_has_another_hash_is_not_stored(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "file").write_bytes(b"what came out of a bad memory")
    store = LocalStore(tmp_path / "store", hard_links=False)
    with pytest.raises(Damaged, match="hash"):
        store.put_file("a/b", tmp_path / "file", digest=bytes_digest(b"what was recorded"))
    assert keys(store) == []
    store.close()


_PUT = """
import sys
from pathlib import Path
from vault.store.interface import NewObject
from vault.store.local import LocalStore
root, inbox, links, count = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "True", int(sys.argv[4])
store = LocalStore(root, hard_links=links)
files = [NewObject(f"k/{number % 3}/{number}", inbox / str(number % 4)) for number in range(count)]
print("ready", flush=True)
for at in range(0, count, 5):
    for failure in store.put_files(files[at : at + 5]):
        raise failure.error
    print(at + 5, flush=True)
"""


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_process_killed_while_it_puts_leaves_whole_objects_and_the_next_one_goes_on(tmp_path: Path, hard_links: bool) -> None:
    """SIGKILL at moments spread over the puts; what was acknowledged is there, whatever is there is whole."""
    (tmp_path / "inbox").mkdir()
    contents = [os.urandom(200_000 + number) for number in range(4)]
    for number, data in enumerate(contents):
        (tmp_path / "inbox" / str(number)).write_bytes(data)
    root = tmp_path / "store"
    killed = 0
    for turn in range(8):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        child = subprocess.Popen(
            [sys.executable, "-c", _PUT, str(root), str(tmp_path / "inbox"), str(hard_links), "400"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        acknowledged = 0
        for line in child.stdout:
            acknowledged = 0 if line == "ready\n" else int(line)
            if acknowledged >= turn * 15:
                break
        child.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in child.stdout if line.strip().isdigit())])
        child.stdout.close()
        killed += child.wait(timeout=30) == -signal.SIGKILL
        store = LocalStore(root, hard_links=hard_links)
        assert os.listdir(root / ".tmp") == []
        found = keys(store)
        assert {f"k/{number % 3}/{number}" for number in range(acknowledged)} <= set(found)
        for key in found:
            assert read_back(store, key) == contents[int(key.rpartition("/")[2]) % 4]
        assert store.put_files([NewObject(f"k/{n % 3}/{n}", tmp_path / "inbox" / str(n % 4)) for n in range(400)]) == []
        assert len(keys(store)) == 400
        store.close()
    assert killed, "the machine is so fast that no child was killed at work"


def test_a_temporary_file_of_a_living_process_is_no_leftover(store: LocalStore) -> None:
    with store._temporary() as (_, path):
        LocalStore(store.root).close()
        assert path.exists()
    assert not path.exists()
