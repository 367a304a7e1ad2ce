"""Sites as rows of a CSV file, in and out. What a site may be is `index.sites`' to say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from index.camera_table import days_cell
from index.csv_table import Problem, read_rows, write_rows
from index.sites import DATES, MAX_IMPORT, TEXTS, Site, checked, of_category
from vault.categories import LEAST_DAYS
from vault.errors import UsageError

COLUMNS: Final = ("id", "category", "class", "days", "interconnect", *TEXTS, *DATES)
REQUIRED: Final = ("id", "category")

_SAID: Final = ("interconnect", *TEXTS, *DATES)


@dataclass(frozen=True, slots=True)
class SiteLine:
    """One site to add or set. `cells`: by column, those that the file has."""

    row: int
    cells: Mapping[str, str]

    @property
    def id(self) -> str:
        return self.cells["id"]

    def site(self, old: Site | None) -> Site:
        """The site as the row says; what the file has no column for stays as it is. Raises UsageError."""
        base = Site(self.id) if old is None else old
        days = days_cell(self.cells.get("days", "")) or None
        site = of_category(base, self.cells["category"] or base.category, days)
        class_ = self.cells.get("class", "")
        if class_ and class_ != site.site_class:
            # Stronger than its category asks for: of before there were categories. A weaker one is refused where it is checked.
            site = replace(site, site_class=class_, retain_days=days or max(site.retain_days, LEAST_DAYS.get(class_, 0)))
        said: dict[str, Any] = {name: self.cells[name] for name in _SAID if name in self.cells}
        if not said.get("interconnect", "x"):
            said["interconnect"] = base.interconnect
        return checked(replace(site, **said))


def read_table(data: bytes) -> tuple[list[SiteLine], list[Problem]]:
    """The sites in the file and every problem with its rows. Raises nothing."""
    return read_rows(data, COLUMNS, REQUIRED, _line, MAX_IMPORT, "site")


def write_table(sites: Iterable[Site]) -> bytes:
    """The file that `read_table` reads these sites from."""
    return write_rows(
        COLUMNS,
        (
            (site.id, site.category, site.site_class, str(site.retain_days), *(str(getattr(site, name)) for name in _SAID))
            for site in sites
        ),
    )


def _line(row: int, values: Mapping[str, str]) -> SiteLine:
    if not values["id"]:
        raise UsageError("id is empty")
    line = SiteLine(row, values)
    line.site(None)
    return line
