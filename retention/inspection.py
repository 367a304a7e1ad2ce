"""What an inspection finds, and the articles that it is held against. Pure: what was seen of cameras and sites in, findings out.

Gathering it is `retention.inspect_look`'s, saying it in two languages `retention.inspect_words`'s. A camera below its days because
it is new, or because its days were raised, is collecting, and in no violation.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from typing import Final

from index.cameras import Camera
from index.holds import Order
from index.sites import DEFAULT_SITE, Site
from retention.completeness import Completeness, day_start_us
from retention.policy import ARTICLES, DELETION
from vault.categories import LEAST_DAYS
from vault.retain import local_day
from vault.timebase import US, Interval

SWITCHED_OFF: Final = "recording switched off"
"""The reason of gap rows of a camera that nobody lets record; `ingest.reasons` has it."""


class Kind(enum.StrEnum):
    """What is found, the gravest first: findings come in this order."""

    DELETED_EARLY = "deleted early"
    BELOW_DAYS = "below its days"
    OVERDUE = "overdue deletion"
    HALTED = "retention halted"
    LEDGER = "ledger broken"
    CLOCK_UNCONFIRMED = "clock unconfirmed"
    SWITCHED_OFF = "switched off"
    SILENT = "camera silent"
    NO_VIEWING_CAMERA = "viewing room without camera"
    VIEWING_GAP = "viewing room with gaps"
    INCOMPLETE = "incomplete"
    INTERCONNECT = "interconnect without approval"
    NO_CAMERA = "site without camera"
    APPROVALS = "approvals missing"
    UNIT = "responsible unit missing"
    CLOCK = "clock offset"


ARTICLE: Final[Mapping[Kind, str]] = {
    Kind.OVERDUE: DELETION,
    Kind.HALTED: DELETION,
    Kind.LEDGER: "Huiyang Art. 14 (7)",
    Kind.CLOCK_UNCONFIRMED: "Huiyang Art. 15",
    Kind.SWITCHED_OFF: "Huiyang Art. 7",
    Kind.SILENT: "Huiyang Art. 7",
    Kind.NO_VIEWING_CAMERA: "Huiyang Art. 14 (2)",
    Kind.VIEWING_GAP: "Huiyang Art. 14 (2)",
    Kind.INCOMPLETE: "Huiyang Art. 15",
    Kind.INTERCONNECT: "Huiyang Art. 5",
    Kind.NO_CAMERA: "Huiyang Art. 15",
    Kind.APPROVALS: "Huiyang Art. 15",
    Kind.UNIT: "Huiyang Art. 8, 10",
    Kind.CLOCK: "Huiyang Art. 15",
}
"""Of the others, how long footage is to be kept, the class decides (`retention.policy`)."""

ALARMS: Final = (Kind.OVERDUE, Kind.HALTED, Kind.LEDGER, Kind.CLOCK_UNCONFIRMED)
"""Alarms of the node that are findings, by the same words."""


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on it is a finding. Both are ours; the rules name no number."""

    least_share: float = 0.98
    clock_offset_us: int = 3 * US


class Keeping(enum.StrEnum):
    """How what is still there stands to what must be."""

    KEPT = "kept"
    COLLECTING = "collecting"
    BELOW = "below"
    DELETED_EARLY = "deleted early"
    NOTHING_DUE = "nothing due"


@dataclass(frozen=True, slots=True)
class Retained:
    """`days`: local days from the oldest footage to today. `since_us`: of a camera that collects, since when."""

    days: int
    required_days: int
    keeping: Keeping
    since_us: int | None = None


@dataclass(frozen=True, slots=True)
class Traces:
    """What the index shows of a camera's past. `erased`: time whose footage was removed. `raised_us`: when its days last rose."""

    first_us: int | None = None
    oldest_us: int | None = None
    erased: tuple[Interval, ...] = ()
    raised_us: int | None = None


