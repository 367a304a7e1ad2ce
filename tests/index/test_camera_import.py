"""Files of cameras that are there: what they say is set, what they do not say stays, and what is as it was is not written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from index.batch import Outcome, Rejected
from index.camera_import import TOGETHER, import_cameras
from index.cameras import NewCamera
from index.credentials import camera_url
from index.minima import raises_of
from index.node import open_node
from index.sites import Site
from index.stays import Stay
from tests.support.commands import Run
from tests.support.index_vault import Vault, open_vault
from tests.support.indexing import T0
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import UsageError
from vault.ids import CameraNumber

URL = "rtsp://192.0.2.1/s"
CODES = ["99010300001320000001", "99010300001320000002"]
SECRET = "geheim"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with open_vault(tmp_path, T0) as opened:
        opened.sites.ensure_default()
        opened.sites.add(Site("gate", "key", 90, "public-area"))
        yield opened


def whole(data_path: Path, id_: str) -> tuple[str, str | None, str | None]:
    folder = DataFolder.open(data_path)
    with open_node(folder, Config(), SystemClock()) as node:
        found = camera_url(node.cameras.get(id_), folder.credentials())
    return found.url, found.user, found.password


def news(count: int, **more: str) -> list[NewCamera]:
    return [NewCamera(f"cam-{at}", URL, **more) for at in range(count)]  # type: ignore[arg-type]


def test_a_file_written_by_export_leaves_its_own_folder_as_it_is(run: Run, tmp_path: Path) -> None:
    assert run("site", "add", "gate", "--category", "public-area") == 0
    assert run("camera", "add", "a", f"rtsp://u:{SECRET}@192.0.2.1/s?token={SECRET}", "--site", "gate", "--days", "100") == 0
    assert run("camera", "add", "b", f"rtsp://u:{SECRET}@192.0.2.2/s", "--gb-code", CODES[0]) == 0
    assert run("camera", "set", "b", "--no-record") == 0
    for more in ([], ["--with-secrets"]):
        out = tmp_path / f"cameras{len(more)}.csv"
        assert run("camera", "export", "-o", str(out), *more) == 0
        before, ledger = run.shown("camera", "list"), len(run.shown("ledger", "show"))
        for call in (["--dry-run"], []):
            done = run.shown("camera", "import", str(out), *call)
            assert (done["dry_run"], done["added"], done["changed"], done["left"]) == (bool(call), 0, 0, 2)
            assert [(row["row"], row["id"], row["outcome"]) for row in done["rows"]] == [(2, "a", "left"), (3, "b", "left")]
        assert run.shown("camera", "list") == before
        assert len(run.shown("ledger", "show")) == ledger


def test_a_file_says_what_is_changed_and_what_it_has_no_column_for_stays(
    run: Run, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "in.csv"
    assert run("site", "add", "gate", "--category", "public-area") == 0
    assert run("camera", "add", "a", f"rtsp://u:{SECRET}@192.0.2.1/s", "--name", "old", "--approval-ref", "7") == 0
    assert run("camera", "add", "b", URL) == 0
    assert run("camera", "set", "a", "--no-record") == 0
    file.write_text(f"id,url,name,site\na,rtsps://192.0.2.1:322/other,new,gate\nb,{URL},,\nc,{URL},,\n")
    capsys.readouterr()
    assert run("camera", "import", str(file), "--dry-run") == 0
    assert "1 camera would be added, 1 would be changed, 1 left as they are" in capsys.readouterr().out
    assert [item["id"] for item in run.shown("camera", "list")] == ["a", "b"]
    assert run("camera", "import", str(file), "--by", "first officer") == 0
    a, b, c = run.shown("camera", "list")
    assert (a["number"], a["name"], a["site"], a["state"], a["approval_ref"]) == (1, "new", "gate", "off", "7")
    assert [stay["site"] for stay in a["stays"]] == ["default", "gate"]
    assert (b["number"], c["number"], c["site"]) == (2, 3, "default")
    assert whole(data_path, "a") == ("rtsps://192.0.2.1:322/other", "u", SECRET), "the same host keeps its credentials"
    told = run.shown("ledger", "show")[-3:]
    assert {(item["actor"], item["subject"]["document"]) for item in told} == {
        ("first officer", "cameras/0000000001"),
        ("first officer", "cameras/0000000003"),
        ("first officer", "raises/0000000001"),
    }


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("rtsp://192.0.2.9/s,,", None),
        ("rtsp://192.0.2.9/s,v,w", ("rtsp://192.0.2.9/s", "v", "w")),
        ("rtsp://v:w@192.0.2.9/s,,", ("rtsp://192.0.2.9/s", "v", "w")),
        ("rtsp://192.0.2.1/s?token=***,v,w", (f"rtsp://192.0.2.1/s?token={SECRET}", "v", "w")),
        ("rtsp://192.0.2.1:1554/s?token=***,,", None),
        ("rtsp://192.0.2.1/s,,", ("rtsp://192.0.2.1/s", "u", SECRET)),
        # Lists go about without passwords: of that one nothing is said.
        ("rtsp://192.0.2.1/s,u,", ("rtsp://192.0.2.1/s", "u", SECRET)),
        ("rtsp://192.0.2.9/s,u,", None),
        ("rtsp://192.0.2.1/s,v,", ("rtsp://192.0.2.1/s", "v", "")),
        # As an address is shown in a log.
        ("rtsp://***@192.0.2.1/s,,", None),
    ],
)
def test_credentials_stay_with_their_host_and_go_to_no_other(
    run: Run, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, found: tuple[str, str, str] | None
) -> None:
    before = f"rtsp://192.0.2.1/s?token={SECRET}", "u", SECRET
    assert run("camera", "add", "a", f"rtsp://u:{SECRET}@192.0.2.1/s?token={SECRET}") == 0
    file = tmp_path / "in.csv"
    file.write_text(f"id,url,user,password\na,{row}\n")
    assert run("camera", "import", str(file)) == (0 if found else 2)
    error = capsys.readouterr().err
    assert (
        found
        or "row 2: the camera is at another host now" in error
        or "row 2: what is secret in the address is blanked" in error
    )
    assert SECRET not in error
    assert whole(data_path, "a") == (found or before)


def test_a_new_address_that_is_set_keeps_the_credentials_at_its_host_only(
    run: Run, data_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("camera", "add", "a", f"rtsp://u:{SECRET}@192.0.2.1/s") == 0
    assert run("camera", "set", "a", "--url", "rtsp://192.0.2.1/other") == 0
    assert whole(data_path, "a") == ("rtsp://192.0.2.1/other", "u", SECRET)
    capsys.readouterr()
    assert run("camera", "set", "a", "--url", "rtsp://192.0.2.10/other") == 0
    assert "credentials were for its old host" in capsys.readouterr().out
    assert whole(data_path, "a") == ("rtsp://192.0.2.10/other", None, None)
    assert run("camera", "set", "a", "--url", "live.sdp", "--no-credentials") == 0
    assert whole(data_path, "a")[0].endswith("/live.sdp")


def test_a_move_is_kept_and_reaches_the_footage_that_is_there(vault: Vault) -> None:
    numbers = [camera.number for camera in import_cameras(vault.cameras, news(3)).cameras]
    for number in numbers:
        vault.cameras.begin_recording(number, T0)
    done = import_cameras(vault.cameras, news(3, site="gate"))
    assert done.outcomes == [Outcome.CHANGED] * 3
    for at, number in enumerate(numbers):
        camera = vault.cameras.by_number(number)
        assert (camera.id, camera.site, camera.first_record_us) == (f"cam-{at}", "gate", T0)
        assert camera.stays == (Stay("default", 0), Stay("gate", vault.clock.now_us()))
        with vault.environment.read() as txn:
            assert [item.days for item in raises_of(txn, number)] == [90]
    vault.clock.advance(5)
    assert import_cameras(vault.cameras, news(3)).outcomes == [Outcome.CHANGED] * 3
    low = vault.cameras.get("cam-0").lowering
    assert low is not None
    assert low.site == "default"
    # What is announced is neither announced anew by a file that asks for it, nor taken back by one of before.
    vault.clock.advance(5)
    before = vault.cameras.list()
    for rows in (news(3), news(3, site="gate")):
        assert import_cameras(vault.cameras, rows).outcomes == [Outcome.LEFT] * 3
    assert vault.cameras.list() == before


def test_codes_are_checked_as_they_will_be(vault: Vault) -> None:
    a, b = (NewCamera(id_, URL, gb_code=code) for id_, code in zip("ab", CODES, strict=True))
    import_cameras(vault.cameras, [a, b])
    swapped = [NewCamera(id_, URL, gb_code=code) for id_, code in zip("ba", CODES, strict=True)]
    assert import_cameras(vault.cameras, swapped).outcomes == [Outcome.CHANGED] * 2
    with pytest.raises(Rejected, match="number 1: camera b has this GB code"):
        import_cameras(vault.cameras, [NewCamera("a", URL, gb_code=CODES[0])])
    with pytest.raises(Rejected, match="days"):
        import_cameras(vault.cameras, [NewCamera("a", URL, days=3), NewCamera("c", URL)])
    assert [camera.gb_code for camera in vault.cameras.list()] == CODES[::-1]


def test_an_id_that_was_removed_is_that_of_a_new_camera(vault: Vault) -> None:
    import_cameras(vault.cameras, news(1))
    vault.cameras.remove("cam-0")
    done = import_cameras(vault.cameras, news(1))
    assert (done.outcomes, done.cameras[0].number) == ([Outcome.ADDED], 2)


def test_a_long_import_is_put_in_pieces_and_may_be_repeated(vault: Vault) -> None:
    count = TOGETHER + 3
    assert import_cameras(vault.cameras, news(count), dry_run=True).outcomes == [Outcome.ADDED] * count
    assert vault.cameras.list() == []
    import_cameras(vault.cameras, news(count))
    documents = [asdict(camera) for camera in vault.cameras.list()]
    changes = vault.registry.changes()
    assert import_cameras(vault.cameras, news(count)).outcomes == [Outcome.LEFT] * count
    assert vault.registry.changes() == changes
    assert import_cameras(vault.cameras, news(count + 1, name="new")).outcomes == [Outcome.CHANGED] * count + [Outcome.ADDED]
    after = [asdict(camera) for camera in vault.cameras.list()]
    assert after[:-1] == [document | {"name": "new"} for document in documents]
    assert after[-1]["number"] == CameraNumber(count + 1)
    with pytest.raises(UsageError, match="at most 20000"):
        import_cameras(vault.cameras, news(1) * 20_001)
