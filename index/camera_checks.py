"""What may stand in a camera's document: each field by itself, and against its site. Who asks, and when, is `index.cameras`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from index.environment import ReadTxn
from index.registry import Registry
from index.sites import INTERCONNECTS, Site, site_of
from index.texts import text_field
from vault.config import Retention
from vault.errors import UsageError
from vault.gbcode import camera_code
from vault.ids import camera_id
from vault.retain import MAX_DAYS
from vault.secrets import split_url

if TYPE_CHECKING:
    from index.cameras import Camera, NewCamera

TRANSPORTS: Final = ("auto", "tcp", "udp")
MAX_NAME_CHARS: Final = 200
MAX_APPROVAL_CHARS: Final = 100

_MAX_SECRET_CHARS = 16_384
_MAX_SITES_SHOWN = 10


def check_fields(camera: NewCamera | Camera) -> None:
    """Raises UsageError for a field that is not usable."""
    camera_id(camera.id)
    where = f"camera {camera.id}"
    parts = split_url(camera.url)
    if parts.user is not None or parts.password is not None:
        raise UsageError(f"{where}: its URL still has a user or password in it; give them sealed")
    if camera.transport not in TRANSPORTS:
        raise UsageError(f"{where}: transport {camera.transport[:20]!r} is not one of {', '.join(TRANSPORTS)}")
    if problem := transport_problem(camera.url, camera.transport):
        raise UsageError(f"{where}: {problem}")
    for what, text, most in (("name", camera.name, MAX_NAME_CHARS), ("approval_ref", camera.approval_ref, MAX_APPROVAL_CHARS)):
        if text_field(f"{where}: {what}", text, most) != text:
            raise UsageError(f"{where}: {what} has characters in it that nobody sees, or space at an end")
    if camera.secret is not None and len(camera.secret) > _MAX_SECRET_CHARS:
        raise UsageError(f"{where}: its sealed credentials are longer than {_MAX_SECRET_CHARS} characters")
    if problem := gb_problem(camera.gb_code):
        raise UsageError(f"{where}: {problem}")
    if camera.interconnect not in ("", *INTERCONNECTS):
        raise UsageError(f"{where}: interconnect {camera.interconnect[:20]!r} is not one of {', '.join(INTERCONNECTS)}")


def checked_site(txn: ReadTxn, registry: Registry, camera: NewCamera | Camera, now_us: int) -> Site:
    """The camera's site as it is in force. Raises UsageError where there is none, or for a field that is not usable."""
    check_fields(camera)
    site = site_of(txn, registry, camera.site)
    if site is None:
        known = [str(fields["id"]) for fields in registry.all_fields(txn, "sites") if fields.get("removed_us") is None]
        more = f" and {len(known) - _MAX_SITES_SHOWN} more" if len(known) > _MAX_SITES_SHOWN else ""
        raise UsageError(
            f"camera {camera.id}: there is no site {camera.site[:80]!r}; "
            f"there are: {', '.join(known[:_MAX_SITES_SHOWN]) or 'none'}{more}"
        )
    return site.at(now_us)


def check_days(camera: NewCamera | Camera, site: Site, retention: Retention) -> None:
    """A camera may be kept for longer than its site, never for less. Raises UsageError."""
    if camera.days and not site.days(retention) <= camera.days <= MAX_DAYS:
        raise UsageError(
            f"camera {camera.id}: {camera.days} days; its site {site.id} is {site.demand}, kept for at least "
            f"{site.days(retention)} days, and {MAX_DAYS:,} at most"
        )


def gb_problem(code: str) -> str | None:
    """What is wrong with a GB code; an empty one is none."""
    try:
        camera_code(code) if code else None
    except UsageError as error:
        return str(error)
    return None


def transport_problem(url: str, transport: str) -> str | None:
    """Why this transport means nothing for this address."""
    if transport == "tcp" and url.lower().startswith("rtp://"):
        return "rtp:// comes over UDP only; leave its transport at auto"
    return None
