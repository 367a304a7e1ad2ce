"""BLAKE3 of files: the same whichever way it is asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vault.digest import bytes_digest, fd_copy, fd_digest
from vault.errors import StoreError

# The test vector of the BLAKE3 specification for no input.
EMPTY = bytes.fromhex("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")


def test_no_bytes_have_the_hash_of_the_specification() -> None:
    with open(os.devnull, "rb") as nothing:
        assert bytes_digest(b"") == fd_digest(nothing.fileno(), "hashing") == EMPTY


@pytest.mark.parametrize("size", [1, 524_287, 524_288, 524_289, 1_700_000])
def test_a_file_hashes_and_copies_as_its_bytes_do_around_the_buffers_size(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("wb") as target:
        source.seek(size // 2)
        assert fd_digest(source.fileno(), "hashing") == bytes_digest(data)
        assert fd_copy(source.fileno(), target.fileno()) == bytes_digest(data)
        assert source.tell() == size // 2
    assert (tmp_path / "b").read_bytes() == data


def test_what_cannot_be_read_is_said_with_what_was_being_done(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(StoreError, match="hashing"):
            fd_digest(fd, "hashing it")
    finally:
        os.close(fd)
