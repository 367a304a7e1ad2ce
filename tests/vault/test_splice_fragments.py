"""Virtual fragments: whole GOPs on one line of time, played by Chromium through MSE and by ffmpeg through HLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser, chromium
from tests.support.numbered import FRAME_US, encode, record, split
from tests.support.players import by_ffmpeg
from tests.support.segments import START_US
from tests.support.streams import encode_aac, encode_alaw
from vault.errors import NotFound, UsageError
from vault.media import Codec
from vault.segment.boxes import by_kind, children, u32, u64
from vault.splice.fragments import Fragments, plan_fragments
from vault.splice.mime import codec_string
from vault.splice.part import Part
from vault.splice.playlist import media_playlist
from vault.timebase import Interval


def at(frame: int) -> int:
    return START_US + frame * FRAME_US


def parts(second_at: int = 50, size: tuple[int, int] = (160, 96), codec: Codec = Codec.H264, **how: object) -> list[Part]:
    sound = {name: how.pop(name) for name in ("audio", "audio_codec") if name in how}
    first = encode(frames=50, gop=25, codec=codec, **how)  # type: ignore[arg-type]
    second = encode(first=50, frames=50, gop=25, size=size, codec=codec, **how)  # type: ignore[arg-type]
    return [
        record(first, codec=codec, **sound),  # type: ignore[arg-type]
        record(second, start_us=at(second_at), sequence=1, codec=codec, **sound),  # type: ignore[arg-type]
    ]


def plan(given: list[Part], first: int = 33, last: int = 77) -> Fragments:
    return plan_fragments(given, Interval(at(first), at(last)), 1_000_000)


def tfdt_and_duration(data: bytes) -> list[tuple[int, int]]:
    """Of each track in a media segment: where it begins and how long its samples last, in its ticks."""
    moof = by_kind(data, 0, len(data))[b"moof"]
    out = []
    for traf in (span for span in children(data, moof.body, moof.end) if span.kind == b"traf"):
        boxes = by_kind(data, traf.body, traf.end)
        run = boxes[b"trun"].body
        durations = sum(u32(data, run + 12 + 16 * n) for n in range(u32(data, run + 4)))
        out.append((u64(data, boxes[b"tfdt"].body + 4), durations))
    return out


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


CASES = {
    "H.264": {},
    "B-frames and AAC": {"bframes": 2, "audio": encode_aac(2.0)},
    "a gap": {"second_at": 100, "audio": encode_aac(2.0)},
    "other parameters": {"size": (320, 192)},
    "G.711 left out": {"audio": encode_alaw(2.0), "audio_codec": Codec.ALAW},
}


@pytest.mark.parametrize("how", CASES.values(), ids=CASES)
def test_chromium_plays_fragments_through_mse(browser: Browser, request: pytest.FixtureRequest, how: dict[str, object]) -> None:
    made = plan(parts(**how), 33, 77 if "second_at" not in how else 127)  # type: ignore[arg-type]
    name = request.node.callspec.id.replace(" ", "-")
    urls, init = [], -1
    for number, item in enumerate(made.items):
        if item.init != init:
            init = item.init
            urls.append(browser.serve(f"{name}/init{init}", made.inits[init].data))
        urls.append(browser.serve(f"{name}/{number}", made.media(number).read()))

    answer = browser.run(segments=urls, mime=made.inits[0].mime, seeks=[0.02 + 0.04 * n for n in range(0, 75, 7)], rate=1)

    assert answer.get("error") is None
    assert len(answer["buffered"]) == 1
    assert answer["buffered"][0] == pytest.approx([0, 3], abs=0.03)
    assert answer["sought"] == [25 + n for n in range(0, 75, 7)]
    assert answer["played"][-1][0] == 99


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_ffmpeg_plays_the_playlist(tmp_path: Path, codec: Codec) -> None:
    made = plan(parts(codec=codec, bframes=2, audio=encode_aac(2.0)))
    for number in range(len(made.inits)):
        (tmp_path / f"init{number}.mp4").write_bytes(made.inits[number].data)
    for number in range(len(made.items)):
        (tmp_path / f"{number}.m4s").write_bytes(made.media(number).read())
    (tmp_path / "list.m3u8").write_text(media_playlist(made, "init{}.mp4".format, "{}.m4s".format))

    seen = by_ffmpeg(tmp_path / "list.m3u8")

    assert sorted(set(seen.numbers)) == seen.numbers
    assert seen.numbers[-1] == 99
    # EXT-X-START takes the player to the range that was asked for, inside the first GOP.
    assert seen.numbers[0] in (25, 33)


def test_times_go_on_without_a_hole_over_a_gap_and_sound_goes_with_them() -> None:
    made = plan(parts(second_at=100, bframes=2, audio=encode_aac(2.0)), 0, 150)

    expected = [0, 0]
    for number in range(len(made.items)):
        for track, (begin, duration) in enumerate(tfdt_and_duration(made.media(number).read())):
            assert begin == expected[track]
            expected[track] += duration
    assert expected[0] == 100 * 3600
    assert expected[1] / 48_000 == pytest.approx(4.0, abs=0.05)
    assert made.gaps == (Interval(at(50), at(100)),)


def test_each_media_segment_is_whole_gops_and_says_its_wall_clock() -> None:
    made = plan(parts(second_at=100), 33, 127)

    assert made.interval == Interval(at(25), at(150))
    assert [(item.first, item.last, item.start_us, item.breaks) for item in made.items] == [
        (0, 25, at(25), False),
        (25, 50, at(100), True),
        (50, 75, at(125), False),
    ]
    with pytest.raises(NotFound):
        made.media(3)


def test_a_media_segment_can_be_read_by_range() -> None:
    segment = plan(parts(audio=encode_aac(2.0))).media(1)
    whole = segment.read()

    assert len(whole) == segment.size
    for begin in range(0, segment.size, 97):
        assert segment.read(begin, min(301, segment.size - begin)) == whole[begin : begin + 301]
    with pytest.raises(UsageError):
        segment.read(1, segment.size)


def test_the_playlist_marks_gaps_and_other_parameters() -> None:
    made = plan(parts(second_at=100, size=(320, 192)), 33, 127)

    text = media_playlist(made, "init/{}".format, "media/{}".format)

    assert text.splitlines()[7:] == [
        '#EXT-X-MAP:URI="init/0"',
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-18T11:06:41.000Z",
        "#EXTINF:1.000000,",
        "media/0",
        "#EXT-X-DISCONTINUITY",
        '#EXT-X-MAP:URI="init/1"',
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-18T11:06:44.000Z",
        "#EXTINF:1.000000,",
        "media/1",
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-18T11:06:45.000Z",
        "#EXTINF:1.000000,",
        "media/2",
        "#EXT-X-ENDLIST",
    ]
    assert "#EXT-X-START:TIME-OFFSET=0.320000,PRECISE=YES" in text


def test_g711_is_left_out_and_said_so() -> None:
    made = plan(parts(audio=encode_alaw(2.0), audio_codec=Codec.ALAW))

    assert made.notes == ("alaw is left out of the fragments",)
    assert b"alaw" not in made.inits[0].data


def test_codec_strings_are_those_of_rfc_6381() -> None:
    video = [table.params for part in (*parts(), *parts(codec=Codec.H265)) if (table := part.table.video)]

    assert codec_string(video[0]) == f"avc1.{video[0].sets[0][1:4].hex().upper()}"
    assert codec_string(video[-1]).startswith("hvc1.1.6.L")
    first, _ = split(encode(frames=50, gop=25), [25])
    sound = record(first, audio=encode_aac(1.0)).table.tracks[1].params
    assert codec_string(sound) == "mp4a.40.2"
