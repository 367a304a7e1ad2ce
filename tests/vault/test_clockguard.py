"""When a clock is believed: each rule by its boundary, and what no rule lets pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vault.clockguard import (
    BY_PERSON,
    CAMERA_US,
    CEILING_US,
    DRIFT_MOST_US,
    FIRST_US,
    FLOOR_US,
    LATE_US,
    MIN_CAMERAS,
    REBOOT_US,
    STEP_US,
    Known,
    Ntp,
    Signs,
    judge,
)  # fmt: skip
from vault.timebase import US

NOW_US = 1_795_305_600_000_000
DAY_US = 86_400 * US
KNOWN = Known(NOW_US, 5_000 * US, "boot-1")
SOON = Signs(NOW_US + 60 * US, 5_060 * US, "boot-1")


def stepped(days: int, **more: object) -> Signs:
    return replace(SOON, now_us=SOON.now_us + days * DAY_US, **more)


@pytest.mark.parametrize(
    ("known", "signs", "confirmed"),
    [
        (None, SOON, True),
        (None, replace(SOON, now_us=0), False),
        (None, replace(SOON, now_us=FLOOR_US - 1), False),
        (None, replace(SOON, now_us=FLOOR_US), True),
        (None, replace(SOON, now_us=CEILING_US), False),
        (None, replace(SOON, now_us=FLOOR_US + FIRST_US - 1), True),
        (None, replace(SOON, now_us=FLOOR_US + FIRST_US), False),
        (None, replace(SOON, now_us=FLOOR_US + FIRST_US, ntp=Ntp.SYNCHRONISED), True),
        (None, replace(SOON, now_us=FLOOR_US + FIRST_US, agreeing=MIN_CAMERAS), True),
        (None, replace(SOON, disagreeing=MIN_CAMERAS), False),
        (None, replace(SOON, newest_us=SOON.now_us + CAMERA_US), True),
        (None, replace(SOON, newest_us=SOON.now_us + CAMERA_US + 1), False),
        (None, replace(SOON, newest_us=FLOOR_US, now_us=FLOOR_US + LATE_US), True),
        (None, replace(SOON, newest_us=FLOOR_US, now_us=FLOOR_US + LATE_US + 1), False),
        (None, replace(SOON, newest_us=FLOOR_US, now_us=FLOOR_US + 2 * LATE_US, ntp=Ntp.SYNCHRONISED), True),
        # Footage of a time that cannot be was recorded by a dead clock, and says nothing.
        (None, replace(SOON, newest_us=FLOOR_US - 1), True),
        (None, replace(SOON, newest_us=CEILING_US), True),
        # Once a time is known, it and not the footage counts.
        (KNOWN, replace(SOON, newest_us=SOON.now_us + 9 * DAY_US), True),
        (None, replace(SOON, now_us=4_070_908_800 * US), False),
        (KNOWN, SOON, True),
        (KNOWN, replace(SOON, now_us=SOON.now_us + STEP_US + 30_000), True),
        (KNOWN, replace(SOON, now_us=SOON.now_us + STEP_US + 30_001), False),
        (KNOWN, replace(SOON, now_us=SOON.now_us - STEP_US - 30_001), False),
        (KNOWN, stepped(400), False),
        (KNOWN, stepped(-20), False),
        (KNOWN, stepped(400, ntp=Ntp.SYNCHRONISED), True),
        (KNOWN, stepped(400, ntp=Ntp.SYNCHRONISED, kernel_us=NOW_US), False),
        (KNOWN, stepped(400, ntp=Ntp.NOT), False),
        (KNOWN, stepped(400, agreeing=MIN_CAMERAS), True),
        (KNOWN, stepped(400, agreeing=MIN_CAMERAS - 1), False),
        (KNOWN, replace(SOON, disagreeing=MIN_CAMERAS, agreeing=MIN_CAMERAS - 1), False),
        (KNOWN, replace(SOON, disagreeing=MIN_CAMERAS, agreeing=MIN_CAMERAS), True),
        (KNOWN, replace(SOON, boot="boot-2", mono_us=1), True),
        (KNOWN, replace(SOON, boot="boot-2", mono_us=1, now_us=NOW_US + REBOOT_US), True),
        (KNOWN, replace(SOON, boot="boot-2", mono_us=1, now_us=NOW_US + REBOOT_US + 1), False),
        (KNOWN, replace(SOON, boot="boot-2", mono_us=1, now_us=NOW_US - 1), False),
        (KNOWN, replace(SOON, boot="boot-2", mono_us=1, now_us=NOW_US + 300 * DAY_US, ntp=Ntp.SYNCHRONISED), True),
        (KNOWN, replace(SOON, mono_us=KNOWN.mono_us - 10, now_us=NOW_US - 10), True),
        (replace(KNOWN, boot=""), replace(SOON, boot="", mono_us=7, now_us=NOW_US - 1), False),
        (replace(KNOWN, by_person=True), replace(SOON, disagreeing=9), True),
        (replace(KNOWN, by_person=True), stepped(400), False),
    ],
)
def test_a_clock_is_believed_by_the_rules(known: Known | None, signs: Signs, confirmed: bool) -> None:
    assert judge(known, signs).confirmed is confirmed


def test_a_verdict_says_why() -> None:
    assert "set on by 34560000 s" in judge(KNOWN, stepped(400)).why
    assert "set back by" in judge(KNOWN, stepped(-20)).why
    assert judge(KNOWN, replace(SOON, now_us=0)).why.startswith("it says 1970-01-01")
    assert judge(replace(KNOWN, by_person=True), SOON).why == BY_PERSON


@pytest.mark.parametrize(
    ("off_us", "confirmed"), [(0, True), (STEP_US + DRIFT_MOST_US, True), (STEP_US + DRIFT_MOST_US + 1, False)]
)
def test_a_clock_that_was_set_is_not_believed_because_months_went_by(off_us: int, confirmed: bool) -> None:
    later_us = 300 * DAY_US
    signs = Signs(NOW_US + later_us - off_us, 5_000 * US + later_us, "boot-1")
    assert judge(KNOWN, signs).confirmed is confirmed
