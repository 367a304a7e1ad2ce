"""Days of the classes that the configuration changed since they were last looked at: more of them reach the footage that exists, as a
site's raise does (`index.minima`); fewer hold for what is recorded from that look on, and what began before it keeps the former ones.

What the days are is in the configuration; that a run of retention looks before it dooms anything is that run's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from index.duties import duty_of, put_duty
from index.environment import Environment, ReadTxn, WriteTxn
from index.minima import NOTICE_US, put_raise
from index.outbox import record
from index.registry import Fields, Registry
from index.sites import site_from
from vault.categories import LEAST_DAYS
from vault.config import Retention
from vault.ids import CameraNumber
from vault.ledger.entry import Kind, NewEntry
from vault.timebase import MAX_US

DUTY: Final = "class days"
ACTOR: Final = "configuration"


def follow_class_days(registry: Registry, retention: Retention, now_us: int) -> dict[str, tuple[int, int]]:
    """Put in force and into the ledger what changed: by class, days before and now. Cheap when nothing did; repeatable.

    An index that remembers none holds the configuration against the law's least: a raise that is there already changes nothing.
    Bringing minima into the rows is left to `index.raising`. Raises what the index raises.
    """
    wanted = {name: retention.days(name) for name in LEAST_DAYS}
    with registry.environment.read() as txn:
        if _known(txn) == wanted:
            return {}
    with registry.environment.write("class days") as txn:
        before = _known(txn) or dict(LEAST_DAYS)
        changed = {name: (before.get(name, LEAST_DAYS[name]), days) for name, days in wanted.items()}
        changed = {name: pair for name, pair in changed.items() if pair[0] != pair[1]}
        cameras = _cameras(txn, registry, now_us) if changed else {}
        for name, (old, new) in changed.items():
            # Whoever edits the file has announced it: fewer days hold at once.
            put_raise(
                txn, registry, cameras.get(name, []), max(old, new), retention.time_zone, by=ACTOR, at_us=now_us,
                why=f"retention.{name}_days: {old} to {new} days", notice_us=0 if new < old else NOTICE_US, lowered=new < old,
                class_days=(name, new),
            )  # fmt: skip
        if changed:
            body = {"class_days": {name: [old, new] for name, (old, new) in changed.items()}}
            record(txn, NewEntry(Kind.POLICY, ACTOR, {}, dict(body)), now_us)
        put_duty(txn, DUTY, {"days": wanted})
    return changed


def days_in_force(environment: Environment, retention: Retention) -> Retention:
    """The configuration with the days that hold until a run has seen that they are fewer: what is closed before must not have less."""
    with environment.read() as txn:
        known = _known(txn)
    return replace(retention, **{f"{name}_days": max(retention.days(name), known.get(name, 0)) for name in LEAST_DAYS})  # type: ignore[arg-type]


def restore_class_days(txn: WriteTxn, documents: Iterable[Fields]) -> None:
    """What was last seen of each class, from the documents of raises in their order. A class that they do not name has the law's days."""
    said = [fields.get("class_days") for fields in documents]
    days = {str(one[0]): int(one[1]) for one in said if isinstance(one, list) and len(one) == 2}
    if days:
        put_duty(txn, DUTY, {"days": days})


def _known(txn: ReadTxn) -> dict[str, int]:
    return {str(name): int(days) for name, days in ((duty_of(txn, DUTY) or {}).get("days") or {}).items()}


def _cameras(txn: ReadTxn, registry: Registry, now_us: int) -> dict[str, list[CameraNumber]]:
    """All that ever were, by each class that their site has now or will have as it is announced; of a site that is not there, the
    highest."""
    sites = {site.id: site for site in map(site_from, registry.all_fields(txn, "sites"))}
    found: dict[str, list[CameraNumber]] = defaultdict(list)
    for fields in registry.all_fields(txn, "cameras"):
        move = fields.get("lowering")
        coming = set() if move is None else {move["site"]}
        now = coming if move is not None and move["from_us"] <= now_us else {fields["site"]}
        classes = set()
        for site in (sites.get(one) for one in now | coming):
            classes |= {"key"} if site is None else {site.at(now_us).site_class, site.at(MAX_US).site_class}
        for name in classes:
            found[name].append(CameraNumber(int(fields["number"])))
    return found
