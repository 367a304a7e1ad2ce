"""The spool: files by key, whole fragments or none, one sync for all, and nothing touched that is not ours."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.disks import as_nobody, small_disk
from vault.errors import NotFound, StoreError, StoreFull
from vault.grant import system_grant
from vault.ids import CameraNumber, SegmentKey
from vault.spool import Spool, append, overwrite

GRANT = system_grant("test")


def key(camera: int = 9901, start_us: int = 1_795_368_653_856_688, epoch: int = 1, sequence: int = 0) -> SegmentKey:
    return SegmentKey(CameraNumber(camera), start_us, epoch, sequence)


@pytest.fixture(params=[True, False], ids=["syncfs", "fdatasync"])
def spool(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Spool]:
    (tmp_path / "spool").mkdir()
    with Spool(tmp_path / "spool", use_syncfs=request.param) as made:
        yield made


def test_a_file_lies_under_its_camera_and_its_own_name_and_is_private(spool: Spool) -> None:
    fd = spool.create(key())
    assert append(fd, 0, [b"opening"]) == 7
    os.close(fd)
    path = spool.root / "c0000009901/01795368653856688-0000000001-0000000000.mp4"
    assert path.read_bytes() == b"opening"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert spool.path_of(key()) == path


def test_a_key_is_used_once(spool: Spool) -> None:
    os.close(spool.create(key()))
    with pytest.raises(StoreError, match="File exists"):
        spool.create(key())


def test_appending_and_overwriting_leave_the_bytes_in_order(spool: Spool) -> None:
    fd = spool.create(key())
    size = append(fd, 0, [b"0123456789abcdef"])
    size = append(fd, size, [bytearray(b"video"), memoryview(b"audio")])
    size = append(fd, size, [])
    size = append(fd, size, [b"", b"x", b""])
    overwrite(fd, 4, b"WXYZ")
    os.close(fd)
    assert size == 27
    assert spool.path_of(key()).read_bytes() == b"0123WXYZ89abcdefvideoaudiox"


def test_more_buffers_than_the_kernel_takes_at_once_are_written_all(spool: Spool) -> None:
    buffers = [bytes([number % 251]) * (number % 7) for number in range(5000)]
    fd = spool.create(key())
    assert append(fd, 0, buffers) == sum(map(len, buffers))
    os.close(fd)
    assert spool.path_of(key()).read_bytes() == b"".join(buffers)


def test_a_full_disk_cuts_back_to_the_last_whole_fragment_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    with small_disk(tmp_path, 1_000_000) as disk, Spool(disk) as spool:
        ballast = disk / "registry"
        ballast.write_bytes(bytes(400_000))
        fd = spool.create(key())
        size = append(fd, 0, [b"a" * 300_000])
        for _ in range(3):
            with pytest.raises(StoreFull, match="free some space"):
                append(fd, size, [b"b" * 100_000] * 7)
            assert os.fstat(fd).st_size == size
        assert spool.free_bytes() >= 200_000
        ballast.unlink()
        size = append(fd, size, [b"c" * 500_000])
        spool.sync([fd])
        os.close(fd)
        assert spool.path_of(key()).read_bytes() == b"a" * 300_000 + b"c" * 500_000


def test_a_disk_too_full_for_a_new_file_is_store_full(tmp_path: Path) -> None:
    with small_disk(tmp_path, 100_000) as disk, Spool(disk) as spool:
        (disk / "registry").write_bytes(bytes(spool.free_bytes()))
        fd = spool.create(key())
        with pytest.raises(StoreFull):
            append(fd, 0, [b"opening"])
        os.close(fd)


def test_a_limit_on_file_size_is_a_store_error_and_cuts_back(spool: Spool) -> None:
    """A short write that is followed by an error: the kernel writes what fits under the limit first."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    fd = spool.create(key())
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, old[1]))
        size = append(fd, 0, [b"a" * 6_000])
        with pytest.raises(StoreError, match="too large"):
            append(fd, size, [b"b" * 3_000, b"c" * 3_000])
        assert os.fstat(fd).st_size == size
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
        os.close(fd)


def test_a_folder_we_may_not_write_is_a_store_error(tmp_path: Path) -> None:
    with as_nobody(tmp_path) as folder, Spool(folder) as spool:
        os.close(spool.create(key()))
        (folder / "c0000009901").chmod(0o500)
        with pytest.raises(StoreError, match="Permission denied"):
            spool.create(key(sequence=1))
        with pytest.raises(StoreError, match="Permission denied"):
            spool.remove(key())
        (folder / "c0000009901").chmod(0o000)
        with pytest.raises(StoreError, match="Permission denied"):
            spool.list_keys()


def test_a_descriptor_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    read_only = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(StoreError):
            append(read_only, 0, [b"x"])
        with pytest.raises(StoreError):
            overwrite(read_only, 0, b"x")
    finally:
        os.close(read_only)


