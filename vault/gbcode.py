"""The 20-digit code of a camera (GB/T 28181-2022 Annex E.1): centre 8, industry 2, type 3, network 1, serial 6. Checking only."""

from __future__ import annotations

import re
from typing import Final

from vault.errors import UsageError

_CODE = re.compile(r"[0-9]{20}")
_PROVINCES: Final = frozenset(
    [
        *range(11, 16),
        *range(21, 24),
        *range(31, 38),
        *range(41, 47),
        *range(50, 55),
        *range(61, 66),
        71,
        81,
        82,
    ]
)
_FRONT_END: Final = range(111, 200)
"""Types of devices at the front; from 200 on are platforms, then users."""


def camera_code(text: str) -> str:
    """The code itself. Raises UsageError that says which part cannot be a camera's."""
    if not _CODE.fullmatch(text):
        raise UsageError(f"GB code {text[:40]!r} is not 20 digits")
    if int(text[:2]) not in _PROVINCES:
        raise UsageError(f"GB code {text}: it begins with {text[:2]}, which is no province (GB/T 2260)")
    if int(text[10:13]) not in _FRONT_END:
        raise UsageError(f"GB code {text}: type {text[10:13]} (digits 11 to 13) is not that of a camera or encoder, 111 to 199")
    return text
