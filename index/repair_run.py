"""Doing what a plan of `index.repair` says: each item is looked at once more, and each step may be repeated after a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from index.catalog import RowsRefused
from index.check import Progress, no_progress
from index.closed import closed_row
from index.expiry import recount_expiry
from index.node import Node
from index.outbox import actor_here, record
from index.repair import LOST, Action, Item, Plan
from index.rows import NewRow, Place, segment_key
from vault.errors import Refused, StreamvaultError, Unreadable
from vault.grant import system_grant
from vault.ids import SegmentKey
from vault.ledger.entry import Kind, NewEntry
from vault.store.segments import damage, open_segment

_BATCH = 200
_ON_RECORD = (Action.ADOPT, Action.DELETE, Action.GAP)
"""What changes which footage there is, and so stands in the ledger, as what is expired does already; counters and lists say nothing that rows do not."""

Refusals = list[tuple[str, str]]
"""What could not be done, each with why; the rest was done."""


def run(node: Node, plan: Plan, progress: Progress = no_progress) -> Refusals:
    """Do all of a plan. Raises Refused for one that may not be done, StoreError when the store is away or another index's."""
    if plan.refused is not None:
        raise Refused(f"nothing was done: {plan.refused}")
    steps: dict[Action, Callable[[Node, list[Item]], Refusals]] = {
        Action.ADOPT: _adopt,
        Action.DELETE: _delete,
        Action.SETTLE: _settle,
        Action.GAP: lambda node, items: _lose(node, items, LOST),
        Action.EXPIRE: lambda node, items: _lose(node, items, None),
        Action.COUNT: _count,
        Action.RELIST: _relist,
    }
    refusals: Refusals = []
    for action, step in steps.items():
        done = 0
        for batch in _batches(plan.of(action)):
            if action in _ON_RECORD:
                _put_on_record(node, action, batch)
            refusals += step(node, batch)
            done += len(batch)
            progress(str(action), done)
    return refusals


def _put_on_record(node: Node, action: Action, items: list[Item]) -> None:
    """Before it is done, as a deletion is: what an entry says and a crash kept from being done is still to be found by `check`."""
    cameras = sorted({item.camera for item in items if item.camera is not None})
    body = {"action": str(action), "objects": [item.id for item in items]}
    with node.environment.write("note repair") as txn:
        record(txn, NewEntry(Kind.REPAIR, actor_here(), {"cameras": cameras}, body), node.clock.now_us())


def _batches(items: Sequence[Item]) -> Iterator[list[Item]]:
    for at in range(0, len(items), _BATCH):
        yield list(items[at : at + _BATCH])


def _adopt(node: Node, items: list[Item]) -> Refusals:
    """Rows of objects as they are, their hash as of now; what they say of themselves holds, the minimum first of all."""
    refusals: Refusals = []
    rows: list[NewRow] = []
    for item in items:
        key = SegmentKey.parse(item.id)
        try:
            with open_segment(node.store, key, system_grant("repair")) as source:
                rows.append(closed_row(key, source))
        except Unreadable as error:
            refusals.append((item.id, str(damage(node.store, key, error))))
        except StreamvaultError as error:
            if error.retryable:
                raise
            refusals.append((item.id, str(error)))
    try:
        node.catalog.commit(rows, adopt=True, place=Place.STORE)
    except RowsRefused as error:
        refusals += [(key.object_key, why) for key, why in error.reasons]
    return refusals


def _delete(node: Node, items: list[Item]) -> Refusals:
    """Only what is empty and without a row still."""
    going: list[str] = []
    for item in items:
        stat = node.store.stat(item.id)
        if stat is not None and stat.size_bytes == 0 and node.catalog.row(SegmentKey.parse(item.id)) is None:
            going.append(item.id)
    return [(failure.key, str(failure.error)) for failure in node.store.delete(going)] if going else []


def _settle(node: Node, items: list[Item]) -> Refusals:
    node.catalog.settle([SegmentKey.parse(item.id) for item in items])
    return []


def _lose(node: Node, items: list[Item], reason: str | None) -> Refusals:
    """Asked of the store once more, which must be there and ours to say that something is not."""
    gone: list[SegmentKey] = []
    refusals: Refusals = []
    for item in items:
        key = SegmentKey.parse(item.id)
        if node.store.stat(item.id) is None and not node.spool.path_of(key).is_file():
            gone.append(key)
        else:
            refusals.append((item.id, "its bytes are there again"))
    outcome = node.catalog.lose(gone, at_us=node.clock.now_us(), reason=reason)
    return refusals + [(key.object_key, why) for key, why in outcome.refused]


def _count(node: Node, items: list[Item]) -> Refusals:
    for item in items:
        if item.camera is not None:
            node.catalog.recount(item.camera)
        else:
            recount_expiry(node.environment)
    return []


def _relist(node: Node, items: list[Item]) -> Refusals:
    node.catalog.relist(_raw_key(item.id) for item in items)
    return []


def _raw_key(name: str) -> bytes:
    """An object key's row, or the row's own bytes where a list names a row that is not there."""
    return segment_key(SegmentKey.parse(name)) if "/" in name else bytes.fromhex(name)
