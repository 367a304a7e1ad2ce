"""The 20-digit code of a camera (GB/T 28181-2022 Annex E.1): centre 8, industry 2, type 3, network 1, serial 6. Checking only."""

from __future__ import annotations

import re
from typing import Final

from vault.errors import UsageError

_CODE = re.compile(r"[0-9]{20}")
_FRONT_END: Final = range(111, 200)
"""Types of devices at the front; from 200 on are platforms, then users."""


def camera_code(text: str) -> str:
    """The code itself. Raises UsageError that says which part cannot be a camera's.

    The centre's region is not held against GB/T 2260: platforms number private networks and trials outside of it.
    """
    if not _CODE.fullmatch(text):
        raise UsageError(f"GB code {text[:40]!r} is not 20 digits")
    if int(text[10:13]) not in _FRONT_END:
        raise UsageError(f"GB code {text}: type {text[10:13]} (digits 11 to 13) is not that of a camera or encoder, 111 to 199")
    return text
