"""Which streamvault this is, as `--version` and packages name it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def software() -> str:
    """`streamvault 0.1.0`."""
    try:
        return f"streamvault {version('streamvault')}"
    except PackageNotFoundError:
        return "streamvault (not installed)"
