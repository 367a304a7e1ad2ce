"""Which kinds of documents the registry has, and how those of each are called. What stands in one is not known here."""

from __future__ import annotations

from typing import Final

KINDS: Final = ("cameras", "sites", "holds", "raises", "units", "users", "applications", "grants", "tokens")

NUMBERED: Final = frozenset({"cameras", "holds", "raises", "applications", "grants"})
"""Their documents are called by a number of ten digits, those of the others by an id, which may look like one."""
