"""Commands about the data folder, its cameras and its index, as a person calls them. No password may come out of any."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamvault
from index.credentials import camera_url
from index.node import open_node
from index.sites import Sites
from tests.support.commands import Run
from tests.support.segments import START_US, video_track
from tests.support.streams import encode_h264
from tests.support.vaults import make_vault
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import StoreFull

SECRET = "Geheim-4711"


@pytest.fixture(autouse=True)
def _no_secret_is_shown(data_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Neither what was printed and not read by the test, nor any file of the data folder, holds the password."""
    yield
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    assert not [path for path in data_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def out_of(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    return out


def stored_url(data_path: Path, camera_id: str) -> tuple[str, str | None, str | None]:
    folder = DataFolder.open(data_path)
    with open_node(folder, Config(), SystemClock()) as node:
        found = camera_url(node.cameras.get(camera_id), folder.credentials())
    return found.url, found.user, found.password


def test_init_makes_a_private_folder_with_the_default_site_and_does_it_once(
    run: Run, data_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert data_path.stat().st_mode & 0o777 == 0o700
    assert (data_path / "keys" / "credentials.key").stat().st_mode & 0o777 == 0o600
    assert run("camera", "add", "cam-1", "rtsp://192.0.2.1/s") == 0
    assert run("init") == 2
    assert "nothing was changed" in capsys.readouterr().err


def test_an_init_that_was_cut_short_before_the_index_was_whole_is_repeated(
    data_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Sites) -> None:
        raise StoreFull("no space")

    with monkeypatch.context() as patch:
        patch.setattr(Sites, "ensure_default", full)
        assert streamvault.run(["--data", str(data_path), "init"]) == StoreFull.exit_code
    base = ["--data", str(data_path)]
    assert streamvault.run([*base, "init"]) == 0
    assert streamvault.run([*base, "camera", "add", "cam-1", "rtsp://192.0.2.1/s"]) == 0
    capsys.readouterr()


def test_a_password_in_the_url_is_sealed_and_shown_nowhere(
    run: Run, data_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("camera", "add", "cam-1", f"rtsp://admin:{SECRET}@192.0.2.1/s?token={SECRET}") == 0
    for command in (["list"], ["list", "--json"], ["show", "cam-1"], ["show", "cam-1", "--json"]):
        assert run("camera", *command) == 0
        assert "192.0.2.1" in out_of(capsys)
    assert stored_url(data_path, "cam-1") == (f"rtsp://192.0.2.1/s?token={SECRET}", "admin", SECRET)


def test_credentials_may_come_from_a_file_or_standard_input(
    run: Run, data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"admin:{SECRET}:with:colons\n")
    assert run("camera", "add", "cam-1", "rtsp://192.0.2.1/s", "--credentials-file", str(file)) == 0
    assert stored_url(data_path, "cam-1") == ("rtsp://192.0.2.1/s", "admin", f"{SECRET}:with:colons")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"viewer:{SECRET}\n"))
    assert run("camera", "set", "cam-1", "--credentials-stdin") == 0
    assert stored_url(data_path, "cam-1") == ("rtsp://192.0.2.1/s", "viewer", SECRET)


def test_a_new_address_does_not_take_the_old_ones_password_along(run: Run, data_path: Path) -> None:
    assert run("camera", "add", "cam-1", f"rtsp://admin:{SECRET}@192.0.2.1/s") == 0
    assert run("camera", "set", "cam-1", "--name", "gate") == 0
    assert stored_url(data_path, "cam-1") == ("rtsp://192.0.2.1/s", "admin", SECRET)
    assert run("camera", "set", "cam-1", "--url", "rtsp://192.0.2.99/s") == 0
    assert stored_url(data_path, "cam-1") == ("rtsp://192.0.2.99/s", None, None)


def test_credentials_can_be_forgotten(run: Run, data_path: Path) -> None:
    assert run("camera", "add", "cam-1", f"rtsp://admin:{SECRET}@192.0.2.1/s") == 0
    assert run("camera", "set", "cam-1", "--no-credentials") == 0
    assert stored_url(data_path, "cam-1") == ("rtsp://192.0.2.1/s", None, None)


@pytest.mark.parametrize(
    "arguments",
    [
        ["camera", "add", "cam 1", f"rtsp://u:{SECRET}@192.0.2.1/"],
        ["camera", "add", "cam-1", f"u:{SECRET}@192.0.2.1"],
        ["camera", "add", "cam-1", f"ftp://u:{SECRET}@192.0.2.1/"],
        ["camera", "add", "cam-1", f"rtsp://u:{SECRET}/x@192.0.2.1/"],
        ["camera", "add", "cam-1", f"rtsp://u:{SECRET}@192.0.2.1/", "--site", "nowhere"],
        ["camera", "add", "cam-1", f"rtsp://u:{SECRET}@192.0.2.1/", "--transport", "quic"],
        ["camera", "add", "cam-1", f"rtsp://u:{SECRET}@192.0.2.1/", "--ask", "--credentials-stdin"],
        ["camera", "add", f"rtsp://u:{SECRET}@192.0.2.1/"],
    ],
)
def test_a_wrong_call_is_one_line_with_exit_code_2_and_without_the_password(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("streamvault: ")
    assert len(err.splitlines()) == 1
    assert SECRET not in err


def test_a_camera_that_was_removed_is_listed_only_on_request(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("camera", "add", "cam-1", "rtsp://192.0.2.1/s") == 0
    assert run("camera", "remove", "cam-1") == 0
    capsys.readouterr()
    assert run("camera", "list", "--json") == 0
    assert json.loads(out_of(capsys)) == []
    assert run("camera", "list", "--all", "--json") == 0
    (camera,) = json.loads(out_of(capsys))
    assert (camera["id"], camera["number"], camera["state"]) == ("cam-1", 1, "removed")


def test_an_import_is_all_or_nothing(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cameras.csv"
    assert run("camera", "add", "cam-1", "rtsp://u:p@192.0.2.1/s") == 0
    file.write_text(
        f"id,url,site\ncam-2,rtsp://u:{SECRET}@192.0.2.2/s,\ncam-1,rtsp://192.0.2.3/s,\ncam-3,rtsp://h/,nowhere\ncam-4,ftp://h/,\n"
    )
    assert run("camera", "import", str(file)) == 2
    err = capsys.readouterr().err
    assert "row 3: the camera is at another host now" in err
    assert "row 4: there is no such site" in err
    assert "row 5: cameras are not recorded over ftp" in err
    assert "3 problems; nothing was imported" in err
    file.write_text(f"id,url,name\ncam-2,rtsp://u:{SECRET}@192.0.2.2/s,南门\n", encoding="gb18030")
    assert run("camera", "import", str(file), "--dry-run") == 0
    assert run("camera", "show", "cam-2") == 3
    assert run("camera", "import", str(file)) == 0
    capsys.readouterr()
    assert run("camera", "show", "cam-2", "--json") == 0
    shown = json.loads(out_of(capsys))
    assert (shown["name"], shown["credentials"]) == ("南门", True)


def test_an_import_that_fails_shows_no_password(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cameras.csv"
    for text in (f"cam-1;rtsp://u:{SECRET}@192.0.2.1/x\n", f"id,url,site\ncam-1,rtsp://192.0.2.1/,{SECRET}\n"):
        file.write_text(text)
        assert run("camera", "import", str(file)) == 2
        assert SECRET not in capsys.readouterr().err


def test_what_is_not_there_has_exit_code_3(run: Run, tmp_path: Path) -> None:
    assert run("camera", "show", "cam-1") == 3
    assert streamvault.run(["--data", str(tmp_path / "none"), "camera", "list"]) == 3


def test_a_wrong_configuration_key_names_the_nearest(run: Run, data_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config", "check", "--json") == 0
    assert {line["source"] for line in json.loads(out_of(capsys))} == {"default"}
    (data_path / "streamvault.toml").write_text("[recording]\nsegment_second = 30\n")
    assert run("config", "check") == 2
    assert "segment_seconds" in capsys.readouterr().err
    assert run("camera", "list") == 2


def test_check_finds_a_stored_object_that_is_damaged_and_rebuild_makes_the_same_index(
    data_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_vault(data_path, [video_track(encode_h264(50))], START_US, ["store", "spool"])
    base = ["--data", str(data_path)]
    assert streamvault.run([*base, "check", "--level", "hash", "--json"]) == 8
    # The vault of the tests is years away from now and nobody says why nothing was recorded since.
    assert {finding["invariant"] for finding in json.loads(out_of(capsys))} == {"I6"}
    assert streamvault.run([*base, "index", "stat", "--json"]) == 0
    before = json.loads(out_of(capsys))
    assert streamvault.run([*base, "index", "rebuild"]) == 0
    assert streamvault.run([*base, "index", "stat", "--json"]) == 0
    out = out_of(capsys)
    after = json.loads(out[out.index("{") :])
    assert (
        (after["segments"], after["footage_bytes"])
        == (before["segments"], before["footage_bytes"])
        == (2, before["footage_bytes"])
    )
    (stored,) = (data_path / "store" / "segments").rglob("*.mp4")
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.chmod(0o600)
    stored.write_bytes(data)
    assert streamvault.run([*base, "check", "--level", "hash", "--json"]) == 8
    assert "I1" in {finding["invariant"] for finding in json.loads(out_of(capsys))}


def test_check_of_a_sample_says_its_seed_and_takes_it_again(
    run: Run, data_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", "--sample", "1%", "--level", "hash") == 0
    assert "looking at 0 of 0 segments, seed " in capsys.readouterr().err
    assert run("check", "--sample", "500", "--seed", "7") == 0
    assert "seed 7" in capsys.readouterr().err
    for wrong in (["--seed", "7"], *(["--sample", text] for text in ("0", "0%", "101%", "-1", "x", "1e3%", "9" * 50))):
        assert run("check", *wrong) == 2


def test_rebuild_waits_for_no_running_supervisor(run: Run, data_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with DataFolder.open(data_path).supervisor_lock():
        assert run("index", "rebuild") == 5
    assert "stop it first" in capsys.readouterr().err
