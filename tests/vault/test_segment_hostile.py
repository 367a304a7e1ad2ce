"""Hostile bytes: only Damaged (or NotFound where nothing whole is there) comes out of a reader, in bounded time and memory."""

from __future__ import annotations

import contextlib
import functools
import itertools
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.segments import Written, audio_track, make_head, make_segment, opaque_track, video_track
from tests.support.streams import encode_aac, encode_alaw, encode_h264, encode_h265
from vault.errors import Damaged, NotFound, UsageError
from vault.media import Chunks, Codec, GapBefore, SegmentFlag, SegmentInfo, TrackParams, TrackTable
from vault.segment.boxes import Span, box, by_kind, children, full_box
from vault.segment.entries import parse_entry, sample_entry
from vault.segment.params import aac_params, video_params
from vault.segment.private import TRAILER_BYTES, decode, encode_head, encode_info, encode_trailer
from vault.segment.read import read_closed, read_open, read_tail
from vault.segment.tables import closing_moov

NUMBERS = st.sampled_from([0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF])


class BytesSource:
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.most_bytes = 0

    def read(self, offset: int, length: int) -> bytes:
        if not 0 <= offset <= offset + length <= self.size:
            raise Damaged("outside the file")
        self.most_bytes = max(self.most_bytes, length)
        return self._data[offset : offset + length]


@functools.cache
def segment() -> Written:
    tracks = [
        video_track(encode_h264(bframes=1)),
        audio_track(encode_alaw(), Codec.ALAW, first_dts=9),
        opaque_track([b"x"] * 5),
    ]
    return make_segment(tracks)


def mutate(data: st.DataObject, original: bytes, first: int, last: int) -> bytes:
    """A few bytes changed between `first` and `last`, where the structure is."""
    out = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(first, last - 4))
        value = data.draw(st.one_of(NUMBERS.map(lambda n: bytes((n,))), st.binary(min_size=1, max_size=4)))
        out[at : at + len(value)] = value
    return bytes(out)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_mutated_tail_with_a_valid_crc_is_read_or_damaged(data: st.DataObject) -> None:
    """The CRC is made right again: a forger would do so too."""
    written = segment()
    moov = mutate(data, written.closing[:-TRAILER_BYTES], 0, len(written.closing) - TRAILER_BYTES)
    tail = moov + encode_trailer(moov, len(written.open_bytes))
    try:
        table = read_tail(tail, len(written.closed_bytes))
    except Damaged:
        return
    for track in table.tracks:
        assert len(track.dts) == len(track.size) == len(track.offset) == len(track.sync) <= len(tail) // 4
        if len(track.dts):
            assert track.dts[0] >= 0
            assert (track.dts[1:] > track.dts[:-1]).all()
            assert track.end_dts > track.dts[-1]
            assert track.offset.min() >= 48
            assert (track.offset + track.size).max() <= len(written.open_bytes)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_mutated_open_file_is_read_or_damaged(data: st.DataObject) -> None:
    written = segment()
    first_fragment = written.fragments[0].index(b"mdat") + len(written.opening)
    source = BytesSource(mutate(data, written.open_bytes, 0, first_fragment))
    try:
        table = read_open(source, 1)
    except (Damaged, NotFound):
        return
    assert source.most_bytes <= 1 << 21
    for track in table.tracks:
        if len(track.dts):
            assert (track.dts[1:] > track.dts[:-1]).all()
            assert (track.offset + track.size).max() <= table.file_size <= source.size


@settings(deadline=None)
@given(st.binary(max_size=4_000), st.integers(0, 1 << 62))
def test_any_bytes_are_damaged(data: bytes, file_size: int) -> None:
    with pytest.raises((Damaged, NotFound)):
        read_open(BytesSource(data), 1)
    with pytest.raises(Damaged):
        read_closed(BytesSource(data))
    with pytest.raises(Damaged):
        read_tail(data, file_size)


def test_counts_that_would_fill_the_memory_are_refused() -> None:
    """A table that says 4 billion samples in one entry, with everything around it right."""
    written = segment()
    moov = written.closing[:-TRAILER_BYTES]
    for kind, at in ((b"stts", 12), (b"stsz", 12), (b"stsc", 16), (b"ctts", 12), (b"stss", 8), (b"stco", 8)):
        begin = moov.index(kind) - 4
        for value in (0xFFFFFFFF, 0x7FFFFFFF, 0):
            forged = moov[: begin + at] + struct.pack(">I", value) + moov[begin + at + 4 :]
            if forged != moov:
                with pytest.raises(Damaged):
                    read_tail(forged + encode_trailer(forged, len(written.open_bytes)), len(written.closed_bytes))


