"""The commands about people, as they are typed: what they print, what they refuse and why, and that nothing hostile comes through."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import streamvault
from access.people.attempts import Attempts
from access.people.console import open_desk
from access.people.login import sign_in
from tests.support.commands import Run
from tests.test_house import ROOT
from vault.console import Session
from vault.errors import StoreError
from vault.grant import Refusal

UNIT = (
    "unit", "add", "road", "--name", "Road office", "--agreement", "A-1", "--valid-from", "2026-01-01", "--valid-to", "2027-12-31",
    "--scope", "traffic", "--rules-ref", "R-1", "--leader", "first officer", "--by", "first officer",
)  # fmt: skip
USER = (
    "user", "add", "li", "--role", "unit", "--unit", "road", "--real-name", "Third Officer", "--staff-number", "9901",
    "--trained-on", "2026-05-01",
)  # fmt: skip


@pytest.fixture
def run(run: Run, capsys: pytest.CaptureFixture[str]) -> Run:
    assert run("camera", "add", "cam-1", "rtsp://192.0.2.1/stream") == 0
    capsys.readouterr()
    return run


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def code_of(data_path: Path, user: str, password: str) -> str:
    """What signing in says: a refusal's code, or `in`."""
    with open_desk(Session(data_path)) as desk:
        try:
            sign_in(desk.people, Attempts(desk.node.environment, desk.node.clock), desk.node.clock, user, password=password)
        except Refusal as refusal:
            return refusal.code
    return "in"


