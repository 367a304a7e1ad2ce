"""Exports that are decided on or taken up again after something has changed: the grant, the target, what stands beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from access.export.engine import Exports
from access.export.job import Job, Step
from access.export.run import Run
from access.export.tidying import tidy
from access.package.container import Form
from access.people.model import Act, Principal, Token
from access.register import Wanted, rows
from index.looks import LOST_HANDING, LOST_WAITING, check_looks
from index.register import Register
from index.renew import renew
from index.visits import LEASE_US
from tests.access.export.test_engine import verify
from tests.support.export_main import run_apart
from tests.support.exporting import OPERATOR, SAID, exporting, outcomes, told, unit_people, wish
from tests.support.segments import START_US, Track, video_track
from tests.support.streams import encode_h264
from tests.support.vaults import make_vault
from vault.clock import ManualClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import UsageError
from vault.grant import EVER, Action, Refusal
from vault.timebase import US, Interval

SPAN = Interval(START_US + US, START_US + 3 * US)


class Killed(BaseException):
    """In the place of a kill."""


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("access.export.run.PICTURES", 0)


@pytest.fixture(scope="module")
def track() -> Track:
    return video_track(encode_h264(frames=100, gop=25, size=(160, 96)))


@pytest.fixture
def data(tmp_path: Path, track: Track) -> Path:
    make_vault(tmp_path / "data", [track], START_US, ["store", "store"], gap_us=US)
    return tmp_path / "data"


@pytest.mark.parametrize("step", ["_seal", "_hand_over"])
def test_a_grant_revoked_while_no_process_worked_lets_nothing_out(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    people, who = unit_people()
    with exporting(data, people=people) as (node, exports):
        job = exports.ask(who, wish(tmp_path / "out", SPAN), SAID)
        with monkeypatch.context() as patched:
            patched.setattr(Run, step, _killed)
            with pytest.raises(Killed):
                exports.run(job.id, who)
        people.grants = [replace(people.grants[0], revoked=Act("admin", 1))]
        node.cameras.set("cam-1", name="so that the registry has changed")
        with pytest.raises(Refusal, match="no grant"):
            exports.run(job.id, who)
        assert exports.get(job.id).step is Step.ABORTED
        assert outcomes(node) == ["asked", "done", "aborted"]
    assert not (tmp_path / "out").exists()
    assert not list((data / "exports").iterdir())


def test_what_was_taken_under_a_wider_grant_is_not_handed_out_under_a_narrower_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people, who = unit_people()
    with exporting(data, people=people) as (node, exports):
        job = exports.ask(who, wish(tmp_path / "out", Interval(START_US, START_US + 7 * US), original=True), SAID)
        with monkeypatch.context() as patched:
            patched.setattr("access.package.builder.PackageBuilder.close_payload", _killed)
            with pytest.raises(Killed):
                exports.run(job.id, who)
        people.grants = [replace(people.grants[0], window=Interval(START_US, START_US + 7 * US))]
        node.cameras.set("cam-1", name="so that the registry has changed")
        _, made = exports.run(job.id, who)
    assert len(list((made.path / "data" / "media").rglob("*.mp4"))) == 1


@pytest.mark.parametrize("form", [Form.FOLDER, Form.TAR])
def test_what_came_to_stand_at_the_target_meanwhile_stays(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    target = tmp_path / "out"
    with exporting(data) as (node, exports):
        job = exports.ask(OPERATOR, wish(target, SPAN, form=form), SAID)
        target.mkdir()
        (target / "minutes.txt").write_text("of another matter")
        for _ in range(2):
            with pytest.raises(UsageError, match="there already"):
                exports.run(job.id, OPERATOR)
        assert (target / "minutes.txt").read_text() == "of another matter"
        assert exports.abort(job.id, OPERATOR).step is Step.ABORTED
        assert outcomes(node) == ["asked", "done", "aborted"]


def test_what_stands_beside_the_target_under_a_name_like_ours_stays(data: Path, tmp_path: Path) -> None:
    beside = tmp_path / "out.part"
    beside.mkdir()
    (beside / "minutes.txt").write_text("of another matter")
    with exporting(data) as (_, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", SPAN), SAID)
        exports.run(job.id, OPERATOR)
    assert (beside / "minutes.txt").read_text() == "of another matter"


@pytest.mark.parametrize("where", ["exports/out", "spool/out", "store/out", "out"])
def test_the_data_folder_is_no_place_to_hand_a_package_out_to(data: Path, where: str) -> None:
    with exporting(data) as (_, exports):
        (data / where).parent.mkdir(exist_ok=True)
        with pytest.raises(UsageError, match="data folder"):
            exports.ask(OPERATOR, wish(data / where, SPAN), SAID)


def test_a_token_for_looking_does_not_decide_on_an_export(data: Path, tmp_path: Path) -> None:
    people, who = unit_people(approval=True)
    second = people.users["officer-2"]
    looking = Token("9901", second.id, "", frozenset({Action.VIEW}), Act("admin", 0), EVER.end_us)
    with exporting(data, people=people) as (_, exports), pytest.MonkeyPatch.context() as patched:
        patched.setattr(people, "token", lambda id_: looking)
        job = exports.ask(who, wish(tmp_path / "out", SPAN), SAID)
        with pytest.raises(Refusal, match="not for exports"):
            exports.approve(job.id, Principal(second.id, second, who.unit, token=looking))
        assert exports.get(job.id).step is Step.WAITING


def test_who_takes_up_what_is_anothers_is_on_record_as_a_deed_of_its_own(data: Path, tmp_path: Path) -> None:
    people, who = unit_people(approval=True)
    second = people.users["officer-2"]
    with exporting(data, people=people) as (node, exports):
        job = exports.ask(who, wish(tmp_path / "out", SPAN), SAID)
        for one in (who, Principal(second.id, second, who.unit)):
            with pytest.raises(Refusal):
                exports.run(job.id, one)
        tried = [entry for entry in told(node) if entry.body["outcome"] == "refused"]
        assert [(entry.actor, entry.body["code"]) for entry in tried] == [(who.actor, "second-person"), (second.id, "asker")]
        assert not any("export" in entry.subject for entry in tried)


@pytest.mark.parametrize("change", [{"approval": True}, {"id": "other"}])
def test_a_unit_that_is_another_or_wants_a_second_person_by_now_is_asked_anew(
    data: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    people, who = unit_people()
    with exporting(data, people=people) as (node, exports):
        job = exports.ask(who, wish(tmp_path / "out", SPAN), SAID)
        assert who.unit is not None
        unit = replace(who.unit, **change)
        user = replace(people.users[who.actor], unit=unit.id)
        people.units[unit.id], people.users[user.id] = unit, user
        people.grants.append(replace(people.grants[0], number=2, unit=unit.id))
        node.cameras.set("cam-1", name="so that the registry has changed")
        with pytest.raises(Refusal, match="ask anew"):
            exports.run(job.id, Principal(who.actor, user, unit))
        assert outcomes(node) == ["refused"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("at", "name", "ends"),
    [
        ("access.package.builder:PackageBuilder.close_payload", "*.mp4", ["asked", "aborted", "asked", "done"]),
        ("access.export.run:deliver", "*.mp4", ["asked", "done", "aborted", "asked", "done"]),
        ("access.export.run:deliver", "custody.json", ["asked", "done", "aborted", "asked", "done"]),
    ],
)
def test_a_byte_that_flips_between_a_kill_and_the_next_run_is_found_and_the_file_made_anew(
    data: Path, tmp_path: Path, at: str, name: str, ends: list[str]
) -> None:
    told_it: dict[str, Any] = {
        "data": str(data), "target": str(tmp_path / "out"), "start_us": SPAN.start_us, "end_us": SPAN.end_us, "mono_us": 0,
        "now_us": START_US + 3_600 * US, "kill": {"at": at, "when": "before"},
    }  # fmt: skip
    assert run_apart(told_it).returncode == -9
    (kept,) = (data / "exports").rglob(name)
    right = kept.read_bytes()
    with kept.open("r+b") as file:
        file.seek(len(right) // 2)
        file.write(bytes([right[len(right) // 2] ^ 1]))
    said: list[str] = []
    with exporting(data, ManualClock(START_US + 3_600 * US, 2 * LEASE_US)) as (node, exports):
        (job,) = exports.unfinished(OPERATOR)
        _, made = exports.run(job.id, OPERATOR, said=said.append)
        assert outcomes(node) == ends
    assert verify(made.path).returncode == 0
    (handed,) = made.path.rglob(name)
    assert (handed.read_bytes() == right) == name.endswith("mp4")
    assert {text for text in said if "made anew" in text} == {
        f"{handed.relative_to(made.path)} is no longer what was written; it is made anew"
    }


def killed_before_the_custody(exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """An export that has its media, and no more."""
    job = exports.ask(OPERATOR, wish(tmp_path / "out", SPAN), SAID)
    with monkeypatch.context() as patched:
        patched.setattr("access.package.builder.PackageBuilder.close_payload", _killed)
        with pytest.raises(Killed):
            exports.run(job.id, OPERATOR)
    return job


def test_what_is_still_as_it_was_written_is_not_taken_twice(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with exporting(data) as (_, exports):
        job = killed_before_the_custody(exports, tmp_path, monkeypatch)
        (kept,) = (data / "exports").rglob("*.mp4")
        before = kept.stat().st_ino
        _, made = exports.run(job.id, OPERATOR)
    assert [path.stat().st_ino for path in made.path.rglob("*.mp4")] == [before]


def test_what_a_disk_changed_in_the_notes_of_a_piece_does_not_come_into_the_custody(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with exporting(data) as (_, exports):
        job = killed_before_the_custody(exports, tmp_path, monkeypatch)
        (notes,) = (data / "exports").rglob("pieces.jsonl")
        text = notes.read_bytes()
        key = b"c0000000001/2026-"
        assert key in text
        notes.write_bytes(text.replace(key, b"c0000000001/2027-"))
        _, made = exports.run(job.id, OPERATOR)
    assert b"/2027-" not in (made.path / "data" / "custody.json").read_bytes()


def test_exports_that_were_lost_with_the_index_end_in_the_register(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people, who = unit_people(approval=True)
    with exporting(data, people=people) as (node, exports):
        waiting = exports.ask(who, wish(tmp_path / "waiting", SPAN), SAID)
        sealed = exports.ask(OPERATOR, wish(tmp_path / "out", SPAN), SAID)
        with monkeypatch.context() as patched:
            patched.setattr(Run, "_hand_over", _killed)
            with pytest.raises(Killed):
                exports.run(sealed.id, OPERATOR)
        size = exports.get(sealed.id).size_bytes
        whole = exports.ask(OPERATOR, wish(tmp_path / "whole", SPAN), SAID)
        exports.run(whole.id, OPERATOR)
    renew(DataFolder.open(data), Config(), ManualClock(START_US + 3_600 * US), lambda step, seen: None)
    with exporting(data) as (node, exports):
        node.outbox.drain()
        assert exports.all() == []
        register = Register(node.environment, node.ledger)
        register.fill()
        found = {row.export: (row.outcome, row.size_bytes, row.reason) for row in rows(register.deeds(EVER), Wanted())}
        assert found.pop(whole.id)[0] == "done"
        assert found == {waiting.id: ("aborted", 0, LOST_WAITING), sealed.id: ("aborted", size, LOST_HANDING)}
        assert list(check_looks(node.environment, node.ledger)) == []
        tidy(exports._door)
    assert not list((data / "exports").iterdir())


def _killed(*arguments: object, **named: object) -> None:
    raise Killed
