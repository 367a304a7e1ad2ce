"""The registry as CSV files: what comes out comes in again as it was, inert for spreadsheets, and all or nothing."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import streamvault
from index.csv_table import read_rows, write_rows
from tests.support.commands import Run
from vault.secrets import BLANK

CODE = "99010300001320000001"
SITES = "id,category,days,name,unit,phone,design_on\ngate,public-area,120,北门,惠阳区公安分局,+86 752 000,2026-05-01\nyard,other,,@yard,,,\n"


@pytest.mark.parametrize(
    "cell", ["", "=1+1", "+86", "-1", "@x", "'=1", "''+", "'quoted'", 'a"b,c', "多\u3000行", "\uff1dSUM(A1)", "o'clock"]
)
def test_a_cell_comes_out_inert_and_in_again_as_it_was(cell: str) -> None:
    data = write_rows(("id", "x"), [("a", cell)])
    (_, raw) = next(csv.reader(io.StringIO(data.decode("utf-8-sig").splitlines()[1])))
    assert not raw or raw[0] not in "=+-@\uff1d\uff0b\uff0d\uff20"
    lines, problems = read_rows(data, ("id", "x"), ("id",), lambda row, values: values["x"], 10, "thing")
    assert (lines, problems) == ([cell], [])


def test_the_byte_order_mark_of_gb_18030_is_none_of_the_first_column() -> None:
    data = "\ufeffid\n甲\n".encode("gb18030")
    assert read_rows(data, ("id",), ("id",), lambda row, values: values["id"], 10, "thing") == (["甲"], [])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_sites_are_imported_in_the_encodings_of_spreadsheets_and_come_out_again(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str
) -> None:
    file, out = tmp_path / "sites.csv", tmp_path / "out.csv"
    file.write_bytes(SITES.encode(encoding))
    assert run("site", "import", str(file), "--dry-run") == 0
    assert "2 sites would be added, 0 would be changed, 0 left as they are" in capsys.readouterr().out
    assert len(run.shown("site", "list")) == 1
    assert run("site", "import", str(file)) == 0
    before = run.shown("site", "list")
    gate = before[1]
    assert (gate["id"], gate["class"], gate["days"], gate["name"], gate["phone"]) == ("gate", "key", 120, "北门", "+86 752 000")
    assert run("site", "export", "-o", str(out)) == 0
    text = out.read_bytes().decode("utf-8-sig")
    assert "'+86 752 000" in text
    assert "'@yard" in text
    assert run("site", "set", "gate", "--name", "x", "--category", "finance") == 0
    assert run("site", "import", str(out)) == 0
    assert "0 sites added, 1 changed, 2 left as they are" in capsys.readouterr().out
    assert run.shown("site", "list") == before


def test_one_wrong_row_leaves_everything_as_it_was(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sites.csv"
    file.write_text(
        "id,category,days,design_on\na,finance,30,\nb,bank,,\nc,other,x,\nd,other,,1.5.2026\n,other,,\nf,other,,\nf,other,,\n"
    )
    assert run("site", "import", str(file)) == 2
    error = capsys.readouterr().err
    for row, why in ((2, "Art. 8 (4)"), (3, "not known"), (4, "whole number"), (5, "not a date"), (6, "empty"), (8, "row 7")):
        assert any(f"row {row}:" in line and why in line for line in error.splitlines()), (row, error)
    assert len(run.shown("site", "list")) == 1


def test_cameras_come_out_with_secrets_only_on_demand_and_the_ledger_says_so(
    run: Run, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, secret = tmp_path / "plain.csv", tmp_path / "secret.csv"
    assert run("site", "add", "gate", "--category", "public-area") == 0
    assert run(
        "camera", "add", "cam-1", "rtsp://u:p=w@192.0.2.1/s?token=abc", "--site", "gate", "--gb-code", CODE, "--interconnect", "gb28181",
        "--days", "100", "--name", "=cmd()",
    ) == 0  # fmt: skip
    assert run("camera", "add", "cam-2", "rtsp://192.0.2.2/s", "--approval-ref", "2026-7") == 0
    assert run("camera", "set", "cam-2", "--no-record") == 0
    assert run("camera", "export", "-o", str(plain)) == 0
    assert run("camera", "export", "-o", str(secret), "--with-secrets", "--by", "李警官") == 0
    assert run("camera", "export", "-o", str(secret), "--with-secrets") == 2
    assert b"p=w" not in plain.read_bytes()
    assert b"token=abc" not in plain.read_bytes()
    assert BLANK.encode() in plain.read_bytes()
    assert b"'=cmd()" in secret.read_bytes()
    told = [item for item in run.shown("ledger", "show") if item["kind"] == "read"]
    # The second one wrote nothing, and is on record all the same: what is noted first cannot be missing later.
    assert [item["actor"] == "李警官" for item in told] == [True, False]
    before = run.shown("camera", "list")
    again = tmp_path / "again"
    for call in (
        ["init"], ["site", "add", "gate", "--category", "public-area"], ["camera", "import", str(secret)],
        ["camera", "export", "-o", str(tmp_path / "secret2.csv"), "--with-secrets"],
    ):  # fmt: skip
        assert streamvault.run(["--data", str(again), *call]) == 0
    assert (tmp_path / "secret2.csv").read_bytes() == secret.read_bytes()
    capsys.readouterr()
    assert streamvault.run(["--data", str(again), "camera", "list", "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert [item | {"added": ""} for item in after] == [item | {"added": ""} for item in before]


def test_a_file_of_cameras_is_checked_against_sites_and_codes(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("site", "add", "gate", "--category", "finance") == 0
    file = tmp_path / "cameras.csv"
    file.write_text(
        "id,url,site,gb_code,days,interconnect,record\n"
        f"a,rtsp://192.0.2.1/,gate,{CODE},,,\nb,rtsp://192.0.2.1/,gate,{CODE},,,\nc,rtsp://192.0.2.1/,gate,4.41303E+19,,,\n"
        "d,rtsp://192.0.2.1/,gate,,89,,\ne,rtsp://192.0.2.1/,,,,onvif,\nf,rtsp://192.0.2.1/,,,,,maybe\n"
    )
    assert run("camera", "import", str(file)) == 2
    error = capsys.readouterr().err
    for row, why in ((3, "GB code"), (4, "column as text"), (5, "Art. 8 (4)"), (6, "interconnect"), (7, "record")):
        assert any(f"row {row}:" in line and why in line for line in error.splitlines()), (row, error)
    assert run.shown("camera", "list") == []
