"""Sites: where cameras stand, and for how long their footage is kept at least. The minimum only; RULES of removal elsewhere."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Final

from index.environment import ReadTxn, Table
from index.registry import DocumentName, Fields, Registry
from vault.clock import Clock, SystemClock
from vault.errors import Damaged, NotFound, UsageError

DEFAULT_SITE: Final = "default"
RETAIN_DAYS: Final = {"general": 30, "viewing": 92, "key": 90}
"""Least days by class; a site may have more and never less."""

_SITE_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_MAX_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Site:
    """`site_class` is one of RETAIN_DAYS; `category` says by which rule it is."""

    id: str
    site_class: str = "general"
    retain_days: int = 30
    category: str = "other"
    name: str = ""


class Sites:
    """The sites of the registry."""

    def __init__(self, registry: Registry, clock: Clock | None = None) -> None:
        self._registry = registry
        self._clock = clock or SystemClock()

    def ensure_default(self) -> Site:
        """Make the site `default` (30 days) unless it is there; what `init` does."""
        with self._registry.environment.read() as txn:
            found = site_of(txn, self._registry, DEFAULT_SITE)
        return found or self.add(Site(DEFAULT_SITE))

    def add(self, site: Site) -> Site:
        """Raises UsageError for a bad field or an id that is taken."""
        _check(site)
        with self._registry.environment.write("add site") as txn:
            if txn.get(Table.REGISTRY, _name(site.id).row_key) is not None:
                raise UsageError(f"there is a site {site.id!r} already")
            self._registry.write(txn, _name(site.id), asdict(site), self._clock.now_us())
        return site

    def set(self, site: Site) -> Site:
        """Put these fields in place of the site's. Footage that is closed keeps the minimum it has. Raises NotFound."""
        _check(site)
        with self._registry.environment.write("set site") as txn:
            if site_of(txn, self._registry, site.id) is None:
                raise NotFound(f"there is no site {site.id!r}")
            self._registry.write(txn, _name(site.id), asdict(site), self._clock.now_us())
        return site

    def get(self, site_id: str) -> Site:
        """Raises NotFound."""
        with self._registry.environment.read() as txn:
            site = site_of(txn, self._registry, site_id)
        if site is None:
            raise NotFound(f"there is no site {site_id[:80]!r}")
        return site

    def list(self) -> list[Site]:
        """All sites by id."""
        with self._registry.environment.read() as txn:
            return [site_from(fields) for fields in self._registry.all_fields(txn, "sites")]


def site_of(txn: ReadTxn, registry: Registry, site_id: str) -> Site | None:
    """A site inside somebody's transaction, None when there is none or the id is not one."""
    if not _SITE_ID.fullmatch(site_id):
        return None
    fields = registry.fields(txn, _name(site_id))
    return None if fields is None else site_from(fields)


def _name(site_id: str) -> DocumentName:
    return DocumentName("sites", site_id)


def site_from(fields: Fields) -> Site:
    """The site of a document's fields. Raises Damaged."""
    try:
        return Site(
            str(fields["id"]),
            str(fields["site_class"]),
            int(fields["retain_days"]),
            str(fields["category"]),
            str(fields["name"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged("a site in the registry lacks a field; run `index rebuild`") from error


def _check(site: Site) -> None:
    if not _SITE_ID.fullmatch(site.id):
        raise UsageError(f"site id {site.id[:80]!r} is not usable: 1 to 64 letters, digits, '-', '_' or '.'")
    least = RETAIN_DAYS.get(site.site_class)
    if least is None:
        raise UsageError(f"site {site.id}: class {site.site_class[:40]!r} is not one of {', '.join(sorted(RETAIN_DAYS))}")
    if not least <= site.retain_days <= _MAX_DAYS:
        raise UsageError(f"site {site.id}: {site.retain_days} days; class {site.site_class} keeps {least} to {_MAX_DAYS}")
    if len(site.category) > 64 or len(site.name) > 200 or not (site.category + site.name).isprintable():
        raise UsageError(f"site {site.id}: category (64) or name (200 characters) is too long or not printable")
