"""The rules that decide about keeping, as values: which article asks for which class, and which asks for the deletion.

How long each class is kept stands in the configuration, the exact instant of expiry in `vault.retain`; nothing here computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vault.config import Retention

ARTICLES: Final[Mapping[str, str]] = {
    "key": "Huiyang Art. 5 (重点场所, 公共区域)",
    "general": "Huiyang Art. 5 (其他场所)",
    "viewing": "Huiyang Art. 14 (2)",
}
"""What asks for each class's least days."""

DELETION: Final = "Decree 799 Art. 23"
"""What asks for the deletion of footage whose time is over."""
HELD: Final = "hold (封存)"
CLOCK: Final = "clock not confirmed"
READING: Final = "running read"
INDEX: Final = "index not whole"


@dataclass(frozen=True, slots=True)
class Rule:
    """Footage of a class is kept `days` at least, because `article` says so."""

    site_class: str
    days: int
    article: str


Rules = Mapping[str, Rule]
"""By class. A class that is not in it is not known, and its footage is kept."""


def rules_of(retention: Retention) -> Rules:
    """The rules in force. Days above the law's are the operator's own."""
    return {name: Rule(name, retention.days(name), article) for name, article in ARTICLES.items()}
