"""Every look at footage is on record: asked before the first byte, then how it ended, whatever dies and whoever is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pytest

from access.door import Door
from access.occasion import Occasion, Outcome, Purpose
from access.people.model import Act, Principal, Role, Terminal, Token, Unit, UnitGrant, User
from index.cameras import NewCamera
from index.check_ledger import check_ledger
from index.node import Node, open_node
from index.visits import LEASE_US, WHY, Visits
from ingest.bookkeeper import Bookkeeper
from tests.support.segments import START_US, video_track
from tests.support.streams import encode_h264
from tests.support.vaults import make_vault
from tests.test_house import ROOT
from vault.clock import ManualClock
from vault.config import Access, Config
from vault.datafolder import DataFolder
from vault.errors import NotFound, StreamvaultError
from vault.grant import Action, Refusal
from vault.ids import CameraNumber
from vault.ledger.entry import Entry
from vault.timebase import MAX_US, US, Interval

CAMERA = CameraNumber(1)
NOW_US = START_US + 60 * US
WANTED = Interval(START_US, START_US + US)
SAID = Occasion(Purpose.TRAFFIC, "collision at the gate", "9901-7", "traffic police", "first officer", "9901")
BY = Act("admin", START_US)
OPERATOR = Principal("operator@host")
UNIT = Unit("unit-9901", agreement="9901-A", terminals=(Terminal("192.0.2.7", "hall", "first officer"),))
USER = User("9901-1", Role.UNIT, "unit-9901", "first officer", "9901", "2020-01-01")
GRANT = UnitGrant(
    3, "unit-9901", ("default",), (), frozenset(Action), Interval(0, MAX_US), Interval(0, MAX_US), BY
)  # fmt: skip
WHO = Principal("9901-1", USER, UNIT, "192.0.2.7")

_T = TypeVar("_T")


@dataclass
class People:
    """What the door asks of people, to be changed under its eyes."""

    users: dict[str, User] = field(default_factory=lambda: {USER.id: USER})
    units: dict[str, Unit] = field(default_factory=lambda: {UNIT.id: UNIT})
    tokens: dict[str, Token] = field(default_factory=dict)
    grants: list[UnitGrant] = field(default_factory=lambda: [GRANT])

    def user(self, user_id: str, /) -> User:
        return self._of(self.users, user_id)

    def unit(self, unit_id: str, /) -> Unit:
        return self._of(self.units, unit_id)

    def token(self, token_id: str, /) -> Token:
        return self._of(self.tokens, token_id)

    def grants_of(self, unit_id: str, /) -> list[UnitGrant]:
        return [grant for grant in self.grants if grant.unit == unit_id]

    @staticmethod
    def _of(known: dict[str, _T], id_: str) -> _T:
        if id_ not in known:
            raise NotFound(f"there is no {id_}")
        return known[id_]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_US, 9 * US)


@pytest.fixture
def node(data_path: Path, clock: ManualClock) -> Iterator[Node]:
    make_vault(data_path, [video_track(encode_h264(25))], START_US, ["store"])
    with open_node(DataFolder.open(data_path), Config(), clock) as opened:
        yield opened


def looks(node: Node) -> list[Entry]:
    return [entry for entry in node.ledger.entries() if entry.kind in ("read", "export")]


def outcomes(node: Node) -> list[str]:
    return [str(entry.body["outcome"]) for entry in looks(node)]


def test_a_look_is_in_the_ledger_before_its_first_byte_and_so_is_its_end(node: Node) -> None:
    with Door(node, People()).open(WHO, "clip", [CAMERA], WANTED, SAID) as visit:
        (asked,) = looks(node)
        assert (asked.id, asked.sequence) == (visit.id, visit.sequence())
        assert visit.grants[CAMERA].window == GRANT.window
        visit.wrote(500)
        visit.done(1_000, "ab" * 32, {"file": "clip.mp4"})
    asked, done = looks(node)
    assert asked.actor == "9901-1"
    assert asked.subject == {"cameras": [1], "unit": "unit-9901", "user": "9901-1"}
    for name, value in {
        "action": "clip", "outcome": "asked", "purpose": "traffic", "why": SAID.why, "case": "9901-7", "person": "first officer",
        "destination": "traffic police", "staff_number": "9901", "start_us": WANTED.start_us, "address": "192.0.2.7",
    }.items():  # fmt: skip
        assert asked.body[name] == value
    assert asked.body["authority"][:2] == ["grant 3", "unit unit-9901"]  # type: ignore[index]
    assert (done.body["outcome"], done.body["refers"], done.body["bytes"]) == ("done", visit.id, 1_000)
    assert visit.sequence(Outcome.DONE) == done.sequence
    assert not list(check_ledger(node.environment, node.ledger, node.store, NOW_US))


def test_a_look_that_is_left_is_on_record_with_what_had_gone_out_and_why(node: Node) -> None:
    def look() -> None:
        with Door(node, People()).open(OPERATOR, "snapshot", [CAMERA], WANTED, SAID) as visit:
            visit.wrote(77)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look()
    _, ended = looks(node)
    assert (ended.body["outcome"], ended.body["bytes"], ended.body["why_ended"]) == ("aborted", 77, "interrupted")
    assert Visits(node.environment, node.clock).under_way() == []


def test_a_refusal_is_one_entry_that_says_why_and_by_which_article(node: Node) -> None:
    stranger = replace(WHO, address="192.0.2.8")
    with pytest.raises(Refusal, match="no declared terminal"):
        Door(node, People()).open(stranger, "export", [CAMERA], WANTED, SAID, export="E1")
    (refused,) = looks(node)
    assert (refused.kind, refused.body["outcome"], refused.body["code"]) == ("export", "refused", "terminal")
    assert (refused.body["article"], refused.subject["export"]) == ("Art. 14 (3)", "E1")


def test_one_camera_that_is_refused_refuses_them_all(node: Node) -> None:
    people = People(grants=[replace(GRANT, sites=(), cameras=(CameraNumber(1),))])
    other = node.cameras.add(NewCamera("cam-2", "rtsp://192.0.2.2/stream"))
    with pytest.raises(Refusal, match=r"camera cam-2 \(#2\)"):
        Door(node, people).open(WHO, "clip", [CAMERA, other.number], WANTED, SAID)
    assert outcomes(node) == ["refused"]


def revoke(people: People) -> None:
    people.grants = [replace(GRANT, revoked=BY)]


def disable(people: People) -> None:
    people.users = {USER.id: replace(USER, disabled=True)}


def remove(people: People) -> None:
    people.users = {}


def end_agreement(people: People) -> None:
    people.units = {UNIT.id: replace(UNIT, valid_to_us=NOW_US)}


def undeclare(people: People) -> None:
    people.units = {UNIT.id: replace(UNIT, terminals=())}


def expire(people: People) -> None:
    people.grants = [replace(GRANT, valid=Interval(0, NOW_US + US))]


@pytest.mark.parametrize("change", [revoke, disable, remove, end_agreement, undeclare, expire])
def test_a_look_under_way_ends_within_five_seconds_of_its_leave(
    change: Callable[[People], None], node: Node, clock: ManualClock
) -> None:
    def look() -> None:
        people = People()
        with Door(node, people).open(WHO, "clip", [CAMERA], WANTED, SAID) as visit:
            clock.advance(3 * US)
            visit.still()
            visit.wrote(42)
            change(people)
            # Whatever changes people changes the registry, which is what is watched.
            node.cameras.set("cam-1", name=str(change))
            clock.advance(5 * US)
            visit.still()

    with pytest.raises(Refusal) as caught:
        look()
    _, ended = looks(node)
    assert (ended.body["outcome"], ended.body["bytes"], ended.body["code"]) == ("aborted", 42, caught.value.code)


def test_the_viewing_room_is_looked_at_as_it_is_recorded(node: Node, clock: ManualClock) -> None:
    # The only camera here is its own viewing room, and its newest footage ends a second after the start.
    people = People(units={UNIT.id: replace(UNIT, viewing_camera=CAMERA)})
    who = replace(WHO, unit=people.units[UNIT.id])
    strict = replace(node, config=replace(node.config, access=Access(viewing_room="refuse")))
    Door(strict, people).grants(who, "clip", [CAMERA], WANTED)
    clock.advance(2 * US)
    with pytest.raises(Refusal, match="silent since"):
        Door(strict, people).grants(who, "clip", [CAMERA], WANTED)
    lenient = Door(node, people).grants(who, "clip", [CAMERA], WANTED)
    assert "silent since" in lenient[CAMERA].authority[-1]


def test_where_the_ledger_cannot_be_written_nothing_is_handed_out(node: Node) -> None:
    key = node.folder.ledger_key
    key.rename(key.with_suffix(".away"))
    with pytest.raises(StreamvaultError):
        Door(node, People()).open(OPERATOR, "clip", [CAMERA], WANTED, SAID)
    key.with_suffix(".away").rename(key)
    node.outbox.drain()
    assert outcomes(node) == ["asked", "aborted"]
    assert "could not be written" in str(looks(node)[1].body["why_ended"])


CHILD = """
import sys
from pathlib import Path
from access.door import Door
from index.node import open_node
from tests.access.test_door import OPERATOR, SAID, WANTED, CAMERA, People
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
with open_node(DataFolder.open(Path(sys.argv[1])), Config(), SystemClock()) as node:
    visit = Door(node, People()).open(OPERATOR, "clip", [CAMERA], WANTED, SAID)
    visit.wrote(4096)
    visit._visits.renew(visit.id, 4096)
    print(visit.id, node.clock.mono_us(), flush=True)
    sys.stdin.read()
