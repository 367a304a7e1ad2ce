"""`clip` and `snapshot` on record, as people call them: what they have to say, who they are, and what the ledger knows afterwards."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import streamvault
from access.people.model import Role, Terminal, Unit
from access.people.people import People
from access.people.permits import Permits
from access.people.tokens import Tokens
from access.people.units import Units
from index.node import Node, open_node
from index.outbox import actor_here
from index.visits import LEASE_US, Visits
from tests.support.people import PASSWORD, add_user, give
from tests.support.segments import START_US, video_track
from tests.support.streams import encode_h264
from tests.support.vaults import make_vault
from tests.test_house import ROOT
from vault.clock import ManualClock, SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.grant import Action
from vault.ids import CameraNumber
from vault.ledger.entry import Entry
from vault.ledger.message import entry_messages
from vault.timebase import MAX_US, US, Interval, format_local, format_us

FRAME_US = 40_000
FIELDS = {
    "purpose": "traffic", "why": "collision at the gate", "case": "9901-7", "destination": "traffic police",
    "person": "first officer", "staff-number": "9901",
}  # fmt: skip

Run = Callable[..., int]


@pytest.fixture
def run(data_path: Path) -> Run:
    """Four seconds of one camera, a key frame each second."""
    make_vault(data_path, [video_track(encode_h264(100))], START_US, ["store"])

    def call(*arguments: str) -> int:
        return streamvault.run(["--data", str(data_path), *arguments])

    return call


def at(frame: int) -> str:
    return format_us(START_US + frame * FRAME_US)


def said(*without: str, **other: str) -> list[str]:
    fields = {**FIELDS, **{name.replace("_", "-"): text for name, text in other.items()}}
    return [word for name, text in fields.items() if name not in without for word in (f"--{name}", text)]


def clip(target: Path | str, first: int = 10, last: int = 37) -> list[str]:
    return ["clip", "cam-1", "--from", at(first), "--to", at(last), "-o", str(target)]


def snapshot(target: Path | str) -> list[str]:
    return ["snapshot", "cam-1", "--at", at(30), "-o", str(target)]


@contextmanager
def opened(path: Path) -> Iterator[Node]:
    with open_node(DataFolder.open(path), Config(), SystemClock()) as node:
        yield node


def looks(path: Path) -> list[Entry]:
    with opened(path) as node:
        node.outbox.drain()
        return [entry for entry in node.ledger.entries() if entry.kind == "read"]


def outcomes(path: Path) -> list[str]:
    return [str(entry.body["outcome"]) for entry in looks(path)]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("command", [clip, snapshot])
def test_without_one_of_the_fields_the_answer_is_no_with_its_name_and_article(
    run: Run, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    command: Callable[[Path], list[str]], field: str,
) -> None:  # fmt: skip
    target = tmp_path / "out.mp4" if command is clip else tmp_path / "out.jpg"
    assert run(*command(target), *said(field)) == 4
    err = capsys.readouterr().err
    assert field.replace("-", " ") in err
    assert "(Art. 14 (7))" in err
    assert not target.exists()
    (refused,) = looks(data_path)
    assert (refused.body["outcome"], refused.body["code"], refused.body["article"]) == ("refused", "field", "Art. 14 (7)")


def test_publicity_needs_the_police_s_consent(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "a.mp4"
    assert run(*clip(target), *said(purpose="publicity")) == 4
    assert "Art. 14 (5)" in capsys.readouterr().err
    assert run(*clip(target), *said(purpose="publicity", approval_ref="9901-P")) == 0


def test_a_clip_is_on_record_with_the_hash_of_what_went_out(
    run: Run, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "clip.mp4"
    assert run(*clip(target), *said(), "--json") == 0
    about = json.loads(capsys.readouterr().out)
    asked, done = looks(data_path)
    assert about["look"] == asked.id == done.body["refers"]
    assert asked.actor == actor_here()
    assert [asked.body["start_us"], asked.body["end_us"]] == [START_US + 10 * FRAME_US, START_US + 37 * FRAME_US]
    assert asked.body["authority"] == ["operator"]
    data = target.read_bytes()
    assert (done.body["bytes"], done.body["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert about["sha256"] == done.body["sha256"]
    # The file holds pictures from the key frame on, and the ledger says so.
    assert (done.body["held_start_us"], done.body["held_end_us"]) == (START_US, START_US + 37 * FRAME_US)


def test_a_snapshot_is_on_record_too(run: Run, data_path: Path, tmp_path: Path) -> None:
    target = tmp_path / "still.png"
    assert run(*snapshot(target), *said()) == 0
    asked, done = looks(data_path)
    assert (asked.body["action"], done.body["outcome"]) == ("snapshot", "done")
    assert done.body["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()


def test_footage_that_is_not_there_was_asked_for_all_the_same(run: Run, data_path: Path, tmp_path: Path) -> None:
    assert run(*clip(tmp_path / "no.mp4", 1_000, 1_010), *said()) == 3
    asked, ended = looks(data_path)
    assert (asked.body["outcome"], ended.body["outcome"], ended.body["bytes"]) == ("asked", "aborted", 0)


@pytest.mark.parametrize("name", ["x.avi", "x", "x.mp4.part", "taken.mp4", "folder.mp4"])
def test_a_file_that_cannot_be_written_is_said_before_anything_is_on_record(
    run: Run, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "taken.mp4").write_bytes(b"mine")
    (tmp_path / "folder.mp4").mkdir()
    assert run(*clip(tmp_path / name), *said()) == 2
    wanted = ".mp4" if "taken" not in name and "folder" not in name else name
    assert wanted in capsys.readouterr().err
    assert looks(data_path) == []


@pytest.fixture
def unit(run: Run, data_path: Path) -> None:
    """A unit at the host, with a grant of the camera from the 20th picture on; its user `li`; an investigator `wang`."""
    with opened(data_path) as node:
        people = People(node.registry, node.clock)
        here = Terminal("127.0.0.1", "host", "second officer")
        Units(people).add(Unit("road", "Road office", "A-9901", leader="first officer", terminals=(here,)), "first officer")
        add_user(people)
        add_user(people, "wang", Role.INVESTIGATOR)
        give(people, [CameraNumber(1)], window=Interval(START_US + 20 * FRAME_US, MAX_US))
        node.outbox.drain()


@pytest.mark.usefixtures("unit")
def test_a_unit_s_user_signs_in_and_gets_what_the_grant_says(
    run: Run, data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAMVAULT_PASSWORD", PASSWORD)
    as_li = ["--as", "li", *said("person", "staff-number")]
    assert run(*clip(tmp_path / "no.mp4", 10), *as_li) == 4
    assert "Art. 14 (4)" in capsys.readouterr().err
    target = tmp_path / "clip.mp4"
    # Its pictures hang on a key frame before the window: the clip begins at the next one and says so.
    assert run(*clip(target, 20, 60), *as_li, "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert about["start"] == about["held"]["start"] == at(25)
    assert any("outside what is allowed" in note for note in about["notes"])
    refused, asked, done = looks(data_path)
    assert (refused.body["code"], refused.actor) == ("window", "li")
    assert asked.subject == {"cameras": [1], "unit": "road", "user": "li"}
    # Who it is stands in the registry, and need not be said again.
    assert (asked.body["person"], asked.body["staff_number"]) == ("third officer", "9901")
    assert asked.body["authority"][0] == "grant 1"  # type: ignore[index]
    assert "finding: no camera shows its viewing room" in asked.body["authority"]  # type: ignore[operator]
    assert done.body["held_start_us"] == START_US + 25 * FRAME_US


@pytest.mark.usefixtures("unit")
def test_a_grant_of_a_site_lets_out_what_was_recorded_while_the_camera_stood_there(
    run: Run, data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grant = ("--why", "a test", "--action", "view", "--by", "first officer")
    assert run("site", "add", "gate", "--category", "other") == 0
    assert run("grant", "revoke", "1", "--by", "first officer") == 0
    assert run("grant", "add", "road", "--site", "gate", *grant) == 0
    monkeypatch.setenv("STREAMVAULT_PASSWORD", PASSWORD)
    as_li = ["--as", "li", *said("person", "staff-number"), "--json"]
    target = tmp_path / "clip.mp4"
    assert run(*clip(target, 50, 99), *as_li) == 4
    assert "no grant of camera cam-1" in capsys.readouterr().err
    assert run("camera", "set", "cam-1", "--site", "gate", "--since", at(50)) == 0
    assert run("camera", "show", "cam-1", "--json") == 0
    printed = capsys.readouterr().out
    assert json.loads(printed[printed.index("{") :])["stays"] == [
        {"site": "default", "from": None}, {"site": "gate", "from": at(50)},
    ]  # fmt: skip
    assert run("camera", "show", "cam-1") == 0
    assert f"default, gate since {format_local(START_US + 50 * FRAME_US)}" in capsys.readouterr().out
    for first, last in ((10, 37), (49, 99)):
        assert run(*clip(target, first, last), *as_li) == 4
        assert f"from {format_local(START_US + 50 * FRAME_US)} on, while the camera stood" in capsys.readouterr().err
    assert run(*clip(target, 50, 99), *as_li) == 0
    assert json.loads(capsys.readouterr().out)["held"]["start"] == at(50)
    # What it recorded there stays granted when it stands elsewhere again.
    assert run("camera", "set", "cam-1", "--site", "default") == 0
    assert run(*clip(tmp_path / "again.mp4", 50, 99), *as_li) == 0
    with opened(data_path) as node:
        moves = [entry for entry in node.ledger.entries() if "stays" in str(entry.body.get("changed"))]
        assert [stay["site"] for stay in moves[-1].body["changed"]["stays"][1]] == ["default", "gate", "default"]  # type: ignore[index, call-overload, union-attr]


@pytest.mark.usefixtures("unit")
def test_a_token_opens_only_what_it_is_for(
    run: Run, data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(data_path) as node:
        tokens = Tokens(People(node.registry, node.clock))
        ends_us = node.clock.now_us() + 60 * US
        viewing, text = tokens.add("wang", [Action.VIEW], ends_us, "wang")
        _, exporting = tokens.add("wang", [Action.EXPORT], ends_us, "wang")
    call = [*clip(tmp_path / "a.mp4"), "--as", "wang", *said()]
    monkeypatch.setenv("STREAMVAULT_TOKEN", exporting)
    assert run(*call) == 4
    monkeypatch.setenv("STREAMVAULT_TOKEN", text)
    assert run(*call) == 0
    refused, asked, _ = looks(data_path)
    assert refused.body["code"] == "token-scope"
    assert (asked.body["token"], asked.body["authority"]) == (viewing.id, ["role investigator"])
    assert text not in capsys.readouterr().err


@pytest.mark.usefixtures("unit")
def test_a_wrong_password_is_on_record_as_tried_by_whoever_is_at_the_host(
    run: Run, data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMVAULT_PASSWORD", "wrong horse 41")
    assert run(*clip(tmp_path / "a.mp4"), "--as", "wang", *said()) == 4
    (refused,) = looks(data_path)
    assert (refused.actor, refused.body["code"], refused.body["as"]) == (actor_here(), "credentials", "wang")
    assert "wrong horse" not in refused.line.decode()


@pytest.mark.usefixtures("unit")
def test_a_password_typed_in_the_place_of_a_name_is_kept_nowhere(
    run: Run, data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    typed = "correct-horse-41"
    monkeypatch.setenv("STREAMVAULT_PASSWORD", "wrong horse 41")
    span = ["--from", at(10), "--to", at(37)]
    assert run("export", "create", "cam-1", *span, "-o", str(tmp_path / "out"), "--as", typed, *said()) == 4
    assert run(*clip(tmp_path / "a.mp4"), "--as", typed, *said()) == 4
    assert run(*snapshot(tmp_path / "a.jpg"), "--as", typed, *said()) == 4
    assert run("register", "list", "--as", typed) == 4
    with opened(data_path) as node:
        tried = [entry for entry in node.ledger.entries() if entry.body.get("outcome") == "refused"]
        sent = [str(message) for entry in node.ledger.entries() for message in entry_messages(entry, 8_192)]
    assert [entry.body["as_unknown_chars"] for entry in tried] == [len(typed)] * 4
    assert run("register", "list", "--json") == 0
    assert run("register", "export", "-o", str(tmp_path / "register.csv")) == 0
    told = [*capfd.readouterr(), caplog.text, *sent, *(str(vars(record)) for record in caplog.records)]
    assert not any(typed in text for text in told)
    files = [tmp_path / "register.csv", *(path for path in data_path.rglob("*") if path.is_file())]
    assert [path for path in files if typed.encode() in path.read_bytes()] == []


def test_where_nobody_can_be_asked_for_a_password_it_is_said_where_to_put_it(
    run: Run, data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(*clip(tmp_path / "a.mp4"), "--as", "li", *said()) == 2
    assert "STREAMVAULT_PASSWORD" in capsys.readouterr().err
    assert looks(data_path) == []


def big_vault(path: Path) -> None:
    """With a clip that no pipe takes at once."""
    make_vault(path, [video_track(encode_h264(50, size=(640, 480)))], START_US, ["store"] * 12)


@contextmanager
def slow_reader(path: Path, *more: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A clip to a pipe that nobody reads, waiting with some of its bytes gone."""
    call = [sys.executable, str(ROOT / "streamvault.py"), "--data", str(path), *clip("-", 0, 600), *more]
    env = {**os.environ, **(environment or {})}
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=ROOT) as process:
        assert process.stdout is not None
        # The pipe is full once its first bytes can be read, or will be.
        process.stdout.read(1)
        try:
            yield process
        finally:
            process.kill()


