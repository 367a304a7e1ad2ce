"""People as CSV files: what comes out comes in again as it was, with rows counted in every complaint, and all or nothing."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from access.people.tables import read_grants, read_terminals, read_units, read_users
from tests.support.commands import Run
from vault.config import Retention
from vault.days import begin_text, begin_us, end_text, end_us
from vault.errors import UsageError
from vault.timebase import MAX_US

UNITS = (
    "id,name,agreement,valid_from,valid_to,scope,viewing_camera,approval\n"
    "road,道路办公室,A-1,2026-01-01,2027-12-31,=交通,cam-1,yes\nwater,Water,,,,,,\n"
)
TERMINALS = "unit,address,place,person\nroad,10.99.1.7,2号房,甲\nroad,10.99.2.0/24,floor,乙\nwater,2001:DB8::1,room,丙\n"
USERS = "id,role,unit,real_name,staff_number,trained_on\nli,unit,road,丁,007,2026-05-01\nboss,admin,,,,\nwang,Investigator,,戊,9902,\n"
GRANTS = "id,unit,cameras,sites,actions,from,to,valid_to,why\n,road,cam-1,default,view export,2026-11-01,2026-11-30,,urgent\n7,water,cam-1 #2,,view,,,2027-01-01,x\n"
FILES = {("unit",): UNITS, ("unit", "terminal"): TERMINALS, ("user",): USERS, ("grant",): GRANTS}


@pytest.fixture
def run(run: Run, capsys: pytest.CaptureFixture[str]) -> Run:
    assert run("camera", "add", "cam-1", "rtsp://192.0.2.1/stream") == 0
    assert run("camera", "add", "cam-2", "rtsp://192.0.2.1/other") == 0
    assert run("camera", "remove", "cam-2") == 0
    capsys.readouterr()
    return run


def everything(run: Run) -> list[Any]:
    return [run.shown(*group, "list") for group in FILES]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_files_are_read_in_the_encodings_of_spreadsheets(encoding: str) -> None:
    for read, text in ((read_units, UNITS), (read_terminals, TERMINALS), (read_users, USERS), (read_grants, GRANTS)):
        lines, problems = read(text.encode(encoding))
        assert not problems
        assert [line.cells for line in lines] == list(csv.DictReader(io.StringIO(text)))


def test_all_comes_in_and_out_and_in_again(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for group, text in FILES.items():
        file = tmp_path / "in.csv"
        file.write_bytes(text.encode("gb18030"))
        before = everything(run)
        assert run(*group, "import", str(file), "--dry-run") == 0
        assert "would be added, 0 would be changed, 0 left" in capsys.readouterr().out
        assert everything(run) == before
        assert run(*group, "import", str(file), "--by", "first officer") == 0
    units, terminals, users, grants = before = everything(run)
    assert (units[0]["name"], units[0]["valid_to"], units[0]["scope"], units[0]["viewing_camera"]) == (
        "道路办公室",
        "2027-12-31T16:00:00.000000Z",
        "=交通",
        "cam-1",
    )
    assert terminals[-1] == {"unit": "water", "address": "2001:db8::1", "place": "room", "person": "丙"}
    assert {user["id"]: user["password"] for user in users} == {"admin": True, "boss": False, "li": False, "wang": False}
    assert [(grant["number"], grant["cameras"]) for grant in grants] == [(7, ["cam-1", "#2"]), (8, ["cam-1"])]
    for group in FILES:
        out = tmp_path / f"{'-'.join(group)}.csv"
        assert run(*group, "export", "-o", str(out)) == 0
        assert "argon2" not in out.read_text("utf-8-sig")
        capsys.readouterr()
        done = run.shown(*group, "import", str(out), "--dry-run")
        assert (done["dry_run"], done["added"], done["changed"], done["left"]) == (True, 0, 0, len(done["rows"]))
        assert run(*group, "import", str(out)) == 0
        assert f"0 {group[-1]}s added, 0 changed, " in capsys.readouterr().out
    assert everything(run) == before
    # On another machine, with the same cameras.
    other = tmp_path / "other"
    again = Run(other, capsys)
    assert again("init") == 0
    for id_ in ("cam-1", "cam-2"):
        assert again("camera", "add", id_, "rtsp://192.0.2.1/stream") == 0
    assert again("camera", "remove", "cam-2") == 0
    for group in FILES:
        assert again(*group, "import", str(tmp_path / f"{'-'.join(group)}.csv")) == 0
    second = everything(again)
    assert [second[0], second[1]] == before[:2]
    assert [(user["id"], user["real_name"], user["staff_number"]) for user in second[2]] == [
        (user["id"], user["real_name"], user["staff_number"]) for user in users
    ]
    assert [grant | {"given": None} for grant in second[3]] == [grant | {"given": None} for grant in grants]


@pytest.mark.parametrize(
    ("group", "text", "problems"),
    [
        (
            ("unit",),
            "id,name,valid_to,viewing_camera,approval\na,A,,,\n,B,,,\nc,,,,\nd,D,someday,,\ne,E,,cam-9,\nf,F,,,maybe\nA,twin,,,\ng,G,2026-02-30,,\n",
            {3: "id is empty", 4: "Art. 13", 5: "not a time", 6: "no camera", 7: "yes nor no", 8: "given once", 9: "not a date"},
        ),
        (
            ("unit", "terminal"),
            "unit,address,place,person\nroad,10.0.0.1,a,b\nroad,10.0.0.1,a,b\nnowhere,10.0.0.2,a,b\nroad,10.0.0.3,,b\nroad,10.0.0.0/8,a,b\n",
            {3: "stands in row 2", 4: "no unit", 5: "Art. 14 (3)", 6: "Art. 14 (3)"},
        ),
        (
            ("user",),
            "id,role,unit,real_name,staff_number,trained_on,disabled\na,king,,,,,\nb,unit,,B,1,,\nc,unit,nowhere,C,1,,\nd,investigator,,,1,,\ne,planner,,,,May,\nf,planner,,,,,si\n",
            {2: "role is none", 3: "Art. 13", 4: "no unit", 5: "Art. 14 (7)", 6: "not a date", 7: "yes nor no"},
        ),
        (
            ("grant",),
            "id,unit,cameras,sites,actions,from,to,application,why\n,road,cam-1,,dance,,,,x\n,road,,,view,,,,x\n,nowhere,cam-1,,view,,,,x\n,road,cam-9,,view,,,,x\n"
            ",road,,lake,view,,,,x\n,road,cam-1,,view,2026-11-02,2026-11-01,,x\n,road,cam-1,,view,,,,\n,road,cam-1,,view,,,9,\nx,road,cam-1,,view,,,,x\n9999999999,road,cam-1,,view,,,,x\n",
            {2: "none of view", 3: "Art. 14 (4)", 4: "no unit", 5: "no camera", 6: "no site", 7: "end after", 8: "Art. 13", 9: "application 9", 10: "not a number", 11: "up to"},
        ),
    ],
)  # fmt: skip
def test_every_problem_is_told_with_its_row_and_nothing_is_changed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], group: tuple[str, ...], text: str, problems: dict[int, str]
) -> None:
    assert run("unit", "add", "road", "--name", "Road") == 0
    before = everything(run)
    file = tmp_path / "in.csv"
    file.write_text(text)
    for more in ([], ["--dry-run"]):
        assert run(*group, "import", str(file), *more) == 2
        lines = capsys.readouterr().err.splitlines()
        told = {int(line.split(": row ")[1].split(":")[0]): line for line in lines if ": row " in line}
        assert told.keys() == problems.keys()
        assert not {row: told[row] for row, text in problems.items() if text not in told[row]}
    assert everything(run) == before


def test_an_import_leaves_no_folder_without_an_administrator(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "in.csv"
    file.write_text("id,role,disabled\nadmin,admin,yes\n")
    assert run("user", "import", str(file)) == 4
    assert "last administrator" in capsys.readouterr().err
    file.write_text("id,role,disabled\nadmin,admin,yes\nboss,admin,\n")
    assert run("user", "import", str(file)) == 4, "who comes in by a file has no password yet"
    assert "`user password`" in capsys.readouterr().err
    assert run("user", "add", "boss", "--role", "admin") == 0
    assert run("token", "add", "boss", "--days", "1") == 0
    assert run("user", "import", str(file)) == 0


def test_a_users_password_stays_when_a_file_sets_the_user(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "in.csv"
    file.write_text("id,role,real_name\nadmin,admin,First Officer\n")
    assert run("user", "import", str(file)) == 0
    (admin,) = run.shown("user", "list")
    assert (admin["real_name"], admin["password"], admin["must_change"]) == ("First Officer", True, True)
    file.write_text("id,role,password\nx,planner,secret words 1\n")
    assert run("user", "import", str(file)) == 2
    assert "secret words" not in capsys.readouterr().err


def test_a_grant_that_is_there_is_not_changed_by_a_file(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("unit", "add", "road", "--name", "Road") == 0
    assert run("grant", "add", "road", "--why", "x", "--camera", "cam-1", "--action", "view") == 0
    out = tmp_path / "out.csv"
    assert run("grant", "export", "-o", str(out)) == 0
    file = tmp_path / "in.csv"
    file.write_text(out.read_text("utf-8-sig").replace(",view,", ",view export,"))
    assert run("grant", "import", str(file)) == 2
    assert "row 2: grant 1 says something else here" in capsys.readouterr().err
    assert run("grant", "revoke", "1") == 0
    assert run("grant", "import", str(out)) == 2


ZONE = Retention().zone


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("2026-01-01", "2026-12-31"),
        ("2026-11-22T10:30:00+08:00", "2026-11-22T10:30:00.123456+08:00"),
        ("1970-01-02", "9999-12-30"),
        ("", ""),
    ],
)
def test_the_ends_of_a_term_are_written_as_they_are_read(begin: str, end: str) -> None:
    first = begin_us(begin, ZONE, 0) if begin else 0
    last = end_us(end, ZONE, 0) if end else MAX_US
    assert (begin_text(first, ZONE), end_text(last, ZONE)) == (begin, end)
    assert first < last


@pytest.mark.parametrize("text", ["1969-12-31", "2026-13-01", "9999-99-99", "x", "", "0001-01-01", "2026-1-1"])
def test_what_is_no_day_and_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        begin_us(text, ZONE, 0)