@dataclass(frozen=True, slots=True)
class Inspected:
    """One camera, as of now, and its completeness over the range. `silent`: what the alarm says, empty when there is none.

    `overdue`: segments that should be gone, and the minimum of the first. `clock_offset_us`: the largest in the range.
    """

    camera: Camera
    site: Site | None
    site_class: str
    retained: Retained
    completeness: Completeness
    clock_offset_us: int | None = None
    silent: str = ""
    overdue: tuple[int, int] = (0, 0)

    @property
    def interconnect(self) -> str:
        return self.camera.interconnect or (self.site.interconnect if self.site else "other")

    @property
    def approval_ref(self) -> str:
        return self.camera.approval_ref or (self.site.approval_ref if self.site else "")


@dataclass(frozen=True, slots=True)
class Finding:
    """`camera` and `site` are ids, empty where it is about neither. `facts` are what its words are filled with."""

    kind: Kind
    article: str
    site: str
    camera: str
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """An inspection at `at_us` of what lies in `span`. `notes`: what could not be looked at."""

    at_us: int
    span: Interval
    zone: str
    scope: str
    limits: Limits
    cameras: tuple[Inspected, ...]
    findings: tuple[Finding, ...]
    holds: tuple[Order, ...]
    notes: tuple[str, ...] = ()


def retained(
    camera: Camera, site_class: str, required_days: int, configured_days: int, seen: Traces, now_us: int, zone: tzinfo
) -> Retained:
    """How the oldest footage that is there stands to the days that are demanded. `configured_days`: of the class.

    Footage of local day D may go when day D + days is over, so from today back to today - days all must be there.
    """
    today = local_day(now_us, zone)
    horizon_us = _start_us(today, required_days, zone)
    days = 0 if seen.oldest_us is None else (today - local_day(seen.oldest_us, zone)).days

    def found(keeping: Keeping, since_us: int | None = None) -> Retained:
        return Retained(days, required_days, keeping, since_us)

    # Deleted lawfully before more was demanded: what was older than the least there is when the days rose, and what was recorded
    # before the configuration asked for more than the law, which raises nothing.
    lawful_us = 0
    if seen.raised_us is not None:
        lawful_us = _start_us(local_day(seen.raised_us, zone), LEAST_DAYS["general"], zone)
    elif configured_days == required_days > LEAST_DAYS[site_class]:
        lawful_us = _start_us(today, LEAST_DAYS[site_class], zone)
    if any(part.end_us > max(horizon_us, lawful_us) for part in seen.erased):
        return found(Keeping.DELETED_EARLY)
    if camera.removed_us is not None and camera.removed_us <= horizon_us:
        return found(Keeping.NOTHING_DUE)
    if seen.first_us is None:
        return found(Keeping.COLLECTING)
    if seen.oldest_us is not None and days >= required_days:
        return found(Keeping.KEPT)
    begun = [at_us for at_us in (seen.first_us, *(part.end_us for part in seen.erased)) if at_us >= horizon_us]
    return found(Keeping.COLLECTING, max(begun)) if begun else found(Keeping.BELOW)


def findings(cameras: Sequence[Inspected], sites: Sequence[Site], limits: Limits, zone: tzinfo) -> list[Finding]:
    """What is wrong with these cameras and sites, in the order of `Kind`, then of site; cameras as they are given."""
    found = [finding for seen in cameras for finding in _of_camera(seen, limits, zone)]
    by_site: dict[str, list[Inspected]] = {site.id: [] for site in sites}
    for seen in cameras:
        by_site.setdefault(seen.camera.site, []).append(seen)
    for site in sites:
        found += _of_site(site, by_site[site.id])
    return in_order(found)


def in_order(found: Sequence[Finding]) -> list[Finding]:
    """The gravest first."""
    order = {kind: at for at, kind in enumerate(Kind)}
    return sorted(found, key=lambda item: (order[item.kind], item.site))


def alarm_finding(kind: Kind, message: str) -> Finding:
    """An alarm of the node that lasts."""
    return Finding(kind, ARTICLE[kind], "", "", {"message": message})