def test_a_clip_whose_process_is_killed_is_closed_by_the_next_look(data_path: Path, tmp_path: Path) -> None:
    big_vault(data_path)
    with slow_reader(data_path, *said()) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert outcomes(data_path) == ["asked"]
    later = ManualClock(SystemClock().now_us(), SystemClock().mono_us() + LEASE_US)
    with open_node(DataFolder.open(data_path), Config(), later) as node:
        assert Visits(node.environment, later).close_left() == 1
    assert outcomes(data_path) == ["asked", "aborted"]


def test_a_clip_whose_reader_goes_away_is_on_record_with_what_it_took(data_path: Path) -> None:
    big_vault(data_path)
    with slow_reader(data_path, *said()) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait() == 128 + signal.SIGPIPE
    asked, ended = looks(data_path)
    assert (asked.body["outcome"], ended.body["outcome"]) == ("asked", "aborted")
    assert 0 < int(str(ended.body["bytes"])) <= 2 * 64 * 1024


def test_a_clip_under_way_stops_when_its_grant_is_revoked(data_path: Path) -> None:
    big_vault(data_path)
    with opened(data_path) as node:
        people = People(node.registry, node.clock)
        here = Terminal("127.0.0.1", "host", "second officer")
        Units(people).add(Unit("road", "Road office", "A-9901", leader="first officer", terminals=(here,)), "first officer")
        add_user(people)
        give(people, [CameraNumber(1)])
    environment = {"STREAMVAULT_PASSWORD": PASSWORD}
    with slow_reader(data_path, "--as", "li", *said(), environment=environment) as process:
        with opened(data_path) as node:
            Permits(People(node.registry, node.clock)).revoke(1, "first officer")
        _, err = process.communicate()
    assert process.returncode == 4
    assert b"no grant of camera" in err
    ended = looks(data_path)[-1]
    assert (ended.body["outcome"], ended.body["code"]) == ("aborted", "camera")


def test_no_look_takes_the_place_of_what_is_in_the_data_folder(run: Run, data_path: Path) -> None:
    (segment,) = (data_path / "store" / "segments").rglob("*.mp4")
    before = segment.read_bytes()
    assert run(*clip(segment), *said(), "--force") == 2
    assert run(*snapshot(segment.with_suffix(".jpg")), *said()) == 2
    assert segment.read_bytes() == before
    assert [path.suffix for path in segment.parent.iterdir()] == [".mp4"]


@pytest.mark.parametrize("words", [["clip", "cam-1"], ["snapshot", "cam-1"], ["export", "list"], ["register", "list"]])
def test_as_nobody_is_not_as_the_operator(run: Run, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words, "--as", "") == 2
    assert "names nobody" in capsys.readouterr().err


def test_a_field_that_nobody_can_see_is_refused_by_its_article(run: Run, tmp_path: Path, data_path: Path) -> None:
    assert run(*clip(tmp_path / "a.mp4"), *said(person="\u200b\u2060", why="\u202e")) == 4
    with opened(data_path) as node:
        refused = list(node.ledger.entries())[-1]
    assert refused.body["article"] == "Art. 14 (7)"
    assert "without why, person" in str(refused.body["reason"])
