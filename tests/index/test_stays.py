"""Where cameras stood: from when, at which site, whatever else was said of them meanwhile; kept with the camera and rebuilt with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from index.camera_import import import_cameras
from index.cameras import Cameras, NewCamera, camera_document, camera_from
from index.environment import Environment
from index.minima import NOTICE_US
from index.rebuild import rebuild
from index.registry import Registry, decode, encode
from index.sites import Site, of_category
from index.stays import MAX_STAYS, Stay, Stays, always, moved, sites_in, stays_from, stretches
from tests.support.index_vault import MAP_BYTES, Vault, open_vault
from tests.support.indexing import T0
from vault.errors import Damaged, UsageError
from vault.timebase import MAX_US, US, Interval

URL = "rtsp://192.0.2.1/stream"


def stays(*said: tuple[str, int]) -> Stays:
    return tuple(Stay(site, from_us) for site, from_us in said)


TWO = stays(("gate", 0), ("yard", 20))


@pytest.mark.parametrize(
    ("before", "site", "now_us", "since_us", "after"),
    [
        (always("gate"), "gate", 9, None, always("gate")),
        (always("gate"), "yard", 20, None, TWO),
        (TWO, "yard", 30, None, TWO),
        (TWO, "gate", 30, None, stays(("gate", 0), ("yard", 20), ("gate", 30))),
        # A clock that went back: what was said of the past stays.
        (stays(("gate", 0), ("yard", 20), ("shed", 40)), "gate", 10, None, stays(("gate", 0), ("yard", 20), ("gate", 40))),
        (TWO, "shed", 20, None, stays(("gate", 0), ("shed", 20))),
        ((), "gate", 9, None, stays(("gate", 9))),
        # Said of an earlier time: what was said of later is forgotten.
        (TWO, "yard", 30, 10, stays(("gate", 0), ("yard", 10))),
        # It came later than was said: until then it stood where it had been.
        (TWO, "yard", 30, 25, stays(("gate", 0), ("yard", 25))),
        (stays(("yard", 0), ("gate", 10), ("yard", 20)), "yard", 30, 25, stays(("yard", 0), ("gate", 10), ("yard", 25))),
        (stays(("yard", 0), ("gate", 10), ("yard", 20)), "yard", 30, 5, always("yard")),
        (TWO, "gate", 30, 10, always("gate")),
        (TWO, "shed", 30, 0, always("shed")),
        (stays(("gate", 5)), "gate", 30, 2, stays(("gate", 2))),
        (stays(("gate", 5)), "gate", 30, 9, stays(("gate", 5))),
    ],
)
def test_a_move(before: Stays, site: str, now_us: int, since_us: int | None, after: Stays) -> None:
    assert moved(before, site, now_us, since_us) == after
    assert stays_from(json.loads(json.dumps([asdict(stay) for stay in after]))) == after


def test_of_a_camera_that_always_moves_the_oldest_stays_are_forgotten() -> None:
    found = always("gate")
    for at in range(1, MAX_STAYS + 10):
        found = moved(found, f"s{at}", at)
    assert (len(found), found[0].from_us, found[-1].from_us) == (MAX_STAYS, 10, MAX_STAYS + 9)


def test_stretches_have_no_holes_and_no_end() -> None:
    assert list(stretches(TWO)) == [("gate", Interval(0, 20)), ("yard", Interval(20, MAX_US))]
    assert list(stretches(())) == []
    assert [sites_in(TWO, span) for span in (Interval(0, 20), Interval(19, 21), Interval(20, 21))] == [
        ["gate"], ["gate", "yard"], ["yard"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "said", [[{}], [{"site": "a", "from_us": -1}], [{"site": "a", "from_us": 5}] * 2, [7], [{"site": "a"}]]
)
def test_stays_that_are_not_in_order_are_damage(said: object) -> None:
    fields = asdict(camera_from(OLD)) | {"stays": said}
    with pytest.raises(Damaged):
        camera_from(fields)


OLD = {
    "number": 7, "id": "cam-1", "url": URL, "secret": None, "site": "gate", "name": "", "transport": "auto", "enabled": True,
    "added_us": 5, "removed_us": None, "first_record_us": None,
}  # fmt: skip
LOW = {"site": "yard", "days": 0, "from_us": 900, "by": "x"}


@pytest.mark.parametrize(("more", "site"), [({}, "gate"), ({"lowering": LOW}, "yard")])
def test_of_a_document_of_before_stays_were_kept_only_what_it_says_since_its_last_change_is_known(
    more: dict[str, object], site: str
) -> None:
    raw = json.loads(encode(camera_document(camera_from(OLD).number), 3, 50, OLD | more)) | {"format": 2}
    assert camera_from(decode(json.dumps(raw).encode(), "x")[2]).stays == stays((site, 50))
    assert camera_from(OLD).stays == (), "and of one that says nothing at all, nothing"


@pytest.mark.parametrize("number", ["Infinity", "1e999", "NaN", "5.0"])
@pytest.mark.parametrize("format_", [2, 3])
def test_a_number_that_is_not_a_whole_one_is_damage(number: str, format_: int) -> None:
    raw = json.loads(encode(camera_document(camera_from(OLD).number), 3, 77, OLD | {"added_us": 77})) | {"format": format_}
    with pytest.raises(Damaged):
        decode(json.dumps(raw).replace("77", number).encode(), "x")


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with open_vault(tmp_path, T0) as opened:
        opened.sites.ensure_default()
        opened.sites.add(of_category(Site("gate"), "public-area"))
        opened.sites.add(Site("yard"))
        import_cameras(opened.cameras, [NewCamera("cam-1", URL, site="gate"), NewCamera("cam-2", URL, site="yard")])
        opened.cameras.begin_recording(opened.cameras.get("cam-1").number, T0)
        yield opened


def later(vault: Vault) -> int:
    vault.clock.advance(US)
    return vault.clock.now_us()


def test_a_camera_stands_elsewhere_at_once_though_its_shorter_keeping_is_only_announced(vault: Vault) -> None:
    assert vault.cameras.get("cam-1").stays == always("gate")
    moved_us = later(vault)
    low = vault.cameras.set("cam-1", site="yard")
    assert low.lowering is not None
    assert (low.site, low.lowering.site, low.stays) == ("gate", "yard", stays(("gate", 0), ("yard", moved_us)))
    later(vault)
    # What else is said meanwhile moves it nowhere.
    for said in ({"name": "North"}, {"days": 100}):
        assert vault.cameras.set("cam-1", **said).stays == low.stays
    longer = vault.cameras.get("cam-1")
    assert (longer.site, longer.lowering, longer.days) == ("yard", None, 100), "longer keeping is no reason to wait"
    vault.cameras.set("cam-1", days=0)
    vault.clock.advance(NOTICE_US)
    assert vault.cameras.get("cam-1").at(vault.clock.now_us()).stays == low.stays


@pytest.mark.parametrize("how", ["keep", "said again"])
def test_a_move_that_is_taken_back_is_a_move_back(vault: Vault, how: str) -> None:
    there_us = later(vault)
    vault.cameras.set("cam-1", site="yard")
    back_us = later(vault)
    back = vault.cameras.keep("cam-1") if how == "keep" else vault.cameras.set("cam-1", site="gate")
    assert (back.site, back.lowering) == ("gate", None)
    assert back.stays == stays(("gate", 0), ("yard", there_us), ("gate", back_us))


def test_taking_back_fewer_days_moves_nothing(vault: Vault) -> None:
    vault.cameras.set("cam-1", days=120)
    vault.cameras.set("cam-1", days=0)
    assert vault.cameras.keep("cam-1").stays == always("gate")


def test_since_when_is_said_with_a_site_and_of_the_past(vault: Vault) -> None:
    assert vault.cameras.set("cam-2", site="gate", since_us=T0 - US).stays == stays(("yard", 0), ("gate", T0 - US))
    assert vault.cameras.set("cam-2", site="yard", since_us=T0 - US).stays == always("yard")
    for wrong in ({"site": "gate", "since_us": T0 + 1}, {"since_us": T0}, {"site": "gate", "since_us": -1}):
        with pytest.raises(UsageError, match="since when"):
            vault.cameras.set("cam-2", **wrong)


def test_moves_are_in_the_index_that_is_built_anew(vault: Vault) -> None:
    moved_us = later(vault)
    vault.cameras.set("cam-2", site="gate", by="Li")
    before = vault.cameras.list()
    vault.upload_registry()
    rebuild(vault.store, vault.spool, vault.folder / "rebuilt", map_bytes=MAP_BYTES)
    with Environment(vault.folder / "rebuilt", MAP_BYTES) as environment:
        assert Cameras(Registry(environment, vault.registry._waiting)).list() == before
    assert before[1].stays == stays(("yard", 0), ("gate", moved_us))
