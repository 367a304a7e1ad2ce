"""Segments that a crash left half done become plain MP4s of their whole fragments, wherever they were cut."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vault.segment.recover as recover_module
from tests.support.probe import decode_errors, packets
from tests.support.segments import START_US, Written, audio_track, make_segment, video_track
from tests.support.streams import encode_aac, encode_h264
from vault.errors import Damaged, NotFound, StoreFull
from vault.media import SegmentFlag, SegmentTable
from vault.retain import Fixed
from vault.segment.recover import recover

CLOSED_US = START_US + 3_600_000_000
FIXED = Fixed(CLOSED_US + 5, SegmentFlag.CLOSED_NEXT_DAY)


@pytest.fixture(scope="module")
def written() -> Written:
    return make_segment([video_track(encode_h264(bframes=1, slices=2)), audio_track(encode_aac(), first_dts=480)])


def run(path: Path) -> SegmentTable | None:
    return recover(path, closed_us=CLOSED_US, site_class="default", fix=lambda end_us: FIXED)


def whole_fragments(written: Written, length: int) -> int:
    """How many fragments lie whole in the first `length` bytes."""
    ends = itertools.accumulate((len(fragment) for fragment in written.fragments), initial=len(written.opening))
    return sum(end <= length for end in list(ends)[1:])


def test_a_file_cut_anywhere_keeps_its_whole_fragments(written: Written, tmp_path: Path) -> None:
    path = tmp_path / "s.mp4"
    data = written.closing_bytes
    edges = list(itertools.accumulate((len(f) for f in written.fragments), initial=len(written.opening)))
    cuts = {edge + step for edge in edges for step in (-1, 0, 1, 7, 8, 9, 24, 60, 200)} | set(range(0, len(data), 997))
    for cut in sorted(cuts):
        path.write_bytes(data[:cut])
        expected = whole_fragments(written, cut)
        table = run(path)
        assert (table is None) == (expected == 0), cut
        if table is not None:
            body = written.opening + b"".join(written.fragments[:expected])
            assert path.read_bytes()[48 : len(body)] == body[48:], cut
            assert table.file_size == path.stat().st_size
            assert table.info.flags == SegmentFlag.RECOVERED | SegmentFlag.CLOSED_NEXT_DAY
            assert (table.info.closed_us, table.info.min_until_us) == (CLOSED_US, CLOSED_US + 5)


def test_files_cut_at_random_play_after_recovery(written: Written, tmp_path: Path) -> None:
    path = tmp_path / "s.mp4"
    chance = random.Random(9901)
    for _ in range(8):
        cut = chance.randrange(len(written.opening) + len(written.fragments[0]), len(written.closing_bytes))
        path.write_bytes(written.closing_bytes[:cut])
        table = run(path)
        assert table is not None
        assert decode_errors(path) == "", cut
        assert len(packets(path, "v:0")) == len(table.tracks[0].dts), cut


def test_a_whole_closing_is_kept_with_what_the_recorder_fixed(written: Written, tmp_path: Path) -> None:
    path = tmp_path / "s.mp4"
    for data in (written.closing_bytes, written.closed_bytes):
        path.write_bytes(data)
        table = run(path)
        assert table is not None
        assert table.info == written.info
        assert path.read_bytes() == written.closed_bytes


def test_recovering_twice_changes_nothing(written: Written, tmp_path: Path) -> None:
    path = tmp_path / "s.mp4"
    path.write_bytes(written.open_bytes[:-5])
    assert run(path) is not None
    once = path.read_bytes()
    assert recover(path, closed_us=1, site_class="other", fix=lambda end_us: Fixed(0, SegmentFlag.NONE)) is not None
    assert path.read_bytes() == once


def test_a_closed_file_that_lost_its_tail_is_closed_again(written: Written, tmp_path: Path) -> None:
    path = tmp_path / "s.mp4"
    for lost in (1, 48, 500, len(written.closing), len(written.closing) + 100):
        path.write_bytes(written.closed_bytes[:-lost])
        table = run(path)
        assert table is not None
        assert decode_errors(path) == ""
        assert len(table.tracks[0].dts) == len(packets(path, "v:0"))


def test_zeros_that_a_power_cut_left_are_not_taken_for_footage(written: Written, tmp_path: Path) -> None:
    path = tmp_path / "s.mp4"
    last = written.fragments[-1]
    begin = len(written.open_bytes) - len(last)
    header = last.index(b"mdat") + 4
    zeroed = [written.open_bytes[:begin] + bytes(len(last)), written.open_bytes[: begin + header] + bytes(len(last) - header)]
    zeroed.append(zeroed[1] + written.closing)
    for data in zeroed:
        path.write_bytes(data)
        table = run(path)
        assert table is not None
        assert path.read_bytes()[48:begin] == written.open_bytes[48:begin]
        assert len(table.tracks[0].dts) == len(packets(path, "v:0")) < len(written.tracks[0].dts)
        assert decode_errors(path) == ""


def test_a_file_of_nothing_may_go_and_a_foreign_one_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.mp4"
    for data in (b"", b"\x00" * 100_000):
        path.write_bytes(data)
        assert run(path) is None
    path.write_bytes(b"a letter to somebody" * 500)
    with pytest.raises(Damaged):
        run(path)
    assert path.read_bytes() == b"a letter to somebody" * 500
    with pytest.raises(NotFound):
        run(tmp_path / "none")


def test_a_segment_of_another_version_is_left_alone(written: Written, tmp_path: Path) -> None:
    path = tmp_path / "s.mp4"
    newer = written.open_bytes.replace(b'{"format":1,', b'{"format":2,')
    path.write_bytes(newer[:-5])
    with pytest.raises(Damaged, match="format 2"):
        run(path)
    assert path.read_bytes() == newer[:-5]


class Disk:
    """A stand-in for `os` in recovery: remembers every write and cut, and which of them a sync has made durable."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, full: bool = False) -> None:
        self.epochs: list[list[Callable[[bytearray], None]]] = [[]]
        self._full = full
        for name in ("pwrite", "ftruncate", "fsync"):
            monkeypatch.setattr(recover_module.os, name, getattr(self, name))

    def pwrite(self, fd: int, data: Any, offset: int) -> int:
        if self._full:
            raise OSError(28, "No space left on device")
        kept = bytes(data)

        def apply(disk: bytearray) -> None:
            disk.extend(bytes(max(0, offset + len(kept) - len(disk))))
            disk[offset : offset + len(kept)] = kept

        self.epochs[-1].append(apply)
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, data)

    def ftruncate(self, fd: int, length: int) -> None:
        self.epochs[-1].append(lambda disk: disk.__delitem__(slice(length, None)))
        os.truncate(fd, length)

    def fsync(self, fd: int) -> None:
        self.epochs.append([])


