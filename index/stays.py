"""Where a camera stood, and since when. Footage is granted by the site at which it was taken, wherever its camera stands now.

Pure. The registry keeps the stays in the camera's document (`index.cameras`); who may see what is `access.authorize`'s to say, and for
how long footage is kept does not depend on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vault.timebase import MAX_US, Interval

MAX_STAYS: Final = 100
"""Of one camera. Of one that moved more often the oldest are forgotten, and what is not known is granted by no site."""


@dataclass(frozen=True, slots=True)
class Stay:
    """At `site` from `from_us` on, until the next stay begins."""

    site: str
    from_us: int


Stays = tuple[Stay, ...]
"""In order of time, neighbours at different sites. Where a camera stood before the first of them is not known."""


def always(site: str) -> Stays:
    """Of a camera that is new: before it was there it recorded nothing."""
    return (Stay(site, 0),)


def moved(stays: Stays, site: str, now_us: int, since_us: int | None = None) -> Stays:
    """At `site` from now on: nothing changes for a camera that stands there, and a clock that went back changes no past. With
    `since_us` from then on, whatever was said of later. Said of the site of its last move that is when it came there, earlier or later
    than was said before."""
    last = stays[-1] if stays else None
    if since_us is None:
        if last is not None and last.site == site:
            return stays
        since_us = now_us if last is None else max(now_us, last.from_us)
    elif last is not None and last.site == site:
        # It came there at another time than was said. Of a first stay nothing is known of before, and it keeps what it has.
        stays = stays[:-1] or stays
    before = tuple(stay for stay in stays if stay.from_us < since_us)
    if before and before[-1].site == site:
        return before
    return (*before, Stay(site, since_us))[-MAX_STAYS:]


def stretches(stays: Stays) -> Iterator[tuple[str, Interval]]:
    """Each site with the time that the camera stood there, in order; the last one has no end."""
    for at, stay in enumerate(stays, 1):
        yield stay.site, Interval(stay.from_us, stays[at].from_us if at < len(stays) else MAX_US)


def sites_in(stays: Stays, span: Interval) -> list[str]:
    """Where the camera stood in this time, each site once, in order."""
    return [*dict.fromkeys(site for site, stood in stretches(stays) if stood.overlaps(span))]


def stays_from(said: Sequence[Any]) -> Stays:
    """Of a document's field. Raises ValueError, TypeError, KeyError for one that is not in order."""
    stays = tuple(Stay(str(one["site"]), int(one["from_us"])) for one in said)
    times = [stay.from_us for stay in stays]
    if times != sorted({*times}) or not all(0 <= at_us < MAX_US for at_us in times):
        raise ValueError("stays")
    return stays


def stays_before(fields: dict[str, Any], changed_us: int) -> list[dict[str, Any]]:
    """For a camera's document of before stays were kept: since its last change it stands where that says, and no longer."""
    low = fields.get("lowering")
    site = low.get("site") if isinstance(low, dict) else fields.get("site")
    return [{"site": site, "from_us": changed_us}]
