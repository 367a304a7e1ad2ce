"""How much room the store has left for footage: measured, and whether it said itself that it has none. What follows from it:
`vault.room`."""

from __future__ import annotations

from typing import Final

from index.alarms import Alarms
from index.environment import Environment, Table
from index.filesystem import disk_space
from index.node import Node
from index.rows import unpack_usage
from vault.errors import StoreError
from vault.room import Room

NO_SPACE: Final = "store out of space"
"""The alarm of whoever puts objects into the store, from when it says that it has no space until it takes one again."""


def takes_nothing(environment: Environment) -> bool:
    """Whether the store says that it is full, whatever was configured or measured."""
    return any(alarm.kind == NO_SPACE for alarm in Alarms(environment).lasting())


def stored_bytes(environment: Environment) -> int:
    """All that rows name, what waits in the spool and what is doomed included."""
    with environment.read() as txn:
        return sum(unpack_usage(raw).size_bytes for _, raw in txn.scan(Table.USAGE))


def room_of(node: Node) -> Room | None:
    """Of the store; None where it is not known: a bucket without `store.capacity`, or a folder that is not there now."""
    configured = node.config.store.capacity_bytes
    stored = 0 if configured is None else stored_bytes(node.environment)
    if node.config.store.kind != "local":
        return None if configured is None else Room(configured, max(0, configured - stored))
    try:
        free_bytes, size_bytes = disk_space(node.folder.store(node.config))
    except StoreError:
        return None
    if configured is None:
        return Room(size_bytes, free_bytes)
    return Room(configured, min(max(0, configured - stored), free_bytes))
