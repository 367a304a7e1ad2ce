"""What LMDB prints of its readers, and how long each has been seen."""

from __future__ import annotations

from index.readers import Reader, ReaderWatch, parse_readers

LISTING = "    pid     thread     txnid\n      4711 7f3a10 17\n      4711 7f3a20 -\n        99 7f0001 12\n"


def test_only_readers_with_a_snapshot_count_and_the_oldest_comes_first() -> None:
    assert parse_readers(LISTING, 20) == [Reader(99, "7f0001", 12, 8), Reader(4711, "7f3a10", 17, 3)]


def test_none_is_none() -> None:
    assert parse_readers("(no active readers)\n", 20) == []


def test_a_reader_that_comes_again_is_no_reader_that_stays() -> None:
    watch = ReaderWatch()
    stays, first, second = Reader(1, "a", 5, 0), Reader(2, "b", 5, 0), Reader(2, "b", 6, 0)
    assert watch.held_us([stays, first], 100) == [(stays, 0), (first, 0)]
    assert watch.held_us([stays, second], 150) == [(stays, 50), (second, 0)]
    assert watch.held_us([], 200) == []
    assert watch.held_us([stays], 300) == [(stays, 0)]