def test_a_sync_that_fails_says_so(spool: Spool) -> None:
    os.close(spool.create(key()))
    reading, writing = os.pipe()
    try:
        if spool.syncs_all_at_once:
            # The kernel's answer to a descriptor that is none.
            spool.close()
        with pytest.raises(StoreError, match="syncing the spool"):
            spool.sync([writing])
    finally:
        os.close(reading)
        os.close(writing)


def test_after_a_failed_sync_the_folders_are_still_to_be_synced(tmp_path: Path) -> None:
    with Spool(tmp_path, use_syncfs=False) as spool:
        fd = spool.create(key())
        reading, writing = os.pipe()
        with pytest.raises(StoreError):
            spool.sync([writing])
        os.close(reading)
        os.close(writing)
        assert spool._unsynced_folders == {tmp_path, tmp_path / "c0000009901"}
        spool.sync([fd])
        assert not spool._unsynced_folders
        os.close(fd)


def test_keys_are_listed_by_camera_and_time_whatever_the_order_of_making(spool: Spool) -> None:
    wanted = [key(9901, 5), key(9901, 6, 1, 0), key(9901, 6, 1, 1), key(9901, 6, 2, 0), key(9902, 1)]
    for item in (4, 2, 0, 3, 1):
        os.close(spool.create(wanted[item]))
    assert spool.list_keys() == wanted
    assert spool.list_keys(CameraNumber(9902)) == wanted[4:]
    assert spool.list_keys(CameraNumber(9903)) == []


def test_odd_names_are_reported_and_never_touched(spool: Spool, tmp_path: Path) -> None:
    os.close(spool.create(key()))
    good = "c0000009901/01795368653856688-0000000001-0000000000.mp4"
    folder = spool.root / "c0000009901"
    odd = {
        "notes.txt": None,
        "c0": None,
        "c0000000000/": None,
        "c9999999999/00000000000000001-0000000001-0000000001.mp4": b"camera beyond 32 bits",
        "c٠٠٠٠٠٠٠٠٠١/": None,
        "c0000009901/00000000000000001-0000000001-0000000001.mp4.part": b"",
        "c0000009901/00000000000000001-9999999999-0000000001.mp4": b"epoch beyond 32 bits",
        "c0000009901/99999999999999999999-0000000001-0000000001.mp4": b"",
        "c0000009901/\n.mp4": b"",
        "c0000009901/00000000000000002-0000000001-0000000001.mp4/": None,
    }
    for name, data in odd.items():
        path = spool.root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data or b"")
    (folder / "00000000000000003-0000000001-0000000001.mp4").symlink_to(folder / good)
    os.mkfifo(folder / "00000000000000004-0000000001-0000000001.mp4")
    (spool.root / "c0000009902").symlink_to(folder)
    (spool.root / "registry").mkdir()
    listing = spool.scan()
    assert listing.keys == (key(),)
    assert set(listing.odd) == {
        "c0000009901/00000000000000003-0000000001-0000000001.mp4",
        "c0000009901/00000000000000004-0000000001-0000000001.mp4",
        "c0000009902",
        *(name.rstrip("/") for name in odd),
    }
    assert all((spool.root / name).exists() for name in odd)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=60))
def test_any_file_name_is_a_key_or_odd_and_stops_nothing(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.mktemp("spool")
    (root / "c0000009901").mkdir()
    try:
        (root / "c0000009901" / name).write_bytes(b"x")
    except OSError:
        return
    with Spool(root) as spool:
        assert spool.scan().odd == (f"c0000009901/{name}",)


def test_an_open_file_is_read_as_far_as_it_is_written(spool: Spool) -> None:
    fd = spool.create(key())
    size = append(fd, 0, [b"opening"])
    with spool.open_source(key(), GRANT) as source:
        assert source.read(0, source.size) == b"opening"
        append(fd, size, [b"fragment"])
        assert source.refresh() == 15
        assert source.read(7, 8) == b"fragment"
        spool.remove(key())
        assert source.read(0, 4) == b"open"
    os.close(fd)
    with pytest.raises(NotFound):
        spool.open_source(key(), GRANT)
    with pytest.raises(NotFound):
        spool.open_for_repair(key(), GRANT)
    spool.remove(key())


def test_a_file_opened_for_repair_can_be_cut_and_written(spool: Spool) -> None:
    fd = spool.create(key())
    append(fd, 0, [b"whole", b"torn"])
    os.close(fd)
    fd = spool.open_for_repair(key(), GRANT)
    os.ftruncate(fd, 5)
    append(fd, 5, [b"closing"])
    os.close(fd)
    assert spool.path_of(key()).read_bytes() == b"wholeclosing"


def test_a_spool_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="init"):
        Spool(tmp_path / "missing")
