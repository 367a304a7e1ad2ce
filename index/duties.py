"""What a duty that comes again (retention, the clock's guard) remembers from its last time: small JSON documents by name.

Lost with the index, unlike the ledger; whoever reads one decides what is safe without it.
"""

from __future__ import annotations

import json
from typing import Any

from index.environment import Environment, ReadTxn, Table, WriteTxn
from vault.errors import Damaged

Fields = dict[str, Any]
_VERSION = 1


def duty_of(txn: ReadTxn, name: str) -> Fields | None:
    """None before its first time. Raises Damaged."""
    raw = txn.get(Table.DUTIES, name.encode())
    if raw is None:
        return None
    try:
        fields = json.loads(raw)
        if fields.pop("version") != _VERSION:
            raise ValueError("not version 1")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"what {name!r} remembers cannot be read; run `index rebuild`") from error
    return dict(fields)


def put_duty(txn: WriteTxn, name: str, fields: Fields) -> None:
    value = {"version": _VERSION, **fields}
    txn.put(Table.DUTIES, name.encode(), json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode())


class Duties:
    """The same, each in a transaction of its own."""

    def __init__(self, environment: Environment) -> None:
        self._env = environment

    def get(self, name: str) -> Fields:
        """Empty before its first time."""
        with self._env.read() as txn:
            return duty_of(txn, name) or {}

    def put(self, name: str, fields: Fields) -> None:
        with self._env.write("remember", frees=True) as txn:
            put_duty(txn, name, fields)
