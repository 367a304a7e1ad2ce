"""Sites 场所: where cameras stand, who answers for them, and for how long their footage is kept at least.

A change that keeps footage longer holds at once and reaches the footage that exists (`index.minima`). One that keeps it for less is
announced: it takes effect a day after it was asked for, for what is recorded from then on, and can be taken back until then.
The categories are in `vault.categories`; what is removed, and when, is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any, Final

from index.batch import Outcome, outcome
from index.environment import ReadTxn, WriteTxn
from index.minima import NOTICE_US, put_raise
from index.registry import DocumentName, Fields, Registry
from index.texts import text_field
from vault.categories import CATEGORIES, LEAST_DAYS, category
from vault.clock import Clock, SystemClock
from vault.config import Retention
from vault.errors import Damaged, NotFound, Refused, UsageError
from vault.ids import CameraNumber
from vault.retain import MAX_DAYS
from vault.timebase import MAX_US

DEFAULT_SITE: Final = "default"
INTERCONNECTS: Final = ("gb28181", "other")
MAX_IMPORT: Final = 20_000
TOGETHER: Final = 500
"""Sites of an import in one transaction: each document is synced while recording waits for the lock."""

TEXTS: Final = {
    "name": 200, "unit": 200, "person": 100, "phone": 50, "address": 300, "design_ref": 100, "test_ref": 100,
    "acceptance_ref": 100, "approval_ref": 100,
}  # fmt: skip
"""Fields of text and how many characters each may have."""
DATES: Final = ("design_on", "test_on", "acceptance_on")

_SITE_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Lowering:
    """Fewer days, announced: in force from `from_us` on."""

    category: str
    site_class: str
    retain_days: int
    from_us: int
    by: str

    @property
    def said(self) -> tuple[str, str, int]:
        return self.category, self.site_class, self.retain_days


@dataclass(frozen=True, slots=True)
class Site:
    """`site_class` is that of its category; a site of before there were categories has the one that it was given.

    Of design, test and acceptance: reference and ISO date. `approval_ref`: that of an interconnect other than GB/T 28181.
    """

    id: str
    site_class: str = "general"
    retain_days: int = 30
    category: str = "other"
    name: str = ""
    unit: str = ""
    person: str = ""
    phone: str = ""
    address: str = ""
    design_ref: str = ""
    design_on: str = ""
    test_ref: str = ""
    test_on: str = ""
    acceptance_ref: str = ""
    acceptance_on: str = ""
    interconnect: str = "other"
    approval_ref: str = ""
    lowering: Lowering | None = None
    removed_us: int | None = None

    def at(self, now_us: int) -> Site:
        """The site as it is in force now."""
        low = self.lowering
        if low is None or now_us < low.from_us:
            return self
        return replace(
            self, category=low.category, site_class=low.site_class, retain_days=low.retain_days, lowering=None
        )  # fmt: skip

    @property
    def demand(self) -> str:
        """What the rule calls it, and where."""
        found = CATEGORIES.get(self.category)
        # A category of before there was a list of them says nothing; its class does.
        weaker = found is None or found.least_days < LEAST_DAYS[self.site_class]
        return (
            f"of class {self.site_class} (Art. 5)"
            if found is None or weaker
            else f"{found.id} ({found.article}, {found.english})"
        )

    def days(self, retention: Retention) -> int:
        """For how long footage of its cameras is kept at least."""
        return max(self.retain_days, retention.days(self.site_class))


def of_category(site: Site, category_id: str, days: int | None = None) -> Site:
    """The site in a category, with its class. Without `days` it keeps extra days that it has, and no more than the class's else."""
    found = category(category_id)
    extra = site.retain_days if site.retain_days != LEAST_DAYS[site.site_class] else 0
    return replace(
        site, category=found.id, site_class=found.site_class, retain_days=max(found.least_days, extra) if days is None else days
    )


