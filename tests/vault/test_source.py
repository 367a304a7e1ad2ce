"""Ranged reads of files: exactly what was asked for, or an error that says why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vault.errors import Damaged, NotFound, StoreError
from vault.source import BytesSource, FileSource


def test_a_file_that_was_cut_short_meanwhile_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(1000))
    with FileSource(path) as source:
        os.truncate(path, 100)
        with pytest.raises(Damaged, match="1000 bytes at 0"):
            source.read(0, 1000)
        with pytest.raises(Damaged):
            source.read_into(50, memoryview(bytearray(100)))
        assert source.refresh() == 100


def test_reading_into_a_callers_buffer_fills_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    buffer = bytearray(4)
    with FileSource(path) as source:
        source.read_into(3, memoryview(buffer))
    assert buffer == b"3456"


@pytest.mark.parametrize("what", ["folder", "fifo", "device"])
def test_what_is_not_a_regular_file_is_damaged_and_never_waited_for(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a"
    if what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    else:
        path = Path("/dev/zero")
    with pytest.raises(Damaged, match="regular file"):
        FileSource(path)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(StoreError, match="symbolic"):
        FileSource(tmp_path / "b")


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        FileSource(tmp_path / "a")


def test_a_closed_source_reads_nothing_and_closes_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    source = FileSource(tmp_path / "a")
    source.close()
    source.close()
    with pytest.raises(StoreError):
        source.read(0, 1)


def test_a_forgotten_source_gives_its_descriptor_back(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        FileSource(tmp_path / "a")
    assert len(os.listdir("/proc/self/fd")) == before


def test_bytes_in_memory_keep_to_their_bounds() -> None:
    source = BytesSource(b"0123")
    assert (source.size, source.read(1, 2)) == (4, b"12")
    for offset, length in [(-1, 1), (0, 5), (4, 1), (0, -1)]:
        with pytest.raises(Damaged):
            source.read(offset, length)
