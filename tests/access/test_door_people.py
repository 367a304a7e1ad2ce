"""The door over the people of a real registry: whatever is taken from somebody who is in puts them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from access.door import Door
from access.people.attempts import Attempts
from access.people.login import operator, sign_in
from access.people.model import Principal, Role
from access.people.people import People
from access.people.permits import Permits
from access.people.tokens import Tokens
from access.people.units import Units
from access.people.users import Users
from index.cameras import NewCamera
from index.node import Node, init_node, open_node
from tests.support.indexing import DAY_US, T0
from tests.support.people import ADDRESS, add_unit, add_user, give, signed_in
from vault.clock import ManualClock
from vault.config import Config
from vault.grant import Action, Refusal
from vault.ids import CameraNumber
from vault.timebase import Interval

CAMERA = CameraNumber(1)
WANTED = Interval(T0 - DAY_US, T0)


@pytest.fixture
def node(data_path: Path) -> Iterator[Node]:
    clock = ManualClock(T0)
    with open_node(init_node(data_path, lambda _: Config(), clock), Config(), clock) as found:
        found.cameras.add(NewCamera("cam-1", "rtsp://192.0.2.1/stream"))
        yield found


def password(people: People) -> None:
    Users(people).set_password("li", "another password 7", "boss")


def hash_only(people: People) -> None:
    Users(people).set_hash(people.user("li"), "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAA")


def disabled(people: People) -> None:
    Users(people).change("li", lambda user: replace(user, disabled=True), "boss")


def role(people: People) -> None:
    Users(people).change("li", lambda user: replace(user, role=Role.PLANNER), "boss")


def removed(people: People) -> None:
    Users(people).remove("li", "boss")


def unit_disabled(people: People) -> None:
    Units(people).change("road", lambda unit: replace(unit, disabled=True), "boss")


def terminal_dropped(people: People) -> None:
    Units(people).drop_terminal("road", ADDRESS, "boss")


def grant_revoked(people: People) -> None:
    Permits(people).revoke(1, "boss")


def token_revoked(people: People) -> None:
    Tokens(people).revoke(people.tokens()[0].id, "boss")


def nothing(people: People) -> None:
    add_unit(people, "other")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (password, "credentials"), (disabled, "disabled"), (role, "credentials"), (removed, "disabled"), (unit_disabled, "unit"),
        (terminal_dropped, "terminal"), (grant_revoked, "camera"), (token_revoked, "token"), (nothing, None), (hash_only, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("by_token", [False, True])
def test_whatever_is_taken_from_one_who_is_in_puts_them_out(
    node: Node, change: Callable[[People], None], code: str | None, by_token: bool
) -> None:
    people = People(node.registry, node.clock)
    add_unit(people)
    add_user(people)
    give(people, [CAMERA])
    _, text = Tokens(people).add("li", [Action.VIEW], T0 + DAY_US, "boss")
    attempts = Attempts(node.environment, node.clock)
    who = sign_in(people, attempts, node.clock, token=text, address=ADDRESS) if by_token else signed_in(people)
    door = Door(node)
    looks(door, who)
    # In another process, as far as the door knows.
    change(People(node.registry, node.clock))
    if code is None or (code == "token" and not by_token):
        looks(door, who)
        return
    with pytest.raises(Refusal) as caught:
        looks(door, who)
    assert caught.value.code == code
    looks(door, operator())


def looks(door: Door, who: Principal) -> None:
    grants = door.grants(door.again(who), "clip", [CAMERA], WANTED)
    assert list(grants) == [CAMERA]
