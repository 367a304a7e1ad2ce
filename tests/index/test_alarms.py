"""Alarms: one row while something lasts."""

from __future__ import annotations

from pathlib import Path

import pytest

from index.alarms import Alarm, Alarms
from index.environment import Environment
from vault.clock import ManualClock
from vault.errors import UsageError


def test_an_alarm_lasts_from_its_first_word_to_its_end_and_survives_a_restart(tmp_path: Path) -> None:
    clock = ManualClock(1_000_000)
    with Environment(tmp_path / "index", create=True) as environment:
        alarms = Alarms(environment, clock)
        assert alarms.begin("spool", "", "71 % full")
        clock.advance(5_000_000)
        assert not alarms.begin("spool", "", "72 % full")
        assert alarms.begin("camera silent", "7", "nothing for 60 s")
    with Environment(tmp_path / "index") as environment:
        alarms = Alarms(environment, clock)
        assert alarms.lasting() == [
            Alarm("camera silent", "7", "nothing for 60 s", 6_000_000),
            Alarm("spool", "", "72 % full", 1_000_000),
        ]
        assert alarms.end("spool", "")
        assert not alarms.end("spool", "")
        assert [alarm.kind for alarm in alarms.lasting()] == ["camera silent"]


@pytest.mark.parametrize(("kind", "subject"), [("", "x"), ("a\0b", ""), ("spool", "x" * 300)])
def test_a_name_that_cannot_be_a_key_is_refused(tmp_path: Path, kind: str, subject: str) -> None:
    with Environment(tmp_path / "index", create=True) as environment, pytest.raises(UsageError):
        Alarms(environment).begin(kind, subject, "")