class Sites:
    """The sites of the registry. Every change is durable when the method returns."""

    def __init__(self, registry: Registry, clock: Clock | None = None, retention: Retention | None = None) -> None:
        self._registry = registry
        self._env = registry.environment
        self._clock = clock or SystemClock()
        self._retention = retention or Retention()

    def ensure_default(self) -> Site:
        """Make the site `default` (30 days) unless it is there; what `init` does."""
        with self._env.read() as txn:
            found = site_of(txn, self._registry, DEFAULT_SITE)
        return found or self.add(Site(DEFAULT_SITE))

    def add(self, site: Site, by: str = "") -> Site:
        """Raises UsageError for a bad field or an id that is taken."""
        site = checked(site)
        with self._env.write("add site") as txn:
            if site_of(txn, self._registry, site.id) is not None:
                raise UsageError(f"there is a site {site.id!r} already")
            self._registry.write(txn, site_document(site.id), asdict(site), self._clock.now_us(), by)
        return site

    def set(self, site: Site, by: str = "") -> Site:
        """Put these fields in place of the site's, longer keeping at once, shorter keeping announced. Raises NotFound, UsageError.

        What has to be brought into rows that exist is left to `index.raising`.
        """
        site, now_us = checked(site), self._clock.now_us()
        with self._env.write("set site") as txn:
            old = site_of(txn, self._registry, site.id)
            if old is None:
                raise NotFound(f"there is no site {site.id!r}")
            return self._put(txn, old, site, now_us, by)

    def keep(self, site_id: str, by: str = "") -> Site:
        """Take back what was announced. Raises NotFound, Refused."""
        with self._env.write("keep site") as txn:
            old, now_us = self._get(txn, site_id), self._clock.now_us()
            if old.at(now_us).lowering is None:
                raise Refused(f"site {site_id}: nothing is announced, or it took effect already")
            site = replace(old, lowering=None)
            self._registry.write(txn, site_document(site_id), asdict(site), now_us, by)
        return site

    def remove(self, site_id: str, by: str = "") -> Site:
        """Raises NotFound; Refused while any camera is of it, one that was removed too: its footage is kept by the site's days."""
        with self._env.write("remove site") as txn:
            old, now_us = self._get(txn, site_id), self._clock.now_us()
            cameras = {*_cameras_of(txn, self._registry, site_id, now_us), *_cameras_of(txn, self._registry, site_id, MAX_US)}
            if cameras or site_id == DEFAULT_SITE:
                why = (
                    f"cameras are or were of it ({len(cameras)})" if cameras else "new cameras are of it unless another is said"
                )
                raise Refused(f"site {site_id} stays: {why}")
            site = replace(old, removed_us=now_us)
            self._registry.write(txn, site_document(site_id), asdict(site), now_us, by)
        return site

    def import_sites(self, sites: Sequence[Site], by: str = "", *, dry_run: bool = False) -> list[Outcome]:
        """Add or set them; what became of each. `dry_run`: change nothing. Raises UsageError, and then none was.

        At most 500 in one transaction; an import that is cut short between two may be repeated, and comes out the same.
        """
        if len(sites) > MAX_IMPORT:
            raise UsageError(f"{len(sites)} sites in one import; at most {MAX_IMPORT}, so split it")
        sites, now_us = [checked(site) for site in sites], self._clock.now_us()
        outcomes: list[Outcome] = []
        for first in range(0, len(sites), TOGETHER):
            # What is left as it is takes no lock that recording waits for.
            with self._env.read() as txn:
                some = [(site, self._outcome(txn, site, now_us, by)) for site in sites[first : first + TOGETHER]]
            outcomes += [found for _, found in some]
            if dry_run or all(found is Outcome.LEFT for _, found in some):
                continue
            with self._env.write("import sites") as writing:
                for site, _ in some:
                    self._put(writing, site_of(writing, self._registry, site.id), site, now_us, by)
        return outcomes

    def get(self, site_id: str) -> Site:
        """Raises NotFound."""
        with self._env.read() as txn:
            return self._get(txn, site_id)

    def list(self) -> list[Site]:
        """All sites by id."""
        with self._env.read() as txn:
            sites = [site_from(fields) for fields in self._registry.all_fields(txn, "sites")]
        return [site for site in sites if site.removed_us is None]

    def _get(self, txn: ReadTxn, site_id: str) -> Site:
        site = site_of(txn, self._registry, site_id)
        if site is None:
            raise NotFound(f"there is no site {site_id[:80]!r}")
        return site

    def _outcome(self, txn: ReadTxn, site: Site, now_us: int, by: str) -> Outcome:
        old = site_of(txn, self._registry, site.id)
        return outcome(old and old.at(now_us), site if old is None else self._announced(old.at(now_us), site, now_us, by))

    def _put(self, txn: WriteTxn, old: Site | None, site: Site, now_us: int, by: str) -> Site:
        new = site if old is None else self._announced(old.at(now_us), site, now_us, by)
        if old is not None and new == old.at(now_us):
            return new
        self._registry.write(txn, site_document(site.id), asdict(new), now_us, by)
        if old is not None:
            self._note_days(txn, old.at(now_us), new, now_us, by)
        return new

    def _announced(self, old: Site, new: Site, now_us: int, by: str) -> Site:
        """`new`, or where it would keep less: `new` with what keeps longer of `old`, and the rest announced."""
        said = (new.category, new.site_class, new.retain_days)
        if said == (old.category, old.site_class, old.retain_days):
            return replace(new, lowering=old.lowering)
        if old.lowering is not None and said == (low := old.lowering).said:
            # What is announced already takes effect when it was to.
            return replace(new, category=old.category, site_class=old.site_class, retain_days=old.retain_days, lowering=low)
        if new.days(self._retention) >= old.days(self._retention):
            return replace(new, lowering=None)
        low = Lowering(*said, now_us + NOTICE_US, by)
        return replace(new, category=old.category, site_class=old.site_class, retain_days=old.retain_days, lowering=low)

    def _note_days(self, txn: WriteTxn, old: Site, new: Site, now_us: int, by: str) -> None:
        """More days reach the footage that exists; that fewer are announced is noted for what began before they take effect."""
        had, lowered = old.days(self._retention), new.lowering is not None and new.lowering != old.lowering
        to = new.at(MAX_US) if lowered else new
        days = to.days(self._retention)
        if days > had or lowered:
            why = f"site {new.id}: {old.category} {had} to {to.category} {days} days"
            # A camera that is announced to come is one of them: if it lost days by that, it may gain some now.
            cameras = sorted(
                {camera for at_us in (now_us, MAX_US) for camera in _cameras_of(txn, self._registry, new.id, at_us)}
            )
            put_raise(
                txn, self._registry, cameras, max(had, days), self._retention.time_zone, by=by, why=why, at_us=now_us,
                lowered=lowered,
            )  # fmt: skip