"""


def test_a_look_whose_process_was_killed_is_closed_with_what_is_known_of_it(data_path: Path) -> None:
    make_vault(data_path, [video_track(encode_h264(25))], START_US, ["store"])
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(data_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    visit, mono = child.stdout.readline().split()
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    clock = ManualClock(NOW_US, int(mono))
    with open_node(DataFolder.open(data_path), Config(), clock) as node:
        assert Visits(node.environment, clock).close_left() == 0
        clock.advance(LEASE_US)
        Bookkeeper(node).run_once()
        assert outcomes(node) == ["asked", "aborted"]
        ended = looks(node)[1]
        assert (ended.body["refers"], ended.body["bytes"], ended.body["why_ended"]) == (visit, 4096, WHY)
        assert ended.body["purpose"] == "traffic"
        assert Visits(node.environment, clock).close_left() == 0


def test_a_look_that_was_taken_for_over_while_it_stood_still_does_not_go_on(node: Node, clock: ManualClock) -> None:
    def look() -> None:
        with Door(node, People()).open(OPERATOR, "clip", [CAMERA], WANTED, SAID) as visit:
            clock.advance(LEASE_US)
            Visits(node.environment, clock).close_left()
            visit.still()

    with pytest.raises(Refusal, match="taken for over"):
        look()
    node.outbox.drain()
    assert outcomes(node) == ["asked", "aborted"]
