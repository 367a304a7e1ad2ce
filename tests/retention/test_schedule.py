"""The trigger and its watch: a job that raises, a scheduler that died, a clock that was set back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from retention.schedule import PATIENCE_US, Schedule
from vault.clock import ManualClock, SystemClock
from vault.timebase import US

DEADLINE_SECONDS = 20.0


class Calls:
    """Counts calls; each may raise."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.count = threading.Semaphore(0)

    def __call__(self) -> None:
        self.count.release()
        if self.fault:
            raise self.fault

    def wait(self) -> None:
        assert self.count.acquire(timeout=DEADLINE_SECONDS)


@pytest.fixture
def made() -> Iterator[Callable[..., Schedule]]:
    schedules: list[Schedule] = []

    def make(every_seconds: float, work: Callable[[], None], clock: SystemClock | ManualClock | None = None) -> Schedule:
        schedules.append(Schedule(every_seconds, work, clock or SystemClock()))
        schedules[-1].start()
        return schedules[-1]

    yield make
    for schedule in schedules:
        schedule.stop()


def test_a_run_comes_at_once_and_again_after_one_that_raised(made: Callable[..., Schedule]) -> None:
    calls = Calls(ValueError("a fault"))
    made(1, calls)
    calls.wait()
    calls.wait()


def test_a_scheduler_that_died_is_made_anew_by_the_monotonic_clock(made: Callable[..., Schedule]) -> None:
    calls = Calls()
    clock = SystemClock()
    schedule = made(3600, calls, clock)
    calls.wait()
    assert schedule.scheduler is not None
    schedule.scheduler.shutdown(wait=True)
    assert schedule.watch(clock.mono_us() + 2 * 3600 * US)
    assert not schedule.watch(clock.mono_us() + 2 * 3600 * US + PATIENCE_US + US)
    calls.wait()


def test_runs_go_on_when_the_wall_clock_is_set_back_by_a_year(made: Callable[..., Schedule]) -> None:
    calls = Calls()
    clock = ManualClock(SystemClock().now_us(), 50 * US)
    schedule = made(3600, calls, clock)
    calls.wait()
    clock.step(-365 * 86_400 * US)
    clock.advance(2 * 3600 * US + PATIENCE_US + US)
    assert not schedule.watch(clock.mono_us())
    calls.wait()


def test_a_long_run_is_not_taken_for_a_dead_scheduler(made: Callable[..., Schedule]) -> None:
    begun, go = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert go.wait(DEADLINE_SECONDS)

    schedule = made(3600, work)
    assert begun.wait(DEADLINE_SECONDS)
    assert schedule.watch(SystemClock().mono_us() + 100 * 3600 * US)
    go.set()
