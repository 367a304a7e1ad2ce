"""The index's half of the bond with its store: the id of the store in the meta table. What follows from it: `vault.store.bound`."""

from __future__ import annotations

from index.environment import Environment, Table

_STORE_ID = b"store-id"


class IndexBond:
    """`Bond` over one environment."""

    def __init__(self, environment: Environment) -> None:
        self._env = environment

    def store_id(self) -> str | None:
        with self._env.read() as txn:
            raw = txn.get(Table.META, _STORE_ID)
        return None if raw is None else raw.hex()

    def bind(self, store_id: str) -> str:
        with self._env.write("bind store") as txn:
            raw = txn.get(Table.META, _STORE_ID)
            if raw is None:
                raw = bytes.fromhex(store_id)
                txn.put(Table.META, _STORE_ID, raw)
        return raw.hex()

    def expects_objects(self) -> bool:
        """Every segment is either on the list of those that wait for the store, or there."""
        with self._env.read() as txn:
            return txn.entries(Table.SEGMENTS) > txn.entries(Table.PENDING)
