"""Figures of hours, as Parquet in the store; what a planner reads from them, with our commands and with other people's tools."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

import streamvault
from index.cameras import NewCamera
from index.hours import HourFigures, Hours
from index.sites import Site
from retention.chart import usage_chart
from retention.forecast import ClassLoad, State, steps_ahead
from retention.hourly import hours_of
from retention.planner import report, state, usage
from retention.steps_shown import show_steps, steps_json
from retention.tally import Tally, usage_columns
from tests.support.retaining import DAY_US, HOUR_US, MINUTE_US, Kept, open_kept
from vault.errors import Damaged, NotFound
from vault.ids import CameraNumber
from vault.timebase import US, Interval

ROOT = Path(__file__).resolve().parents[2]
DAY = 20_000
START_US = DAY * DAY_US
"""A midnight of UTC."""


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """Two cameras, one of them at a site of class key."""
    with open_kept(tmp_path / "data", START_US) as opened:
        node = opened.node
        node.sites.ensure_default()
        node.sites.add(Site("bank", "key", 90))
        node.cameras.add(NewCamera("gate", "rtsp://127.0.0.1/1"))
        node.cameras.add(NewCamera("vault", "rtsp://127.0.0.1/2", site="bank"))
        for number in (1, 2):
            node.cameras.begin_recording(CameraNumber(number), START_US)
        yield opened


def record(kept: Kept, camera: int, first_us: int, minutes: int) -> None:
    kept.put([first_us + at * MINUTE_US for at in range(minutes)], CameraNumber(camera))


def test_an_hour_tells_seconds_bytes_and_why_seconds_are_missing(kept: Kept) -> None:
    number = CameraNumber(1)
    record(kept, 1, START_US, 30)
    kept.node.catalog.open_gap(number, START_US + 30 * MINUTE_US, "unreachable")
    record(kept, 1, START_US + 70 * MINUTE_US, 50)
    Hours(kept.node.environment).add({(number, DAY * 24): HourFigures(45_000, 3, -250_000)})
    Hours(kept.node.environment).add({(number, DAY * 24): HourFigures(5, 1, None)})
    kept.clock.advance(2 * HOUR_US)
    first, second = hours_of(kept.node, kept.node.cameras.get("gate"), "general", Interval(START_US, START_US + 2 * HOUR_US))
    assert (first.recorded_us, first.missing_us) == (30 * MINUTE_US, {"unreachable": 30 * MINUTE_US})
    assert (second.recorded_us, second.missing_us) == (50 * MINUTE_US, {"unreachable": 10 * MINUTE_US})
    assert (first.frames, first.lost_packets, first.clock_offset_us) == (45_005, 4, -250_000)
    assert (second.frames, second.lost_packets) == (None, None)
    assert first.size_bytes + second.size_bytes == kept.node.catalog.usage(number).size_bytes


def test_a_segment_over_the_hour_gives_each_its_share(kept: Kept) -> None:
    kept.put([START_US + HOUR_US - 15 * US], CameraNumber(1))
    size_bytes = kept.node.catalog.usage(CameraNumber(1)).size_bytes
    camera = kept.node.cameras.get("gate")
    first, second = hours_of(kept.node, camera, "general", Interval(START_US, START_US + 2 * HOUR_US))
    assert (first.recorded_us, second.recorded_us) == (15 * US, 45 * US)
    assert first.size_bytes == round(size_bytes / 4)
    assert first.size_bytes + second.size_bytes == size_bytes


def test_a_day_is_written_once_when_it_is_over_and_days_that_were_missed_are_made_up_for(kept: Kept) -> None:
    record(kept, 1, START_US, 60)
    tally = Tally(kept.node)
    assert tally.run_once() == 0
    kept.clock.advance(DAY_US + HOUR_US)
    assert tally.run_once() == 0
    kept.clock.advance(HOUR_US)
    assert tally.run_once() == 1
    assert Tally(kept.node).run_once() == 0
    kept.clock.advance(3 * DAY_US)
    assert tally.run_once() == 3
    keys = sorted(item.key for item in kept.node.store.list("capacity/"))
    days = [date(2024, 10, 4).isoformat(), *(f"2024-10-0{number}" for number in (5, 6, 7))]
    assert keys == [f"capacity/{kind}/day={day}/part-0001.parquet" for kind in ("hourly", "usage") for day in days]


def test_a_report_sums_the_store_and_today_from_the_index(kept: Kept) -> None:
    record(kept, 1, START_US, 60)
    record(kept, 2, START_US, 120)
    kept.clock.advance(DAY_US + 2 * HOUR_US)
    Tally(kept.node).run_once()
    record(kept, 1, START_US + DAY_US, 30)
    rows = report(kept.node, date(2024, 10, 4), date(2024, 10, 6), ["site_class", "site"])
    assert [(row["site_class"], row["site"], row["seconds_recorded"], row["cameras"]) for row in rows] == [
        ("general", "default", 90 * 60, 1),
        ("key", "bank", 120 * 60, 1),
    ]
    by_day = report(kept.node, date(2024, 10, 4), date(2024, 10, 6), ["day"])
    assert [(row["day"], row["seconds_recorded"]) for row in by_day] == [
        (date(2024, 10, 4), 180 * 60),
        (date(2024, 10, 5), 30 * 60),
    ]


def test_what_is_no_parquet_is_named_and_stops_the_report(kept: Kept) -> None:
    kept.node.store.put_bytes("capacity/hourly/day=2024-10-04/part-0001.parquet", b"no parquet at all")
    with pytest.raises(Damaged, match=r"day=2024-10-04/part-0001\.parquet"):
        report(kept.node, date(2024, 10, 4), date(2024, 10, 6), ["site"])


def test_a_forecast_begins_with_what_came_in_and_needs_a_whole_hour(kept: Kept) -> None:
    kept.clock.advance(HOUR_US // 2)
    with pytest.raises(NotFound, match="whole hour"):
        state(kept.node)
    record(kept, 2, START_US, 120)
    kept.clock.advance(2 * HOUR_US)
    found, assumed = state(kept.node)
    [general, key] = found.loads
    stored = kept.node.catalog.usage(CameraNumber(2)).size_bytes
    assert (general.cameras, general.bytes_a_day, general.days) == (1, 0.0, 30)
    assert (key.cameras, key.days) == (1, 90)
    assert key.bytes_a_day == pytest.approx(stored * 12)
    assert found.stored_bytes == stored
    assert sum(found.leaving.values()) == stored
    assert found.capacity_bytes is not None
    assert found.capacity_bytes > stored
    assert assumed.rate_to_us - assumed.rate_from_us == 2 * HOUR_US


def test_usage_is_told_by_site(kept: Kept) -> None:
    record(kept, 2, START_US, 2)
    columns = usage_columns(kept.node, DAY)
    assert (columns["site"], columns["site_class"]) == (["bank", "default"], ["key", "general"])
    assert (columns["segments"], columns["seconds"]) == ([2, 0], [120.0, 0.0])


def test_what_was_kept_by_class_is_drawn_day_by_day(kept: Kept) -> None:
    record(kept, 1, START_US, 60)
    kept.clock.advance(DAY_US + 2 * HOUR_US)
    Tally(kept.node).run_once()
    record(kept, 2, START_US + DAY_US, 30)
    general, key = (kept.node.catalog.usage(CameraNumber(number)).size_bytes for number in (1, 2))
    days = [date(2024, 10, 4), date(2024, 10, 5)]
    found = usage(kept.node, days[0], date(2024, 10, 6))
    assert found == {"general": [(days[0], general), (days[1], general)], "key": [(days[0], 0), (days[1], key)]}
    assert usage_chart(found, "svg").startswith(b"<?xml")
    assert usage_chart({name: one[1:] for name, one in found.items()}, "png").startswith(b"\x89PNG")
    assert usage_chart(usage(kept.node, date(2020, 1, 1), date(2020, 1, 2)), "svg").startswith(b"<?xml")


@pytest.fixture
def written(kept: Kept) -> Path:
    """The store's folder with a day of figures in it."""
    record(kept, 1, START_US, 600)
    record(kept, 2, START_US, 1_440)
    kept.node.catalog.open_gap(CameraNumber(1), START_US + 600 * MINUTE_US, "unreachable")
    kept.clock.advance(DAY_US + 2 * HOUR_US)
    Tally(kept.node).run_once()
    return kept.node.folder.store(kept.node.config)