def test_a_trailer_that_claims_a_tail_of_gigabytes_is_refused_before_reading() -> None:
    written = segment()
    forged = struct.pack(">II", 1, zlib.crc32(b"")) + struct.pack(">QQ", 1 << 40, len(written.closed_bytes))
    source = BytesSource(written.closed_bytes[:-24] + forged)
    with pytest.raises(Damaged, match="tail of 1099511627776"):
        read_closed(source)
    assert source.most_bytes <= 65_536


@pytest.mark.parametrize("begin", [0, 47, 1 << 40, 2**63 - 50, 2**63 - 1])
def test_a_sample_outside_the_file_is_damaged_even_where_its_end_leaves_64_bits(begin: int) -> None:
    at = np.array([begin], np.int64)
    one = np.zeros(1, np.int64)
    table = TrackTable(
        TrackParams(Codec.OPAQUE, 90_000), one, None, np.array([100], np.uint32), Chunks(one, at, at), one == 0, 3_600
    )
    moov = closing_moov([table], segment().info)
    with pytest.raises(Damaged, match="outside bytes 48 to"):
        read_tail(moov + encode_trailer(moov, 1 << 20), (1 << 20) + len(moov) + TRAILER_BYTES)


@pytest.mark.parametrize("guess", [0, 1, TRAILER_BYTES, 1_000, 1 << 30])
def test_a_wrong_guess_of_the_tails_length_only_costs_a_second_read(guess: int) -> None:
    written = segment()
    table = read_closed(BytesSource(written.closed_bytes), guess)
    assert [len(track.dts) for track in table.tracks] == [len(track.dts) for track in written.tracks]
    source = BytesSource(written.closed_bytes)
    read_closed(source, len(written.closing))
    assert source.most_bytes == len(written.closing)


def test_boxes_that_do_not_fit_are_damaged() -> None:
    whole = box(b"free", b"12345678")
    assert [span.kind for span in children(whole * 3, 0, len(whole) * 3)] == [b"free"] * 3
    for bad in (
        whole[:-1],
        whole + b"x",
        struct.pack(">I4s", 7, b"free"),
        struct.pack(">I4s", 0, b"free"),
        struct.pack(">I4s", 1, b"free"),
    ):
        with pytest.raises(Damaged):
            list(children(bad, 0, len(bad)))
    large = struct.pack(">I4sQ", 1, b"mdat", 20) + b"1234"
    assert list(children(large, 0, 20)) == [Span(b"mdat", 0, 16, 20)]
    with pytest.raises(Damaged, match="more than 1000"):
        by_kind(box(b"free") * 2_000, 0, 16_000)


def entries() -> list[TrackParams]:
    h264, h265 = encode_h264(aud=True)[0].nals, encode_h265()[0].nals
    return [
        video_params(Codec.H264, [nal for nal in h264 if nal[0] & 0x1F in (7, 8)]),
        video_params(Codec.H265, [nal for nal in h265 if nal[0] >> 1 & 0x3F in (32, 33, 34)]),
        aac_params(encode_aac().config),
        aac_params(encode_aac(0.5, 96_000, 1).config),
        TrackParams(Codec.ALAW, 8_000, channels=1),
        TrackParams(Codec.ULAW, 16_000, channels=2),
        TrackParams(Codec.OPAQUE, 90_000, name="SVAC/90000 profile=1; ünïcode"),
        TrackParams(Codec.OPAQUE, 1_000, name="x" * 1_024),
    ]


@pytest.mark.parametrize("params", entries(), ids=lambda p: f"{p.codec} {p.timescale}")
def test_a_sample_entry_reads_back(params: TrackParams) -> None:
    entry = sample_entry(params)
    (span,) = children(entry, 0, len(entry))
    assert parse_entry(entry, span, params.timescale) == params


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(entries()), st.data())
def test_a_mutated_sample_entry_is_read_or_damaged(params: TrackParams, data: st.DataObject) -> None:
    entry = mutate(data, sample_entry(params), 8, len(sample_entry(params)))
    entry = entry[: data.draw(st.integers(8, len(entry)))]
    with contextlib.suppress(Damaged):
        parse_entry(entry, Span(entry[4:8], 0, 8, len(entry)), params.timescale)


