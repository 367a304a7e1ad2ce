"""Who holds the write lock, told from a stamp and from the lock's own word."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.holder import HolderWatch, Stamp, WriteHolder, current_holder, lock_owner, process_of

PID, TID = os.getpid(), threading.get_native_id()
DEAD = 2**22 + 1
"""No thread has this id: it is above the kernel's largest."""


@pytest.fixture
def stamp(tmp_path: Path) -> Iterator[Stamp]:
    opened = Stamp(tmp_path / "writer.stamp")
    yield opened
    opened.close()


def lock_file(folder: Path, word: int) -> int:
    path = folder / "lock"
    path.write_bytes(bytes(64) + struct.pack("<I", word) + bytes(36))
    return os.open(path, os.O_RDONLY)


def test_a_stamp_is_read_back_and_only_its_owner_wipes_it(stamp: Stamp, tmp_path: Path) -> None:
    assert stamp.read() is None
    stamp.set(PID, TID, 123, "commit")
    assert stamp.read() == WriteHolder(PID, TID, 123, "commit")
    stamp.clear(PID, TID + 1)
    stamp.clear(PID + 1, TID)
    assert stamp.read() is not None
    stamp.clear(PID, TID)
    assert stamp.read() is None
    assert (tmp_path / "writer.stamp").stat().st_size == 64


@pytest.mark.parametrize(
    ("word", "owner"),
    [(0, None), (TID, TID), (0x80000000 | TID, TID), (0x40000000 | TID, None), (0xC0000000 | TID, None)],
    ids=["free", "held", "held, others wait", "owner dead", "owner dead, others wait"],
)
def test_the_lock_names_its_owner_with_or_without_waiters_and_no_dead_one(tmp_path: Path, word: int, owner: int | None) -> None:
    handle = lock_file(tmp_path, word)
    assert lock_owner(handle) == owner
    os.close(handle)


@pytest.mark.parametrize(
    ("word", "stamped", "expected"),
    [
        (0, (PID, TID), None),
        (TID, (PID, TID), WriteHolder(PID, TID, 123, "commit")),
        (TID, None, WriteHolder(PID, TID, None, "")),
        (TID, (PID, TID + 1), WriteHolder(PID, TID, None, "")),
        (DEAD, (PID, TID), None),
    ],
    ids=["free", "stamped", "not stamped", "stamped by another", "dead"],
)
def test_the_lock_says_who_and_the_stamp_since_when(
    stamp: Stamp, tmp_path: Path, word: int, stamped: tuple[int, int] | None, expected: WriteHolder | None
) -> None:
    if stamped:
        stamp.set(*stamped, 123, "commit")
    handle = lock_file(tmp_path, word)
    assert current_holder(stamp, handle) == expected
    os.close(handle)


def test_where_the_lock_cannot_be_read_the_stamp_of_a_live_process_is_believed(stamp: Stamp) -> None:
    stamp.set(PID, TID, 123, "commit")
    assert current_holder(stamp, None) == WriteHolder(PID, TID, 123, "commit")
    stamp.set(PID, DEAD, 123, "commit")
    assert current_holder(stamp, None) is None
    assert process_of(DEAD) is None
    assert process_of(TID) == PID


def test_a_holder_counts_from_its_stamp_or_from_the_first_look() -> None:
    watch = HolderWatch()
    assert watch.held_us(WriteHolder(PID, TID, 1_000, "x"), 5_000) == 4_000
    unstamped = WriteHolder(PID, TID, None, "")
    assert watch.held_us(unstamped, 6_000) == 0
    assert watch.held_us(unstamped, 9_000) == 3_000
    assert watch.held_us(WriteHolder(PID, TID + 1, None, ""), 9_500) == 0
    assert watch.held_us(None, 9_600) == 0
    assert watch.held_us(unstamped, 9_700) == 0
