"""Fifty cameras that are not there cost the four that are nothing: no frame, and no time until what they send can be seen."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.ingest.test_e2e_faults import closed_port, silent_port
from tests.support.node import wait_until
from tests.support.station import Station, station
from vault.timebase import US

GOOD = ("cam-1", "cam-2", "cam-3", "cam-4")
SECONDS = 15
SWEEP_SECONDS = 0.2
LAG_US = 3 * US
"""What readers are promised (ARCHITECTURE.md), on a machine that is busy with other things."""


def dead_addresses(silent: int) -> list[str]:
    """Refused at once, never answered, names that do not exist; some of each."""
    closed = closed_port()
    kinds = (
        lambda number: f"rtsp://127.0.0.1:{closed}/{number}",
        lambda number: f"rtsp://127.0.0.1:{silent}/{number}",
        lambda number: f"rtsp://camera-{number}.invalid/",
        lambda number: f"rtsp://[::1]:{closed}/{number}",
        lambda number: f"rtsps://127.0.0.1:{silent}/{number}",
    )
    return [kinds[number % len(kinds)](number) for number in range(50)]


def lags(made: Station) -> list[int]:
    """How far the footage of each good camera is behind the moment it was said at."""
    whole: dict[str, Any] = made.whole_status()
    ends = [whole["cameras"].get(str(made.numbers[name]), {}).get("recorded_to_us", 0) for name in GOOD]
    return [whole["at_us"] - end_us for end_us in ends]


def test_fifty_dead_cameras_delay_no_other(tmp_path: Path) -> None:
    with station(tmp_path) as made, silent_port() as silent:
        made.simulate(GOOD[:2], "tcp")
        made.simulate(GOOD[2:], "udp")
        dead = [f"dead-{number}" for number in range(50)]
        for name, url in zip(dead, dead_addresses(silent), strict=True):
            made.add(name, url)
        made.start(connect_timeout_seconds=3.0, sweep_seconds=SWEEP_SECONDS)
        made.wait_recording(*GOOD)
        worst = 0
        end = time.monotonic() + SECONDS

        def look() -> bool:
            nonlocal worst
            worst = max(worst, *lags(made))
            return time.monotonic() > end

        wait_until(look, SECONDS + 20)
        tried = [made.status(name) for name in dead]
        made.stop()
        for name in GOOD:
            got = [unit.digests for unit in made.units(name)]
            assert got == [unit.digests for unit in made.sent(name)][: len(got)]
            assert len(got) > SECONDS * 25
            assert len(made.view(name).runs) == 1
        assert worst < LAG_US
        assert all(status["state"] == "waiting" and status["why"] for status in tried)
        assert all({gap.reason for gap in made.view(name).gaps} >= {"unreachable"} for name in dead)
        assert "level=error" not in "".join(made.log())
        assert all(len(made.log(name)) == 1 for name in dead)
