"""Reading many segments with few of them open, while they move from the spool to the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from access.pool import PooledSource, SourcePool
from index.rows import Place, SegmentRow, State
from vault.errors import Damaged
from vault.grant import system_grant
from vault.ids import CameraNumber, SegmentKey
from vault.media import SegmentFlag
from vault.source import ByteSource
from vault.spool import Spool, append
from vault.store.memory import MemoryStore

GRANT = system_grant("test")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    (tmp_path / "spool").mkdir(mode=0o700)
    with Spool(tmp_path / "spool") as opened:
        yield opened


def key(number: int) -> SegmentKey:
    return SegmentKey(CameraNumber(9901), number * 60_000_000, 1, number)


def body(number: int) -> bytes:
    return f"segment {number:06d}".encode() * 100


def row(number: int, place: Place = Place.STORE) -> SegmentRow:
    start_us = key(number).start_us
    return SegmentRow(
        key(number), start_us + 60_000_000, len(body(number)), bytes(32), 0, 0, "general", 0, SegmentFlag.NONE, place, State.COMMITTED
    )  # fmt: skip


def store_of(count: int) -> MemoryStore:
    store = MemoryStore()
    for number in range(count):
        store.put_bytes(key(number).object_key, body(number))
    return store


def spooled(spool: Spool, number: int) -> None:
    fd = spool.create(key(number))
    append(fd, 0, [body(number)])
    os.close(fd)


def whole(source: ByteSource) -> bytes:
    return source.read(0, source.size)


def test_every_segment_is_read_right_whichever_were_closed_in_between(spool: Spool) -> None:
    with SourcePool(spool, store_of(40), GRANT, most=3) as pool:
        sources = [PooledSource(pool, row(number)) for number in range(40)]
        for order in (range(40), reversed(range(40)), [7, 7, 8, 7]):
            for number in order:
                assert whole(sources[number]) == body(number)


def test_a_segment_that_moved_to_the_store_since_the_index_was_asked_is_found(spool: Spool) -> None:
    with SourcePool(spool, store_of(1), GRANT) as pool:
        assert whole(PooledSource(pool, row(0, Place.SPOOL))) == body(0)


def test_a_segment_that_is_still_in_the_spool_is_found(spool: Spool) -> None:
    spooled(spool, 0)
    with SourcePool(spool, MemoryStore(), GRANT) as pool:
        assert whole(PooledSource(pool, row(0, Place.SPOOL))) == body(0)
        assert whole(PooledSource(pool, row(0, Place.STORE))) == body(0)


def test_a_segment_that_is_nowhere_is_named(spool: Spool) -> None:
    with SourcePool(spool, MemoryStore(), GRANT) as pool, pytest.raises(Damaged, match="neither spool nor store"):
        whole(PooledSource(pool, row(5)))


def test_few_descriptors_are_open_at_a_time(spool: Spool) -> None:
    for number in range(20):
        spooled(spool, number)
    before = len(os.listdir("/proc/self/fd"))
    with SourcePool(spool, MemoryStore(), GRANT, most=4) as pool:
        for number in range(20):
            whole(PooledSource(pool, row(number, Place.SPOOL)))
            assert len(os.listdir("/proc/self/fd")) <= before + 4
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_open_segment_is_read_on_after_its_name_is_gone(spool: Spool) -> None:
    spooled(spool, 0)
    with SourcePool(spool, MemoryStore(), GRANT) as pool:
        source = PooledSource(pool, row(0, Place.SPOOL))
        assert source.read(0, 7) == body(0)[:7]
        spool.remove(key(0))
        assert whole(source) == body(0)


def test_threads_share_a_small_pool_without_reading_each_others_bytes(spool: Spool) -> None:
    for number in range(30):
        spooled(spool, number)
    with (
        closing(MemoryStore()) as store,
        SourcePool(spool, store, GRANT, most=2) as pool,
        ThreadPoolExecutor(8) as threads,
    ):
        wanted = [number % 30 for number in range(600)]
        found = threads.map(lambda number: whole(PooledSource(pool, row(number, Place.SPOOL))), wanted)
        assert list(found) == [body(number) for number in wanted]
