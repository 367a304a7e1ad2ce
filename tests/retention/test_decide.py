"""Plans as golden files, and what the rules say of each class."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from index.doom import Hold
from index.pins import Pin
from index.rows import Place, SegmentRow, State
from retention.decide import Fate, decide
from retention.policy import ARTICLES, rules_of
from tests.support.indexing import CAMERA, DAY_US, OTHER, T0, new_row
from vault.config import Retention
from vault.ids import CameraNumber
from vault.media import SegmentFlag
from vault.retain import min_until_us
from vault.timebase import US, Interval, format_us

FIXTURES = Path(__file__).parent / "fixtures"
RETENTION = Retention()
MINUTE_US = 60 * US


def row(camera: CameraNumber = CAMERA, minute: int = 0, site_class: str = "general", until_us: int | None = None) -> SegmentRow:
    new = new_row(camera, T0 + minute * MINUTE_US, site_class=site_class)
    days = RETENTION.days(site_class) if site_class in ARTICLES else 30
    until = min_until_us(new.end_us, new.end_us, days, RETENTION.zone) if until_us is None else until_us
    return SegmentRow(
        new.key, new.end_us, 1_000, new.blake3, 100, 1, site_class, until, SegmentFlag.NONE, Place.STORE, State.COMMITTED
    )


def plan_text(rows: list[SegmentRow], holds: list[Hold], pins: list[Pin], now_us: int) -> str:
    plan = decide(
        rows,
        rules_of(RETENTION),
        {hold.camera: [each for each in holds if each.camera == hold.camera] for hold in holds},
        {pin.camera: [each for each in pins if each.camera == pin.camera] for pin in pins},
        now_us,
    )
    lines = [f"plan at {format_us(plan.at_us)}"]
    lines += [
        f"{item.fate:<4} {item.row.key.object_key}  {item.row.site_class}  {item.reason}  [{item.article}]"
        for item in plan.items
    ]
    return "\n".join(lines) + "\n"


GENERAL_US = row().min_until_us
CASES = {
    "each-class-the-day-general-is-over": (
        [row(minute=at, site_class=name) for at, name in enumerate(("general", "key", "viewing"))], [], [], GENERAL_US,
    ),
    "one-microsecond-before-the-minimum": ([row()], [], [], GENERAL_US - 1),
    "after-ninety-two-days-every-class": (
        [row(minute=at, site_class=name) for at, name in enumerate(("general", "key", "viewing"))], [], [], T0 + 94 * DAY_US,
    ),
    "a-hold-over-the-middle-of-a-camera": (
        [row(minute=at) for at in range(4)] + [row(OTHER, 1)],
        [Hold("7", CAMERA, Interval(T0 + MINUTE_US, T0 + 2 * MINUTE_US + 1))], [], GENERAL_US,
    ),
    "a-hold-that-is-over-and-one-that-ends-now": (
        [row(), row(OTHER)],
        [Hold("8", CAMERA, Interval(T0, T0 + MINUTE_US), GENERAL_US - 1), Hold("9", OTHER, Interval(T0, T0 + 1), GENERAL_US)],
        [], GENERAL_US,
    ),
    "a-running-export": (
        [row(), row(minute=1)], [], [Pin("p", CAMERA, Interval(T0, T0 + MINUTE_US), "export (process 7)", 0, 1)], GENERAL_US,
    ),
    "an-unknown-minimum-and-an-unknown-class": (
        [row(until_us=0), row(minute=1, site_class="vip", until_us=1)], [], [], T0 + 4_000 * DAY_US,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_plan_is_the_golden_one(name: str) -> None:
    rows, holds, pins, now_us = CASES[name]
    path = FIXTURES / f"{name}.txt"
    text = plan_text(rows, holds, pins, now_us)
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_every_golden_file_is_of_a_case() -> None:
    assert {path.stem for path in FIXTURES.glob("*.txt")} == set(CASES)


def test_the_plan_keeps_the_order_and_every_segment() -> None:
    rows = [row(minute=at) for at in (3, 1, 2)]
    plan = decide(rows, rules_of(RETENTION), {}, {}, GENERAL_US)
    assert [item.row for item in plan.items] == rows
    assert {item.fate for item in plan.items} == {Fate.GO}


def test_the_rules_are_those_of_the_configuration_and_each_names_its_article() -> None:
    rules = rules_of(Retention(key_days=120))
    assert {name: rule.days for name, rule in rules.items()} == {"key": 120, "general": 30, "viewing": 92}
    assert "Art. 14" in rules["viewing"].article
    assert json.dumps(rules["key"].article, ensure_ascii=False).count("重点场所") == 1