def _of_camera(seen: Inspected, limits: Limits, zone: tzinfo) -> Iterator[Finding]:
    def finding(kind: Kind, **facts: object) -> Finding:
        article = ARTICLE.get(kind) or ARTICLES[seen.site_class]
        return Finding(kind, article, seen.camera.site, seen.camera.id, {name: str(value) for name, value in facts.items()})

    kept, whole = seen.retained, seen.completeness
    if kept.keeping is Keeping.DELETED_EARLY:
        yield finding(Kind.DELETED_EARLY, days=kept.days, required=kept.required_days)
    elif kept.keeping is Keeping.BELOW:
        yield finding(Kind.BELOW_DAYS, days=kept.days, required=kept.required_days)
    segments, until_us = seen.overdue
    if segments:
        yield finding(Kind.OVERDUE, segments=f"{segments:,}", since=local_day(until_us, zone))
    off_us = whole.by_reason().get(SWITCHED_OFF, 0)
    if off_us and seen.site_class == "key":
        yield finding(Kind.SWITCHED_OFF, length=length_text(off_us))
    if seen.silent:
        yield finding(Kind.SILENT, message=seen.silent)
    if seen.site_class == "viewing" and whole.gaps:
        yield finding(Kind.VIEWING_GAP, gaps=len(whole.gaps), length=length_text(whole.missing_us))
    elif whole.share is not None and whole.share < limits.least_share and whole.worst is not None:
        yield finding(
            Kind.INCOMPLETE, share=percent_text(whole.recorded_us, whole.due_us), day=whole.worst.day,
            worst=percent_text(whole.worst.recorded_us, whole.worst.due_us), least=f"{100 * limits.least_share:g} %",
        )  # fmt: skip
    if seen.camera.interconnect == "other" and not seen.approval_ref and not seen.camera.is_removed:
        yield finding(Kind.INTERCONNECT)
    offset_us = seen.clock_offset_us
    if offset_us is not None and abs(offset_us) > limits.clock_offset_us:
        yield finding(Kind.CLOCK, offset=seconds_text(offset_us), limit=length_text(limits.clock_offset_us))


def _of_site(site: Site, cameras: Sequence[Inspected]) -> Iterator[Finding]:
    there = [seen for seen in cameras if not seen.camera.is_removed]
    if site.id == DEFAULT_SITE and not there:
        # Every node has it, whether it is used or not.
        return

    def finding(kind: Kind, **facts: str) -> Finding:
        return Finding(kind, ARTICLE[kind], site.id, "", facts)

    if not any(seen.camera.records for seen in there):
        yield finding(Kind.NO_VIEWING_CAMERA if site.site_class == "viewing" else Kind.NO_CAMERA)
    if site.interconnect == "other" and not site.approval_ref and any(_as_its_site(seen.camera) for seen in there):
        yield finding(Kind.INTERCONNECT)
    missing = [
        name for name in ("design", "test", "acceptance")
        if not (getattr(site, f"{name}_ref") and getattr(site, f"{name}_on"))
    ]  # fmt: skip
    if missing:
        yield finding(Kind.APPROVALS, missing=",".join(missing))
    nobody = [name for name in ("unit", "person", "phone") if not getattr(site, name)]
    if nobody:
        yield finding(Kind.UNIT, missing=",".join(nobody))


def _as_its_site(camera: Camera) -> bool:
    """Whether how it is connected, and by which approval, is what its site says."""
    return not camera.interconnect and not camera.approval_ref


def _start_us(today: date, days_back: int, zone: tzinfo) -> int:
    return day_start_us(max(today - timedelta(days=days_back), date(1970, 1, 2)), zone)


def percent_text(part_us: int, whole_us: int) -> str:
    """Cut and not rounded: what is not all of it never reads 100 %."""
    return f"{part_us * 10_000 // whole_us / 100:.2f} %"


def length_text(duration_us: int) -> str:
    """In a unit that leaves figures of it to see."""
    seconds = duration_us / US
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:,.2f} h"


def seconds_text(duration_us: int) -> str:
    """An offset, ahead with a plus; what is rounded to nothing has no sign."""
    text = f"{duration_us / US:+.2f} s"
    return text[1:] if text[1:] == "0.00 s" else text
