"""The clock's guard over one index: what is noted, shared and told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.alarms import Alarms
from index.cameranote import FRESH_US, note_clocks
from index.clockwatch import NOTE_US, ClockWatch
from index.duties import Duties
from index.environment import Environment
from tests.support.retaining import open_kept
from vault.cameraclocks import Votes, gathered
from vault.clock import ManualClock, SystemClock, boot_id, kernel_time
from vault.clockguard import Ntp, Signs
from vault.errors import Refused
from vault.timebase import US

NOW_US = 1_795_305_600_000_000
DAY_US = 86_400 * US


class Host:
    """A host whose clock is a test's."""

    def __init__(self, environment: Environment) -> None:
        self.clock = ManualClock(NOW_US, 1_000 * US)
        self.boot, self.ntp = "boot-1", Ntp.NOT
        self.environment = environment

    def signs(self) -> Signs:
        return Signs(self.clock.now_us(), self.clock.mono_us(), self.boot, self.ntp)

    def watch(self) -> ClockWatch:
        """As another process would make it."""
        return ClockWatch(self.environment, self.clock, self.signs)

    def alarms(self) -> list[str]:
        return [alarm.kind for alarm in Alarms(self.environment).lasting()]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with Environment(tmp_path / "index") as environment:
        yield Host(environment)


@pytest.mark.parametrize("days", [400, -20])
def test_a_step_is_not_believed_by_any_process_until_a_person_confirms(host: Host, days: int) -> None:
    assert host.watch().trusted_us() == NOW_US
    host.clock.step(days * DAY_US)
    assert host.watch().trusted_us() is None
    assert host.alarms() == ["clock unconfirmed"]
    host.clock.advance(DAY_US)
    assert host.watch().trusted_us() is None
    assert host.watch().confirm() == host.clock.now_us()
    assert host.watch().trusted()
    assert host.alarms() == []
    host.clock.advance(DAY_US)
    assert host.watch().trusted()


def test_a_clock_that_is_set_right_again_is_believed(host: Host) -> None:
    host.watch().look()
    host.clock.step(400 * DAY_US)
    assert not host.watch().trusted()
    host.clock.step(-400 * DAY_US)
    assert host.watch().trusted()
    assert host.watch().state().since_us is None
    assert host.alarms() == []


def test_a_start_at_1970_ends_when_ntp_has_set_the_clock(host: Host) -> None:
    host.clock.step(-NOW_US)
    assert host.watch().trusted_us() is None
    with pytest.raises(Refused, match="cannot be"):
        host.watch().confirm()
    host.clock.step(NOW_US)
    host.ntp = Ntp.SYNCHRONISED
    assert host.watch().trusted_us() == NOW_US


def test_the_confirmed_time_is_noted_now_and_then_and_survives_a_reboot(host: Host) -> None:
    host.watch().look()
    before = host.watch().state().known
    host.clock.advance(NOTE_US - 1)
    host.watch().look()
    assert host.watch().state().known == before
    host.clock.advance(1)
    host.watch().look()
    known = host.watch().state().known
    assert known is not None
    assert known.confirmed_us == NOW_US + NOTE_US
    host.boot = "boot-2"
    host.clock = ManualClock(NOW_US + DAY_US, 5 * US)
    assert host.watch().trusted()
    host.boot = "boot-3"
    host.clock = ManualClock(NOW_US + 20 * DAY_US, 5 * US)
    assert not host.watch().trusted()


def note(host: Host, *offsets_us: int) -> None:
    """The recorder has heard cameras whose clocks are off by so much from the host's."""
    now_us, mono_us = host.clock.now_us(), host.clock.mono_us()
    leads = [now_us + offset_us - mono_us for offset_us in offsets_us]
    note_clocks(host.environment, gathered(leads, mono_us), mono_us, host.boot)


def test_cameras_confirm_a_clock_after_a_reboot_and_object_to_a_wrong_one(host: Host) -> None:
    host.watch().look()
    host.boot, host.clock = "boot-2", ManualClock(NOW_US + 90 * DAY_US, 5 * US)
    assert not host.watch().trusted()
    note(host, 0, 5 * US, -300 * DAY_US, 8 * 3_600 * US)
    assert not host.watch().trusted(), "two of four"
    note(host, 0, 5 * US, -5 * US, -300 * DAY_US)
    assert host.watch().look().why == "3 cameras have the same time"
    assert host.alarms() == []
    # What they said stays true when somebody sets the clock: it was told against the monotonic one.
    host.clock.step(400 * DAY_US)
    verdict = host.watch().look()
    assert not verdict.confirmed
    assert "cameras, more than half of them, have another time" in verdict.why
    assert host.watch().cameras() == Votes(0, 3, 3), "a time that cannot be has no vote"


def test_what_cameras_said_counts_for_minutes_and_for_one_boot(host: Host) -> None:
    note(host, *[90 * DAY_US] * 3)
    assert host.watch().cameras() == Votes(0, 3, 3)
    assert not host.watch().trusted(), "the first time of an index is held against them"
    host.clock.advance(FRESH_US)
    assert host.watch().cameras().voting == 3
    host.clock.advance(1)
    assert host.watch().cameras() == Votes()
    assert host.watch().trusted()
    host.boot = "boot-2"
    note(host, 0, 0, 0)
    assert host.watch().cameras().agreeing == 3
    host.boot = "boot-3"
    assert host.watch().cameras() == Votes()


def test_an_index_made_anew_holds_the_first_time_against_its_footage(tmp_path: Path) -> None:
    with open_kept(tmp_path / "data", NOW_US) as kept:
        environment = kept.node.environment
        kept.put([NOW_US - 3 * DAY_US, 7 * DAY_US])
        for days, trusted in [(0, True), (40, True), (50, False), (-2, True), (-4, False)]:
            signs = Signs(NOW_US + days * DAY_US, 5 * US, "boot-1")
            watch = ClockWatch(environment, kept.clock, lambda signs=signs: signs)
            assert watch.trusted() is trusted, days
            Duties(environment).put("clock", {})


def test_this_hosts_own_clock_is_believed(host: Host) -> None:
    watch = ClockWatch(host.environment, SystemClock())
    assert watch.trusted()
    assert watch.trusted()
    kernel = kernel_time()
    assert kernel is None or abs(kernel.now_us - SystemClock().now_us()) < 60 * US
    assert boot_id() == boot_id()
