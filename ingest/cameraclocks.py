"""Hears the cameras' clocks from the workers' reports and notes what they say together, for the clock's guard (`index.clockwatch`).

A camera that takes its time from this very host would agree with whatever it says: one whose clock was set while we listened has no
vote for a day.
"""

from __future__ import annotations

from collections.abc import Mapping

from index.cameranote import note_clocks
from index.environment import Environment
from ingest.messages import CameraStatus
from vault.cameraclocks import CameraClocks, gathered
from vault.clock import Clock, boot_id
from vault.clockguard import CAMERA_US
from vault.ids import CameraNumber
from vault.timebase import US

EVERY_US = 5 * US
NOTE_US = 60 * US
"""A note is written anew about this often while it says the same."""
SET_US = 86_400 * US


class CameraClockWatch:
    """Of one thread."""

    def __init__(self, environment: Environment, clock: Clock) -> None:
        self._env = environment
        self._clock = clock
        self._boot = boot_id()
        self._leads: dict[CameraNumber, int] = {}
        self._set_us: dict[CameraNumber, int] = {}
        self._due_us = 0
        self._noted = CameraClocks()
        self._noted_us = -NOTE_US

    def look(self, cameras: Mapping[CameraNumber, CameraStatus | None]) -> None:
        """When it is time: note what they say. Raises what the index raises."""
        mono_us = self._clock.mono_us()
        if mono_us < self._due_us:
            return
        self._due_us = mono_us + EVERY_US
        leads = {
            number: status.clock_lead_us
            for number, status in cameras.items()
            if status is not None and status.clock_lead_us is not None
        }
        for number, lead_us in leads.items():
            if abs(lead_us - self._leads.get(number, lead_us)) > CAMERA_US:
                self._set_us[number] = mono_us
        self._leads = {number: lead for number, lead in self._leads.items() if number in cameras} | leads
        self._set_us = {number: at_us for number, at_us in self._set_us.items() if mono_us - at_us < SET_US}
        clocks = gathered((lead for number, lead in leads.items() if number not in self._set_us), mono_us)
        if _alike(clocks, self._noted) and (mono_us - self._noted_us < NOTE_US or not clocks.voting):
            return
        note_clocks(self._env, clocks, mono_us, self._boot)
        self._noted, self._noted_us = clocks, mono_us


def _alike(one: CameraClocks, other: CameraClocks) -> bool:
    """Whether they would say the same of any time: delays of packets move a clock by less than a minute."""
    return (one.voting, len(one.groups)) == (other.voting, len(other.groups)) and all(
        mine.cameras == theirs.cameras and abs(mine.lead_us - theirs.lead_us) < 60 * US
        for mine, theirs in zip(one.groups, other.groups, strict=True)
    )
