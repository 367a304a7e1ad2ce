"""The commands `register list` and `register export`, as a person runs them, over the ledger of a real data folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import streamvault
from access.occasion import Outcome
from index.node import open_node
from tests.support.deeds import START_US, step
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.timebase import format_us


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
