"""Units, users, grants and tokens for tests, made by the ordinary functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from argon2 import Parameters

from access.people.attempts import Attempts
from access.people.login import sign_in
from access.people.model import Principal, Role, Terminal, Unit, UnitGrant, User
from access.people.people import People
from access.people.permits import Permits
from access.people.units import Units
from access.people.users import Users
from vault.grant import EVER, Action
from vault.ids import CameraNumber
from vault.timebase import Interval

PASSWORD = "correct horse 42"
ADDRESS = "10.99.1.7"


@contextmanager
def hashes_of(parameters: Parameters) -> Iterator[None]:
    """Passwords hashed with these in this process."""
    with mock.patch("access.people.passwords.PARAMETERS", parameters):
        yield


def add_unit(
    people: People, id_: str = "road", *, term: Interval | None = None, viewing_camera: CameraNumber | None = None
) -> Unit:
    """A unit with everything that the rule asks it to declare, and a terminal at `ADDRESS`."""
    unit = Unit(
        id_, "Road office", "A-2026-1", term.start_us if term else 0, term.end_us if term else None, "traffic at the gate", "R-1",
        "first officer", (Terminal(ADDRESS, "room 2", "second officer"),), viewing_camera,
    )  # fmt: skip
    return Units(people).add(unit, "first officer")


def add_user(people: People, id_: str = "li", role: Role = Role.UNIT, unit: str = "") -> User:
    """With `PASSWORD`, chosen by themselves. Of role unit they are of the unit `road` unless another is said."""
    user = User(id_, role, unit or ("road" if role is Role.UNIT else ""), "third officer", "9901", "2026-05-01")
    Users(people).add(user, "first officer")
    return Users(people).set_password(id_, PASSWORD, id_, must_change=False)


def add_everyone(people: People) -> None:
    """The unit `road`, its user `li`, and the administrator `boss`."""
    add_unit(people)
    add_user(people)
    add_user(people, "boss", Role.ADMIN)


def give(
    people: People, cameras: list[CameraNumber], unit: str = "road", *, actions: frozenset[Action] = frozenset(Action),
    window: Interval = EVER, valid: Interval | None = None, sites: tuple[str, ...] = (),
) -> UnitGrant:  # fmt: skip
    """A grant of these cameras."""
    return Permits(people).add(
        unit, why="a test", actions=actions, window=window, valid=valid, cameras=cameras, sites=sites, by="first officer"
    )


def signed_in(people: People, id_: str = "li", address: str = ADDRESS) -> Principal:
    """The user of `add_user`, at the unit's terminal."""
    return sign_in(people, Attempts(people.environment, people.clock), people.clock, id_, password=PASSWORD, address=address)