def kept(camera_days: int, site: Site | None, retention: Retention, now_us: int) -> tuple[str, int]:
    """Class and days of what a camera with days of its own (or 0) records now. In doubt the longest there is: a site that is
    not there is a fault, and no reason to keep less."""
    if site is None:
        return "key", max(retention.days("key"), camera_days)
    site = site.at(now_us)
    return site.site_class, max(site.days(retention), camera_days)


def site_of(txn: ReadTxn, registry: Registry, site_id: str) -> Site | None:
    """A site inside somebody's transaction, None when there is none or the id is not one."""
    if not _SITE_ID.fullmatch(site_id):
        return None
    fields = registry.fields(txn, site_document(site_id))
    site = None if fields is None else site_from(fields)
    return None if site is None or site.removed_us is not None else site


def site_document(site_id: str) -> DocumentName:
    """What the site's document is called."""
    return DocumentName("sites", site_id)


def site_from(fields: Fields) -> Site:
    """The site of a document's fields. Raises Damaged. What format 1 did not know is empty."""
    try:
        texts = {name: str(fields.get(name, "")) for name in (*TEXTS, *DATES)}
        low, removed = fields.get("lowering"), fields.get("removed_us")
        if str(fields["site_class"]) not in LEAST_DAYS:
            raise ValueError("class")
        return Site(
            id=str(fields["id"]),
            site_class=str(fields["site_class"]),
            retain_days=int(fields["retain_days"]),
            category=str(fields["category"]),
            interconnect=str(fields.get("interconnect", "other")),
            lowering=None if low is None else Lowering(**low),
            removed_us=None if removed is None else int(removed),
            **texts,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged("a site in the registry lacks a field; run `index rebuild`") from error


def checked(site: Site) -> Site:
    """The site with its texts cleaned. Raises UsageError that names the field, or the article where it would keep too little."""
    if not _SITE_ID.fullmatch(site.id):
        raise UsageError(f"site id {site.id[:80]!r} is not usable: 1 to 64 letters, digits, '-', '_' or '.'")
    where = f"site {site.id}"
    if site.site_class not in LEAST_DAYS:
        raise UsageError(f"{where}: class {site.site_class[:40]!r} is not one of {', '.join(sorted(LEAST_DAYS))}")
    found, least = CATEGORIES.get(site.category), LEAST_DAYS[site.site_class]
    if found is not None and least < found.least_days:
        raise UsageError(f"{where}: {found.id} ({found.article}) is of class {found.site_class}, not {site.site_class}")
    if not least <= site.retain_days <= MAX_DAYS:
        raise UsageError(
            f"{where}: {site.retain_days} days; it is {site.demand}, kept for at least {least} days, and {MAX_DAYS:,} at most"
        )
    if site.interconnect not in INTERCONNECTS:
        raise UsageError(f"{where}: interconnect {site.interconnect[:40]!r} is not one of {', '.join(INTERCONNECTS)}")
    texts: dict[str, Any] = {name: text_field(f"{where}: {name}", getattr(site, name), most) for name, most in TEXTS.items()}
    dates: dict[str, Any] = {name: _day(f"{where}: {name}", getattr(site, name)) for name in DATES}
    return replace(site, category=text_field(f"{where}: category", site.category, 64), **texts, **dates)


def _day(what: str, text: str) -> str:
    try:
        return date.fromisoformat(text.strip()[:20]).isoformat() if text.strip() else ""
    except ValueError:
        raise UsageError(f"{what}: {text[:20]!r} is not a date; write it as 2026-11-22") from None


def _cameras_of(txn: ReadTxn, registry: Registry, site_id: str, now_us: int) -> list[CameraNumber]:
    """Numbers of the site's cameras, removed ones too."""
    found = []
    for fields in registry.all_fields(txn, "cameras"):
        move = fields.get("lowering")
        site = move["site"] if move is not None and move["from_us"] <= now_us else fields["site"]
        if site == site_id:
            found.append(CameraNumber(int(fields["number"])))
    return found
