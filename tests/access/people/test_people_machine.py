"""People against a plain model: whatever is done in whatever order, both know the same, `check` finds nothing, and somebody may sign in
to grant once somebody could, but for tokens that are revoked."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from access.people.check import check_people
from access.people.model import Role, Unit, User
from access.people.people import People
from access.people.permits import Permits
from access.people.tokens import Tokens
from access.people.units import Units
from access.people.users import Users
from tests.support.index_vault import open_vault
from tests.support.indexing import DAY_US, T0
from tests.support.people import PASSWORD
from vault.errors import StreamvaultError
from vault.grant import EVER, Action
from vault.ids import CameraNumber

UNIT_IDS = ("a", "b")
USER_IDS = ("k", "l", "m", "n", "o")
CAMERA = CameraNumber(1)

# Most of what can go wrong goes wrong with administrators.
roles = st.sampled_from((Role.ADMIN, Role.ADMIN, Role.ADMIN, Role.UNIT, Role.PLANNER))


@dataclass(frozen=True)
class Person:
    """Of the model."""

    role: Role
    unit: str = ""
    disabled: bool = False
    removed: bool = False
    password: bool = False


@dataclass(frozen=True)
class House:
    """A unit of the model."""

    disabled: bool = False
    removed: bool = False


class PeopleMachine(RuleBasedStateMachine):
    """The model is two dictionaries and a set of the grants in force, by number."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = Path(tempfile.mkdtemp())
        self.stack.callback(shutil.rmtree, folder)
        self.vault = self.stack.enter_context(open_vault(folder, T0))
        self.vault.sites.ensure_default()
        self.vault.add_camera("cam-1", CAMERA)
        self.people = People(self.vault.registry, self.vault.clock)
        self.users: dict[str, Person] = {}
        self.units: dict[str, House] = {}
        self.grants: dict[int, str] = {}
        self.tokens: dict[str, str] = {}

    def teardown(self) -> None:
        self.stack.close()

    @initialize()
    def begin(self) -> None:
        for id_ in UNIT_IDS:
            Units(self.people).add(Unit(id_, f"Unit {id_}"))
            self.units[id_] = House()

    def granting(self, users: dict[str, Person], units: dict[str, House]) -> bool:
        """Whether somebody may sign in and grant: without a password and a token nobody signs in."""
        return any(
            (person.password or id_ in self.tokens.values()) and person.role is Role.ADMIN and not person.disabled and not person.removed
            and (not person.unit or not (units[person.unit].disabled or units[person.unit].removed))
            for id_, person in users.items()
        )  # fmt: skip

    def allows(self, users: dict[str, Person] | None = None, units: dict[str, House] | None = None) -> bool:
        new_users, new_units = self.users | (users or {}), self.units | (units or {})
        if self.granting(self.users, self.units) and not self.granting(new_users, new_units):
            return False
        # Who is put into a unit is put into one that is there.
        moved = [
            person
            for id_, person in (users or {}).items()
            if person.unit and self.users.get(id_, Person(Role.PLANNER)).unit != person.unit
        ]
        return not any(self.units[person.unit].removed for person in moved)

    def tried(self, allowed: bool, deed: object) -> bool:
        """Do it; it is done or refused as the model says."""
        try:
            deed()  # type: ignore[operator]
        except StreamvaultError:
            assert not allowed
            return False
        assert allowed
        return True

    @rule(
        id_=st.sampled_from(USER_IDS),
        role=roles,
        unit=st.sampled_from(("", *UNIT_IDS)),
        disabled=st.booleans(),
        password=st.sampled_from((None, PASSWORD, PASSWORD)),
    )
    def put_user(self, id_: str, role: Role, unit: str, disabled: bool, password: str | None) -> None:
        old = self.users.get(id_)
        new = Person(role, unit, disabled, password=password is not None if old is None else old.password)
        allowed = (old is None or not old.removed) and (role is not Role.UNIT or bool(unit)) and self.allows({id_: new})
        user = User(id_, role, unit, "N", "1", disabled=disabled)
        users = Users(self.people)
        if self.tried(
            allowed, lambda: users.add(user, password=password) if old is None else users.change(id_, lambda _: user)
        ):
            self.users[id_] = new

    @rule(
        rows=st.lists(
            st.tuples(st.sampled_from(USER_IDS), st.sampled_from((Role.ADMIN, Role.PLANNER)), st.booleans()),
            min_size=1,
            max_size=3,
            unique_by=lambda row: row[0],
        ),
        dry_run=st.booleans(),
    )
    def import_users(self, rows: list[tuple[str, Role, bool]], dry_run: bool) -> None:
        new = {
            id_: Person(role, "", disabled, password=id_ in self.users and self.users[id_].password)
            for id_, role, disabled in rows
        }
        allowed = not any(id_ in self.users and self.users[id_].removed for id_ in new) and self.allows(new)
        users = [User(id_, person.role, "", "N", "1", disabled=person.disabled) for id_, person in new.items()]
        if self.tried(allowed, lambda: Users(self.people).import_users(users, dry_run=dry_run)) and not dry_run:
            self.users |= new

    @rule(id_=st.sampled_from(USER_IDS[2:]))
    def remove_user(self, id_: str) -> None:
        old = self.users.get(id_)
        new = None if old is None else replace(old, removed=True, password=False)
        allowed = old is not None and new is not None and not old.removed and self.allows({id_: new})
        if self.tried(allowed, lambda: Users(self.people).remove(id_)) and new is not None:
            self.users[id_] = new
            self.tokens = {token: user for token, user in self.tokens.items() if user != id_}

    @rule(id_=st.sampled_from(UNIT_IDS), disabled=st.booleans())
    def set_unit(self, id_: str, disabled: bool) -> None:
        new = replace(self.units[id_], disabled=disabled)
        allowed = not new.removed and self.allows(units={id_: new})
        if self.tried(allowed, lambda: Units(self.people).change(id_, lambda unit: replace(unit, disabled=disabled))):
            self.units[id_] = new

    @rule(id_=st.sampled_from(USER_IDS))
    def set_password(self, id_: str) -> None:
        old = self.users.get(id_)
        if self.tried(old is not None and not old.removed, lambda: Users(self.people).set_password(id_, PASSWORD)) and old:
            self.users[id_] = replace(old, password=True)

    # The others stay, or there soon is nothing to do.
    @rule(id_=st.just("b"))
    def remove_unit(self, id_: str) -> None:
        used = any(person.unit == id_ and not person.removed for person in self.users.values()) or id_ in self.grants.values()
        if self.tried(not used and not self.units[id_].removed, lambda: Units(self.people).remove(id_)):
            self.units[id_] = replace(self.units[id_], removed=True)

    @rule(id_=st.sampled_from(UNIT_IDS))
    def give(self, id_: str) -> None:
        permits = Permits(self.people)
        given: list[int] = []
        said = {"work": "w", "actions": [Action.VIEW], "window": EVER, "cameras": [CAMERA]}

        def deed() -> None:
            asked = permits.ask(id_, by="asker", **said)  # type: ignore[arg-type]
            given.append(permits.grant(asked.number, by="another")[1].number)

        if self.tried(not self.units[id_].removed, deed):
            self.grants[given[0]] = id_

    @rule(at=st.integers(0, 3))
    def revoke_token(self, at: int) -> None:
        """Always: one that is in wrong hands ends, whoever is left."""
        if at < len(self.tokens):
            token = sorted(self.tokens)[at]
            Tokens(self.people).revoke(token)
            del self.tokens[token]

    @rule(number=st.integers(1, 6))
    def revoke(self, number: int) -> None:
        if self.tried(number in self.grants, lambda: Permits(self.people).revoke(number)):
            del self.grants[number]

    @rule(id_=st.sampled_from(USER_IDS))
    def add_token(self, id_: str) -> None:
        made: list[str] = []
        allowed = id_ in self.users and not self.users[id_].removed
        if self.tried(allowed, lambda: made.append(Tokens(self.people).add(id_, [], T0 + DAY_US)[0].id)):
            self.tokens[made[0]] = id_

    @invariant()
    def both_know_the_same(self) -> None:
        users = {
            user.id: Person(user.role, user.unit, user.disabled, user.removed_us is not None, user.password_hash != "")
            for user in self.people.users(removed=True)
        }
        # One who was removed is disabled too.
        assert users == {id_: replace(person, disabled=person.disabled or person.removed) for id_, person in self.users.items()}
        units = {unit.id: House(unit.disabled, unit.removed_us is not None) for unit in self.people.units(removed=True)}
        assert units == self.units
        assert {grant.number: grant.unit for id_ in UNIT_IDS for grant in self.people.grants_of(id_)} == self.grants
        assert {token.id: token.user for token in self.people.tokens() if token.revoked is None} == self.tokens

    @invariant()
    def check_finds_no_fault(self) -> None:
        assert not [found for found in check_people(self.vault.registry, T0) if found.severity == "error"]


PeopleMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
test_people_know_what_a_plain_model_knows = PeopleMachine.TestCase
