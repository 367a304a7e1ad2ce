"""The one way a value is written in the ledger: RFC 8785 (JSON Canonicalization Scheme) without fractions.

A value is null, a boolean, an integer of at most 53 bits, a text, a list, or a mapping with printable ASCII names. Within these
RFC 8785 is what Python's `json` writes with sorted names and no spaces; `tests/vault/test_ledger_entry.py` holds the two
together. Fractions are refused: how they are printed is where implementations differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from vault.errors import UsageError

Value: TypeAlias = "bool | int | str | Sequence[Value] | Mapping[str, Value] | None"

MAX_DEPTH = 8
MAX_INTEGER = 2**53 - 1
"""RFC 8785 §3.2.2.3: beyond it a reader whose numbers are IEEE 754 doubles sees another one."""


def canonical(value: Value) -> bytes:
    """Raises UsageError for a value that has no canonical form."""
    _check(value, MAX_DEPTH)
    return dumped(value)


def dumped(value: Any) -> bytes:
    """As `canonical`, of a value known to be one: what `json.loads` gave. Raises ValueError for half a surrogate pair."""
    return _ENCODER.encode(value).encode()


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, sort_keys=True, separators=(",", ":"))


def _check(value: Value, depth: int) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        # Half of a surrogate pair, as file names that are no UTF-8 bring them, has no bytes.
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise UsageError(f"{value[:40]!a} is not text that can be written in the ledger")
    elif isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise UsageError(f"the number {value} is too large for the ledger: at most {MAX_INTEGER}")
    elif depth == 0:
        raise UsageError(f"a value of the ledger is nested deeper than {MAX_DEPTH}")
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str) or not name.isascii() or not name.isprintable() or not name:
                raise UsageError(f"{name!a:.60} is not a name in the ledger: printable ASCII")
            _check(item, depth - 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item, depth - 1)
    else:
        raise UsageError(f"a {type(value).__name__} cannot be written in the ledger")