@pytest.mark.parametrize("start", ["torn fragment", "torn closing", "closing whole", "closed, tail lost"])
def test_a_crash_or_power_cut_at_any_step_is_taken_up_again(
    start: str, written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {
        "torn fragment": written.open_bytes[:-9],
        "torn closing": written.closing_bytes[:-9],
        "closing whole": written.closing_bytes,
        "closed, tail lost": written.closed_bytes[:-9],
    }[start]
    path = tmp_path / "s.mp4"
    path.write_bytes(before)
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        assert run(path) is not None
    expected = path.read_bytes()
    states = []
    durable = bytearray(before)
    for epoch in disk.epochs:
        # Of the writes that no sync covers yet, a power cut may keep any.
        for kept in itertools.chain.from_iterable(itertools.combinations(epoch, n) for n in range(len(epoch) + 1)):
            state = bytearray(durable)
            for change in kept:
                change(state)
            states.append(bytes(state))
        for change in epoch:
            change(durable)
    assert bytes(durable) == expected
    assert len(states) >= 4
    for state in states:
        path.write_bytes(state)
        assert run(path) is not None
        assert path.read_bytes() == expected
    assert decode_errors(path) == ""


def test_a_full_disk_is_said_and_the_footage_stays(written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.mp4"
    path.write_bytes(written.open_bytes)
    with monkeypatch.context() as patch:
        Disk(patch, full=True)
        with pytest.raises(StoreFull):
            run(path)
    assert path.read_bytes() == written.open_bytes
    table = run(path)
    assert table is not None
    assert len(table.tracks[0].dts) == len(written.tracks[0].dts)
