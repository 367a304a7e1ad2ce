"""Ranges that become several files: long ones, and those in which the codec changes. No picture is missing, none is there twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import pytest

from access.export.cuts import moments
from access.export.intake import Intake
from access.export.taking import Piece, Taker
from access.package.custody import Source
from index.cameras import Camera
from index.sites import Site
from tests.access.export.test_engine import custody, fails, verify
from tests.support.exporting import OPERATOR, SAID, exporting, wish
from tests.support.probe import decode_errors
from tests.support.segments import START_US, Track, video_track
from tests.support.streams import encode_h264, encode_h265
from tests.support.vaults import make_vault, put_segment
from vault.clock import ManualClock
from vault.errors import StoreError
from vault.grant import Grant
from vault.ids import CameraNumber
from vault.media import Codec
from vault.splice.part import Gaps
from vault.timebase import US, Interval


@pytest.fixture(autouse=True)
def _pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour lasts four seconds here."""
    monkeypatch.setattr("access.export.cuts.LONGEST_US", 5 * US)
    monkeypatch.setattr("access.export.cuts.EACH_US", 4 * US)
    monkeypatch.setattr("access.export.run.PICTURES", 1)


@pytest.fixture(scope="module")
def track() -> Track:
    """Three seconds, a key frame each, so that pieces begin inside a GOP."""
    return video_track(encode_h264(frames=75, gop=25, bframes=2, size=(160, 96)))


def shown(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(frame.time is not None and frame.time >= 0 for frame in container.decode(video=0))


def test_a_long_range_is_a_file_each_hour_and_every_picture_is_in_one(tmp_path: Path, track: Track) -> None:
    make_vault(tmp_path / "data", [track], START_US, ["store"] * 5)
    span = Interval(START_US + 300_000, START_US + 14_700_000)
    with exporting(tmp_path / "data") as (_, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", span), SAID)
        _, made = exports.run(job.id, OPERATOR)
    camera = custody(made.path)["cameras"][0]
    files = [made.path / file["path"] for file in camera["files"]]
    assert len(files) == 4
    assert [decode_errors(file) for file in files] == [""] * 4
    assert sum(map(shown, files)) == 25 * 14_400 // 1_000
    assert len(camera["sources"]) == 5
    assert camera["missing"] == []
    assert verify(made.path).returncode == 0


def test_pieces_that_are_done_are_not_read_again(tmp_path: Path, track: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    make_vault(tmp_path / "data", [track], START_US, ["store"] * 4)
    read: list[str] = []
    real = Intake.finish

    def finish(self: Intake) -> Source:
        if len(read) == 3:
            fails()
        read.append(self.row.key.object_key)
        return real(self)

    with exporting(tmp_path / "data") as (_, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", Interval(START_US, START_US + 12 * US)), SAID)
        with monkeypatch.context() as patch:
            patch.setattr(Intake, "finish", finish)
            with pytest.raises(StoreError):
                exports.run(job.id, OPERATOR)
        first, again = read[:2], []

        def noted(self: Intake) -> Source:
            again.append(self.row.key.object_key)
            return real(self)

        monkeypatch.setattr(Intake, "finish", noted)
        _, made = exports.run(job.id, OPERATOR)
    assert first[0] not in again
    assert verify(made.path).returncode == 0


def test_where_the_codec_changes_a_new_file_begins_and_where_the_camera_stood_is_said(tmp_path: Path, track: Track) -> None:
    ends = make_vault(tmp_path / "data", [track], START_US, ["store"])
    other = video_track(encode_h265(frames=25), Codec.H265)
    with exporting(tmp_path / "data", ManualClock(START_US + 3_600 * US)) as (node, exports):
        put_segment(node, CameraNumber(1), [other], ends[-1], sequence=1)
        node.sites.add(Site("gate", name="North gate"))
        node.cameras.set("cam-1", site="gate", since_us=ends[-1])
        # Later than what is asked for.
        node.cameras.set("cam-1", site="default")
        job = exports.ask(OPERATOR, wish(tmp_path / "out", Interval(START_US, ends[-1] + US)), SAID)
        _, made = exports.run(job.id, OPERATOR)
    camera = custody(made.path)["cameras"][0]
    assert (camera["site"], camera["site_name"]) == ("default, gate", "North gate")
    files = [made.path / file["path"] for file in camera["files"]]
    assert [shown(file) for file in files] == [75, 25]
    assert verify(made.path).returncode == 0


def test_gaps_are_listed_whether_they_are_kept_or_squeezed(tmp_path: Path, track: Track) -> None:
    make_vault(tmp_path / "data", [track], START_US, ["store"] * 2, gap_us=US // 2)
    lengths = []
    with exporting(tmp_path / "data") as (_, exports):
        for gaps in Gaps:
            more = wish(tmp_path / gaps, Interval(START_US + US, START_US + 5 * US), gaps=gaps)
            _, made = exports.run(exports.ask(OPERATOR, more, SAID).id, OPERATOR)
            camera = custody(made.path)["cameras"][0]
            assert [gap["reason"] for gap in camera["missing"]] == ["unreachable"]
            with av.open(str(made.path / camera["files"][0]["path"])) as container:
                lengths.append(container.duration)
    assert lengths[0] - lengths[1] == pytest.approx(US // 2, abs=50_000)


def test_of_a_long_range_with_little_in_it_every_picture_shows_that_and_empty_hours_are_not_looked_into(
    tmp_path: Path, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_vault(tmp_path / "data", [track], START_US, ["store"] * 2)
    monkeypatch.setattr("access.export.run.PICTURES", 4)
    monkeypatch.setattr("access.export.run.MAX_SEGMENT_US", 60 * US)
    taken: list[Interval] = []
    real = Taker.take

    def take(self: Taker, grant: Grant, camera: Camera, wanted: Interval, at: Sequence[int]) -> Piece:
        taken.append(wanted)
        return real(self, grant, camera, wanted, at)

    monkeypatch.setattr(Taker, "take", take)
    span = Interval(START_US - 400 * US, START_US + 400 * US)
    with exporting(tmp_path / "data") as (_, exports):
        _, made = exports.run(exports.ask(OPERATOR, wish(tmp_path / "out", span), SAID).id, OPERATOR)
    camera = custody(made.path)["cameras"][0]
    assert (made.path / "data" / "report.html").read_text().count("data:image/jpeg") == 4
    assert 2 <= len(taken) <= 3
    assert [(gap["start_us"], gap["end_us"]) for gap in camera["missing"]] == [
        (span.start_us, START_US), (START_US + 6 * US, span.end_us),
    ]  # fmt: skip
    assert verify(made.path).returncode == 0


def test_an_hour_that_is_being_recorded_is_waited_for_though_no_row_knows_it(
    tmp_path: Path, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_vault(tmp_path / "data", [track], START_US, ["store", "store", "open"])
    monkeypatch.setattr("access.export.run.CLOSING_US", 0)
    with exporting(tmp_path / "data") as (_, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", Interval(START_US, START_US + 20 * US)), SAID)
        _, made = exports.run(job.id, OPERATOR)
    assert "not closed yet" in [gap["reason"] for gap in custody(made.path)["cameras"][0]["missing"]]


def test_moments_are_spread_over_what_was_recorded() -> None:
    assert moments([Interval(100, 104), Interval(1_000, 1_004)], 4) == [100, 102, 1_000, 1_002]
    assert moments([Interval(100, 104)], 1) == [100]
    assert moments([], 4) == []
