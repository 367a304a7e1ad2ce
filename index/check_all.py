"""Every check of footage, index and ledger, one after the other, as `streamvault check` runs them. What each looks at is its own module's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from index.check import (
    Finding,
    Progress,
    check_expiry,
    check_overlaps,
    check_readable,
    check_removal,
    check_time,
    check_usage,
    no_progress,
)
from index.check_ledger import check_ledger
from index.check_objects import Level, ObjectCheck, Sample
from index.growing import growing_intervals
from index.looks import check_looks
from index.node import Node


@dataclass(frozen=True, slots=True)
class Depth:
    """How closely objects are looked at, and at which of them: None is all."""

    level: Level
    sample: Sample | None = None


def all_findings(node: Node, depth: Depth, progress: Progress = no_progress) -> Iterator[Finding]:
    """Everything that is not as it should be. Raises StoreError when the store is away or another index's."""
    environment, now_us = node.environment, node.clock.now_us()
    unreadable = list(check_readable(environment, progress))
    yield from unreadable
    if unreadable:
        # The other checks read the same rows and would only stumble over them.
        return
    yield from ObjectCheck(environment, node.store, node.spool, depth.level, now_us, depth.sample).findings(progress)
    yield from check_overlaps(environment, progress)
    yield from check_removal(environment, progress)
    yield from check_usage(environment, progress)
    yield from check_expiry(environment, progress)
    yield from check_time(
        environment, now_us, lambda number: growing_intervals(environment, node.spool, number, now_us), progress
    )
    yield from check_ledger(environment, node.ledger, node.store, now_us, progress)
    yield from check_looks(environment, node.ledger, progress)