def test_init_makes_an_administrator_whose_password_is_shown_once_and_must_be_changed(
    data_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(data_path, capsys)
    assert run("init") == 0
    found = re.search(r"user admin, password (\S+) \(shown once", capsys.readouterr().out)
    assert found is not None
    assert code_of(data_path, "admin", found[1]) == "must_change"
    typed(monkeypatch, found[1], "my own good words 1")
    assert run("user", "password", "admin", "--own", "--password-stdin") == 0
    assert code_of(data_path, "admin", "my own good words 1") == "in"
    (admin,) = run.shown("user", "list")
    assert (admin["id"], admin["role"], admin["must_change"], admin["disabled"]) == ("admin", "admin", False, False)
    for verb in ("remove", "set"):
        assert run("user", verb, "admin", *(["--disable"] if verb == "set" else [])) == 4
    for path in data_path.rglob("*"):
        if path.is_file():
            assert found[1].encode() not in path.read_bytes()
    assert run("init") == 2


def test_an_init_whose_password_nobody_could_read_is_no_init_and_may_be_repeated(
    data_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(text: str, err: bool = False) -> None:
        if not err:
            raise StoreError("standard output cannot be written")

    with monkeypatch.context() as patch:
        patch.setattr("access.begin_cli.click.echo", full)
        assert streamvault.run(["--data", str(data_path), "init"]) == 7
    assert not (data_path / "VERSION").exists()
    assert streamvault.run(["--data", str(data_path), "init"]) == 0
    found = re.search(r"password (\S+)", capsys.readouterr().out)
    assert found is not None
    assert code_of(data_path, "admin", found[1]) == "must_change"


def test_an_init_that_is_killed_once_the_password_is_out_has_made_a_folder_or_may_be_repeated(
    data_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "streamvault", "--data", str(data_path), "init"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"password (\S+)", process.stdout.readline())
        process.kill()
    assert found is not None
    if not (data_path / "VERSION").exists():
        assert streamvault.run(["--data", str(data_path), "init"]) == 0
        found = re.search(r"password (\S+)", capsys.readouterr().out)
        assert found is not None
    assert code_of(data_path, "admin", found[1]) == "must_change"


def test_the_way_from_a_unit_to_its_grant(
    run: Run, data_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*UNIT) == 0
    assert (
        "it lacks a camera that shows its viewing room (Art. 14 (2)), declared terminals (Art. 14 (3))"
        in capsys.readouterr().out
    )
    assert run("unit", "terminal", "add", "road", "10.99.1.7", "--place", "room 2", "--person", "second officer") == 0
    assert run("unit", "set", "road", "--viewing-camera", "cam-1", "--approval") == 0
    unit = run.shown("unit", "show", "road")
    assert (unit["valid_from"], unit["valid_to"], unit["viewing_camera"], unit["approval"]) == (
        "2025-12-31T16:00:00.000000Z",
        "2027-12-31T16:00:00.000000Z",
        "cam-1",
        True,
    )
    # To people the days are what was typed: the last one belongs to it.
    assert run("unit", "show", "road") == 0
    shown = capsys.readouterr().out
    assert "2026-01-01\n" in shown
    assert "2027-12-31\n" in shown
    assert unit["lacks"] == []
    with open_desk(Session(data_path)) as desk:
        # The whole last day of the agreement belongs to it, in the zone of the configuration.
        assert desk.people.unit("road").valid_to_us == 1_830_268_800_000_000
    assert run(*USER, "--random") == 0
    password = re.search(r"password: (\S+)", capsys.readouterr().out)
    assert password is not None
    assert code_of(data_path, "li", password[1]) == "must_change"
    typed(monkeypatch, "another good one 3")
    assert run("user", "password", "li", "--password-stdin") == 0
    typed(monkeypatch, "another good one 3", "another good one 4")
    assert run("user", "password", "li", "--own", "--password-stdin") == 0
    assert code_of(data_path, "li", "another good one 4") == "in"
    asked = ("application", "add", "road", "--work", "traffic", "--camera", "cam-1", "--action", "view", "--from", "2026-11-01")
    assert run(*asked, "--to", "2026-11-30", "--by", "li") == 0
    assert run("application", "grant", "1", "--by", "li") == 4
    assert "another person decides (--by) (Art. 13)" in capsys.readouterr().err
    assert run("application", "grant", "1", "--from", "2026-10-31", "--by", "admin") == 4
    assert run("application", "grant", "1", "--from", "2026-12-01", "--by", "admin") == 2
    assert run("application", "grant", "1", "--from", "2026-11-15", "--valid-to", "2027-06-30", "--by", "admin") == 0
    (grant,) = run.shown("grant", "list")
    assert grant["window"] == {"from": "2026-11-14T16:00:00.000000Z", "to": "2026-11-30T16:00:00.000000Z"}
    assert (grant["cameras"], grant["actions"], grant["application"]) == (["cam-1"], ["view"], 1)
    assert grant["valid"]["to"] == "2027-06-30T16:00:00.000000Z"
    (application,) = run.shown("application", "list", "--all")
    assert (application["granted"], application["grant"], application["decided"]["by"]) == (True, 1, "admin")
    assert run(*asked, "--by", "li") == 0
    assert run("application", "refuse", "2", "--reason", "not needed", "--by", "admin") == 0
    assert run.shown("application", "list") == []
    assert run("grant", "revoke", "1", "--by", "admin") == 0
    assert run("grant", "revoke", "1", "--by", "admin") == 4
    assert re.search(r"was revoked at \d{4}-\d\d-\d\d [\d:.]+[+-]\d\d:\d\d by admin", capsys.readouterr().err)
    assert run.shown("grant", "list") == []
    assert run("grant", "add", "road", "--why", "urgent", "--site", "default", "--action", "view", "--action", "export") == 0
    assert run.shown("unit", "show", "road")["grants"] == [2]
    for what in ("unit", "user", "application", "grant", "token"):
        assert run(what, "list") == 0
    for what, name in (("unit", "road"), ("user", "li"), ("application", "1"), ("grant", "2")):
        assert run(what, "show", name) == 0
    assert "first officer" in capsys.readouterr().out
    actors = {entry["actor"] for entry in run.shown("ledger", "show", "--kind", "registry")}
    assert {"first officer", "li", "admin", f"operator@{os.uname().nodename}"} <= actors


def test_a_token_is_printed_once_and_ends_when_it_is_revoked(
    run: Run, data_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*UNIT) == 0
    assert run(*USER) == 0
    capsys.readouterr()
    assert run("token", "add", "li", "--action", "view", "--days", "7") == 0
    text = capsys.readouterr().out.strip()
    (token,) = run.shown("token", "list")
    assert (token["user"], token["actions"], token["state"]) == ("li", ["view"], "in force")
    with open_desk(Session(data_path)) as desk:
        attempts = Attempts(desk.node.environment, desk.node.clock)
        assert sign_in(desk.people, attempts, desk.node.clock, token=text).actor == "li"
    assert run.shown("user", "show", "li")["tokens"] == [token["id"]]
    assert run("token", "show", token["id"]) == 0
    assert run("token", "revoke", token["id"], "--by", "admin") == 0
    assert run.shown("token", "list") == []
    with open_desk(Session(data_path)) as desk, pytest.raises(Refusal):
        sign_in(desk.people, Attempts(desk.node.environment, desk.node.clock), desk.node.clock, token=text)
    assert run("token", "add", "li", "--days", "500") == 2
    assert run("ledger", "show") == 0
    assert text.rpartition("-")[2] not in capsys.readouterr().out


REFUSED = [
    (("unit", "add", "x"), 4, "Art. 13"),
    (("unit", "add", "../x", "--name", "X"), 2, "not usable"),
    (("unit", "set", "road"), 2, "what should change"),
    (("unit", "set", "road", "--valid-to", "2025-01-01"), 2, "before it begins"),
    (("unit", "set", "road", "--valid-to", "2026-02-30"), 2, "not a date"),
    (("unit", "set", "road", "--viewing-camera", "cam-9"), 3, "no camera"),
    (("unit", "show", "nowhere"), 3, "no unit"),
    (("unit", "remove", "road"), 4, "users li"),
    (("unit", "terminal", "add", "road", "10.0.0.0/8", "--place", "x", "--person", "y"), 4, "Art. 14 (3)"),
    (("unit", "terminal", "add", "road", "10.0.0.1", "--place", "", "--person", "y"), 4, "Art. 14 (3)"),
    (("user", "add", "x", "--role", "investigator"), 4, "Art. 14 (7)"),
    (("user", "add", "LI", "--role", "planner"), 2, "given once"),
    (("user", "add", "x", "--role", "king"), 2, "king"),
    (("user", "set", "li", "--unit", ""), 4, "Art. 13"),
    (("user", "password", "nobody", "--random"), 3, "no user"),
    (("user", "password", "li", "--own", "--random"), 2, "leave one out"),
    (("application", "add", "road", "--work", " ", "--camera", "cam-1", "--action", "view"), 4, "Art. 13"),
    (("application", "add", "road", "--work", "x", "--action", "view"), 4, "Art. 14 (4)"),
    (("application", "add", "road", "--work", "x", "--camera", "cam-1", "--action", "view", "--from", "2026-11-02", "--to", "2026-11-01"), 2, "end after"),
    (("application", "grant", "9"), 3, "no application"),
    (("grant", "add", "road", "--why", "", "--camera", "cam-1", "--action", "view"), 4, "Art. 13"),
    (("grant", "show", "99999999999"), 2, "range"),
    (("grant", "revoke", "abc"), 2, "'abc' is not a grant's number"),
    (("application", "show", "²"), 2, "'²' is not an application's number"),
    (("token", "add", "nobody"), 3, "no user"),
]  # fmt: skip


def test_what_the_rule_or_reason_forbids_is_refused_by_name(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*UNIT) == 0
    assert run(*USER) == 0
    for arguments, code, says in REFUSED:
        capsys.readouterr()
        assert (arguments, run(*arguments)) == (arguments, code)
        assert says in capsys.readouterr().err


def test_what_is_not_there_says_where_to_look_and_where_nobody_can_be_asked_how_else(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("user", "unit"):
        assert run(kind, "show", "nosuch") == 3
        assert f"there is no {kind} 'nosuch'; `{kind} list` shows those there are" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run("user", "password", "admin", "--own") == 2
    assert "--password-stdin" in capsys.readouterr().err


def test_hostile_words_come_out_inert(run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    nasty = "=cmd|' /C calc'!A0\r\n\x1b[2J\u202e<script>\"x\"</script>../../e\ud800\x00"
    assert run("unit", "add", "bad", "--name", nasty, "--scope", nasty, "--by", nasty) == 0
    assert run("unit", "list") == 0
    assert run("unit", "show", "bad") == 0
    text = capsys.readouterr().out
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e\ud800]", text)
    assert run.shown("unit", "show", "bad")["name"] == "=cmd|' /C calc'!A0 [2J<script>\"x\"</script>../../e"
    assert run("unit", "export", "-o", str(tmp_path / "out.csv")) == 0
    assert (tmp_path / "out.csv").read_text().count("\"'=cmd") == 2
    (entry,) = [found for found in run.shown("ledger", "show") if found["subject"].get("unit") == "bad"]
    assert entry["actor"].isprintable()


def test_passwords_are_never_in_a_message(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for lines in (("short",), ("x" * 900,), ("a\u0007bcdefghijk",)):
        typed(monkeypatch, *lines)
        assert run("user", "password", "admin", "--password-stdin") == 2
        assert lines[0] not in capsys.readouterr().err
    typed(monkeypatch)
    assert run("user", "password", "admin", "--password-stdin") == 2
    typed(monkeypatch, "not the present one", "a good new one 5")
    assert run("user", "password", "admin", "--own", "--password-stdin") == 4
    out = capsys.readouterr()
    assert "good new" not in out.err + out.out
