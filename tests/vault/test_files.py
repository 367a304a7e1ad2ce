"""Durable writes: whole or not at all, private, and every system error turned into ours with a reason."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import StoreError, StoreFull
from vault.files import make_folder, store_error, write_all, write_new_file


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_and_a_full_quota_are_store_full_with_what_to_do(number: int) -> None:
    error = store_error("writing x", OSError(number, os.strerror(number), "/tmp/secret-name"))
    assert type(error) is StoreFull
    assert str(error).startswith("writing x: ")
    assert "free some space" in str(error)
    assert "secret-name" not in str(error)


def test_other_errors_of_the_system_are_store_errors() -> None:
    error = store_error("reading x", OSError(errno.EIO, os.strerror(errno.EIO)))
    assert type(error) is StoreError
    assert str(error) == "reading x: Input/output error"


@given(buffers=st.lists(st.binary(max_size=50), max_size=30), at=st.integers(0, 100))
def test_buffers_are_written_one_after_the_other(
    tmp_path_factory: pytest.TempPathFactory, buffers: list[bytes], at: int
) -> None:
    path = tmp_path_factory.mktemp("files") / "a"
    with path.open("wb") as file:
        assert write_all(file.fileno(), at, buffers) == at + len(b"".join(buffers))
    data = path.read_bytes()
    assert data == (bytes(at) + b"".join(buffers) if any(buffers) else b"")


def test_a_new_file_is_private_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_new_file(tmp_path / "a", b"data")
    assert (tmp_path / "a").read_bytes() == b"data"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["a"]


def test_a_name_that_is_taken_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        write_new_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_leftover_or_a_trap_beside_it_is_replaced_and_never_written_into(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"keep")
    (tmp_path / "a.new").symlink_to(tmp_path / "victim")
    write_new_file(tmp_path / "a", b"key")
    assert (tmp_path / "victim").read_bytes() == b"keep"
    (tmp_path / "b.new").touch(mode=0o666)
    write_new_file(tmp_path / "b", b"key")
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600


def test_a_folder_is_private_and_made_once(tmp_path: Path) -> None:
    make_folder(tmp_path / "a")
    make_folder(tmp_path / "a")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    (tmp_path / "b").touch()
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "b")


_WRITE = """
import os, signal, sys
from pathlib import Path
import vault.files as files
step = int(sys.argv[2])
count = 0
def dying(name):
    real = getattr(os, name)
    def call(*args, **kwargs):
        global count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    setattr(os, name, call)
for name in ("open", "pwritev", "fsync", "link", "unlink", "close"):
    dying(name)
files.write_new_file(Path(sys.argv[1]), b"complete")
"""


def test_killed_before_any_step_a_new_file_is_whole_or_absent_and_can_be_written_again(tmp_path: Path) -> None:
    """Each system call of the write in turn is where the process dies."""
    outcomes = []
    for step in range(1, 14):
        path = tmp_path / f"{step}" / "a"
        path.parent.mkdir()
        code = subprocess.run([sys.executable, "-c", _WRITE, str(path), str(step)], check=False).returncode
        assert code in (0, -9)
        outcomes.append((code, path.exists()))
        if path.exists():
            assert path.read_bytes() == b"complete"
        else:
            write_new_file(path, b"complete")
    # It was killed with the name absent, killed with the name there, and left alone in the end.
    assert [outcome for number, outcome in enumerate(outcomes) if outcome not in outcomes[:number]] == [
        (-9, False),
        (-9, True),
        (0, True),
    ]
