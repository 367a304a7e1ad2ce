"""Sites: what the rule demands of each, longer keeping at once and for what exists, shorter keeping announced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from index.batch import Outcome
from index.camera_import import import_cameras
from index.cameras import Camera, Cameras, NewCamera, camera_from
from index.minima import NOTICE_US, raises_of
from index.registry import decode, encode
from index.sites import TOGETHER, Lowering, Site, Sites, kept, of_category, site_document, site_from
from tests.support.index_vault import Vault, open_vault
from tests.support.indexing import DAY_US, T0
from vault.categories import CATEGORIES
from vault.config import Retention
from vault.errors import NotFound, Refused, UsageError
from vault.ids import CameraNumber

URL = "rtsp://192.0.2.1/stream"
KEY = of_category(Site("gate"), "public-area")
CODE = "99010300001320000001"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with open_vault(tmp_path, T0) as opened:
        opened.sites.ensure_default()
        yield opened


def add(vault: Vault, id_: str = "cam-1", site: str = "gate", **fields: object) -> Camera:
    camera = vault.cameras.add(NewCamera(id_, URL, site=site, **fields))  # type: ignore[arg-type]
    return vault.cameras.begin_recording(camera.number, vault.clock.now_us())


def raises(vault: Vault, number: int = 1, *, lowered: bool = False) -> list[int]:
    with vault.environment.read() as txn:
        return [item.days for item in raises_of(txn, CameraNumber(number)) if item.lowered is lowered]


def days(vault: Vault, id_: str = "cam-1") -> int:
    now_us = vault.clock.now_us()
    camera = vault.cameras.get(id_).at(now_us)
    return kept(camera.days, vault.sites.get(camera.site), Retention(), now_us)[1]


@pytest.mark.parametrize(
    ("category", "least", "article"),
    [
        ("public-area", 90, "Art. 6"),
        ("finance", 90, "Art. 8 (4)"),
        ("viewing-room", 92, "Art. 14 (2)"),
        ("other", 30, "Art. 5"),
    ],
)
def test_a_site_has_more_days_than_its_category_demands_or_is_refused_with_the_article(
    vault: Vault, category: str, least: int, article: str
) -> None:
    site = of_category(Site("gate"), category)
    assert site.retain_days == least
    vault.sites.add(replace(site, retain_days=least + 1))
    with pytest.raises(UsageError, match="kept for at least") as error:
        vault.sites.set(replace(site, retain_days=least - 1))
    assert article in str(error.value)
    with pytest.raises(UsageError):
        vault.sites.set(replace(site, retain_days=36_501))


def test_every_category_is_of_the_rule() -> None:
    articles = [category.article for category in CATEGORIES.values()]
    assert articles == ["Art. 6", *(f"Art. 8 ({at})" for at in range(1, 11)), "Art. 14 (2)", "Art. 5"]


def test_a_category_that_is_not_known_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean finance"):
        of_category(Site("gate"), "finances")


def test_changing_the_category_keeps_days_that_were_extra_only() -> None:
    assert of_category(KEY, "other").retain_days == 30
    assert of_category(replace(KEY, retain_days=120), "other").retain_days == 120
    assert of_category(Site("gate", retain_days=45), "finance").retain_days == 90


def test_a_higher_class_holds_at_once_and_reaches_what_exists(vault: Vault) -> None:
    vault.sites.add(Site("gate"))
    add(vault)
    add(vault, "cam-2", "default")
    add(vault, "cam-3", days=60)
    vault.cameras.remove("cam-3")
    site = vault.sites.set(KEY, by="Li")
    assert (site.site_class, site.retain_days, site.lowering) == ("key", 90, None)
    assert (raises(vault), raises(vault, 2), raises(vault, 3)) == ([90], [], [90])
    assert days(vault) == 90
    vault.sites.set(replace(KEY, name="North gate"))
    vault.sites.set(replace(KEY, retain_days=120))
    assert raises(vault) == [120]


def test_a_lower_class_is_announced_and_takes_effect_a_day_later(vault: Vault) -> None:
    vault.sites.add(KEY)
    add(vault)
    low = of_category(replace(KEY, name="North gate"), "other")
    site = vault.sites.set(low, by="Li")
    assert (site.category, site.retain_days, site.name) == ("public-area", 90, "North gate")
    assert site.lowering == Lowering("other", "general", 30, T0 + NOTICE_US, "Li")
    vault.clock.advance(NOTICE_US - 1)
    assert days(vault) == 90
    # Another change meanwhile leaves what is announced as it is.
    assert vault.sites.set(replace(site, name="Gate", lowering=None)).lowering == site.lowering
    vault.clock.advance(1)
    assert days(vault) == 30
    assert vault.sites.get("gate").at(vault.clock.now_us()) == replace(low, name="Gate", lowering=None)
    assert raises(vault) == []
    assert raises(vault, lowered=True) == [90], "of what began before, wherever it still lies"
    # It is the past now: raising it again is a raise.
    assert vault.sites.set(KEY).retain_days == 90
    assert raises(vault) == [90]


def test_what_is_announced_can_be_taken_back_until_it_takes_effect(vault: Vault) -> None:
    vault.sites.add(KEY)
    vault.sites.set(of_category(KEY, "other"))
    assert vault.sites.keep("gate") == KEY
    vault.clock.advance(2 * NOTICE_US)
    assert vault.sites.get("gate").at(vault.clock.now_us()) == KEY
    with pytest.raises(Refused, match="nothing is announced"):
        vault.sites.keep("gate")
    vault.sites.set(of_category(KEY, "other"))
    vault.clock.advance(NOTICE_US)
    with pytest.raises(Refused, match="took effect"):
        vault.sites.keep("gate")


def test_the_days_of_the_configuration_count_too(vault: Vault) -> None:
    sites = Sites(vault.registry, vault.clock, Retention(general_days=100))
    sites.add(Site("gate"))
    add(vault)
    assert sites.set(KEY).lowering is not None, "90 days are fewer than the 100 that it had"
    assert raises(vault) == []
    assert raises(vault, lowered=True) == [100]


def test_a_camera_has_more_days_than_its_site_or_is_refused_with_the_article(vault: Vault) -> None:
    vault.sites.add(KEY)
    with pytest.raises(UsageError, match=r"60 days; its site gate is public-area \(Art. 6.*at least 90"):
        add(vault, days=60)
    add(vault)
    with pytest.raises(UsageError, match=r"Art\. 6"):
        vault.cameras.set("cam-1", days=89)
    vault.cameras.set("cam-1", days=120, by="Li")
    assert (days(vault), raises(vault)) == (120, [120])
    low = vault.cameras.set("cam-1", days=0, name="x", by="Wang")
    assert low.lowering is not None
    assert (low.days, low.name, low.lowering.days, low.lowering.by) == (120, "x", 0, "Wang")
    assert vault.cameras.keep("cam-1").lowering is None
    with pytest.raises(Refused, match="nothing is announced"):
        vault.cameras.keep("cam-1")


def test_a_camera_that_moves_takes_the_longer_keeping_at_once_and_the_shorter_after_a_day(vault: Vault) -> None:
    vault.sites.add(KEY)
    add(vault, site="default")
    moved = vault.cameras.set("cam-1", site="gate")
    assert (moved.site, raises(vault)) == ("gate", [90])
    back = vault.cameras.set("cam-1", site="default")
    assert back.site == "gate"
    assert back.lowering is not None
    with pytest.raises(Refused, match=r"cameras are or were of it \(1\)"):
        vault.sites.remove("gate")
    vault.clock.advance(NOTICE_US)
    assert (vault.cameras.get("cam-1").at(vault.clock.now_us()).site, days(vault)) == ("default", 30)
    assert vault.cameras.set("cam-1", name="x").site == "default"
    assert vault.sites.remove("gate").removed_us == T0 + NOTICE_US
    assert [site.id for site in vault.sites.list()] == ["default"]
    assert vault.sites.add(Site("gate")).removed_us is None


def test_a_camera_that_never_recorded_moves_at_once(vault: Vault) -> None:
    vault.sites.add(KEY)
    vault.cameras.add(NewCamera("cam-1", URL, site="gate"))
    assert vault.cameras.set("cam-1", site="default").site == "default"


def test_a_site_with_cameras_stays(vault: Vault) -> None:
    vault.sites.add(KEY)
    add(vault)
    vault.cameras.remove("cam-1")
    for site, why in (("gate", "are or were of it"), ("default", "unless another is said")):
        with pytest.raises(Refused, match=why):
            vault.sites.remove(site)
    with pytest.raises(NotFound):
        vault.sites.remove("nowhere")


def test_texts_are_cleaned_and_bounded_and_dates_are_dates(vault: Vault) -> None:
    site = vault.sites.add(replace(KEY, unit=" 惠阳区\u3000公安分局\x07 ", design_on="2026-05-01", phone="+86 752 000"))
    assert (site.unit, site.design_on, site.phone) == ("惠阳区 公安分局", "2026-05-01", "+86 752 000")
    for wrong in ({"unit": "x" * 201}, {"test_on": "1/5/2026"}, {"interconnect": "onvif"}, {"phone": "1" * 10**6}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            vault.sites.set(replace(KEY, **wrong))  # type: ignore[arg-type]


def test_many_sites_are_imported_all_or_none(vault: Vault) -> None:
    vault.sites.add(Site("gate"))
    add(vault)
    with pytest.raises(UsageError):
        vault.sites.import_sites([KEY, replace(KEY, id="other gate")])
    assert vault.sites.get("gate").site_class == "general"
    assert vault.sites.import_sites([KEY, replace(KEY, id="yard")], by="Li") == [Outcome.CHANGED, Outcome.ADDED]
    assert raises(vault) == [90]
    assert [site.id for site in vault.sites.list()] == ["default", "gate", "yard"]
    changes = vault.registry.changes()
    assert vault.sites.import_sites([KEY], by="Li") == [Outcome.LEFT]
    assert vault.registry.changes() == changes, "what is as it was makes no entry in the ledger"


def test_a_long_import_is_put_in_pieces_and_checked_as_a_whole(vault: Vault) -> None:
    sites = [Site(f"s{number}") for number in range(TOGETHER + 3)]
    with pytest.raises(UsageError):
        vault.sites.import_sites([*sites, replace(KEY, id="other gate")])
    assert [site.id for site in vault.sites.list()] == ["default"]
    assert vault.sites.import_sites(sites, dry_run=True) == [Outcome.ADDED] * (TOGETHER + 3)
    assert [site.id for site in vault.sites.list()] == ["default"]
    assert vault.sites.import_sites(sites) == [Outcome.ADDED] * (TOGETHER + 3)
    assert vault.sites.import_sites(sites) == [Outcome.LEFT] * (TOGETHER + 3), "it may be repeated"
    with pytest.raises(UsageError, match="at most 20000"):
        vault.sites.import_sites([KEY] * 20_001)


def test_documents_of_format_1_are_read_as_they_were_meant() -> None:
    old = {"id": "gate", "site_class": "key", "retain_days": 90, "category": "bank", "name": "Bank"}
    name = site_document("gate")
    raw = json.dumps(json.loads(encode(name, 1, 5, old)) | {"format": 1}).encode()
    site = site_from(decode(raw, "x")[2])
    assert site == Site("gate", "key", 90, "bank", "Bank")
    assert "of class key (Art. 5)" in site.demand
    camera = {
        "number": 7, "id": "cam-1", "url": URL, "secret": None, "site": "gate", "name": "", "transport": "auto", "enabled": True,
        "added_us": 5, "removed_us": None, "first_record_us": None,
    }  # fmt: skip
    assert (camera_from(camera).gb_code, camera_from(camera).days, camera_from(camera).lowering) == ("", 0, None)
    with_low = replace(site, lowering=Lowering("other", "general", 30, 9, "Li"))
    assert site_from(json.loads(json.dumps(asdict(with_low)))) == with_low


def test_a_site_of_before_there_were_categories_keeps_its_class(vault: Vault) -> None:
    old = Site("gate", "key", 90, "bank")
    vault.sites.add(old)
    with pytest.raises(UsageError, match=r"class key \(Art. 5\)"):
        vault.sites.set(replace(old, retain_days=89))
    assert vault.sites.set(replace(old, name="x")).site_class == "key"


def test_a_gb_code_is_checked_and_given_once(vault: Vault) -> None:
    cameras: Cameras = vault.cameras
    add(vault, site="default", gb_code=CODE, interconnect="gb28181")
    with pytest.raises(UsageError, match="camera cam-1 has the GB code"):
        add(vault, "cam-2", "default", gb_code=CODE)
    other = CODE[:-1] + "2"
    with pytest.raises(UsageError, match="number 2: another row has this GB code"):
        import_cameras(cameras, [NewCamera("cam-4", URL, gb_code=other), NewCamera("cam-5", URL, gb_code=other)])
    with pytest.raises(UsageError, match="type 200"):
        cameras.set("cam-1", gb_code="99010300002000000001")
    cameras.remove("cam-1")
    assert add(vault, "cam-2", "default", gb_code=CODE).gb_code == CODE
    assert cameras.set("cam-2", name="x").gb_code == CODE
    assert NOTICE_US == DAY_US


def test_a_camera_that_is_announced_to_come_is_raised_with_the_site(vault: Vault) -> None:
    """The move takes days from it that it will have again when it takes effect, with none awake to see it."""
    vault.sites.add(KEY)
    vault.sites.add(Site("shop"))
    add(vault)
    assert vault.cameras.set("cam-1", site="shop").lowering is not None
    vault.sites.set(replace(vault.sites.get("shop"), retain_days=120))
    assert raises(vault) == [120]
