"""Rows as bytes: golden, and whatever is packed comes back."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.rows import (
    MAX_SEGMENT_US,
    GapRow,
    Place,
    SegmentRow,
    State,
    Usage,
    key_of_pending,
    pack_gap,
    pack_row,
    pack_usage,
    pending_key,
    repack_row,
    segment_key,
    short_rows,
    unpack_gap,
    unpack_row,
    unpack_usage,
)
from vault.errors import Damaged
from vault.ids import CameraNumber, SegmentKey
from vault.media import SegmentFlag
from vault.timebase import MAX_US

u32 = st.integers(0, 2**32 - 1)
u63 = st.integers(0, 2**63 - 1)

ROW = SegmentRow(
    SegmentKey(CameraNumber(9901), 1_795_305_600_000_000, 3, 17),
    1_795_305_660_040_000,
    30_123_456,
    bytes(range(32)),
    9_876,
    0xA1B2C3D4,
    "key",
    1_803_168_000_000_000,
    SegmentFlag.RECOVERED | SegmentFlag.DAMAGED_INPUT,
    Place.STORE,
    State.DOOMED,
)
GOLDEN_KEY = "000026ad000660d2288d200000000003"
GOLDEN_ROW = (
    "0102020006000700110000004023940394260000d4c3b2a1c0a5cb010000000000401cc4f8670600"
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)


def test_a_row_is_these_bytes() -> None:
    assert segment_key(ROW.key).hex() == GOLDEN_KEY
    assert pack_row(ROW, class_id=7).hex() == GOLDEN_ROW
    assert unpack_row(bytes.fromhex(GOLDEN_KEY), bytes.fromhex(GOLDEN_ROW), {7: "key"}.__getitem__) == ROW


def test_a_row_whose_days_count_from_elsewhere_is_eight_bytes_longer() -> None:
    counted_us = 1_795_305_600_000_001
    counted = replace(ROW, counted_us=counted_us)
    long = bytes.fromhex("02" + GOLDEN_ROW[2:] + counted_us.to_bytes(8, "little").hex())
    assert pack_row(counted, class_id=7) == long
    assert unpack_row(bytes.fromhex(GOLDEN_KEY), long, {7: "key"}.__getitem__) == counted
    assert repack_row(bytes.fromhex(GOLDEN_ROW), counted) == repack_row(long, counted) == long
    assert repack_row(long, replace(counted, counted_us=7))[-8:] == bytes([7, 0, 0, 0, 0, 0, 0, 0])
    assert short_rows([long, bytes.fromhex(GOLDEN_ROW)])[1:72] == bytes.fromhex(GOLDEN_ROW)[1:]
    for wrong in (long[:-1], bytes([1]) + long[1:], long[:72], long[:-8] + b"\xff" * 8):
        with pytest.raises(Damaged):
            unpack_row(bytes.fromhex(GOLDEN_KEY), wrong, lambda at: "key")


def test_key_and_row_are_at_most_110_bytes() -> None:
    assert len(bytes.fromhex(GOLDEN_KEY + GOLDEN_ROW)) + 8 <= 110


def test_keys_sort_by_camera_then_time() -> None:
    keys = [SegmentKey(CameraNumber(c), s, e, 0) for c in (1, 2, 300) for s in (0, 255, 256, MAX_US) for e in (0, 1, 70_000)]
    assert sorted(keys) == [key for _, key in sorted((segment_key(key), key) for key in keys)]
    for key in keys:
        assert key_of_pending(pending_key(key)) == segment_key(key)


@given(
    st.builds(SegmentKey, st.integers(1, 2**32 - 1).map(CameraNumber), st.integers(0, MAX_US - MAX_SEGMENT_US), u32, u32),
    st.integers(1, MAX_SEGMENT_US),
    u63,
    st.binary(min_size=32, max_size=32),
    u32,
    u32,
    u63,
    st.integers(0, 2**16 - 1),
    st.sampled_from(Place),
    st.sampled_from(State),
    st.none() | st.integers(0, MAX_US),
)
def test_whatever_is_packed_comes_back(
    key: SegmentKey,
    duration: int,
    size: int,
    digest: bytes,
    tail: int,
    params: int,
    until: int,
    flags: int,
    place: Place,
    state: State,
    counted_us: int | None,
) -> None:
    row = SegmentRow(
        key, key.start_us + duration, size, digest, tail, params, "x", until, SegmentFlag(flags), place, state, counted_us
    )  # fmt: skip
    assert unpack_row(segment_key(key), pack_row(row, 65_535), lambda at: "x" if at == 65_535 else "") == row


@given(st.binary(max_size=120), st.binary(max_size=40))
def test_foreign_bytes_are_damaged_or_a_row_and_nothing_else(raw: bytes, raw_key: bytes) -> None:
    for decode in (
        lambda: unpack_row(raw_key, raw, lambda at: "x"),
        lambda: unpack_gap(raw_key, raw),
        lambda: unpack_usage(raw),
    ):
        with contextlib.suppress(Damaged):
            decode()


def test_a_row_of_a_later_version_is_refused() -> None:
    raw = bytes([2]) + bytes.fromhex(GOLDEN_ROW)[1:]
    with pytest.raises(Damaged, match="version 2"):
        unpack_row(bytes.fromhex(GOLDEN_KEY), raw, str)


@pytest.mark.parametrize("end_us", [None, 1_795_305_660_000_000])
def test_gaps_come_back_with_a_long_reason_cut_between_characters(end_us: int | None) -> None:
    key = bytes.fromhex(GOLDEN_KEY)[:12]
    gap = unpack_gap(key, pack_gap(end_us, "原因" * 100))
    assert gap == GapRow(1_795_305_600_000_000, end_us, "原因" * 33)


def test_usage_comes_back() -> None:
    usage = Usage(1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert unpack_usage(pack_usage(usage)) == usage
    assert unpack_usage(pack_usage(Usage())) == Usage() == unpack_usage(None)
