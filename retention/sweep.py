"""A run of retention: what has expired is doomed, what was doomed a grace ago is deleted. Safe to repeat at any point.

What stops a run before it changes anything: a clock that is not confirmed, another deleter, a store that is away or another
index's, a ledger that takes nothing, and more to doom than was foretold. What goes is decided in `retention.decide`; the steps
from D4 on are in `retention.deleter`; when a run is due, in `retention.service`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from index.alarms import Alarms
from index.classdays import follow_class_days
from index.duties import Duties, Fields
from index.expiry import complete_expiry
from index.node import Node
from index.raising import Raising
from retention.canary import fly
from retention.decide import Fate, Plan
from retention.deleter import ACTOR, GRACE_US, Deleted, Deleter, doomed_of
from retention.expired import expired_sums, plans
from retention.foretold import foretold_in
from retention.halt import Forecast, Halt, confirmed, forecast, halt, plan_id
from retention.policy import rules_of
from vault.errors import Refused
from vault.ids import SegmentKey
from vault.ledger.canonical import Value
from vault.ledger.entry import Kind, NewEntry
from vault.ledger.ledger import Ledger
from vault.logs import Log
from vault.timebase import US, format_local

log = Log("retention.sweep")

DUTY: Final = "retention"
DAY_US: Final = 86_400 * US
OVERDUE_US: Final = DAY_US + GRACE_US
"""Past its minimum for longer than this, and nothing keeps it: somebody must look."""
FORETELL_US: Final = DAY_US

CLOCK, HALTED, OVERDUE = "clock unconfirmed", "retention halted", "overdue deletion"


@dataclass(slots=True)
class Report:
    """What a run did. `stopped`: why it changed nothing, empty when it ran. `oldest_us`: the least minimum among what should
    be gone and is not, 0 when there is none."""

    at_us: int
    stopped: str = ""
    halt: Halt | None = None
    doomed: int = 0
    doomed_bytes: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    deleted: Deleted = field(default_factory=Deleted)
    canary: str | None = None
    oldest_us: int = 0


class Sweep:
    """Over one node. `run_once` raises; whoever repeats it is told why."""

    def __init__(
        self,
        node: Node,
        ledger: Ledger,
        trusted_us: Callable[[], int | None],
        *,
        pause: Callable[[float], bool] = lambda seconds: False,
    ) -> None:
        """`trusted_us`: the time, None while it is not confirmed. `pause`: as for the deleter."""
        self._node = node
        self._ledger = ledger
        self._trusted_us = trusted_us
        self._rules = rules_of(node.config.retention)
        self._alarms = Alarms(node.environment, node.clock)
        self._duties = Duties(node.environment)
        self._deleter = Deleter(
            node.catalog, node.store, node.spool, ledger, node.clock,
            pause=pause, per_second=node.config.retention.deletes_per_second,
        )  # fmt: skip

    def run_once(self, grace_us: int = GRACE_US) -> Report:
        """`grace_us`: from doom to deletion. Raises Busy when another process deletes, StoreError when the store is away, what
        index and ledger raise."""
        now_us = self._trusted_us()
        if now_us is None:
            return Report(self._node.clock.now_us(), stopped="the clock is not confirmed; see `streamvault clock show`")
        with self._node.folder.retention_lock():
            complete_expiry(self._node.environment)
            if follow_class_days(self._node.registry, self._node.config.retention, now_us):
                self._node.outbox.drain()
            # A raise that somebody was cut short in: what it keeps is not to be looked at again and again.
            Raising(self._node.environment, self._node.clock).run()
            report = Report(now_us)
            # A store that is away, not mounted, or another index's, says so here, before anything is doomed.
            report.canary = fly(self._node.store, now_us)
            before = self._before()
            expired = expired_sums(self._node.environment, now_us)
            report.halt = halt(before, expired, now_us)
            if report.halt is None:
                self._foretell(self._doom(report, before), now_us)
            self._say_halted(report.halt)
            report.deleted = self._deleter.run(now_us, grace_us)
            report.oldest_us = self._oldest(report)
            self._remember(report)
            self._say_overdue(report)
            return report

    def confirm(self, plan: str, actor: str) -> None:
        """Let the next run carry out the plan that an earlier one stopped at. Raises Refused when it is not that plan now."""
        duty = self._duties.get(DUTY)
        halted = duty.get("halted")
        if not halted:
            raise Refused("no run is halted: there is nothing to confirm")
        at_us = int(halted["at_us"])
        expired = expired_sums(self._node.environment, at_us)
        now = plan_id(expired)
        if plan != now or plan != halted["plan"]:
            raise Refused(f"plan {plan[:40]!r} is not what would be done now, which is {now}: look at `retention plan` again")
        after = confirmed(self._before(), expired, at_us)
        body: dict[str, Value] = {"confirmed": plan, "segments": sum(count for _, count in expired), "at_us": at_us}
        self._ledger.append([NewEntry(Kind.RETENTION, actor, {}, body)])
        self._duties.put(DUTY, duty | _forecast_fields(after) | {"halted": None})
        self._alarms.end(HALTED, "")

    def halted(self) -> str | None:
        """The plan that waits for a confirmation."""
        halted = self._duties.get(DUTY).get("halted")
        return str(halted["plan"]) if halted else None

    def tell_overdue(self) -> None:
        """For when no run comes about: the alarm of what should be gone, by the index alone."""
        now_us = self._trusted_us()
        if now_us is not None:
            report = Report(now_us)
            report.deleted.oldest_us = min((row.min_until_us for row, _ in doomed_of(self._node.catalog)), default=0)
            report.oldest_us = self._oldest(report)
            self._say_footage(report)

    def _before(self) -> Forecast:
        told = self._duties.get(DUTY).get("foretold")
        if told is None:
            # The first time, or the index was made anew: the ledger outlives it.
            return foretold_in(self._ledger)
        return Forecast(int(told["at_us"]), tuple((int(at), int(count)) for at, count in told["sums"]), int(told["doomed"]))

    def _doom(self, report: Report, before: Forecast) -> Forecast:
        """D1 and D2. The forecast, with what was doomed since."""
        for plan in plans(self._node.environment, self._rules, report.at_us, self._node.clock.mono_us()):
            done = self._doom_piece(plan, report)
            if done:
                before = Forecast(before.at_us, before.sums, before.doomed + done)
                self._duties.put(DUTY, self._duties.get(DUTY) | _forecast_fields(before))
        return before

    def _doom_piece(self, plan: Plan, report: Report) -> int:
        going: dict[tuple[str, str], list[SegmentKey]] = defaultdict(list)
        sizes: dict[SegmentKey, int] = {}
        for item in plan.items:
            if item.fate is Fate.GO:
                going[item.reason, item.article].append(item.row.key)
                sizes[item.row.key] = item.row.size_bytes
            else:
                report.kept[item.article] += 1
        done = 0
        for (reason, article), keys in going.items():
            outcome = self._node.catalog.doom(keys, at_us=plan.at_us, reason=reason, rule=article)
            done += len(outcome.done)
            report.doomed_bytes += sum(sizes[key] for key in outcome.done)
            for key, why in outcome.refused:
                # A hold that came in between.
                log.info("segment is kept", segment=key.object_key, reason=why)
                report.kept[why] += 1
        report.doomed += done
        return done

    def _foretell(self, before: Forecast, now_us: int) -> None:
        """Once a day, what the next runs should find: in the ledger, where nobody changes it unseen, and at hand."""
        # A forecast of a time to come was made by a clock that was wrong.
        if before.sums and 0 <= now_us - before.at_us < FORETELL_US:
            return
        after = forecast(expired_sums(self._node.environment), now_us)
        sums: list[Value] = [[at, count] for at, count in after.sums]
        body: dict[str, Value] = {"foretold": sums, "doomed_since_last": before.doomed, "run_us": now_us}
        self._ledger.append([NewEntry(Kind.RETENTION, ACTOR, {}, body)])
        self._duties.put(DUTY, self._duties.get(DUTY) | _forecast_fields(after))

    def _say_halted(self, found: Halt | None) -> None:
        duty = self._duties.get(DUTY)
        known = duty.get("halted")
        if found is None:
            if known:
                self._duties.put(DUTY, duty | {"halted": None})
            self._alarms.end(HALTED, "")
            return
        if not known or known["plan"] != found.plan:
            body: dict[str, Value] = {"halted": found.plan, "at_us": found.at_us, "due": found.due, "foretold": found.foretold}
            self._ledger.append([NewEntry(Kind.RETENTION, ACTOR, {}, body)])
            self._duties.put(DUTY, duty | {"halted": {"plan": found.plan, "at_us": found.at_us}})
        message = (
            f"{found.due} segments are due and {found.foretold} were foretold: nothing more is doomed until somebody looked at "
            f"`retention plan` and says `retention apply --confirm {found.plan}`"
        )
        self._alarms.begin(HALTED, "", message)

    def _oldest(self, report: Report) -> int:
        """Doomed or not: after a halt, or where the index refused, the rows themselves tell."""
        found = [report.deleted.oldest_us] if report.deleted.oldest_us else []
        until_us = report.at_us - OVERDUE_US
        for plan in plans(self._node.environment, self._rules, until_us, self._node.clock.mono_us()):
            if due := plan.due:
                found.append(due[0].row.min_until_us)
                break
        return min(found, default=0)

    def _say_overdue(self, report: Report) -> None:
        if report.canary is None:
            self._alarms.end(OVERDUE, "canary")
        else:
            self._alarms.begin(OVERDUE, "canary", f"the day's canary was not deleted: {report.canary}")
        self._say_footage(report)

    def _say_footage(self, report: Report) -> None:
        if report.oldest_us and report.at_us - report.oldest_us > OVERDUE_US:
            first = f"; the first: {report.deleted.failed[0][1]}" if report.deleted.failed else ""
            message = f"footage whose time was over at {format_local(report.oldest_us)} is still there{first}"
            self._alarms.begin(OVERDUE, "", message)
        else:
            self._alarms.end(OVERDUE, "")

    def _remember(self, report: Report) -> None:
        """For `retention plan`, metrics and the next run."""
        duty = self._duties.get(DUTY)
        done: Fields = {
            "run_us": report.at_us,
            "oldest_us": report.oldest_us,
            "waiting": report.deleted.waiting,
            "set_aside": len(report.deleted.failed),
            "doomed_total": int(duty.get("doomed_total", 0)) + report.doomed,
            "deleted_total": int(duty.get("deleted_total", 0)) + report.deleted.segments,
            "deleted_bytes_total": int(duty.get("deleted_bytes_total", 0)) + report.deleted.size_bytes,
        }
        self._duties.put(DUTY, duty | done)


def _forecast_fields(value: Forecast) -> Fields:
    sums = [[at, count] for at, count in value.sums]
    return {"foretold": {"at_us": value.at_us, "sums": sums, "doomed": value.doomed}}
