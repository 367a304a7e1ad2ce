"""Applications and grants: who asks, who decides, what is given and taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from access.people.model import Role
from access.people.people import People
from access.people.permits import Permits
from access.people.users import Users
from tests.support.indexing import DAY_US, T0
from tests.support.people import add_unit, add_user, give
from vault.errors import Refused, UsageError
from vault.grant import EVER, Action, Refusal
from vault.ids import CameraNumber
from vault.timebase import MAX_US, Interval

CAMERA = CameraNumber(1)
VIEW = frozenset({Action.VIEW})


def test_an_application_is_granted_by_another_person_for_what_was_asked_or_less(people: People) -> None:
    add_unit(people)
    add_user(people)
    permits, window = Permits(people), Interval(T0, T0 + 10 * DAY_US)
    asked = permits.ask("road", work="traffic", actions=Action, window=window, sites=["default"], cameras=[CAMERA], by="li")
    for by, why in (("LI", "another person"), (" li ", "another person")):
        with pytest.raises(Refusal, match=rf"{why}.*\(Art. 13\)"):
            permits.grant(asked.number, by=by)
    add_user(people, "wang")
    with pytest.raises(Refusal, match="no administrator"):
        permits.grant(asked.number, by="wang")
    for more in ({"window": EVER}, {"sites": ["default", "other"]}, {"cameras": [CAMERA, CameraNumber(2)]}):
        with pytest.raises(Refusal, match=r"no more.*\(Art. 14 \(4\)\)"):
            permits.grant(asked.number, by="first officer", **more)  # type: ignore[arg-type]
    less = Interval(T0 + DAY_US, T0 + 2 * DAY_US)
    decided, grant = permits.grant(asked.number, by="first officer", sites=[], actions=VIEW, window=less)
    assert (decided.granted, decided.grant, grant.application) == (True, grant.number, asked.number)
    assert (grant.sites, grant.cameras, grant.actions, grant.window) == ((), (CAMERA,), VIEW, less)
    assert (grant.valid, grant.why) == (Interval(T0, MAX_US), "traffic")
    with pytest.raises(Refused, match="was decided"):
        permits.refuse(asked.number, by="first officer", reason="x")
    assert people.application(asked.number) == decided


def test_a_unit_is_spoken_for_by_its_own_users_or_an_administrator(people: People) -> None:
    for unit in ("road", "water"):
        add_unit(people, unit)
    add_user(people)
    add_user(people, "wang", unit="water")
    add_user(people, "boss", Role.ADMIN)
    said = {"work": "traffic", "actions": VIEW, "window": EVER, "cameras": [CAMERA]}
    with pytest.raises(Refusal, match=r"wang is not of unit road.*\(Art. 13\)"):
        Permits(people).ask("road", by="wang", **said)  # type: ignore[arg-type]
    Users(people).change("li", lambda old: replace(old, disabled=True))
    with pytest.raises(Refusal, match="li is not"):
        Permits(people).ask("road", by="li", **said)  # type: ignore[arg-type]
    for by in ("boss", "somebody of the road office"):
        Permits(people).ask("road", by=by, **said)  # type: ignore[arg-type]


def test_an_application_is_refused_with_a_reason(people: People) -> None:
    add_unit(people)
    permits = Permits(people)
    permits.ask("road", work="traffic", actions=VIEW, window=EVER, cameras=[CAMERA], by="li")
    with pytest.raises(Refusal, match="with a reason"):
        permits.refuse(1, by="boss", reason=" \x00 ")
    assert permits.refuse(1, by="boss", reason="not \u202edeclared\n").reason == "not declared"
    assert people.grants() == []


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"work": " "}, "for which work"), ({"cameras": []}, "cameras or sites"), ({"actions": []}, "what may be done"),
        ({"cameras": [CameraNumber(7)]}, "no camera #7"), ({"sites": ["x"]}, "no site 'x'"),
        ({"cameras": [CameraNumber(number) for number in range(1, 1_002)]}, "make several"),
        ({"work": "x" * 1_001}, "longer than"),
    ],
)  # fmt: skip
def test_an_application_that_says_too_little_or_too_much_is_none(people: People, said: dict[str, object], why: str) -> None:
    add_unit(people)
    base: dict[str, object] = {"work": "traffic", "actions": VIEW, "window": EVER, "cameras": [CAMERA], "by": "li"}
    with pytest.raises((Refusal, UsageError), match=why):
        Permits(people).ask("road", **(base | said))  # type: ignore[arg-type]
    with pytest.raises(Refusal, match="no unit"):
        Permits(people).ask("other", **base)  # type: ignore[arg-type]
    assert people.applications() == []


def test_a_grant_without_an_application_says_why_and_is_gone_at_once_when_it_is_revoked(people: People) -> None:
    add_unit(people)
    with pytest.raises(Refusal, match=r"why.*\(Art. 13\)"):
        Permits(people).add("road", why="", actions=VIEW, window=EVER, cameras=[CAMERA])
    first, second = give(people, [CAMERA]), give(people, [CAMERA])
    other = People(people.registry, people.clock)
    assert other.grants_of("road") == people.grants_of("road") == [first, second]
    Permits(people).revoke(first.number, "boss")
    assert other.grants_of("road") == people.grants_of("road") == [second]
    with pytest.raises(Refused, match="was revoked"):
        Permits(people).revoke(first.number, "boss")
    assert people.grants_of("other") == []
