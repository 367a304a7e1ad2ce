"""One field of the configuration: its default with its bounds and meaning, and the check of what a file says for it.

Which sections and fields there are is `vault.config`'s.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar

from vault.errors import ConfigError

_T = TypeVar("_T")


def number(default: _T, low: float, high: float, doc: str) -> _T:
    """A field that must lie in `[low, high]`; its type is that of the field."""
    made: _T = field(default=default, metadata={"low": low, "high": high, "doc": doc})
    return made


def text(default: str, doc: str, choices: tuple[str, ...] = ()) -> str:
    """A field of text, at most 1,024 characters; one of `choices` where there are any. It may be empty if its default is."""
    made: str = field(default=default, metadata={"choices": choices, "doc": doc})
    return made


def flag(default: bool, doc: str) -> bool:
    """A field that is true or false."""
    made: bool = field(default=default, metadata={"doc": doc})
    return made


def read_section(path: Path, section: str, kind: type[Any], table: Mapping[str, object]) -> Any:
    """A section's values from its table. Raises ConfigError, which names the file and the key."""
    fields = {item.name: item for item in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in fields:
            raise ConfigError(f"{path}: unknown key {shown(f'{section}.{key}')}{nearest(key, fields)}")
        values[key] = _value(f"{path}: {section}.{key}", fields[key], value)
    return kind(**values)


def _value(where: str, item: dataclasses.Field[Any], value: object) -> bool | int | float | str:
    # The type of the default is the type of the field. A bool is an int to Python and not to us.
    if isinstance(item.default, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"{where}: must be true or false, not {_kind(value)}")
        return value
    if isinstance(item.default, str):
        choices: tuple[str, ...] = item.metadata["choices"]
        if not isinstance(value, str):
            raise ConfigError(f"{where}: must be text, not {_kind(value)}")
        if choices and value not in choices:
            raise ConfigError(f"{where}: {shown(value)} is not one of {', '.join(choices)}")
        # Empty means "none" where that is the default, and is a slip everywhere else.
        if len(value) > 1024 or not value.isprintable() or (item.default and not value):
            raise ConfigError(f"{where}: must be 1 to 1,024 printable characters")
        return value
    whole = isinstance(item.default, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise ConfigError(f"{where}: must be {'a whole number' if whole else 'a number'}, not {_kind(value)}")
    low, high = item.metadata["low"], item.metadata["high"]
    # Written so that `nan` fails too.
    if not low <= value <= high:
        # A hexadecimal integer may have more digits than Python agrees to print.
        told = str(value) if isinstance(value, float) or abs(value) < 10**18 else "it"
        raise ConfigError(f"{where}: {told} is outside {low:,} to {high:,}")
    return value if whole else float(value)


def nearest(name: str, known: Mapping[str, object]) -> str:
    """The end of a message about a name that is not among the known ones."""
    found = difflib.get_close_matches(name.lower()[:80], known, n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else f"; known are {', '.join(known)}"


def shown(text: str) -> str:
    """Text of a file in a message."""
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _kind(value: object) -> str:
    names = {bool: "true or false", str: "text", int: "a number", float: "a number", list: "a list", dict: "a table"}
    return names.get(type(value), "a time")
