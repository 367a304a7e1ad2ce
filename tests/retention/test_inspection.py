"""What an inspection finds of cameras and sites, and by which article."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from index.cameras import Camera
from index.rows import GapRow
from index.sites import Site
from ingest.reasons import Reason
from retention.completeness import completeness, day_start_us, local_days
from retention.inspect_words import REASONS, article, note, reason, text, title
from retention.inspection import (
    ALARMS,
    SWITCHED_OFF,
    Inspected,
    Keeping,
    Kind,
    Limits,
    Retained,
    Traces,
    alarm_finding,
    findings,
    length_text,
    percent_text,
    retained,
)
from vault.clockguard import CEILING_US, FIRST_US, FLOOR_US, Known, Signs, judge
from vault.ids import CameraNumber, camera_id
from vault.timebase import US, Interval

ZONE = ZoneInfo("Asia/Shanghai")
TODAY = date(2026, 11, 25)
HOUR_US = 3_600 * US
NOW_US = day_start_us(TODAY, ZONE) + 10 * HOUR_US
DAY_US = 24 * HOUR_US
CAMERA = Camera(CameraNumber(1), camera_id("gate"), "rtsp://127.0.0.1/1", None, "bank", "", "auto", True, 0)
SITE = Site(
    "bank", "key", 90, "finance", "Bank", "Bank of East", "Li", "0752", "Road 1", "D1", "2026-01-01", "T1", "2026-01-02", "A1",
    "2026-01-03", "gb28181",
)  # fmt: skip


def ago(days: int) -> int:
    """Noon so many days ago."""
    return NOW_US - days * DAY_US


@pytest.mark.parametrize(
    ("required", "configured", "seen", "keeping", "since_us"),
    [
        pytest.param(90, 90, Traces(ago(200), ago(90), (Interval(ago(200), ago(91)),)), Keeping.KEPT, None, id="as it should be"),
        pytest.param(90, 90, Traces(ago(90), ago(90)), Keeping.KEPT, None, id="the first day it is full"),
        pytest.param(90, 90, Traces(ago(20), ago(20)), Keeping.COLLECTING, ago(20), id="new"),
        pytest.param(90, 90, Traces(), Keeping.COLLECTING, None, id="not to record yet"),
        pytest.param(90, 90, Traces(ago(20), None), Keeping.COLLECTING, ago(20), id="new, and nothing came yet"),
        pytest.param(90, 90, Traces(ago(200), ago(50)), Keeping.BELOW, None, id="nothing was recorded before"),
        pytest.param(90, 90, Traces(ago(200), None), Keeping.BELOW, None, id="nothing is there"),
        pytest.param(
            90, 90, Traces(ago(200), ago(60), (Interval(ago(200), ago(60)),)), Keeping.DELETED_EARLY, None, id="deleted early"
        ),
        pytest.param(
            90, 90, Traces(ago(200), ago(95), (Interval(ago(60), ago(59)),)), Keeping.DELETED_EARLY, None,
            id="a hole deleted in the midst",
        ),
        pytest.param(
            90, 90, Traces(ago(200), ago(40), (Interval(ago(200), ago(40)),), ago(9)), Keeping.COLLECTING, ago(40),
            id="raised from 30 days nine days ago",
        ),
        pytest.param(
            90, 90, Traces(ago(200), ago(30), (Interval(ago(200), ago(30)),), ago(9)), Keeping.DELETED_EARLY, None,
            id="deleted after it was raised",
        ),
        pytest.param(
            120, 120, Traces(ago(200), ago(91), (Interval(ago(200), ago(91)),)), Keeping.COLLECTING, ago(91),
            id="the configuration asks for more than the law since lately",
        ),
        pytest.param(
            120, 120, Traces(ago(200), ago(80), (Interval(ago(200), ago(80)),)), Keeping.DELETED_EARLY, None,
            id="and less than the law's is there",
        ),
    ],
)  # fmt: skip
def test_days_kept_against_days_demanded(
    required: int, configured: int, seen: Traces, keeping: Keeping, since_us: int | None
) -> None:
    found = retained(CAMERA, "key", required, configured, seen, NOW_US, ZONE)
    assert (found.keeping, found.since_us) == (keeping, since_us)


def test_the_horizon_is_the_local_midnight() -> None:
    midnight_us = day_start_us(date(2026, 8, 27), ZONE)
    erased = (Interval(0, midnight_us),)
    seen = Traces(ago(200), midnight_us, erased)
    assert retained(CAMERA, "key", 90, 90, seen, NOW_US, ZONE) == Retained(90, 90, Keeping.KEPT)
    late = replace(seen, erased=(Interval(0, midnight_us + 1),))
    assert retained(CAMERA, "key", 90, 90, late, NOW_US, ZONE).keeping is Keeping.DELETED_EARLY


def test_a_removed_camera_owes_what_it_recorded_until_then() -> None:
    removed = replace(CAMERA, enabled=False, removed_us=ago(100))
    assert retained(removed, "key", 90, 90, Traces(ago(200), None), NOW_US, ZONE).keeping is Keeping.NOTHING_DUE
    lately = replace(removed, removed_us=ago(10))
    gone = Traces(ago(200), None, (Interval(ago(200), ago(10)),))
    assert retained(lately, "key", 90, 90, gone, NOW_US, ZONE).keeping is Keeping.DELETED_EARLY


KEPT = Retained(90, 90, Keeping.KEPT)
DAYS = local_days(Interval(ago(3) - 10 * HOUR_US, NOW_US), ZONE)
DUE = Interval(DAYS[0].interval.start_us, NOW_US)


def seen_with(*gaps: GapRow, **fields: object) -> Inspected:
    site = fields.get("site", SITE)
    assert site is None or isinstance(site, Site)
    whole = completeness(DAYS, DUE, gaps)
    return replace(Inspected(CAMERA, SITE, site.site_class if site else "key", KEPT, whole), **fields)  # type: ignore[arg-type]


def kinds(seen: list[Inspected], *sites: Site) -> list[tuple[Kind, str]]:
    return [(item.kind, item.camera or item.site) for item in findings(seen, sites or [SITE], Limits(), ZONE)]


OFF = GapRow(ago(1), ago(1) + 60 * US, SWITCHED_OFF)
HOURS = GapRow(ago(2), ago(2) + 3 * HOUR_US, "unreachable")
GENERAL = replace(SITE, id="shop", site_class="general", category="other", retain_days=30)
ROOM = replace(SITE, id="room", site_class="viewing", category="viewing-room", retain_days=92)
OTHER = replace(CAMERA, interconnect="other")


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(seen_with(), [], id="all is well"),
        pytest.param(seen_with(GapRow(ago(1), ago(1) + 60 * US, "crash")), [], id="a minute is missing"),
        pytest.param(seen_with(OFF), [Kind.SWITCHED_OFF], id="nobody may hinder the platform, for a minute neither"),
        pytest.param(seen_with(HOURS), [Kind.INCOMPLETE], id="three hours of three days"),
        pytest.param(seen_with(silent="nothing is recorded of gate"), [Kind.SILENT], id="silent now"),
        pytest.param(seen_with(overdue=(3, ago(5))), [Kind.OVERDUE], id="overdue"),
        pytest.param(seen_with(clock_offset_us=-3 * US), [], id="the clock at the limit"),
        pytest.param(seen_with(clock_offset_us=-3 * US - 1), [Kind.CLOCK], id="the clock behind"),
        pytest.param(seen_with(camera=OTHER), [Kind.INTERCONNECT], id="another interconnect"),
        pytest.param(seen_with(camera=replace(OTHER, approval_ref="A 7")), [], id="another interconnect, approved"),
        pytest.param(
            seen_with(retained=replace(KEPT, keeping=Keeping.BELOW), camera=OTHER, clock_offset_us=9 * US),
            [Kind.BELOW_DAYS, Kind.INTERCONNECT, Kind.CLOCK], id="the gravest first",
        ),
        pytest.param(seen_with(retained=replace(KEPT, keeping=Keeping.DELETED_EARLY)), [Kind.DELETED_EARLY], id="deleted early"),
        pytest.param(seen_with(retained=replace(KEPT, keeping=Keeping.COLLECTING)), [], id="collecting is no violation"),
    ],
)  # fmt: skip
def test_what_is_found_of_a_camera(seen: Inspected, expected: list[Kind]) -> None:
    assert kinds([seen]) == [(kind, "gate") for kind in expected]


def test_a_general_site_may_switch_off_and_a_viewing_room_may_not_miss_a_second() -> None:
    shop = seen_with(OFF, site=GENERAL, site_class="general", camera=replace(CAMERA, site="shop"))
    assert kinds([shop], GENERAL) == []
    gap = GapRow(ago(1), ago(1) + US, "crash")
    room = seen_with(gap, site=ROOM, site_class="viewing", camera=replace(CAMERA, site="room"))
    assert kinds([room], ROOM) == [(Kind.VIEWING_GAP, "gate")]


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        pytest.param(replace(SITE, interconnect="other"), [Kind.INTERCONNECT], id="another interconnect"),
        pytest.param(replace(SITE, interconnect="other", approval_ref="A 1"), [], id="another interconnect, approved"),
        pytest.param(replace(SITE, test_on=""), [Kind.APPROVALS], id="a reference without its date"),
        pytest.param(replace(SITE, unit="", phone=""), [Kind.UNIT], id="nobody answers for it"),
    ],
)
def test_what_is_found_of_a_site(site: Site, expected: list[Kind]) -> None:
    assert kinds([seen_with(site=site)], site) == [(kind, "bank") for kind in expected]


def test_a_site_where_nothing_records_is_found_and_the_unused_default_site_is_not() -> None:
    off = replace(CAMERA, enabled=False)
    assert kinds([seen_with(camera=off)]) == [(Kind.NO_CAMERA, "bank")]
    assert kinds([], ROOM, GENERAL) == [(Kind.NO_VIEWING_CAMERA, "room"), (Kind.NO_CAMERA, "shop")]
    assert kinds([], Site("default")) == []
    gone = seen_with(camera=replace(off, site="default", removed_us=ago(1)), site=Site("default"))
    assert kinds([gone], Site("default")) == []


def test_what_is_not_all_never_reads_a_hundred_percent() -> None:
    assert percent_text(30 * DAY_US - 1, 30 * DAY_US) == "99.99 %"
    assert percent_text(DAY_US, DAY_US) == "100.00 %"
    assert percent_text(57, 100) == "57.00 %"


def test_a_length_has_a_unit_that_leaves_something_to_see() -> None:
    lengths = (480_000, 90 * US, HOUR_US - US, HOUR_US, 30 * DAY_US)
    assert [length_text(us) for us in lengths] == ["0.48 s", "1.5 min", "60.0 min", "1.00 h", "720.00 h"]


def test_each_finding_has_an_article_and_words_in_both_languages() -> None:
    every = [
        *findings(
            [
                seen_with(HOURS, OFF, retained=replace(KEPT, keeping=Keeping.DELETED_EARLY), overdue=(1, ago(9)), silent="x", clock_offset_us=9 * US),
                seen_with(retained=replace(KEPT, keeping=Keeping.BELOW), camera=OTHER),
                seen_with(HOURS, site=ROOM, site_class="viewing"),
            ],
            [SITE, replace(ROOM, unit="", design_ref=""), GENERAL], Limits(), ZONE,
        ),
        *(alarm_finding(kind, "{so} it {0} is") for kind in ALARMS),
    ]  # fmt: skip
    assert {item.kind for item in every} == set(Kind)
    for item in every:
        for words in (title(item), text(item), article(item.article)):
            assert words.zh
            assert words.en
        assert article(item.article).zh.startswith(("惠阳规范第", "国务院令第799号第"))
    assert article("Huiyang Art. 14 (2)").zh == "惠阳规范第14条 (2)"
    assert article("Huiyang Art. 8, 10").zh == "惠阳规范第8、10条"


def test_what_makes_a_clock_doubtful_is_said_in_chinese_too() -> None:
    known, soon = Known(NOW_US, 5_000 * US, "boot-1"), Signs(NOW_US + US, 5_001 * US, "boot-1")
    doubtful = (
        (None, replace(soon, now_us=0)),
        (None, replace(soon, now_us=CEILING_US - 1)),
        (None, replace(soon, newest_us=soon.now_us + 9 * DAY_US)),
        (None, replace(soon, newest_us=FLOOR_US, now_us=FLOOR_US + FIRST_US - 1)),
        (None, replace(soon, disagreeing=1_000)),
        (known, replace(soon, kernel_us=NOW_US + DAY_US)),
        (known, replace(soon, now_us=soon.now_us + DAY_US)),
        (known, replace(soon, now_us=soon.now_us - DAY_US)),
        (known, replace(soon, boot="boot-2", now_us=NOW_US - 1)),
        (known, replace(soon, boot="boot-2", now_us=NOW_US + 900 * DAY_US)),
    )
    for before, signs in doubtful:
        why = judge(before, signs).why
        message = f"the clock is not believed: {why}; nothing is deleted until it agrees, or `streamvault clock confirm`"
        said = text(alarm_finding(Kind.CLOCK_UNCONFIRMED, message)).zh
        assert said.startswith("报警：系统时钟不可信：")
        assert why not in said


def test_every_reason_that_the_recorder_writes_has_its_chinese() -> None:
    assert set(REASONS) >= {str(item) for item in Reason}
    assert str(Reason.DISABLED) == SWITCHED_OFF
    assert reason("packets lost: 12").zh == "丢包: 12"
    assert reason("something new").zh == "something new"
    assert note("clock offsets of one day are missing: x").zh == "缺一天的时钟偏差：x"
    assert note("something new").zh == "something new"
