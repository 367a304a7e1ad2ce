"""The commands `export …`, as a person calls them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import streamvault
from access.export.jobs import Jobs
from access.people.model import Role, User
from access.people.people import People
from access.people.users import Users
from index.node import open_node
from tests.access.export.test_engine import flip, verify
from tests.access.test_cli import SAID
from tests.support.people import PASSWORD as LI
from tests.support.people import add_user
from tests.support.segments import video_track
from tests.support.streams import encode_h264
from tests.support.tools import need
from tests.support.vaults import make_vault
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.timebase import US, format_us

PASSWORD = "a long one for 9901"

# The commands go by the host's clock, and no range may lie ahead.
START_US = (SystemClock().now_us() // US - 3_600) * US

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("access.export.run.PICTURES", 1)
    # This process has to go on at its own pace.
    monkeypatch.setattr("os.nice", lambda more: 0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("template") / "data"
    make_vault(made, [video_track(encode_h264(50))], START_US, ["store", "spool"], gap_us=US)
    return made


@pytest.fixture
def data(data_path: Path, template: Path) -> Path:
    return Path(shutil.copytree(template, data_path))


@pytest.fixture
def run(data: Path) -> Run:
    return lambda *arguments: streamvault.run(["--data", str(data), "export", *arguments])


def span(start_us: int = 0, end_us: int = 5 * US) -> list[str]:
    return ["--from", format_us(START_US + start_us), "--to", format_us(START_US + end_us)]


def test_an_export_is_made_and_shown(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("create", "cam-1", *span(), "-o", str(tmp_path / "out"), *SAID, "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["step"], about["purpose"], about["person"]) == ("done", "traffic", "first officer")
    assert verify(tmp_path / "out").returncode == 0
    assert run("show", about["export"], "--json") == 0
    assert json.loads(capsys.readouterr().out) == about
    assert run("show", about["export"]) == 0
    assert "traffic police" in capsys.readouterr().out
    assert run("list") == 0
    listed = capsys.readouterr().out
    assert about["export"] in listed
    assert "cam-1" in listed
    assert run("list", "--unfinished", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_what_lies_before_a_camera_was_there_is_named_as_missing(run: Run, tmp_path: Path) -> None:
    assert run("create", "cam-1", *span(-60 * US), "-o", str(tmp_path / "out"), *SAID) == 0
    (camera,) = json.loads((tmp_path / "out" / "data" / "custody.json").read_text())["cameras"]
    first = camera["missing"][0]
    assert first["reason"] == "before the first recording"
    assert (first["start_us"], first["end_us"]) == (START_US - 60 * US, camera["taken"]["start_us"])
    assert "首次录像之前" in (tmp_path / "out" / "data" / "report.html").read_text()


def test_a_folder_that_is_there_takes_the_package_under_its_id(run: Run, tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    assert run("create", "cam-1", *span(), "-o", str(tmp_path / "outbox"), "--form", "tar", *SAID) == 0
    (made,) = (tmp_path / "outbox").iterdir()
    with tarfile.open(made) as package:
        assert f"{made.stem}/data/custody.json" in package.getnames()


@pytest.mark.parametrize("name", ["x.zip", "x.7Z", "x.mp4", "x.tar.gz", "x.iso", "x.rar"])
def test_no_folder_is_called_as_a_file_of_another_kind_is(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run("create", "cam-1", *span(), "-o", str(tmp_path / name), *SAID) == 2
    assert "a package is a folder, a .tar or an encrypted .tar.enc" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


def test_a_folder_may_have_dots_in_its_name(run: Run, tmp_path: Path) -> None:
    assert run("create", "cam-1", *span(), "-o", str(tmp_path / "case-9901.7"), *SAID) == 0
    assert (tmp_path / "case-9901.7" / "data" / "custody.json").is_file()


def test_a_password_that_is_made_is_shown_once_and_opens_the_package(
    run: Run, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.tar.enc"
    assert run("create", "cam-1", *span(), "-o", str(target), *SAID) == 0
    said = capsys.readouterr()
    found = re.search(r"kept nowhere: (\S+)", said.err)
    assert found is not None
    assert found[1] not in said.out
    command = [need("openssl"), "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-iter", "600000", "-pass", "stdin", "-in", str(target)]
    opened = subprocess.run(
        [*command, "-out", str(tmp_path / "out.tar")], input=found[1] + "\n", text=True, capture_output=True, check=False
    )
    assert opened.returncode == 0, opened.stderr
    assert tarfile.is_tarfile(tmp_path / "out.tar")
    entries = b"".join(path.read_bytes() for path in (data / "ledger").rglob("*") if path.is_file())
    assert found[1].encode() not in entries


@pytest.mark.parametrize("left_out", ["--purpose", "--why", "--case", "--destination", "--person", "--staff-number"])
def test_nothing_is_handed_out_without_a_field(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], left_out: str
) -> None:
    at = SAID.index(left_out)
    assert run("create", "cam-1", *span(), "-o", str(tmp_path / "out"), *SAID[:at], *SAID[at + 2 :]) == 4
    said = capsys.readouterr().err
    assert left_out[2:].replace("-", " ") in said
    assert "Art. 14 (7)" in said
    assert not (tmp_path / "out").exists()


def test_what_was_cut_short_is_named_and_taken_up_again(
    run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(data, 0)
    assert run("create", "cam-1", *span(), "-o", str(tmp_path / "out"), *SAID) == 8
    told = capsys.readouterr().err
    assert "segments/" in told
    assert re.search(r"is not finished; `export resume \S+` takes it up again", told)
    assert run("create", "cam-1", *span(3 * US), "-o", str(tmp_path / "other"), *SAID) == 0
    said = capsys.readouterr().err
    found = re.search(r"export resume (\S+)`", said)
    assert found is not None
    assert run("resume", "--allow-damaged") == 0
    assert verify(tmp_path / "out").returncode == 0
    assert run("resume") == 2
    assert run("resume", found[1]) == 2
    assert run("abort", found[1]) == 2
    assert f"export {found[1]} is done" in capsys.readouterr().err


def test_whoever_may_not_take_it_up_is_not_told_to(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(data, 0)
    assert run("create", "cam-1", *span(), "-o", str(tmp_path / "out"), *SAID) == 8
    with open_node(DataFolder.open(data), Config(), SystemClock()) as node:
        (job,) = Jobs(node.environment).all()
        add_user(People(node.registry, node.clock), role=Role.INVESTIGATOR)
    monkeypatch.setenv("STREAMVAULT_PASSWORD", LI)
    capsys.readouterr()
    assert run("resume", job.id, "--as", "li") == 4
    said = capsys.readouterr().err
    assert f"export {job.id} is operator@" in said
    assert "takes it up again" not in said


def test_an_export_is_given_up(run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(data, 0)
    assert run("create", "cam-1", *span(), "-o", str(tmp_path / "out"), *SAID) == 8
    found = re.search(r"nothing of it", capsys.readouterr().err)
    assert found is not None
    assert run("list", "--unfinished", "--json") == 0
    (about,) = json.loads(capsys.readouterr().out)
    assert run("abort", about["export"], "--why", "no longer needed", "--json") == 0
    assert json.loads(capsys.readouterr().out)["ended_because"] == "no longer needed"
    assert not list((data / "exports").iterdir())


def test_a_taken_target_and_a_wrong_id_are_said(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("mine")
    assert run("create", "cam-1", *span(), "-o", str(tmp_path / "out"), *SAID) == 2
    assert "is there already" in capsys.readouterr().err
    assert run("show", "../../etc") == 2
    assert run("show", "20200101-000000-abcdef") == 3
    assert run("create", "cam-9", *span(), "-o", str(tmp_path / "new"), *SAID) == 3
    assert (tmp_path / "out").read_text() == "mine"


def test_a_user_exports_by_password_and_a_planner_sees_nothing(
    run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_node(DataFolder.open(data), Config(), SystemClock()) as node:
        users = Users(People(node.registry, node.clock))
        for name, role in (("9901-1", Role.INVESTIGATOR), ("9901-2", Role.PLANNER)):
            users.add(User(name, role, real_name="first officer", staff_number=name))
            users.set_password(name, PASSWORD, must_change=False)
    monkeypatch.setenv("STREAMVAULT_PASSWORD", PASSWORD)
    wanted = ["cam-1", *span(), "-o", str(tmp_path / "out"), *SAID]
    assert run("create", *wanted, "--as", "9901-2") == 4
    assert run("create", *wanted, "--as", "9901-1", "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["user"], about["authority"]) == ("9901-1", ["role investigator"])
    assert run("list", "--json", "--as", "9901-2") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_refused_sign_in_about_an_export_is_on_record(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(data, 0)
    wanted = ["cam-1", *span(), "-o", str(tmp_path / "out"), *SAID]
    assert run("create", *wanted) == 8
    with open_node(DataFolder.open(data), Config(), SystemClock()) as node:
        (job,) = Jobs(node.environment).all()
    monkeypatch.setenv("STREAMVAULT_PASSWORD", "another one entirely")
    assert run("approve", job.id, "--as", "9901-1") == 4
    with open_node(DataFolder.open(data), Config(), SystemClock()) as node:
        last = list(node.ledger.entries())[-1]
    assert (last.body["outcome"], last.body["code"], last.body["as_unknown_chars"]) == ("refused", "credentials", 6)
