"""The registry of cameras and sites, and the objects that make it outlive the index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.batch import Rejected
from index.camera_import import import_cameras
from index.cameras import Camera, NewCamera
from index.registry import decode, parse_object_key
from index.sites import Site
from tests.support.index_vault import Vault, open_vault
from tests.support.indexing import T0
from vault.errors import Damaged, NotFound, StoreError, UsageError
from vault.ids import CameraNumber

URL = "rtsp://192.0.2.1/stream"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with open_vault(tmp_path, T0) as opened:
        opened.sites.ensure_default()
        opened.upload_registry()
        yield opened


def add(vault: Vault, id_: str = "cam-1", **fields: object) -> Camera:
    return vault.cameras.add(NewCamera(id_, URL, **fields))  # type: ignore[arg-type]


def test_a_camera_is_what_was_said_of_it(vault: Vault) -> None:
    camera = add(vault, name="North gate", transport="udp", secret="sealed-token")
    assert vault.cameras.get("cam-1") == camera == vault.cameras.by_number(camera.number)
    assert (camera.number, camera.url, camera.name, camera.transport) == (1, URL, "North gate", "udp")
    assert (camera.site, camera.enabled, camera.added_us, camera.records) == ("default", True, T0, True)
    assert vault.cameras.list() == [camera]


def test_the_sealed_secret_is_in_no_repr(vault: Vault) -> None:
    assert "sealed-token" not in repr(add(vault, secret="sealed-token"))
    assert "sealed-token" not in repr(NewCamera("cam-1", URL, secret="sealed-token"))


def test_a_number_is_never_given_again(vault: Vault) -> None:
    add(vault, "cam-1")
    add(vault, "cam-2")
    vault.cameras.remove("cam-2")
    assert add(vault, "cam-3").number == 3
    again = add(vault, "cam-2")
    assert again.number == 4
    assert vault.cameras.get("cam-2") == again
    assert vault.cameras.by_number(CameraNumber(2)).is_removed
    assert [camera.number for camera in vault.cameras.list()] == [1, 3, 4]
    assert [camera.number for camera in vault.cameras.list(removed=True)] == [1, 2, 3, 4]


def test_a_removed_camera_keeps_its_footage_findable_by_id_and_is_changed_no_more(vault: Vault) -> None:
    add(vault)
    vault.clock.advance(5)
    removed = vault.cameras.remove("cam-1")
    assert (removed.removed_us, removed.records) == (T0 + 5, False)
    assert vault.cameras.get("cam-1") == removed
    with pytest.raises(NotFound, match="was removed"):
        vault.cameras.set("cam-1", name="x")
    with pytest.raises(NotFound, match="was removed"):
        vault.cameras.remove("cam-1")


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (NewCamera("cam-1", URL), "already"),
        (NewCamera("no spaces", URL), "not usable"),
        (NewCamera("cam-2", "rtsp://user:hunter2@192.0.2.1/"), "user or password"),
        (NewCamera("cam-2", "no scheme"), "URL"),
        (NewCamera("cam-2", URL, site="nowhere"), "no site 'nowhere'"),
        (NewCamera("cam-2", URL, transport="carrier-pigeon"), "transport"),
        (NewCamera("cam-2", URL, name="a\nb"), "name"),
    ],
)
def test_a_bad_camera_is_refused_and_nothing_of_it_is_kept(vault: Vault, new: NewCamera, says: str) -> None:
    add(vault)
    changes, pending = vault.cameras.changes(), vault.registry.pending()
    with pytest.raises(UsageError, match=says) as error:
        vault.cameras.add(new)
    assert "hunter2" not in str(error.value)
    assert (vault.cameras.changes(), vault.registry.pending(), len(vault.cameras.list())) == (changes, pending, 1)


def test_set_changes_only_what_it_names(vault: Vault) -> None:
    before = add(vault, secret="sealed-token")
    assert vault.cameras.set("cam-1") == before
    assert vault.cameras.set("cam-1", name="x", enabled=False).secret == "sealed-token"
    after = vault.cameras.set("cam-1", secret=None)
    assert (after.secret, after.name, after.enabled, after.url, after.number) == (None, "x", False, URL, before.number)
    with pytest.raises(UsageError):
        vault.cameras.set("cam-1", site="nowhere")
    with pytest.raises(NotFound):
        vault.cameras.set("cam-9", name="x")


def test_an_import_is_all_or_nothing_and_names_every_bad_row(vault: Vault) -> None:
    add(vault)
    rows = [
        NewCamera("a", URL),
        NewCamera("cam-1", URL, name="gate"),
        NewCamera("a", URL),
        NewCamera("b", URL, site="nowhere"),
        NewCamera("c", URL, transport="quic"),
    ]
    with pytest.raises(Rejected, match=r"number 3: .*another row too.*number 4: .*no such site.*number 5: .*transport"):
        import_cameras(vault.cameras, rows)
    assert [(camera.id, camera.name) for camera in vault.cameras.list()] == [("cam-1", "")]
    cameras = import_cameras(vault.cameras, [NewCamera("a", URL), NewCamera("b", URL)]).cameras
    assert [vault.cameras.get(id_) for id_ in "ab"] == cameras
    assert len({camera.number for camera in vault.cameras.list()}) == 3


def test_an_import_whose_objects_cannot_be_written_leaves_nothing(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = vault.registry._waiting.put_bytes, []

    def full_after_one(key: str, data: bytes) -> None:
        if written:
            raise StoreError("no space")
        written.append(key)
        real(key, data)

    monkeypatch.setattr(vault.registry._waiting, "put_bytes", full_after_one)
    with pytest.raises(StoreError):
        import_cameras(vault.cameras, [NewCamera("a", URL), NewCamera("b", URL)])
    monkeypatch.undo()
    assert vault.cameras.list() == []
    assert list(vault.registry._waiting.list("registry/")) == []


def test_the_first_moment_to_record_is_set_once(vault: Vault) -> None:
    camera = add(vault)
    assert vault.cameras.begin_recording(camera.number, T0 + 7).first_record_us == T0 + 7
    assert vault.cameras.begin_recording(camera.number, T0 + 9).first_record_us == T0 + 7
    assert vault.catalog.usage(camera.number).first_us == T0 + 7


def test_every_change_waits_in_the_spool_as_an_object_of_its_own(vault: Vault) -> None:
    assert vault.registry.pending() == []
    before = vault.cameras.changes()
    add(vault)
    vault.cameras.set("cam-1", name="x")
    keys = ["registry/cameras/0000000001/0000000001.json", "registry/cameras/0000000001/0000000002.json"]
    assert vault.registry.pending() == keys
    assert vault.cameras.changes() == before + 2
    name, version, fields = decode(vault.registry.read(keys[1]), keys[1])
    assert (name.object_key(version), fields["name"], fields["id"]) == (keys[1], "x", "cam-1")
    assert (vault.folder / "spool" / keys[0]).exists()
    vault.registry.drop(keys)
    assert vault.registry.pending() == []


def test_an_object_whose_change_never_committed_is_not_uploaded_and_gives_way(vault: Vault) -> None:
    add(vault)
    stray = "registry/cameras/0000000001/0000000002.json"
    vault.registry._waiting.put_bytes(stray, b"{}")
    assert stray not in vault.registry.pending()
    vault.cameras.set("cam-1", name="x")
    assert stray in vault.registry.pending()
    assert json.loads(vault.registry.read(stray))["fields"]["name"] == "x"


def test_a_site_keeps_at_least_what_its_class_demands(vault: Vault) -> None:
    site = vault.sites.add(Site("gate", "key", 90, "public-area"))
    assert vault.sites.get("gate") == site
    assert [item.id for item in vault.sites.list()] == ["default", "gate"]
    assert vault.sites.set(Site("gate", "key", 120)).retain_days == 120
    for bad in (Site("gate", "key", 89), Site("gate", "cheap"), Site("-", "general"), Site("gate", "general", 10**9)):
        with pytest.raises(UsageError):
            vault.sites.set(bad)
    with pytest.raises(UsageError, match="already"):
        vault.sites.add(Site("gate"))
    with pytest.raises(NotFound):
        vault.sites.set(Site("nowhere"))
    with pytest.raises(NotFound):
        vault.sites.get("nowhere")
    assert vault.sites.ensure_default() == Site("default")


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\xff", b'{"format":2}', b"[" * 100_000, b"1" * 70_000])
def test_a_foreign_document_is_damaged(raw: bytes) -> None:
    with pytest.raises(Damaged):
        decode(raw, "registry/cameras/0000000001/0000000001.json")


@pytest.mark.parametrize(
    "key", ["registry/cameras/../0000000001.json", "registry/animals/a/0000000001.json", "registry/sites/a/1.json"]
)
def test_a_foreign_key_is_not_taken_for_a_registry_object(key: str) -> None:
    with pytest.raises(UsageError):
        parse_object_key(key)


def test_a_secret_does_not_go_along_to_another_address(vault: Vault) -> None:
    add(vault, secret="sealed-token")
    assert vault.cameras.set("cam-1", url=URL).secret == "sealed-token"
    assert vault.cameras.set("cam-1", url="rtsp://192.0.2.9/x").secret is None
    assert vault.cameras.set("cam-1", url=URL, secret="sealed-again").secret == "sealed-again"
