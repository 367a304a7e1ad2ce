"""Sizes as people write them: `200T`. Powers of a thousand, as makers of disks count."""

from __future__ import annotations

import re
from typing import Final

from vault.errors import UsageError

_UNITS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_SIZE: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([kMGTP]?)B?")


def size_of(text: str) -> int:
    """`200T`, `1.5P`, `800G` or bytes. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text[:40]!r} is not a size: write 200T, 1.5P or bytes")
    return round(float(match[1]) * _UNITS[match[2]])