def test_pandas_reads_the_figures_as_they_stand(written: Path) -> None:
    frame = pd.read_parquet(written / "capacity/hourly")
    assert len(frame) == 48
    missing = frame.groupby("camera_id", observed=True)["seconds_missing"].sum()
    assert missing.to_dict() == {"gate": 14 * 3600.0, "vault": 0.0}
    assert str(frame["hour"].dtype) == "datetime64[us, UTC]"


def test_the_query_in_the_readme_works_in_duckdb(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text()
    found = re.search(r"```sql\n(.*?)```", text, re.DOTALL)
    assert found is not None, "the README shows planners a query"
    monkeypatch.chdir(written)
    rows = duckdb.sql(found[1]).fetchall()
    assert [row[:2] for row in rows] == [("gate", 10.0), ("vault", 24.0)]


# The commands, as a planner calls them.


def out(capsys: pytest.CaptureFixture[str], data: Path, *words: str) -> str:
    assert streamvault.run(["--data", str(data), *words]) == 0
    return capsys.readouterr().out


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder that has recorded for some hours until now, by the host's clock."""
    from vault.clock import SystemClock

    now_us = SystemClock().now_us()
    with open_kept(tmp_path / "shown", now_us) as opened:
        opened.node.sites.ensure_default()
        opened.node.cameras.add(NewCamera("gate", "rtsp://127.0.0.1/1"))
        first_us = now_us - 5 * HOUR_US
        opened.node.cameras.begin_recording(CameraNumber(1), first_us)
        record(opened, 1, first_us, 299)
    return tmp_path / "shown"


def test_the_report_comes_as_table_json_csv_and_parquet(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = out(capsys, data, "capacity", "report")
    assert "general" in table
    assert "completeness" in table
    whole: dict[str, Any] = json.loads(
        out(
            capsys,
            data,
            "capacity",
            "report",
            "--json",
            "--csv",
            str(tmp_path / "r.csv"),
            "--parquet",
            str(tmp_path / "r.parquet"),
            "--chart",
            str(tmp_path / "kept.svg"),
        )
    )
    [row] = whole["rows"]
    assert (row["site"], row["cameras"]) == ("default", 1)
    # Seconds of an hour that a segment is cut by are no whole numbers.
    assert row["seconds_recorded"] == pytest.approx(299 * 60)
    assert 0.9 < row["completeness"] <= 1
    assert (tmp_path / "kept.svg").read_bytes().startswith(b"<?xml")
    assert pd.read_csv(tmp_path / "r.csv")["seconds_recorded"].tolist() == pytest.approx([299 * 60])
    assert pd.read_parquet(tmp_path / "r.parquet")["seconds_recorded"].sum() == pytest.approx(299 * 60)


def test_the_forecast_answers_what_if_and_says_what_it_assumes(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chart = tmp_path / "stored.svg"
    text = out(capsys, data, "capacity", "forecast", "--add", "500@key:4M", "--store", "200T", "--chart", str(chart))
    assert "assumed: intake as from" in text
    assert "what if: 500@key:4M more" in text
    # 500 cameras × 4 Mbit/s × 91 days.
    assert "1.97 PB" in text or "1,965" in text or "1965" in text
    assert chart.read_bytes().startswith(b"<?xml")
    whole = json.loads(out(capsys, data, "capacity", "forecast", "--add", "500@key:4M", "--store", "200T", "--json"))
    key = next(load for load in whole["classes"] if load["site_class"] == "key")
    assert key["bytes_a_day"] == 500 * 4e6 / 8 * 86_400
    assert whole["shortfall_bytes"] == pytest.approx(whole["need_bytes"] - 200e12)
    assert whole["full_on"] is not None
    assert [(step["step"], step["site_class"]) for step in whole["steps"]] == [
        ("retention run at once", None), ("alarm", None), ("no grace", None), ("stop recording", "general"),
        ("stop recording", "key"), ("full", None),
    ]  # fmt: skip
    moments = [step["at"] for step in whole["steps"]]
    assert moments == sorted(moments)
    # `full_on` counts whole days from today on, and ends a day at the most before the step's moment.
    assert date.fromisoformat(moments[-1][:10]) - date.fromisoformat(whole["full_on"]) in (timedelta(0), timedelta(1))
    assert "class general is recorded no more" in text
    assert re.search(r"alarm `store filling` \(below 10 %\) +20\d\d-", text)


def test_a_bucket_of_unknown_size_has_no_forecast(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = State((ClassLoad("general", 1, 1e9, 30),), 0, {}, None)
    assert [step["known"] for step in steps_json(found, steps_ahead(found, START_US, 30))] == [False] * 5
    show_steps(found, None, 30)
    assert capsys.readouterr().out.count("unknown") == 5


@pytest.mark.parametrize(
    "words",
    [
        ["--add", "many@key:4M"], ["--add", "5@attic:4M"], ["--store", "a lot"], ["--chart", "x.gif"],
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(data: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert streamvault.run(["--data", str(data), "capacity", "forecast", *words]) == 2
    assert "streamvault: " in capsys.readouterr().err


def test_a_what_if_is_looked_at_before_anything_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, option in [(["--add", "xx"], "--add"), (["--store", "+much"], "--store")]:
        assert streamvault.run(["--data", str(tmp_path / "nowhere"), "capacity", "forecast", *words]) == 2
        assert option in capsys.readouterr().err
