"""Exports' rows in the index: reading, writing, taking away. What a step means is in `access.export.job`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from access.export.job import Job, unpack
from index.environment import Environment, Table
from index.outbox import record
from vault.errors import NotFound
from vault.ledger.entry import NewEntry


class Jobs:
    """Over one environment. Every change is durable when the method returns."""

    def __init__(self, environment: Environment) -> None:
        self._env = environment

    def all(self) -> list[Job]:
        """By id, which is by moment. Raises Damaged."""
        with self._env.read() as txn:
            return [unpack(raw) for _, raw in txn.scan(Table.EXPORTS)]

    def get(self, id: str) -> Job:
        """Raises NotFound, Damaged."""
        with self._env.read() as txn:
            raw = txn.get(Table.EXPORTS, id.encode())
        if raw is None:
            raise NotFound(f"there is no export {id}; `export list` shows them, `register list` those of old")
        return unpack(raw)

    def put(self, job: Job, entries: Sequence[NewEntry] = (), at_us: int = 0) -> Job:
        """The row, and with it what the ledger is to hear. Raises StoreFull where the index has no room for a new one."""
        with self._env.write("export", frees=job.step.ended) as txn:
            txn.put(Table.EXPORTS, job.id.encode(), job.pack())
            for new in entries:
                record(txn, new, at_us)
        return job

    def change(self, id: str, how: Callable[[Job], Job], entries: Sequence[NewEntry] = (), at_us: int = 0) -> Job:
        """As `put`, for a row that nobody else changes between reading and writing. Raises NotFound, what `how` raises."""
        with self._env.write("export", frees=True) as txn:
            raw = txn.get(Table.EXPORTS, id.encode())
            if raw is None:
                raise NotFound(f"there is no export {id}; `export list` shows them")
            job = how(unpack(raw))
            txn.put(Table.EXPORTS, id.encode(), job.pack())
            for new in entries:
                record(txn, new, at_us)
        return job

    def forget(self, id: str) -> None:
        with self._env.write("export", frees=True) as txn:
            txn.delete(Table.EXPORTS, id.encode())
