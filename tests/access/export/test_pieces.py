"""Ranges that become several files: long ones, and those in which the codec changes. No picture is missing, none is there twice."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from access.export.intake import Intake
from access.package.custody import Source
from tests.access.export.test_engine import custody, fails, verify
from tests.support.exporting import OPERATOR, SAID, exporting, wish
from tests.support.probe import decode_errors
from tests.support.segments import START_US, Track, video_track
from tests.support.streams import encode_h264, encode_h265
from tests.support.vaults import make_vault, put_segment
from vault.clock import ManualClock
from vault.errors import StoreError
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


def test_where_the_codec_changes_a_new_file_begins(tmp_path: Path, track: Track) -> None:
    ends = make_vault(tmp_path / "data", [track], START_US, ["store"])
    other = video_track(encode_h265(frames=25), Codec.H265)
    with exporting(tmp_path / "data", ManualClock(START_US + 3_600 * US)) as (node, exports):
        put_segment(node, CameraNumber(1), [other], ends[-1], sequence=1)
        job = exports.ask(OPERATOR, wish(tmp_path / "out", Interval(START_US, ends[-1] + US)), SAID)
        _, made = exports.run(job.id, OPERATOR)
    files = [made.path / file["path"] for file in custody(made.path)["cameras"][0]["files"]]
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
