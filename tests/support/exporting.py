"""Data folders to export from, the export engine over them, and a look at what came out. For tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from access.door import Door
from access.export.engine import Exports
from access.export.job import Wish
from access.occasion import Occasion, Purpose
from access.package.container import Form
from access.people.model import Act, Principal, Role, Terminal, Token, Unit, UnitGrant, User
from index.node import Node, open_node
from index.outbox import actor_here
from tests.support.segments import START_US
from vault.clock import Clock, ManualClock, SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import NotFound
from vault.grant import EVER, Action
from vault.ids import CameraNumber
from vault.ledger.entry import Entry
from vault.timebase import Interval

SAID = Occasion(Purpose.INVESTIGATION, "who came and went", "case 9901", "district archive", "first officer", "990117")
OPERATOR = Principal(actor_here())


class Few:
    """The people of a test: what the door asks for, from dictionaries that the test may change meanwhile."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.units: dict[str, Unit] = {}
        self.grants: list[UnitGrant] = []

    def user(self, user_id: str, /) -> User:
        if user_id not in self.users:
            raise NotFound(f"there is no user {user_id}")
        return self.users[user_id]

    def unit(self, unit_id: str, /) -> Unit:
        return self.units[unit_id]

    def token(self, token_id: str, /) -> Token:
        raise NotFound(f"there is no token {token_id}")

    def grants_of(self, unit_id: str, /) -> list[UnitGrant]:
        return [grant for grant in self.grants if grant.unit == unit_id]


def unit_people(*, approval: bool = False, window: Interval = EVER) -> tuple[Few, Principal]:
    """A unit that may export camera 1, with two officers; the first of them."""
    people = Few()
    unit = Unit("office", agreement="990101", terminals=(Terminal("127.0.0.1", "room 1", "first officer"),), approval=approval)
    people.units[unit.id] = unit
    for name in ("officer-1", "officer-2"):
        people.users[name] = User(name, Role.UNIT, unit.id, trained_on="2020-01-01")
    given = Act("admin", 0)
    actions = frozenset({Action.EXPORT})
    people.grants.append(UnitGrant(1, unit.id, (), (CameraNumber(1),), actions, window, EVER, given))
    return people, Principal("officer-1", people.users["officer-1"], unit)


class RunningClock:
    """Goes on as time does, from an hour behind the footage's usual start, whatever the day is."""

    def now_us(self) -> int:
        return START_US + 3_600_000_000 + SystemClock().mono_us() % 1_000_000_000

    def mono_us(self) -> int:
        return SystemClock().mono_us()


@contextmanager
def exporting(
    path: Path, clock: Clock | None = None, people: Few | None = None, config: Config | None = None
) -> Iterator[tuple[Node, Exports]]:
    """The node of a data folder and its exports. `clock`: stands an hour behind the footage's usual start when None."""
    clock = clock or ManualClock(START_US + 3_600_000_000)
    with open_node(DataFolder.open(path), config or Config(), clock) as node:
        yield node, Exports(Door(node, people or Few()))


def wish(target: Path, interval: Interval, *cameras: int, form: Form = Form.FOLDER, **more: Any) -> Wish:
    return Wish(tuple(CameraNumber(number) for number in cameras or (1,)), interval, str(target), form, **more)


def told(node: Node) -> list[Entry]:
    """The ledger's entries about exports, in order."""
    node.outbox.drain()
    return [entry for entry in node.ledger.entries() if entry.kind == "export"]


def outcomes(node: Node) -> list[str]:
    return [str(entry.body["outcome"]) for entry in told(node)]
