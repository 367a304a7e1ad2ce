"""The report as inspectors get it: table, JSON, CSV, and a page that Chromium shows and prints."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import streamvault
from index.alarms import Alarms
from index.cameras import NewCamera
from index.hours import HourFigures, Hours
from index.sites import Site
from tests.support.browser import shown
from tests.support.retaining import DAY_US, HOUR_US, open_kept
from vault.clock import SystemClock
from vault.ids import CameraNumber
from vault.timebase import Interval

HOSTILE = "<img src=x onerror=\"document.title='owned'\">=cmd|' /C calc'!A0"
FORMULA = "=HYPERLINK(1)"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cameras over the last days, by the host's clock; what people named is hostile."""
    folder, now_us = tmp_path_factory.mktemp("inspect") / "data", SystemClock().now_us()
    with open_kept(folder, now_us) as kept:
        node = kept.node
        node.sites.ensure_default()
        node.sites.add(Site("bank", "key", 90, "finance", HOSTILE, "惠阳支行", "李明", "0752-1", "x", interconnect="gb28181"))
        node.sites.add(Site("room", "viewing", 92, "viewing-room", "查看室"))
        node.cameras.add(NewCamera("gate", "rtsp://127.0.0.1/1", name=FORMULA))
        node.cameras.add(NewCamera("vault", "rtsp://127.0.0.1/2", site="bank", name=HOSTILE))
        node.cameras.add(NewCamera("new", "rtsp://127.0.0.1/3"))
        first_us = now_us - 3 * DAY_US
        for number in (1, 2):
            node.cameras.begin_recording(CameraNumber(number), first_us)
        node.cameras.begin_recording(CameraNumber(3), now_us - HOUR_US)
        kept.put([first_us + at * HOUR_US for at in range(72)], CameraNumber(1), duration_us=HOUR_US)
        kept.put([first_us + at * HOUR_US for at in range(30)], CameraNumber(2), site_class="key", duration_us=HOUR_US)
        node.catalog.open_gap(CameraNumber(2), first_us + 30 * HOUR_US, "unreachable")
        node.catalog.open_gap(CameraNumber(3), now_us - HOUR_US, "<b>odd</b>\u202e reason")
        Alarms(node.environment, kept.clock).begin("camera silent", "2", f"nothing is recorded of vault: \u202e{HOSTILE}")
        Hours(node.environment).add({(CameraNumber(1), now_us // HOUR_US - 2): HourFigures(1, 0, -4_500_000)})
        node.holds.place(
            by="李", case="2026-117", why="<script>x</script>", cameras=[CameraNumber(2)],
            interval=Interval(first_us, first_us + DAY_US),
        )  # fmt: skip
    return folder


def out(capsys: pytest.CaptureFixture[str], data: Path, *words: str) -> str:
    assert streamvault.run(["--data", str(data), "inspect", "report", *words]) == 0
    return capsys.readouterr().out


def test_the_table_has_findings_first_and_the_definition_last(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, data)
    assert text.index("camera silent") < text.index("Completeness  ") < text.index("Completeness = seconds recorded")
    assert "collecting since" in text
    assert "\u202e" not in text
    assert "Holds 1: 2026-117" in text
    chinese = out(capsys, data, "--lang", "zh")
    assert "惠阳规范第14条 (2)" in chinese
    assert "积累中" in chinese
    assert "vault 无录像：" in chinese
    assert "录像完整率 = 已录秒数" in chinese


def test_json_has_days_gaps_and_findings(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made: dict[str, Any] = json.loads(out(capsys, data, "--json"))
    cameras = {camera["id"]: camera for camera in made["cameras"]}
    assert cameras["gate"]["completeness"] == pytest.approx(1, abs=0.001)
    assert cameras["new"]["completeness"] is None
    assert cameras["new"]["collecting"]
    assert sum(day["seconds_due"] for day in cameras["vault"]["days"]) == pytest.approx(72 * 3600, abs=60)
    [gap] = cameras["vault"]["gaps"]
    assert (gap["reason"], gap["lasts"]) == ("unreachable", True)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", gap["from"])
    kinds = [(item["kind"], item["camera"] or item["site"]) for item in made["findings"]]
    assert {("camera silent", "vault"), ("incomplete", "vault"), ("viewing room without camera", "room")} <= set(kinds)
    assert ("below its days", "gate") not in kinds
    assert all(item["text"] and item["text_zh"] and item["article"] for item in made["findings"])
    assert "\u202e" not in json.dumps(made, ensure_ascii=False)
    only = json.loads(out(capsys, data, "--json", "--class", "key"))
    assert [camera["id"] for camera in only["cameras"]] == ["vault"]


@pytest.mark.parametrize("sheet", ["camera", "day", "gap"])
def test_csv_has_no_cell_that_is_a_formula(data: Path, sheet: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.csv"
    out(capsys, data, "--csv", str(path), "--csv-by", sheet)
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))
    assert {row["camera"] for row in rows} == ({"vault", "new"} if sheet == "gap" else {"gate", "vault", "new"})
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t"))]
    if sheet == "camera":
        assert rows[0]["name"] == f"'{FORMULA}"
        assert "无录像" in rows[1]["findings"]
        assert (rows[0]["clock_offset_seconds"], rows[0]["clock_is"]) == ("4.5", "behind")
    assert streamvault.run(["--data", str(data), "inspect", "report", "--csv", str(path)]) == 2
    assert "--force" in capsys.readouterr().err


class Page(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    ("language", "has", "has_not"),
    [("both", ("检查发现", "Findings"), ()), ("zh", ("检查发现",), ("Findings",)), ("en", ("Findings",), ("检查发现",))],
)
def test_the_page_is_self_contained_and_in_the_languages_asked_for(
    data: Path,
    tmp_path: Path,
    language: str,
    has: tuple[str, ...],
    has_not: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "r.html"
    out(capsys, data, "--html", str(path), "--lang", language)
    page = Page(path.read_text(encoding="utf-8"))
    assert not {"img", "script", "link", "iframe"} & set(page.tags)
    assert "<img src=x" in page.text
    assert "\u202e" not in page.text
    assert all(word in page.text for word in has)
    assert not [word for word in has_not if word in page.text]


def test_chromium_shows_hostile_names_as_text_and_prints_on_a4(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, printed = tmp_path / "r.html", tmp_path / "r.pdf"
    out(capsys, data, "--html", str(path))
    dom = shown(tmp_path / "profile", path, "--dump-dom").decode()
    page = Page(dom)
    assert not {"img", "script"} & set(page.tags)
    assert "owned" not in re.findall(r"<title>(.*?)</title>", dom)[0]
    assert page.tags.count("table") == 4
    shown(tmp_path / "profile", path, "--no-pdf-header-footer", f"--print-to-pdf={printed}")
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox \[([0-9. ]+)\]", printed.read_bytes())}
    assert [(round(width), round(height)) for _, _, width, height in boxes] == [(842, 595)]
