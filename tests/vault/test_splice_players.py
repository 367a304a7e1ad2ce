"""The same clips in players that nobody here wrote: Chromium, GStreamer and VLC, each of which breaks on something else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.browser import Browser, chromium
from tests.support.numbered import FRAME_US, encode, record, split
from tests.support.players import by_gstreamer, by_vlc
from tests.support.segments import START_US
from tests.support.streams import encode_aac, encode_alaw
from vault.media import Codec
from vault.splice.part import Gaps, Part
from vault.splice.plan import plan_clip
from vault.timebase import Interval


@dataclass(frozen=True, slots=True)
class Case:
    """A clip and what has to be seen: the numbers, and from which second each stands."""

    parts: list[Part]
    cut: tuple[int, int]
    numbers: list[int]
    gaps: Gaps = Gaps.KEEP
    gap_s: float = 0.0
    gap_after: int = 10_000

    def data(self) -> bytes:
        clip = plan_clip(self.parts, Interval(at(self.cut[0]), at(self.cut[1])), self.gaps)
        return clip.read(0, clip.size)

    @property
    def times(self) -> list[float]:
        first = self.numbers[0]
        return [(n - first) * 0.04 + (self.gap_s if n > self.gap_after else 0.0) for n in self.numbers]


def at(frame: int) -> int:
    return START_US + frame * FRAME_US


def parts(second_at: int = 50, **how: object) -> list[Part]:
    """Pictures 0 to 49 and 50 to 99 in two segments, the second from frame time `second_at` on."""
    sound = {name: how.pop(name) for name in ("audio", "audio_codec") if name in how}
    first, second = split(encode(frames=100, gop=25, **how), [50])  # type: ignore[arg-type]
    return [record(first, **sound), record(second, start_us=at(second_at), sequence=1, **sound)]  # type: ignore[arg-type]


def changing(repeated: bool) -> list[Part]:
    small = encode(frames=50, gop=25, repeat_sets=repeated)
    large = encode(first=50, frames=50, gop=25, size=(320, 192), repeat_sets=repeated)
    return [record(small), record(large, start_us=at(50), sequence=1)]


def _cases() -> dict[str, Case]:
    aac, alaw = {"audio": encode_aac(2.0)}, {"audio": encode_alaw(2.0), "audio_codec": Codec.ALAW}
    over_gap = [*range(33, 70)]
    return {
        "before a key frame": Case(parts(), (24, 60), [*range(24, 60)]),
        "on a key frame": Case(parts(), (25, 60), [*range(25, 60)]),
        "after a key frame, over a segment border": Case(parts(), (33, 77), [*range(33, 77)]),
        "B-frames": Case(parts(bframes=2), (33, 77), [*range(33, 77)]),
        "B-frames, one picture": Case(parts(bframes=3), (11, 12), [11]),
        "gap kept": Case(parts(75), (33, 95), over_gap, gap_s=1.0, gap_after=49),
        "gap squeezed": Case(parts(75), (33, 95), over_gap, Gaps.SQUEEZE),
        "gap kept, AAC": Case(parts(75, **aac), (33, 95), over_gap, gap_s=1.0, gap_after=49),
        "parameters change, sets in band": Case(changing(True), (33, 77), [*range(33, 77)]),
        "parameters change, sets inserted": Case(changing(False), (33, 77), [*range(33, 77)]),
        "AAC": Case(parts(bframes=2, **aac), (33, 77), [*range(33, 77)]),
        "G.711": Case(parts(**alaw), (33, 77), [*range(33, 77)]),
    }


NAMES = [
    "before a key frame",
    "on a key frame",
    "after a key frame, over a segment border",
    "B-frames",
    "B-frames, one picture",
    "gap kept",
    "gap squeezed",
    "gap kept, AAC",
    "parameters change, sets in band",
    "parameters change, sets inserted",
    "AAC",
    "G.711",
]


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return _cases()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.mark.parametrize("name", NAMES)
def test_chromium_shows_each_picture_of_a_clip_at_its_time(browser: Browser, cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    url = browser.serve(f"{NAMES.index(name)}.mp4", case.data())

    # A seek into the middle of each third picture, and into the last one.
    chosen = sorted({*range(0, len(case.numbers), 3), len(case.numbers) - 1})
    answer = browser.run(url=url, seeks=[case.times[n] + 0.02 for n in chosen])

    assert answer.get("error") is None
    assert answer["sought"] == [case.numbers[n] for n in chosen]
    assert answer["duration"] == pytest.approx(case.times[-1] + 0.04, abs=0.025)


@pytest.mark.parametrize(
    "name", ["after a key frame, over a segment border", "B-frames", "parameters change, sets inserted", "G.711"]
)
def test_chromium_plays_a_clip_from_its_first_picture_to_its_last(browser: Browser, cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    url = browser.serve(f"play{NAMES.index(name)}.mp4", case.data())

    answer = browser.run(url=url, rate=0.5)

    assert answer.get("error") is None
    numbers = [number for number, _ in answer["played"]]
    # A busy machine may skip a picture; it never shows one of another time, nor one out of order.
    assert numbers == sorted(numbers)
    assert set(numbers) <= set(case.numbers)
    assert len(set(numbers)) >= 0.7 * len(case.numbers)
    assert numbers[-1] == case.numbers[-1]
    shown_at = dict(zip(case.numbers, case.times, strict=True))
    assert all(abs(time - shown_at[number]) < 0.001 for number, time in answer["played"])


def test_chromium_hears_the_sound_of_a_clip(browser: Browser, cases: dict[str, Case]) -> None:
    for name in ("AAC", "gap kept, AAC"):
        answer = browser.run(url=browser.serve(f"heard{NAMES.index(name)}.mp4", cases[name].data()), rate=1)
        assert answer.get("error") is None
        assert answer["audio_bytes"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_gstreamer_shows_exactly_the_pictures_of_a_clip(tmp_path: Path, cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    (tmp_path / "clip.mp4").write_bytes(case.data())

    seen = by_gstreamer(tmp_path / "clip.mp4")

    assert seen.numbers == case.numbers
    assert seen.times == pytest.approx(case.times, abs=0.001)


@pytest.mark.parametrize("name", ["after a key frame, over a segment border", "gap squeezed", "AAC", "G.711"])
def test_vlc_shows_every_picture_of_a_clip(tmp_path: Path, cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    (tmp_path / "clip.mp4").write_bytes(case.data())

    seen = by_vlc(tmp_path / "clip.mp4")

    # VLC hands its filter the pre-roll too, each picture for a tick; with B-frames a reference from after the end at last.
    numbers = [number for number in seen.numbers if number >= case.numbers[0]]
    assert numbers == sorted(numbers)
    first = case.cut[0] - case.cut[0] % 25
    assert set(seen.numbers) <= set(range(first, case.numbers[0])) | set(case.numbers) | {case.numbers[-1] + 2}
    # It drops pictures when the machine is busy, and says nothing.
    assert len(set(numbers)) >= 0.7 * len(case.numbers)
