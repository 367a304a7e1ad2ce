"""Exports over a data folder with real footage: what lands at the target, what the ledger says, what is left behind."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from access.export.cuts import pieces
from access.export.intake import Intake
from access.export.job import Step
from access.export.lanes import Stop
from access.export.taking import Taker
from access.export.tidying import tidy
from access.package.builder import PackageBuilder
from access.package.container import Form, deliver
from access.people.model import Principal
from tests.support.exporting import OPERATOR, SAID, RunningClock, exporting, outcomes, told, unit_people, wish
from tests.support.probe import decode_errors
from tests.support.segments import START_US, video_track
from tests.support.streams import encode_h264
from tests.support.vaults import make_vault
from vault.clock import ManualClock
from vault.errors import Damaged, NotFound, StoreError, UsageError
from vault.grant import Refusal
from vault.ids import CameraNumber
from vault.timebase import Interval

US = 1_000_000


@pytest.fixture(autouse=True)
def _one_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a process of its own."""
    monkeypatch.setattr("access.export.run.PICTURES", 1)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments of four seconds in the store, a second apart."""
    made = tmp_path_factory.mktemp("template") / "data"
    make_vault(made, [video_track(encode_h264(frames=100, gop=25, size=(160, 96)))], START_US, ["store"] * 3, gap_us=US)
    return made


@pytest.fixture
def data(tmp_path: Path, template: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "data"))


def custody(package: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((package / "data" / "custody.json").read_bytes())
    return found


def verify(package: Path) -> subprocess.CompletedProcess[str]:
    """By the package's own verifier, with a bare interpreter."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(package / "verify.py"), str(package)], capture_output=True, text=True, check=False
    )


