"""What a decision costs: `pytest benchmarks/bench_authorize.py`. A district of 20,000 cameras at 1,000 sites and 1,000 using units.

The decision alone, and what the door asks before each look: the camera's document, the unit's grants, then the decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from access.authorize import CameraFacts, Known, Rules, authorize
from access.door import Door
from access.people.model import Act, Principal, Role, Terminal, Unit, UnitGrant, User
from access.people.people import People
from access.people.permits import Permits
from access.people.terminals import _parsed as terminals_parsed
from access.people.units import Units
from index.camera_import import import_cameras
from index.cameras import NewCamera
from index.node import Node, init_node, open_node
from index.sites import Site
from index.stays import Stay, always
from vault.clock import SystemClock
from vault.config import Config
from vault.grant import Action, Grant
from vault.ids import CameraNumber
from vault.timebase import MAX_US, US, Interval

UNITS = SITES = 1_000
CAMERAS = 20_000
SITES_EACH, CAMERAS_EACH = 20, 20
CLOCK = SystemClock()
NOW_US = CLOCK.now_us()
EVER = Interval(0, MAX_US)
WANTED = Interval(NOW_US - 3_600 * US, NOW_US - 60 * US)
BY = Act("first officer", NOW_US)


def camera_of(unit: int, at: int) -> CameraNumber:
    """The at-th of the cameras that a unit has: by a site of its own, or by its number."""
    site = (unit * SITES_EACH + at % SITES_EACH) % SITES
    return CameraNumber(1 + (site + SITES * (at % (CAMERAS // SITES))) % CAMERAS)


def made(unit: int) -> tuple[Principal, list[UnitGrant]]:
    """A unit with ten terminals and two grants: twenty sites, twenty cameras."""
    id_ = f"unit-{unit:04d}"
    terminals = tuple(Terminal(f"10.{unit // 200}.{unit % 200}.{at + 1}", "hall", "first officer") for at in range(10))
    holder = Unit(id_, id_, f"A-{unit}", leader="first officer", terminals=terminals)
    user = User(f"u-{unit:04d}", Role.UNIT, id_, "first officer", "9901", "2026-05-01")
    sites = tuple(f"site-{(unit * SITES_EACH + at) % SITES}" for at in range(SITES_EACH))
    numbers = tuple(CameraNumber(1 + (unit * 37 + at * 101) % CAMERAS) for at in range(CAMERAS_EACH))
    grants = [
        UnitGrant(2 * unit + 1, id_, sites, (), frozenset(Action), EVER, EVER, BY, why="a measurement"),
        UnitGrant(2 * unit + 2, id_, (), numbers, frozenset(Action), EVER, EVER, BY, why="a measurement"),
    ]
    return Principal(user.id, user, holder, terminals[-1].address), grants


@pytest.fixture(scope="module")
def district() -> list[tuple[Principal, Known]]:
    found = []
    for unit in range(UNITS):
        who, grants = made(unit)
        found.append((who, Known.of(who.unit, grants, NOW_US)))
    return found


@pytest.mark.parametrize("warmed", [0, UNITS], ids=["a unit's first", "any later one"])
def test_the_decision(benchmark: Any, district: list[tuple[Principal, Known]], warmed: int) -> None:
    turn, rules = count(), Rules()
    terminals_parsed.cache_clear()

    def decide() -> Grant:
        at = next(turn)
        unit = at * 7 % UNITS
        who, known = district[unit]
        number = camera_of(unit, at)
        site = f"site-{(number - 1) % SITES}"
        # One of four has moved.
        stays = always(site) if at % 4 else (Stay("site-0", 0), Stay(site, NOW_US - 86_400 * US))
        camera = CameraFacts(number, stays)
        return authorize(who, Action.VIEW, camera, WANTED, NOW_US, known, rules)

    assert benchmark.pedantic(decide, rounds=20 * warmed or UNITS, warmup_rounds=warmed).camera


def test_the_decision_where_one_grant_names_every_camera(benchmark: Any) -> None:
    who, _ = made(0)
    numbers = tuple(CameraNumber(1 + at) for at in range(CAMERAS))
    known = Known.of(who.unit, [UnitGrant(1, "unit-0000", (), numbers, frozenset(Action), EVER, EVER, BY)], NOW_US)
    turn, rules = count(), Rules()

    def decide() -> Grant:
        camera = CameraFacts(CameraNumber(1 + next(turn) * 7_919 % CAMERAS), always("site-1"))
        return authorize(who, Action.VIEW, camera, WANTED, NOW_US, known, rules)

    assert benchmark(decide).camera


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = init_node(tmp_path_factory.mktemp("bench") / "data", lambda made: Config(), CLOCK)
    with open_node(folder, Config(), CLOCK) as opened:
        opened.sites.import_sites([Site(f"site-{at}") for at in range(SITES)])
        import_cameras(
            opened.cameras,
            [NewCamera(f"cam-{at}", f"rtsp://192.0.2.1/{at}", site=f"site-{at % SITES}") for at in range(CAMERAS)],
        )
        people = People(opened.registry, CLOCK)
        for first in range(0, UNITS, 500):
            holders = [made(unit)[0].unit for unit in range(first, first + 500)]
            Units(people).import_units([holder for holder in holders if holder is not None])
            Permits(people).import_grants(
                [grant for unit in range(first, first + 500) for grant in made(unit)[1]], "first officer"
            )
        yield opened


def test_what_the_door_asks_before_a_look(benchmark: Any, node: Node) -> None:
    door, turn = Door(node), count()
    district = [made(unit)[0] for unit in range(UNITS)]

    def ask() -> object:
        at = next(turn)
        unit = at * 7 % UNITS
        return door.grants(district[unit], "clip", [camera_of(unit, at)], WANTED)

    assert benchmark.pedantic(ask, rounds=5_000, warmup_rounds=UNITS)
