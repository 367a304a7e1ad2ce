"""Retention as a service: a run whenever one is due, then figures of days that are over; the clock's guard in the ledger.

It deletes and never records; so it is a process of its own, and whatever happens to it costs no footage.
"""

from __future__ import annotations

import threading
from typing import Final

from index.alarms import Alarms
from index.clockwatch import ClockState, ClockWatch
from index.duties import Duties
from index.node import Node, open_node
from index.outbox import record
from retention.deleter import GRACE_US
from retention.haste import Haste
from retention.reserve import Reserve
from retention.schedule import Schedule
from retention.sweep import Report, Sweep
from retention.tally import Tally
from retention.unknown import days_of, fix_unknown
from vault.clock import Clock, SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import Busy, StoreFull, StreamvaultError
from vault.ledger.canonical import Value
from vault.ledger.entry import Kind, NewEntry
from vault.logs import Log
from vault.timebase import US

log = Log("retention.service")

ACTOR: Final = "clock guard"
FAILED: Final = "retention failed"
"""The alarm: a run ended in a fault that nobody foresaw. A store that is away is none; what stays for too long is `overdue deletion`."""
WATCH_SECONDS: Final = 1.0
LONG_US: Final = 3_600 * US
"""A run that goes on for longer is no fault: there may be millions to delete. But it tells of nothing until its end, so others look."""
_TOLD: Final = "clock told"


class Retention:
    """Over one open node. `run_once` raises; `work` is what the schedule calls."""

    def __init__(self, node: Node, stop: threading.Event, watch: ClockWatch | None = None) -> None:
        self._node = node
        self._watch = watch or ClockWatch(node.environment, node.clock)
        self._stop = stop
        self._tally = Tally(node)
        self._haste = Haste(node)
        self._reserve = Reserve(node.folder.ledger)
        self._alarms = Alarms(node.environment, node.clock)
        self._sweep = Sweep(node, node.ledger, self._watch.trusted_us, pause=stop.wait)

    def work(self) -> None:
        """A run whose errors end here: the next one repeats it."""
        try:
            report = self.run_once()
        except Busy as error:
            log.info("retention waits", reason=str(error))
        except StreamvaultError as error:
            log.error("retention did not run", error=str(error))
            self._sweep.tell_overdue()
        except Exception as error:  # whatever it is, the next run comes, and somebody has to look
            log.error("run ended badly, the next one repeats it", error=error)
            message = f"a run ended in a fault of the program ({type(error).__name__}); its log says more, and the next run repeats it"
            self._alarms.begin(FAILED, "", message)
            self._sweep.tell_overdue()
        else:
            self._alarms.end(FAILED, "")
            self._log(report)
        try:
            self._tally.run_once(self._stop.is_set)
        except StreamvaultError as error:
            log.warning("figures not written yet", error=str(error))

    def run_once(self) -> Report:
        """Once more with the reserve's room where the disk has none: what a run deletes begins with what it writes."""
        grace_us = 0 if self._haste.pressed() else GRACE_US
        try:
            return self._run_once(grace_us)
        except StoreFull:
            if not self._reserve.release():
                raise
            log.warning("no space to write down what goes, the reserve is used")
            return self._run_once(grace_us)
        finally:
            self._reserve.keep()

    def _run_once(self, grace_us: int) -> Report:
        now_us = self._watch.trusted_us()
        fixed = 0
        if now_us is not None:
            fixed = fix_unknown(self._node.environment, days_of(self._node, now_us), self._node.config.retention, now_us)
        self.tell_clock(fixed)
        return self._sweep.run_once(grace_us)

    def hurries(self, mono_us: int) -> bool:
        """Whether room runs out and a run may make some: it is due at once then. Raises nothing: the next look repeats it."""
        try:
            return self._haste.due(mono_us, self._watch.trusted_us())
        except StreamvaultError as error:
            log.warning("room not looked at", error=str(error))
            return False

    def tell_overdue(self) -> None:
        """For when a run does not end: whether anything is there that should be gone. Raises nothing: the next look repeats it."""
        try:
            self._sweep.tell_overdue()
        except StreamvaultError as error:
            log.warning("not looked for what is overdue", error=str(error))

    def confirm(self, plan: str, actor: str) -> None:
        """As `Sweep.confirm`."""
        self._sweep.confirm(plan, actor)

    def confirm_clock(self, actor: str) -> tuple[int, int]:
        """A person says that the clock is right: the time, and how many segments got their minimum. Raises Refused, and what the
        ledger raises; then the word holds all the same, and the ledger hears of it later."""
        now_us = self._watch.confirm(actor)
        fixed = fix_unknown(self._node.environment, days_of(self._node, now_us), self._node.config.retention, now_us)
        if fixed:
            body: dict[str, Value] = {"confirmed_us": now_us, "segments_fixed": fixed}
            with self._node.environment.write("note minima", frees=True) as txn:
                record(txn, NewEntry(Kind.CLOCK, actor, {}, body), now_us)
        Duties(self._node.environment).put(_TOLD, {"since_us": None})
        self._node.outbox.drain()
        return now_us, fixed

    def tell_clock(self, fixed: int = 0) -> None:
        """In the ledger: that the time became doubtful, and that it was confirmed, each once; and what followed."""
        state, duties = self._watch.state(), Duties(self._node.environment)
        told = duties.get(_TOLD)
        now: dict[str, Value] = {"since_us": state.since_us}
        if told.get("since_us") == state.since_us and not fixed:
            return
        self._node.ledger.append([NewEntry(Kind.CLOCK, ACTOR, {}, _words(state) | {"segments_fixed": fixed})])
        duties.put(_TOLD, dict(now))

    def _log(self, report: Report) -> None:
        if report.stopped:
            log.warning("retention did not run", reason=report.stopped)
        elif report.halt is not None:
            log.error("retention halted", segments=report.halt.due, foretold=report.halt.foretold, plan=report.halt.plan)
        elif report.doomed or report.deleted.segments:
            log.info(
                "retention ran", doomed=report.doomed, deleted=report.deleted.segments, bytes=report.deleted.size_bytes,
                waiting=report.deleted.waiting, set_aside=len(report.deleted.failed),
            )  # fmt: skip


def _words(state: ClockState) -> dict[str, Value]:
    if state.since_us is None:
        return {"confirmed_us": state.known.confirmed_us if state.known else None, "why": state.why}
    return {"unconfirmed_since_us": state.since_us, "why": state.why}


def run_retention(folder: DataFolder, config: Config, stop: threading.Event, clock: Clock | None = None) -> None:
    """Delete what has expired, as it expires, until `stop` is set."""
    clock = clock or SystemClock()
    with open_node(folder, config, clock, role="retention") as node:
        retention = Retention(node, stop)
        schedule = Schedule(config.retention.run_minutes * 60, retention.work, clock)
        schedule.start()
        looked_us = 0
        log.info("retention started", path=str(folder.path))
        try:
            while not stop.wait(WATCH_SECONDS):
                mono_us = clock.mono_us()
                if schedule.busy_us(mono_us) > LONG_US and mono_us - looked_us > LONG_US:
                    looked_us = mono_us
                    retention.tell_overdue()
                if schedule.watch(mono_us) and retention.hurries(mono_us) and schedule.run_now():
                    log.info("retention runs at once", reason="room runs out")
        finally:
            schedule.stop()
            log.info("retention stopped", path=str(folder.path))