def test_an_export_shows_the_range_and_says_what_it_is(data: Path, tmp_path: Path) -> None:
    span = Interval(START_US + US // 2, START_US + 7 * US)
    with exporting(data) as (node, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", span), SAID)
        job, delivered = exports.run(job.id, OPERATOR)
        assert outcomes(node) == ["asked", "done"]
        done = told(node)[-1]
        sources = node.timeline.span(job.wish.cameras[0], span)
    package = delivered.path
    assert package == tmp_path / "out"
    said = custody(package)
    camera = said["cameras"][0]
    (file,) = camera["files"]
    media = package / file["path"]
    assert hashlib.sha256(media.read_bytes()).hexdigest() == file["sha256"]
    assert decode_errors(media) == ""
    assert file["shown"] == {"start_us": START_US + 520_000, "end_us": START_US + 7 * US}
    assert file["held"]["start_us"] == START_US
    assert [(gap["start_us"], gap["reason"]) for gap in camera["missing"]] == [(START_US + 4 * US, "unreachable")]
    assert [item["blake3"] for item in camera["sources"]] == [row.blake3.hex() for row in sources]
    stored = [(data / "store" / row.key.object_key).read_bytes() for row in sources]
    assert [item["sha256"] for item in camera["sources"]] == [hashlib.sha256(one).hexdigest() for one in stored]
    manifest = hashlib.sha256((package / "manifest-sha256.txt").read_bytes()).hexdigest()
    assert done.body["sha256"] == manifest == job.manifest_sha256
    assert not list((data / "exports").iterdir())
    run = verify(package)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("form", [Form.TAR, Form.ENCRYPTED])
def test_a_package_may_be_one_file(data: Path, tmp_path: Path, form: Form) -> None:
    target = tmp_path / f"out{form}"
    with exporting(data) as (_, exports):
        job = exports.ask(OPERATOR, wish(target, Interval(START_US, START_US + US), form=form), SAID)
        _, delivered = exports.run(job.id, OPERATOR)
    assert delivered.size_bytes == target.stat().st_size
    assert (delivered.password is None) == (form is Form.TAR)


def test_original_segments_are_the_stored_bytes(data: Path, tmp_path: Path) -> None:
    span = Interval(START_US + 2 * US, START_US + 6 * US)
    with exporting(data) as (node, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", span, original=True), SAID)
        _, delivered = exports.run(job.id, OPERATOR)
        keys = [row.key.object_key for row in node.timeline.span(job.wish.cameras[0], span)]
    files = custody(delivered.path)["cameras"][0]["files"]
    assert [(delivered.path / file["path"]).read_bytes() for file in files] == [
        (data / "store" / key).read_bytes() for key in keys
    ]
    assert all(file["whole"] for file in files)


def test_nothing_recorded_ends_the_export(data: Path, tmp_path: Path) -> None:
    with exporting(data) as (node, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", Interval(START_US - 60 * US, START_US - 50 * US)), SAID)
        with pytest.raises(NotFound, match="timeline"):
            exports.run(job.id, OPERATOR)
        assert outcomes(node) == ["asked", "aborted"]
        assert exports.get(job.id).step is Step.ABORTED
    assert not (tmp_path / "out").exists()
    assert not list((data / "exports").iterdir())


def flip(data: Path, number: int, offset: int = 5_000) -> str:
    """One bit of a stored segment; its key."""
    path = sorted((data / "store" / "segments").rglob("*.mp4"))[number]
    raw = bytearray(path.read_bytes())
    raw[offset] ^= 1
    path.chmod(0o600)
    path.write_bytes(raw)
    return path.relative_to(data / "store").as_posix()


@pytest.mark.parametrize("original", [False, True])
def test_a_damaged_segment_stops_the_export_by_its_name(data: Path, tmp_path: Path, original: bool) -> None:
    key = flip(data, 1)
    with exporting(data) as (node, exports):
        span = Interval(START_US, START_US + 14 * US)
        job = exports.ask(OPERATOR, wish(tmp_path / "out", span, original=original), SAID)
        with pytest.raises(Damaged, match=key):
            exports.run(job.id, OPERATOR)
        assert not (tmp_path / "out").exists()
        _, delivered = exports.run(job.id, OPERATOR, allow_damaged=True)
        assert outcomes(node) == ["asked", "aborted", "asked", "done"]
    sources = custody(delivered.path)["cameras"][0]["sources"]
    assert [source["key"] for source in sources if source["damaged"]] == [key]
    verdict = verify(delivered.path)
    assert verdict.returncode == 0
    assert "damaged before it was made: 1" in verdict.stdout


@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_segment_that_cannot_be_read_at_all_is_left_out_and_named(data: Path, tmp_path: Path, how: str) -> None:
    path = sorted((data / "store" / "segments").rglob("*.mp4"))[1]
    path.chmod(0o600)
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:10_000])
    with exporting(data) as (_, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", Interval(START_US, START_US + 14 * US)), SAID)
        with pytest.raises(Damaged, match=path.name):
            exports.run(job.id, OPERATOR)
        _, delivered = exports.run(job.id, OPERATOR, allow_damaged=True)
    camera = custody(delivered.path)["cameras"][0]
    assert [gap["reason"] for gap in camera["missing"]] == ["unreachable", "damaged", "unreachable"]
    assert decode_errors(delivered.path / camera["files"][0]["path"]) == ""


def test_a_unit_that_wants_it_so_has_a_second_person_decide(data: Path, tmp_path: Path) -> None:
    people, asker = unit_people(approval=True)
    second = Principal("officer-2", user=people.users["officer-2"], unit=people.units["office"])
    with exporting(data, people=people) as (node, exports):
        span = Interval(START_US, START_US + 2 * US)
        job = exports.ask(asker, wish(tmp_path / "out", span), SAID)
        assert job.step is Step.WAITING
        for who, why in ((asker, "another person"), (OPERATOR, "--as")):
            with pytest.raises(Refusal, match=why):
                exports.approve(job.id, who)
        with pytest.raises(Refusal, match="waits"):
            exports.run(job.id, asker)
        approved = exports.approve(job.id, second)
        # As a kill in the middle of it leaves it.
        exports._jobs.put(replace(approved, approval=None))
        with pytest.raises(Refusal, match="officer-1's"):
            exports.run(job.id, second)
        _, delivered = exports.run(job.id, asker)
        tried = ["refused"] * 3
        assert outcomes(node) == ["asked", "waiting", *tried, "approved", "refused", "asked", "done"]
        other = exports.ask(asker, wish(tmp_path / "no", span), SAID)
        exports.refuse(other.id, second, "not for this")
        with pytest.raises(UsageError, match="refused"):
            exports.run(other.id, asker)
    assert custody(delivered.path)["approver"] == "officer-2"
    assert verify(delivered.path).returncode == 0


def test_what_decoding_needs_from_outside_the_window_is_not_taken(data: Path, tmp_path: Path) -> None:
    people, asker = unit_people(window=Interval(START_US + US // 2, START_US + 60 * US))
    with exporting(data, people=people) as (_, exports):
        span = Interval(START_US + US // 2, START_US + 3 * US)
        job = exports.ask(asker, wish(tmp_path / "out", span), SAID)
        _, delivered = exports.run(job.id, asker)
        whole = exports.ask(asker, wish(tmp_path / "whole", Interval(START_US + US, START_US + 7 * US), original=True), SAID)
        _, originals = exports.run(whole.id, asker)
    camera = custody(delivered.path)["cameras"][0]
    assert camera["held"]["start_us"] == START_US + US
    assert "outside what is allowed" in camera["notes"][0]
    camera = custody(originals.path)["cameras"][0]
    assert [file["shown"]["start_us"] for file in camera["files"]] == [START_US + 5 * US]
    assert [gap["reason"] for gap in camera["missing"]] == ["outside what is allowed", "unreachable"]


def test_a_grant_that_ends_stops_the_export_and_nothing_of_it_stays(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people, asker = unit_people()
    with exporting(data, RunningClock(), people=people) as (node, exports):
        job = exports.ask(asker, wish(tmp_path / "out", Interval(START_US, START_US + 14 * US)), SAID)

        def revoke(*_: object) -> None:
            people.grants.clear()
            node.cameras.set("cam-1", name="so that the registry has changed")

        monkeypatch.setattr("access.export.run.LOOK_SECONDS", 0.01)
        monkeypatch.setattr("access.door.STILL_US", 10_000)
        hold_up(monkeypatch, revoke)
        with pytest.raises(Refusal, match="no grant"):
            exports.run(job.id, asker)
        assert outcomes(node) == ["asked", "aborted"]
        ended = told(node)[-1]
        assert (ended.body["code"], ended.body["bytes"]) == ("camera", 0)
        assert exports.get(job.id).step is Step.ABORTED
    assert not list((data / "exports").iterdir())
    assert not (tmp_path / "out").exists()


def hold_up(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
    """The first buffer is written, then something happens, and only then are there more."""
    real = Stop.look
    looks = itertools.count()

    def look(self: Stop) -> None:
        if next(looks) == 3:
            meanwhile()
            self.wait(30)
        real(self)

    monkeypatch.setattr(Stop, "look", look)


def test_a_hold_that_comes_meanwhile_and_retention_that_is_due_tear_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with exporting(data) as (node, exports):
        span = Interval(START_US, START_US + 14 * US)
        keys = [row.key for row in node.timeline.span(CameraNumber(1), span)]
        job = exports.ask(OPERATOR, wish(tmp_path / "out", span), SAID)
        deleted = []

        def due() -> None:
            at_us = START_US + 40 * 86_400 * US
            assert node.catalog.doom(keys, at_us=at_us, reason="expired").done == tuple(keys)
            deleted.extend(node.catalog.mark_deleting(keys, "batch-1").done)
            node.holds.place(by="second officer", case="9901", why="evidence", cameras=[CameraNumber(1)], interval=span)

        monkeypatch.setattr(Taker, "_write_clip", with_first(Taker._write_clip, due))
        _, delivered = exports.run(job.id, OPERATOR)
        # The pin kept what was being read, and the hold keeps it from here on.
        assert deleted == []
        assert [row.key for row in node.timeline.span(CameraNumber(1), span)] == keys
    assert len(custody(delivered.path)["cameras"][0]["sources"]) == 3
    assert verify(delivered.path).returncode == 0


def with_first(call: Callable[..., Any], before: Callable[[], None]) -> Callable[..., Any]:
    def both(*arguments: Any) -> Any:
        before()
        return call(*arguments)

    return both


def test_what_nobody_comes_back_for_is_closed_and_taken_away(data: Path, tmp_path: Path) -> None:
    flip(data, 1)
    clock = ManualClock(START_US + 3_600 * US)
    with exporting(data, clock) as (_, exports):
        span = Interval(START_US, START_US + 14 * US)
        first = exports.ask(OPERATOR, wish(tmp_path / "out", span), SAID)
        with pytest.raises(Damaged):
            exports.run(first.id, OPERATOR)
        assert exports.unfinished(OPERATOR) == [exports.get(first.id)]
        door = exports._door
        assert tidy(door) == []
        clock.advance(25 * 3_600 * US)
        (closed,) = tidy(door)
        assert (closed.id, closed.step) == (first.id, Step.ABORTED)
        assert exports.unfinished(OPERATOR) == []
        clock.advance(91 * 86_400 * US)
        tidy(door)
        assert exports.all() == []
    assert not list((data / "exports").iterdir())


def test_what_was_taken_goes_when_its_footage_expires(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with exporting(data) as (node, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", Interval(START_US, START_US + 4 * US)), SAID)
        monkeypatch.setattr(PackageBuilder, "close_payload", fails)
        with pytest.raises(StoreError):
            exports.run(job.id, OPERATOR)
        assert list((data / "exports").rglob("*.mp4"))
        assert tidy(exports._door) == []
        (row,) = node.timeline.span(CameraNumber(1), job.wish.interval)
        node.catalog.doom([row.key], at_us=START_US + 40 * 86_400 * US, reason="expired")
        (closed,) = tidy(exports._door)
        assert "expired" in closed.why
    assert not list((data / "exports").iterdir())


def fails(*_: object) -> None:
    raise StoreError("the disk does not answer")


def test_a_revocation_is_on_record_though_the_store_holds_the_work(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store does not answer; nobody waits for it before the ledger hears that the export is over."""
    people, asker = unit_people()
    with exporting(data, RunningClock(), people=people) as (node, exports):
        job = exports.ask(asker, wish(tmp_path / "out", Interval(START_US, START_US + 14 * US)), SAID)
        monkeypatch.setattr("access.export.run.LOOK_SECONDS", 0.01)
        monkeypatch.setattr("access.export.run.HEAR_SECONDS", 0.01)
        monkeypatch.setattr("access.door.STILL_US", 10_000)
        answered = threading.Event()
        real = Intake._load

        def load(self: Intake, wanted: Any) -> Any:
            people.grants.clear()
            node.cameras.set("cam-1", name="so that the registry has changed")
            while "aborted" not in outcomes(node):
                answered.wait(0.01)
            return real(self, wanted)

        monkeypatch.setattr(Intake, "_load", load)
        with pytest.raises(Refusal, match="no grant"):
            exports.run(job.id, asker)
        assert outcomes(node) == ["asked", "aborted"]
    assert not list((data / "exports").iterdir())


def test_a_package_that_was_handed_over_before_a_kill_is_not_given_up(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with exporting(data) as (node, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", Interval(START_US, START_US + 4 * US)), SAID)
        with monkeypatch.context() as patch:
            patch.setattr("access.export.run.deliver", with_after(deliver, fails))
            with pytest.raises(StoreError):
                exports.run(job.id, OPERATOR)
        job = exports.abort(job.id, OPERATOR)
        assert (job.step, job.left_bytes) == (Step.DONE, job.size_bytes)
        assert outcomes(node) == ["asked", "done"]
    assert verify(tmp_path / "out").returncode == 0


def with_after(call: Callable[..., Any], after: Callable[[], object]) -> Callable[..., Any]:
    def both(*arguments: Any, **options: Any) -> Any:
        call(*arguments, **options)
        return after()

    return both


def test_a_range_that_is_yet_to_come_is_no_range(data: Path, tmp_path: Path) -> None:
    with exporting(data) as (_, exports), pytest.raises(UsageError, match=r"[\d:.]+[+-]\d\d:\d\d, which is yet to come"):
        exports.ask(OPERATOR, wish(tmp_path / "out", Interval(START_US, START_US + 7_200 * US)), SAID)


def test_a_long_range_is_a_file_an_hour() -> None:
    hour = 3_600 * US
    begin = 1_795_000 * hour // 1_000 * 1_000
    begin -= begin % hour
    assert pieces(Interval(begin + 1, begin + 2 * hour)) == [Interval(begin + 1, begin + 2 * hour)]
    assert pieces(Interval(begin + 1, begin + 2 * hour + 2)) == [
        Interval(begin + 1, begin + hour), Interval(begin + hour, begin + 2 * hour), Interval(begin + 2 * hour, begin + 2 * hour + 2),
    ]  # fmt: skip
