"""Who may see or take what: a pure decision from facts. Denied unless a rule here allows it; each refusal names the rule's article.

The facts are gathered by `access.door`, which also writes refusals down. Those of a unit are put in order once (`Known`), since a
decision is asked for at every look. Nothing but this module makes a person's Grant (`tests/access/test_grants.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from access.people.model import Principal, Role, Unit, UnitGrant, User
from access.people.terminals import terminal_at
from index.stays import Stays, stretches
from vault.days import span_shown
from vault.grant import EVER, Action, Grant, Refusal
from vault.ids import CameraNumber
from vault.timebase import MAX_US, US, Interval, format_local, format_us, union

VIEWING_SILENT_US: Final = 60 * US
"""A viewing-room camera of which nothing newer is recorded is silent: by then it is an alarm too (Art. 7)."""

LATEST_ZONE_US: Final = 14 * 3_600 * US
"""Somewhere it is already this much later: a date that has not begun there lies ahead everywhere."""

HOST: Final = ("127.0.0.1", "::1")
"""Declared as a terminal, these mean the host itself."""


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """A camera and where it stood when. `id`: for people; empty where it has none any more."""

    number: CameraNumber
    stays: Stays
    id: str = ""

    def __str__(self) -> str:
        return camera_text(self.number, self.id)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says. `viewing_room`: `refuse` or `finding`. `host_terminal`: the host's own command line is a
    declared terminal of every unit."""

    viewing_room: str = "finding"
    host_terminal: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """A unit's grants by what they cover. `viewing_until_us`: up to when its viewing-room camera is recorded, None: nothing is;
    `viewing_id`: that camera's id."""

    by_camera: Mapping[CameraNumber, Sequence[UnitGrant]] = field(default_factory=dict)
    by_site: Mapping[str, Sequence[UnitGrant]] = field(default_factory=dict)
    viewing_until_us: int | None = None
    viewing_id: str = ""

    @classmethod
    def of(cls, unit: Unit | None, grants: Sequence[UnitGrant], viewing_until_us: int | None = None) -> Known:
        """Grants of other units are left out, and so are those that were revoked."""
        cameras: dict[CameraNumber, list[UnitGrant]] = defaultdict(list)
        sites: dict[str, list[UnitGrant]] = defaultdict(list)
        for grant in grants:
            if unit is None or grant.unit != unit.id or grant.revoked is not None:
                continue
            for number in grant.cameras:
                cameras[number].append(grant)
            for site in grant.sites:
                sites[site].append(grant)
        return cls(dict(cameras), dict(sites), viewing_until_us)


def authorize(
    who: Principal, action: Action, camera: CameraFacts, wanted: Interval, now_us: int, known: Known, rules: Rules
) -> Grant:
    """The leave to read `wanted` of `camera`, or Refusal.

    One grant of a unit has to cover all that is wanted; of several that do, the one that lasts longest is taken.
    `Grant.window` is what that grant covers, which may be wider than what is wanted: pictures before a cut are decoded from there.
    """
    user = who.user
    if user is None:
        # Whoever commands the host can read every file of it: asking purpose and person is what can be done.
        return Grant(who.actor, action, camera.number, EVER, None, ("operator",))
    until_us = _check_user(who, user, action, now_us)
    if who.unit is not None and (who.unit.disabled or who.unit.removed_us is not None):
        _no(f"unit {who.unit.id} is disabled", "unit", "Art. 13, 14")
    if user.role is Role.INVESTIGATOR:
        return Grant(who.actor, action, camera.number, EVER, _end(until_us), ("role investigator",))
    if user.role not in (Role.UNIT, Role.ADMIN):
        _no(f"a user of role {user.role} sees no footage", "role", "Art. 14 (4)")
    unit = who.unit
    if unit is None or unit.id != user.unit:
        _no(f"user {user.id} is of no unit, and footage is for units that were permitted", "unit", "Art. 13, 14")
    _check_unit(unit, now_us)
    _check_person(user, now_us)
    _check_terminal(unit, who.address, rules)
    finding = viewing_room(unit, known.viewing_until_us, now_us, known.viewing_id)
    if finding and rules.viewing_room != "finding":
        _no(f"unit {unit.id}: {finding}", "viewing-room", "Art. 14 (2)")
    held, window = _held(unit, action, camera, wanted, now_us, known)
    until_us = min(until_us, held.valid.end_us, MAX_US if unit.valid_to_us is None else unit.valid_to_us)
    authority = (f"grant {held.number}", f"unit {unit.id}", *((f"finding: {finding}",) if finding else ()))
    return Grant(who.actor, action, camera.number, window, _end(until_us), authority)


def camera_text(number: CameraNumber, id: str) -> str:
    """A camera for people: `gate-1 (#6)`; by its number alone where it has no id any more."""
    return f"{id} (#{number})" if id else f"#{number}"


def viewing_room(unit: Unit, until_us: int | None, now_us: int, camera_id: str = "") -> str:
    """What is not as Art. 14 (2) wants it; empty when nothing is."""
    if unit.viewing_camera is None:
        return "no camera shows its viewing room"
    room = camera_text(unit.viewing_camera, camera_id)
    if until_us is None:
        return f"its viewing-room camera {room} has recorded nothing"
    if now_us - until_us > VIEWING_SILENT_US:
        return f"its viewing-room camera {room} is silent since {format_local(until_us)}"
    return ""