def test_tracks_that_no_player_could_read_are_refused() -> None:
    good = entries()
    for bad in (
        TrackParams(Codec.H264, 90_000, good[0].sets),
        TrackParams(Codec.H264, 90_000, good[0].sets[:1], 160, 96),
        TrackParams(Codec.ALAW, 8_000),
        TrackParams(Codec.AAC, 48_000, (), channels=2),
    ):
        with pytest.raises(UsageError):
            sample_entry(bad)


TEXT = st.text(max_size=300)


@settings(deadline=None)
@given(
    st.integers(1, 2**32 - 1),
    st.floats(-500, 500),
    st.one_of(st.none(), TEXT),
    st.integers(0, 15).map(SegmentFlag),
    st.one_of(st.none(), st.integers(-(10**12), 10**12)),
    st.text(alphabet=st.characters(categories=["L", "N"]), max_size=64),
)
def test_the_private_box_reads_back(
    number: int, rate: float, reason: str | None, flags: SegmentFlag, offset: int | None, site_class: str
) -> None:
    start_us = 1_795_000_000_000_000
    gap = GapBefore(start_us - 1, reason) if reason is not None else None
    head = make_head(camera=number, rate_ppm=rate, gap_before=gap, flags=flags)
    info = SegmentInfo(head, start_us + 1, start_us + 2, site_class, 0, flags, offset)
    for data, first in ((encode_head(head), []), (encode_info(info, [0, 5]), [0, 5])):
        got, got_info, got_first = decode(data, next(children(data, 0, len(data))))
        assert got_first == first
        assert got_info is None or (got_info.site_class, got_info.clock_offset_us, got_info.flags) == (
            site_class,
            offset,
            flags,
        )
        assert (got.key, got.rate_ppm, got.flags) == (head.key, rate, flags)
        if gap is not None and reason is not None:
            assert got.gap_before is not None
            assert len(got.gap_before.reason) == len(reason)
            assert all(a == b for a, b in zip(reason, got.gap_before.reason, strict=True) if a.isprintable())


def test_a_private_box_with_a_wrong_field_is_damaged() -> None:
    good = segment().closing
    begin = good.index(b'{"format"')
    text = good[begin : good.index(b"}}", begin) + 2]
    changes = [
        (b'"format":1', b'"format":9'), (b'"number":990100001', b'"number":true'), (b'"rate_ppm":0.0', b'"rate_ppm":NaN'),
        (b'"rate_ppm":0.0', b'"rate_ppm":501'), (b'"camera":"cam-1"', b'"camera":"a/b"'), (b'"flags":0', b'"flags":-1'),
        (b'"gap_before":null', b'"gap_before":[]'), (b'"first_dts":[0,9,0]', b'"first_dts":[0,-9,0]'),
        (b'"first_dts":[0,9,0]', b'"first_dts":[0,9]'), (b'"site_class":"default"', b'"site_class":"\\u0007"'),
        (b'"site_class":"default"', b'"site_class":"\\ud800"'), (b'"end_us":', b'"end_us":1e3,"x":'), (text, b"[" * 5_000),
        (text, b"1" * 5_000), (text, b"null"), (text, b"\xff\xfe"), (b'"close":', b'"closed":'),
    ]  # fmt: skip
    for old, new in changes:
        assert old in text, old
        mvhd = good[8 : 8 + int.from_bytes(good[8:12], "big")]
        traks = list(itertools.islice(children(good, 8, len(good) - TRAILER_BYTES), 1, 4))
        private = box(b"uuid", good[begin - 16 : begin], text.replace(old, new, 1))
        moov = box(b"moov", mvhd, *(good[span.start : span.end] for span in traks), private)
        with pytest.raises(Damaged):
            read_tail(moov + encode_trailer(moov, 1 << 20), (1 << 20) + len(moov) + TRAILER_BYTES)


def test_full_boxes_carry_version_and_flags() -> None:
    assert full_box(b"tfhd", 1, 0x020000, b"ab") == b"\x00\x00\x00\x0etfhd\x01\x02\x00\x00ab"
