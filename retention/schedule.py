"""When a run is due: APScheduler as the trigger, and a watch that does not believe it. The only module that imports it.

Nothing is kept in the scheduler: what a run has to know stands in the index. It goes by the wall clock, and a clock that is set
back by a year, or a thread of it that has died, would mean a year without a run; so whoever owns it calls `watch`, which goes by
the monotonic clock and makes the scheduler anew when it has been silent for too long.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, JobEvent
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from vault.clock import Clock
from vault.logs import Log
from vault.timebase import US

log = Log("retention.schedule")

# It tells of every call at the level of information; what goes wrong is heard by a listener.
logging.getLogger("apscheduler").setLevel(logging.CRITICAL)

PATIENCE_US = 60 * US
"""Beyond two intervals: a machine that was busy."""
_JOB = "run"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Schedule:
    """Calls `work` at once and then each interval, never twice at a time; what it raises is logged, and the next call comes."""

    def __init__(self, every_seconds: float, work: Callable[[], None], clock: Clock) -> None:
        self._every_us = round(every_seconds * US)
        self._work = work
        self._clock = clock
        self._lock = threading.Lock()
        self._busy = False
        self._begun_us = 0
        self._last_us = 0
        self.scheduler: BackgroundScheduler | None = None

    def start(self) -> None:
        self._last_us = self._clock.mono_us()
        scheduler = BackgroundScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        )
        scheduler.add_listener(self._heard, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)
        now = _EPOCH + timedelta(microseconds=self._clock.now_us())
        every = IntervalTrigger(seconds=max(1, self._every_us // US), timezone=UTC)
        scheduler.add_job(self._run, every, next_run_time=now, id=_JOB)
        scheduler.start()
        self.scheduler = scheduler

    def stop(self) -> None:
        """A call that runs is waited for."""
        if self.scheduler is not None and self.scheduler.running:
            self.scheduler.shutdown(wait=True)
        self.scheduler = None

    def run_now(self) -> bool:
        """Begin a call before its time. False when one is going on, or the scheduler does not run."""
        with self._lock:
            if self._busy or self.scheduler is None or not self.scheduler.running:
                return False
        self.scheduler.modify_job(_JOB, next_run_time=_EPOCH + timedelta(microseconds=self._clock.now_us()))
        return True

    def busy_us(self, mono_us: int) -> int:
        """For how long a call has been going on, 0 while none is."""
        with self._lock:
            return mono_us - self._begun_us if self._busy else 0

    def watch(self, mono_us: int) -> bool:
        """To be called every few seconds. False when the scheduler had to be made anew."""
        with self._lock:
            silent_us = 0 if self._busy else mono_us - self._last_us
        if silent_us <= 2 * self._every_us + PATIENCE_US:
            return True
        log.error("scheduler was silent, made anew", seconds=silent_us // US)
        if self.scheduler is not None and self.scheduler.running:
            self.scheduler.shutdown(wait=False)
        self.start()
        return False

    def _run(self) -> None:
        with self._lock:
            if self._busy:
                return
            self._busy, self._begun_us = True, self._clock.mono_us()
        try:
            self._work()
        finally:
            with self._lock:
                self._busy, self._last_us = False, self._clock.mono_us()

    def _heard(self, event: JobEvent) -> None:
        if event.code == EVENT_JOB_ERROR:
            error = getattr(event, "exception", None)
            log.error("run ended badly, the next one repeats it", error=error)
        else:
            log.warning("run is still going on, the next one is left out")