def _check_user(who: Principal, user: User, action: Action, now_us: int) -> int:
    """What no role is allowed without; returns when it ends."""
    if user.disabled or user.removed_us is not None:
        _no(f"user {user.id} is disabled", "disabled", "Art. 13, 14")
    if user.must_change:
        _no(f"user {user.id} has to change the password first", "must_change", "Art. 14 (7)")
    token = who.token
    if token is None:
        return MAX_US
    if token.user != user.id or token.revoked is not None or token.expires_us <= now_us:
        _no(f"token {token.id} is no longer good", "token", "Art. 13, 14")
    if action not in token.actions:
        _no(f"token {token.id} is not for {action}", "token-scope", "Art. 14 (4)")
    return token.expires_us


def _check_unit(unit: Unit, now_us: int) -> None:
    if not unit.agreement:
        _no(f"unit {unit.id} has signed no sharing agreement", "agreement", "Art. 13, 14")
    if now_us < unit.valid_from_us or (unit.valid_to_us is not None and now_us >= unit.valid_to_us):
        term = Interval(unit.valid_from_us, MAX_US if unit.valid_to_us is None else unit.valid_to_us)
        _no(f"the agreement of unit {unit.id} is not in force: it is {span_shown(term)}", "agreement", "Art. 13, 14")


def _check_person(user: User, now_us: int) -> None:
    # ISO dates are in order as text.
    if not user.trained_on or user.trained_on > format_us(min(MAX_US, now_us + LATEST_ZONE_US))[:10]:
        _no(f"user {user.id} was not trained: footage is for a unit's trained staff", "training", "Art. 14 (1), (6)")


def _check_terminal(unit: Unit, address: str, rules: Rules) -> None:
    """`address` empty: the host itself. Nobody's word for another address is taken: whoever is at the host could say any."""
    if not address and rules.host_terminal:
        return
    if all(terminal_at(unit, one) is None for one in (HOST if not address else (address,))):
        where = address or "this host's own command line"
        _no(f"{where} is no declared terminal of unit {unit.id}; `unit terminal add` declares one", "terminal", "Art. 14 (3)")


def _held(
    unit: Unit, action: Action, camera: CameraFacts, wanted: Interval, now_us: int, known: Known
) -> tuple[UnitGrant, Interval]:
    """The grant that covers it, and what of the camera it covers about there; else says what the nearest ones lack, the first
    lack that none of them is without."""
    mine = [(grant, parts) for grant, parts in _of(camera, known) if grant.unit == unit.id and grant.revoked is None]
    if not mine:
        _no(f"unit {unit.id} has no grant of camera {camera}", "camera", "Art. 14 (4)")
    able = [(grant, parts) for grant, parts in mine if action in grant.actions]
    if not able:
        _no(f"unit {unit.id} has no grant to {action} camera {camera}", "action", "Art. 14 (4)")
    valid = [(grant, part) for grant, parts in able if grant.valid.start_us <= now_us < grant.valid.end_us for part in parts]
    if not valid:
        _no(
            f"the grant of camera {camera} to unit {unit.id} is not valid now: {span_shown(able[0][0].valid)}",
            "validity",
            "Art. 13, 14",
        )
    fitting = [(grant, part) for grant, part in valid if _within(wanted, part)]
    if not fitting:
        grant, part = max(valid, key=lambda held: _overlap_us(held[1], wanted))
        stood = "" if part == grant.window else ", while the camera stood at a site of it"
        _no(
            f"the grant of camera {camera} to unit {unit.id} is for footage {span_shown(part)}{stood}, and {wanted} was asked for",
            "window",
            "Art. 14 (4)",
        )
    return max(fitting, key=lambda held: (held[0].valid.end_us, held[1].duration_us, -held[0].number))


def _of(camera: CameraFacts, known: Known) -> list[tuple[UnitGrant, list[Interval]]]:
    """Each grant that covers something of the camera, and what: of a site what was recorded while the camera stood there."""
    # By which object it is: two grants that were mixed up are not to be joined.
    found = {id(grant): (grant, [grant.window]) for grant in known.by_camera.get(camera.number, ())}
    for site, stood in stretches(camera.stays):
        for grant in known.by_site.get(site, ()):
            part = grant.window if _within(grant.window, stood) else stood.intersection(grant.window)
            if part is not None:
                found.setdefault(id(grant), (grant, []))[1].append(part)
    return [(grant, parts if len(parts) == 1 else union(parts)) for grant, parts in found.values()]


def _within(one: Interval, whole: Interval) -> bool:
    return whole.start_us <= one.start_us and one.end_us <= whole.end_us


def _overlap_us(one: Interval, other: Interval) -> int:
    shared = one.intersection(other)
    return 0 if shared is None else shared.duration_us


def _end(until_us: int) -> int | None:
    return None if until_us >= MAX_US else until_us


def _no(message: str, code: str, article: str) -> NoReturn:
    raise Refusal(message, code, article)
