"""The report in a package: everything that it must say, words from outside as words, the same bytes each time, A4 pages."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from access.export.taking import OUTSIDE
from access.package.custody import Custody, Source
from access.package.report import Thumbnail, page
from access.package.report_words import note
from tests.support.packages import SAID, custody_of
from tests.support.tools import need
from vault.errors import UsageError
from vault.timebase import format_local

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e{{ 7*7 }}"
JPEG = b"\xff\xd8\xff\xe0" + bytes(100)


class Seen(HTMLParser):
    """Elements and words of a page, as a browser takes them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def seen(custody: Custody, *thumbnails: Thumbnail) -> Seen:
    return Seen(page(custody, thumbnails).decode())


def test_it_says_who_took_what_why_what_is_missing_and_which_hashes() -> None:
    words = seen(custody_of()).words
    for expected in (
        "x9901", "second officer", "s-9902", "一号单位", "侦查办案", "a stolen bicycle", "case 9901", "first station", "grant 3",
        "gate-7", "东门", "2026-05-28 20:26:40.000+00:00", "connection lost", "4.00 s", "ab" * 32, "cd" * 32, "+0.12 s",
    ):  # fmt: skip
        assert expected in words


def test_hostile_words_stay_words() -> None:
    said = replace(SAID, why=HOSTILE, case=HOSTILE, destination=HOSTILE, taker=HOSTILE, staff_number=HOSTILE)
    camera = replace(custody_of().cameras[0], name=HOSTILE, site_name=HOSTILE, notes=(HOSTILE,))
    custody = custody_of(said=said, unit_name=HOSTILE, actor=HOSTILE, notes=(HOSTILE,), cameras=(camera,), authority=(HOSTILE,))
    found = seen(custody, Thumbnail(7, 1, JPEG))
    assert not [tag for tag, _ in found.elements if tag in ("script", "a", "iframe", "object", "link")]
    images = [attributes for tag, attributes in found.elements if tag == "img"]
    assert [attributes["src"] for attributes in images] == [Thumbnail(7, 1, JPEG).link]
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    assert found.words.count("{{ 7*7 }}") >= 10


def test_the_same_custody_gives_the_same_bytes() -> None:
    pictures = [Thumbnail(7, 5, JPEG), Thumbnail(7, 1, JPEG)]
    assert page(custody_of(), pictures) == page(custody_of(), pictures[::-1])


def test_of_many_source_segments_the_damaged_ones_are_shown() -> None:
    camera = custody_of().cameras[0]
    many = tuple(Source(f"segments/{number:05d}", 1, "ab" * 32, "cd" * 32, number == 4_000) for number in range(5_000))
    words = seen(custody_of(cameras=(replace(camera, sources=many),))).words
    assert "segments/04000" in words
    assert "segments/03000" not in words
    assert "4880" in words


@pytest.mark.parametrize("jpeg", [b"", b"<svg onload=alert(1)>", b"\xff\xd8\xff" + bytes(300_000)])
def test_a_picture_that_is_no_small_jpeg_is_refused(jpeg: bytes) -> None:
    with pytest.raises(UsageError):
        Thumbnail(7, 1, jpeg)


def test_a_time_zone_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError):
        page(custody_of(zone="../../etc/passwd"), ())


def test_it_prints_on_a4(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_bytes(page(custody_of(), ()))
    subprocess.run(
        [need("chromium"), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'report.pdf'}", (tmp_path / "report.html").as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    boxes = re.findall(rb"/MediaBox \[0 0 ([0-9.]+) ([0-9.]+)\]", (tmp_path / "report.pdf").read_bytes())
    assert 1 <= len(boxes) <= 3
    assert all(abs(float(wide) - 595.3) < 2 and abs(float(high) - 841.9) < 2 for wide, high in boxes)


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (f"begins at {format_local(0, exact=True)}: the pictures that an earlier start needs lie {OUTSIDE}", "自 1970-01-01 08:00:00.000+08:00 起：更早的起点所需画面不在授权范围内"),
        ("the audio changes within the clip: 2 audio tracks (pcma, aac), of which players play the first", "片段内音频格式有变化：共 2 条音轨（pcma, aac），播放器只播放第一条"),
        ("a remark of another version", "a remark of another version"),
        ("begins at " * 200, "begins at " * 200),
    ],
)  # fmt: skip
def test_remarks_stand_there_in_both_languages_and_a_strange_one_as_it_is(english: str, chinese: str) -> None:
    assert (note(english).zh, note(english).en) == (chinese, english)
