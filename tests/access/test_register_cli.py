"""The commands `register list` and `register export`, as a person runs them, over the ledger of a real data folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import streamvault
from access.occasion import Outcome
from access.people.model import Role
from access.people.people import People
from index.node import open_node
from tests.support.deeds import START_US, step
from tests.support.people import PASSWORD, add_unit, add_user
from tests.support.segments import START_US as FOOTAGE_US
from tests.support.segments import video_track
from tests.support.streams import encode_h264
from tests.support.vaults import make_vault
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.timebase import US, format_us


def run(data: Path, *arguments: str) -> int:
    return streamvault.run(["--data", str(data), *arguments])


@pytest.fixture
def made(data_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run(data_path, "init") == 0
    assert run(data_path, "camera", "add", "gate-1", "rtsp://192.0.2.1/a") == 0
    with open_node(DataFolder.open(data_path), Config(), SystemClock()) as node:
        node.ledger.append(
            [
                step("a", Outcome.ASKED, START_US, cameras=(1,)),
                step("b", Outcome.ASKED, START_US + 10, unit="unit-2", cameras=(1, 2)),
                step("a", Outcome.DONE, START_US + 20, cameras=(1,), bytes=1_234_567, sha256="ab" * 32),
                step("c", Outcome.REFUSED, START_US + 30, code="window", article="Art. 14 (4)"),
            ]
        )
    capsys.readouterr()
    return data_path


FROM = ["--from", format_us(START_US)]


def listed(data: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert run(data, "register", "list", "--json", *FROM, *arguments) == 0
    return [row["deed"] for row in json.loads(capsys.readouterr().out)]


def test_the_list_is_chosen_by_each_option(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(made, capsys) == ["a", "b", "c"]
    assert listed(made, capsys, "--unit", "unit-1") == ["a", "c"]
    assert listed(made, capsys, "--open") == ["b"]
    assert listed(made, capsys, "--unindexed", "--unit", "unit-1") == ["a", "c"]
    assert listed(made, capsys, "--camera", "gate-1") == ["a", "b"]
    assert listed(made, capsys, "--case", "other") == []
    assert listed(made, capsys, "--person", "9901001", "--limit", "1") == ["c"]
    assert listed(made, capsys, "--to", format_us(START_US + 10)) == ["a"]


def test_the_table_says_who_took_what_and_how_it_ended(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(made, "register", "list", *FROM) == 0
    text = " ".join(capsys.readouterr().out.split())
    for word in ("unit-1", "gate-1", "2026-117", "1.2 MB", "open", "refused"):
        assert word in text
    assert run(made, "register", "list", "--lang", "zh", *FROM) == 0
    assert "未结束" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "begins"), [("r.csv", b"\xef\xbb\xbfasked,"), ("r.parquet", b"PAR1"), ("r.html", b"<!doctype")]
)
def test_what_is_written_out_is_in_the_ledger_and_no_row_of_the_register(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, begins: bytes
) -> None:
    out = tmp_path / name
    assert run(made, "register", "export", "-o", str(out), "--unit", "unit-1", *FROM) == 0
    assert out.read_bytes().startswith(begins)
    assert out.stat().st_mode & 0o777 == 0o600
    assert listed(made, capsys) == ["a", "b", "c"]
    assert run(made, "ledger", "show", "--json", "--kind", "read") == 0
    [entry] = [one for one in json.loads(capsys.readouterr().out) if one["body"]["action"] == "register"]
    assert (entry["body"]["action"], entry["body"]["rows"], entry["subject"]) == ("register", 2, {"unit": "unit-1"})


def test_the_page_names_the_checkpoint_that_covers_it(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "book.html"
    assert run(made, "register", "export", "-o", str(out), *FROM) == 0
    text = out.read_text()
    assert "streamvault-ledger-" in text
    assert "ab" * 32 in text
    assert "gate-1" in text
    assert run(made, "register", "export", "-o", str(out), *FROM) == 2


def test_a_file_of_no_known_sort_is_refused(made: Path, tmp_path: Path) -> None:
    assert run(made, "register", "export", "-o", str(tmp_path / "r.xlsx"), *FROM) == 2


@pytest.fixture
def users(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with open_node(DataFolder.open(made), Config(), SystemClock()) as node:
        people = People(node.registry, node.clock)
        for unit in ("unit-1", "unit-2"):
            add_unit(people, unit)
        for name, role in (
            ("li", Role.UNIT),
            ("inspector", Role.INSPECTOR),
            ("planner", Role.PLANNER),
            ("chen", Role.INVESTIGATOR),
        ):
            add_user(people, name, role, "unit-1" if role is Role.UNIT else "")
        node.ledger.append([step("d", Outcome.ASKED, START_US + 40, user="chen", unit="")])
    monkeypatch.setenv("STREAMVAULT_PASSWORD", PASSWORD)
    return made


def refusals(data: Path) -> list[tuple[object, object, object]]:
    with open_node(DataFolder.open(data), Config(), SystemClock()) as node:
        return [
            (one.body.get("code"), one.subject.get("user"), one.subject.get("unit"))
            for one in node.ledger.entries()
            if one.body.get("action") == "register" and one.body["outcome"] == "refused"
        ]


def test_each_sees_the_part_that_is_theirs(users: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(users, capsys, "--as", "li") == ["a", "c"]
    assert listed(users, capsys, "--as", "li", "--unit", "unit-1", "--open") == []
    assert listed(users, capsys, "--as", "inspector") == ["a", "b", "c", "d"]
    assert listed(users, capsys, "--as", "chen") == ["d"]
    assert refusals(users) == []


def test_another_units_book_is_refused_and_that_is_on_record(
    users: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "r.csv"
    assert run(users, "register", "export", "--as", "li", "--unit", "unit-2", "-o", str(out), *FROM) == 4
    assert run(users, "register", "list", "--as", "planner", *FROM) == 4
    monkeypatch.setenv("STREAMVAULT_PASSWORD", "wrong")
    assert run(users, "register", "list", "--as", "li", *FROM) == 4
    assert not out.exists()
    assert "Art." in capsys.readouterr().err
    found = refusals(users)
    assert found[:2] == [("register", "li", "unit-2"), ("register", "planner", None)]
    assert (len(found), found[2][1]) == (3, None)
    assert listed(users, capsys) == ["a", "b", "c", "d"]


def test_a_unit_prints_its_own_book(users: Path, tmp_path: Path) -> None:
    out = tmp_path / "book.html"
    assert run(users, "register", "export", "--as", "li", "-o", str(out), *FROM) == 0
    text = out.read_text()
    assert "<bdi>unit-1 Road office</bdi>" in text
    assert "unit-2" not in text


def test_a_clip_that_was_really_taken_and_one_that_was_refused_are_in_the_book(
    data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_vault(data_path, [video_track(encode_h264(50))], FOOTAGE_US, ["store"])
    clip = ["clip", "cam-1", "--from", format_us(FOOTAGE_US), "--to", format_us(FOOTAGE_US + US), "--purpose", "traffic"]
    why = [
        "--why",
        "=1+1",
        "--case",
        "9901-7",
        "--destination",
        "<b>desk</b>",
        "--person",
        "first officer",
        "--staff-number",
        "9901",
    ]
    assert run(data_path, *clip, *why, "-o", str(tmp_path / "a.mp4")) == 0
    assert run(data_path, *clip, "-o", str(tmp_path / "b.mp4")) == 4
    capsys.readouterr()
    assert run(data_path, "register", "list", "--json") == 0
    done, refused = json.loads(capsys.readouterr().out)
    data = (tmp_path / "a.mp4").read_bytes()
    assert (done["outcome"], done["bytes"], done["sha256"]) == ("done", len(data), hashlib.sha256(data).hexdigest())
    assert (refused["outcome"], refused["purpose"], refused["case"]) == ("refused", "traffic", None)
    assert (done["action"], done["cameras"], done["case"], done["from"]) == ("clip", ["cam-1"], "9901-7", format_us(FOOTAGE_US))
    assert (refused["outcome"], refused["article"], refused["refusal"]) == ("refused", "Art. 14 (7)", "field")
    assert run(data_path, "register", "export", "-o", str(tmp_path / "r.csv")) == 0
    assert "'=1+1" in (tmp_path / "r.csv").read_text("utf-8-sig")
