"""What was written is read back, whole, from the tail of a closed segment and from the fragments of an open one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.segments import (
    START_US,
    Track,
    audio_track,
    make_head,
    make_segment,
    opaque_track,
    video_track,
    write_closed,
)
from tests.support.streams import encode_aac, encode_alaw, encode_h264, encode_h265
from vault.errors import Damaged, NotFound, UsageError
from vault.media import Codec, GapBefore, SegmentFlag, SegmentInfo, SegmentTable, TrackTable
from vault.segment.build import SegmentBuilder, TrackRun
from vault.segment.read import read_closed, read_open, read_tail, tail_length, utc_of
from vault.source import FileSource

NOW_US = START_US + 90_000_000


def all_tracks() -> list[Track]:
    return [
        video_track(encode_h264(bframes=2, slices=2)),
        audio_track(encode_aac(), first_dts=777),
        audio_track(encode_alaw(), Codec.ALAW),
        opaque_track([b"one", b"two"] * 5, name="VND.ONVIF.METADATA/90000 ; 中文"),
    ]


def assert_same(table: TrackTable, track: Track, data: bytes) -> None:
    assert table.params == track.params
    assert table.dts.tolist() == track.dts
    assert (table.cts.tolist() if table.cts is not None else None) == track.cts
    assert table.sync.tolist() == (track.sync or [True] * len(track.dts))
    assert [data[at : at + size] for at, size in zip(table.offset, table.size, strict=True)] == track.samples
    assert (table.dts.dtype, table.size.dtype, table.offset.dtype, table.sync.dtype) == (
        np.int64,
        np.uint32,
        np.int64,
        np.bool_,
    )


def read(path: Path, *, now_us: int = NOW_US) -> SegmentTable:
    with FileSource(path) as source:
        return read_open(source, now_us)


def test_every_field_of_a_closed_segment_is_read_back(tmp_path: Path) -> None:
    head = make_head(
        rate_ppm=-12.25,
        gap_before=GapBefore(START_US - 7_000_000, "camera did not answer"),
        flags=SegmentFlag.CONTINUES | SegmentFlag.DAMAGED_INPUT,
        sequence=41,
    )
    written = write_closed(tmp_path / "s.mp4", all_tracks(), head=head)
    with FileSource(tmp_path / "s.mp4") as source:
        table = read_closed(source)
        assert tail_length(source) == len(written.closing)
    assert table.info == written.info
    assert table.file_size == len(written.closed_bytes)
    for got, track in zip(table.tracks, written.tracks, strict=True):
        assert_same(got, track, written.closed_bytes)
        assert got.end_dts == track.end_dts


def test_h265_parameter_sets_are_read_back(tmp_path: Path) -> None:
    written = write_closed(tmp_path / "s.mp4", [video_track(encode_h265(), Codec.H265)])
    assert read(tmp_path / "s.mp4").tracks[0].params == written.tracks[0].params


def test_an_open_segment_is_read_up_to_its_last_whole_fragment(tmp_path: Path) -> None:
    written = make_segment(all_tracks())
    path = tmp_path / "s.mp4"
    whole = written.opening + b"".join(written.fragments[:-1])
    for torn in (b"", written.fragments[-1][:20], written.fragments[-1][:-1]):
        path.write_bytes(whole + torn)
        table = read(path)
        assert table.file_size == len(whole)
        assert [len(track.dts) for track in table.tracks] == [50, 93, 100, 10]
    assert table.info.head == written.head
    assert table.info.closed_us == NOW_US
    assert table.info.min_until_us == 0
    path.write_bytes(written.open_bytes)
    table = read(path)
    for got, track in zip(table.tracks, written.tracks, strict=True):
        assert_same(got, track, written.open_bytes)
    assert table.info.end_us == written.info.end_us


def test_a_segment_that_is_being_closed_reads_the_same_at_every_byte(tmp_path: Path) -> None:
    written = make_segment(all_tracks())
    path = tmp_path / "s.mp4"
    for cut in (*range(0, len(written.closing), 211), len(written.closing) - 1, len(written.closing)):
        path.write_bytes(written.open_bytes + written.closing[:cut])
        table = read(path)
        assert_same(table.tracks[0], written.tracks[0], written.open_bytes)
        assert table.info.end_us == written.info.end_us
    path.write_bytes(written.closed_bytes)
    assert read(path).info == written.info


def test_a_segment_without_a_whole_fragment_has_nothing_to_read_yet(tmp_path: Path) -> None:
    written = make_segment(all_tracks())
    for length in (0, 1, 40, 60, len(written.opening) - 1, len(written.opening), len(written.opening) + 30):
        (tmp_path / "s.mp4").write_bytes(written.open_bytes[:length])
        with pytest.raises(NotFound):
            read(tmp_path / "s.mp4")


def test_a_foreign_file_is_damaged(tmp_path: Path) -> None:
    for data in (b"\x00" * 5000, b"not a segment at all, however long it may be" * 20):
        (tmp_path / "s.mp4").write_bytes(data)
        with pytest.raises(Damaged):
            read(tmp_path / "s.mp4")
        with FileSource(tmp_path / "s.mp4") as source, pytest.raises(Damaged, match="open, cut or foreign"):
            read_closed(source)


def test_a_tail_longer_than_one_read_is_read_in_two(tmp_path: Path) -> None:
    plain = video_track(encode_h264())
    turns = 600
    assert plain.sync is not None
    dts = [turn * 180_000 + at + turn % 7 for turn in range(turns) for at in plain.dts]
    track = Track(plain.params, dts, None, [b"\x00\x00\x00\x01\x09"] * len(dts), plain.sync * turns, dts[-1] + 3600)
    written = make_segment([track], fragment_seconds=100)
    assert len(written.closing) > 100_000
    (tmp_path / "s.mp4").write_bytes(written.closed_bytes)
    with FileSource(tmp_path / "s.mp4") as source:
        assert read_closed(source).tracks[0].dts.tolist() == dts


def test_a_changed_byte_in_the_tables_is_found() -> None:
    written = make_segment([video_track(encode_h264())])
    tail = bytearray(written.closing)
    tail[300] ^= 1
    with pytest.raises(Damaged, match="CRC"):
        read_tail(bytes(tail), len(written.closed_bytes))
    with pytest.raises(Damaged, match="the file has"):
        read_tail(written.closing, len(written.closed_bytes) + 1)
    with pytest.raises(Damaged, match="were given"):
        read_tail(written.closing[100:], len(written.closed_bytes))


def test_media_time_becomes_utc_by_the_rate_of_the_head() -> None:
    assert utc_of(make_head(), 90_000 * 60, 90_000) == START_US + 60_000_000
    assert utc_of(make_head(rate_ppm=500.0), 90_000 * 60, 90_000) == START_US + 60_030_000
    assert utc_of(make_head(rate_ppm=-500.0), 8_000 * 60, 8_000) == START_US + 59_970_000


def test_offsets_past_4_gib_are_kept() -> None:
    """Sizes are announced, the bytes themselves are not needed to read the tail."""
    params = video_track(encode_h264()).params
    builder = SegmentBuilder(make_head(), [params])
    builder.opening()
    size = 2_000_000_000
    for turn in range(4):
        builder.fragment([TrackRun(0, [turn * 3600], None, [size], None)])
    with pytest.raises(UsageError):
        builder.fragment([TrackRun(0, [14_400, 18_000], None, [size, size], None)])
    head = make_head()
    info = SegmentInfo(head, head.key.start_us + 120_000, head.key.start_us, "default", 0, SegmentFlag.NONE)
    tail = builder.closing(info, [14_400])
    assert b"co64" in tail
    (table,) = read_tail(tail, builder.size_bytes).tracks
    assert table.size.tolist() == [size] * 4
    assert table.offset.tolist()[2] > 2 * size
    assert table.sync.all()
    at, header = builder.mdat_header()
    assert at + int.from_bytes(header[8:], "big") == builder.size_bytes - len(tail)
