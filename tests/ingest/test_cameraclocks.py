"""The cameras' clocks as witnesses of the host's: heard by a real recorder from real sender reports."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from index.alarms import Alarms
from index.cameranote import DUTY
from index.cameras import NewCamera
from index.clockwatch import ClockWatch
from index.duties import Duties
from index.environment import Environment
from ingest.cameraclocks import EVERY_US, SET_US, CameraClockWatch
from ingest.messages import CameraStatus
from ingest.simulate.run import SimulatorOptions, start
from tests.support.node import wait_until
from tests.support.simulate import loop_cache
from tests.support.station import SMALL, Station, station
from vault.cameraclocks import Votes
from vault.clock import ManualClock, SystemClock
from vault.ids import CameraNumber
from vault.timebase import US

NOW_US = 1_795_305_600_000_000
HOUR_US = 3_600 * US
DAY_US = 24 * HOUR_US


class Off(SystemClock):
    """Of a camera whose clock is off by so much."""

    def __init__(self, off_us: int) -> None:
        self._off_us = off_us

    def now_us(self) -> int:
        return super().now_us() + self._off_us


def why(made: Station) -> str:
    with made.open() as node:
        return str(Duties(node.environment).get("clock").get("why"))


def lasting(made: Station) -> list[str]:
    with made.open() as node:
        return [alarm.kind for alarm in Alarms(node.environment).lasting()]


@pytest.mark.slow
def test_most_cameras_object_to_a_likely_clock_at_the_first_start_and_confirm_the_right_one(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_bytes(struct.pack("<q", 200 * DAY_US))
    others = [
        start(SimulatorOptions(spec=SMALL, cache=loop_cache()), Off(off_us)) for off_us in (8 * HOUR_US, -56 * 365 * DAY_US)
    ]
    try:
        with station(tmp_path) as made:
            made.simulate(["cam-1", "cam-2", "cam-3"])
            with made.open() as node:
                for number, other in enumerate(others):
                    node.cameras.add(NewCamera(f"off-{number}", other.url(1)))
            made.start(main="tests/support/stepped_main.py", environment={"NODE_CLOCK": str(offset)}, segment_seconds=2)
            wait_until(lambda: why(made) == "4 cameras, more than half of them, have another time", 60, "an objection")
            assert "clock unconfirmed" in lasting(made)
            with made.open() as node:
                # By this test's own clock, which is right: the one that begins at 1970 has no vote, and another zone is no witness.
                wait_until(lambda: ClockWatch(node.environment, SystemClock()).cameras() == Votes(3, 0, 4), 30, "all four")
            with offset.open("r+b") as file:
                file.write(struct.pack("<q", 0))
            wait_until(lambda: why(made) == "3 cameras have the same time", 60, "a clock that is believed")
            wait_until(lambda: "clock unconfirmed" not in lasting(made), 20, "the end of the alarm")
            made.stop()
    finally:
        for other in others:
            other.stop()


def status(lead_us: int | None) -> CameraStatus:
    return CameraStatus(1, True, NOW_US, 1, 0, "", lead_us)


def test_a_camera_whose_clock_is_set_while_we_listen_has_no_vote_for_a_day(tmp_path: Path) -> None:
    clock = ManualClock(NOW_US, 1_000 * US)
    lead_us = NOW_US - 1_000 * US
    with Environment(tmp_path / "index") as environment:
        watch = CameraClockWatch(environment, clock)

        def voting(*leads_us: int | None) -> int:
            watch.look({CameraNumber(at): status(lead) for at, lead in enumerate(leads_us, 1)})
            clock.advance(EVERY_US)
            return int(Duties(environment).get(DUTY).get("voting", 0))

        assert voting(None, None) == 0
        assert Duties(environment).get(DUTY) == {}, "nothing is noted of cameras that say nothing"
        assert voting(lead_us, lead_us, lead_us) == 3
        # It takes its time from somebody who was set: from us, perhaps.
        assert voting(lead_us + 400 * DAY_US, lead_us, lead_us) == 2
        clock.advance(SET_US - 2 * EVERY_US)
        assert voting(lead_us + 400 * DAY_US, lead_us, lead_us) == 2
        clock.advance(2 * EVERY_US)
        assert voting(lead_us + 400 * DAY_US, lead_us, lead_us) == 3
        assert voting(None, None, lead_us) == 1
        assert voting() == 0


def test_what_is_the_same_is_noted_once_a_minute(tmp_path: Path) -> None:
    clock = ManualClock(NOW_US, 1_000 * US)
    with Environment(tmp_path / "index") as environment:
        watch = CameraClockWatch(environment, clock)
        noted = set()
        for _ in range(24):
            watch.look({CameraNumber(1): status(NOW_US)})
            clock.advance(EVERY_US)
            noted.add(Duties(environment).get(DUTY)["mono_us"])
        assert len(noted) == 2
