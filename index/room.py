"""How much room the store has left for footage, measured. What follows from it: `vault.room`."""

from __future__ import annotations

from index.environment import Environment, Table
from index.filesystem import disk_space
from index.node import Node
from index.rows import unpack_usage
from vault.errors import StoreError
from vault.room import Room


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
