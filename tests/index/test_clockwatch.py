"""The clock's guard over one index: what is noted, shared and told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.alarms import Alarms
from index.clockwatch import NOTE_US, ClockWatch
from index.environment import Environment
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


def test_this_hosts_own_clock_is_believed(host: Host) -> None:
    watch = ClockWatch(host.environment, SystemClock())
    assert watch.trusted()
    assert watch.trusted()
    kernel = kernel_time()
    assert kernel is None or abs(kernel.now_us - SystemClock().now_us()) < 60 * US
    assert boot_id() == boot_id()
