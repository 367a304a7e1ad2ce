"""The commands that show and hand out footage, as a person calls them."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import pytest

import streamvault
from tests.support.segments import START_US, video_track
from tests.support.streams import encode_h264
from tests.support.tools import need
from tests.support.vaults import make_vault
from vault.timebase import US, format_local, format_us

FRAMES = 50
FRAME_US = 40_000
SEGMENT_US = FRAMES * FRAME_US
GAP_US = 1_000_000

SAID = (
    "--purpose", "traffic", "--why", "collision at the gate", "--case", "9901-7", "--destination", "traffic police",
    "--person", "first officer", "--staff-number", "9901",
)  # fmt: skip

Run = Callable[..., int]


@pytest.fixture
def run(data_path: Path) -> Run:
    """A vault of three segments, in the store, in the spool and still open, with a gap after the first two."""
    make_vault(data_path, [video_track(encode_h264(FRAMES))], START_US, ["store", "spool", "open"], gap_us=GAP_US)

    def call(*arguments: str) -> int:
        said = SAID if arguments[0] in ("clip", "snapshot") else ()
        return streamvault.run(["--data", str(data_path), *arguments, *said])

    return call


def at(offset_us: int) -> str:
    return format_us(START_US + offset_us)


def decoded(path: Path) -> int:
    """How many pictures ffmpeg shows of a file, without a line of error."""
    command = [need("ffmpeg"), "-v", "error", "-i", str(path), "-f", "null", "-progress", "-", "-"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    return int(shown.stdout.split("frame=")[-1].split()[0])


def test_a_timeline_in_json_has_runs_and_gaps_with_reasons_and_reaches_into_the_open_segment(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = 3 * SEGMENT_US + 2 * GAP_US
    assert run("timeline", "cam-1", "--from", at(0), "--to", at(whole), "--json") == 0
    step = SEGMENT_US + GAP_US
    assert json.loads(capsys.readouterr().out) == {
        "camera": "cam-1",
        "start": at(0),
        "end": at(whole),
        "runs": [{"start": at(n * step), "end": at(n * step + SEGMENT_US)} for n in range(3)],
        "gaps": [{"start": at(n * step + SEGMENT_US), "end": at((n + 1) * step), "reason": "unreachable"} for n in range(2)],
    }


def test_a_timeline_for_people_draws_a_bar_and_names_the_reason(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("timeline", "cam-1", "--from", at(0), "--to", at(2 * SEGMENT_US + GAP_US)) == 0
    out = capsys.readouterr().out
    assert "█" in out.splitlines()[1]
    assert "░" in out.splitlines()[1]
    assert "gap: unreachable" in out


def test_a_clip_shows_exactly_the_pictures_of_its_range(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"
    assert run("clip", "cam-1", "--from", at(10 * FRAME_US), "--to", at(37 * FRAME_US), "-o", str(target)) == 0
    assert decoded(target) == 27
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_clip_goes_over_gaps_and_into_the_segment_that_is_being_recorded(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "clip.mp4"
    whole = 3 * SEGMENT_US + 2 * GAP_US
    call = ("clip", "cam-1", "--from", at(0), "--to", at(whole), "-o", str(target), "--gaps", "squeeze", "--json")
    assert run(*call) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["size_bytes"] == target.stat().st_size
    assert len(about["segments"]) == 3
    assert len(about["gaps"]) == 2
    assert decoded(target) == 3 * FRAMES


def test_a_file_that_is_there_is_not_overwritten_unless_asked(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "clip.mp4"
    target.write_bytes(b"mine")
    call = ("clip", "cam-1", "--from", at(0), "--to", at(SEGMENT_US), "-o", str(target))
    assert run(*call) == 2
    assert target.read_bytes() == b"mine"
    assert "--force" in capsys.readouterr().err
    assert run(*call, "--force") == 0
    assert decoded(target) == FRAMES


def test_a_clip_that_fails_leaves_no_file(run: Run, tmp_path: Path) -> None:
    assert run("clip", "cam-1", "--from", at(-10 * US), "--to", at(-9 * US), "-o", str(tmp_path / "no.mp4")) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_range_in_a_gap_is_answered_with_the_reason(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inside = SEGMENT_US + GAP_US // 4
    call = ("clip", "cam-1", "--from", at(inside), "--to", at(inside + GAP_US // 4), "-o", str(tmp_path / "no.mp4"))
    assert run(*call) == 3
    err = capsys.readouterr().err
    assert err.startswith("streamvault: camera cam-1 has nothing to show")
    assert "unreachable" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(("name", "form"), [("still.jpg", "mjpeg"), ("still.png", "png")])
def test_a_snapshot_is_the_picture_that_stood_at_the_instant(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, form: str
) -> None:
    target = tmp_path / name
    # Half a picture after the 30th began, five after the key frame that it hangs on.
    assert run("snapshot", "cam-1", "--at", at(30 * FRAME_US + FRAME_US // 2), "-o", str(target), "--json") == 0
    assert json.loads(capsys.readouterr().out)["at"] == at(30 * FRAME_US)
    with av.open(io.BytesIO(target.read_bytes())) as picture:
        assert picture.streams.video[0].codec_context.name == form
        assert (picture.streams.video[0].width, picture.streams.video[0].height) == (160, 96)


def test_a_snapshot_in_a_gap_says_so(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("snapshot", "cam-1", "--at", at(SEGMENT_US + GAP_US // 2), "-o", str(tmp_path / "a.jpg")) == 3
    assert "unreachable" in capsys.readouterr().err


def test_where_there_is_no_footage_the_nearest_is_told(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(offset_us: int) -> tuple[str, str]:
        assert (
            run("clip", "cam-1", "--from", at(offset_us), "--to", at(offset_us + US // 4), "-o", str(tmp_path / "no.mp4")) == 3
        )
        clip = capsys.readouterr().err
        assert run("snapshot", "cam-1", "--at", at(offset_us), "-o", str(tmp_path / "no.jpg")) == 3
        return clip, capsys.readouterr().err

    def local(offset_us: int) -> str:
        return format_local(START_US + offset_us, exact=True)

    step, inside = SEGMENT_US + GAP_US, SEGMENT_US + GAP_US // 4
    for text in said(inside):
        assert f"the footage before ends at {local(SEGMENT_US)}; footage begins again at {local(step)}; `" in text
    for text in said(step + inside):
        # The segment behind this gap is still being recorded.
        assert f"the footage before ends at {local(step + SEGMENT_US)}; footage begins again at {local(2 * step)}; `" in text
    for text in said(-60 * US):
        assert f"; footage begins at {local(0)}; `" in text
    _, snapshot = said(2 * step + SEGMENT_US + 60 * US)
    assert f"nothing to show at {local(2 * step + SEGMENT_US + 60 * US)}:" in snapshot
    assert f"the footage before ends at {local(2 * step + SEGMENT_US)}; `" in snapshot


def test_a_snapshot_needs_a_name_that_tells_the_form(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("snapshot", "cam-1", "--at", at(0), "-o", "still.bmp") == 2
    assert ".png" in capsys.readouterr().err


def test_a_camera_that_is_not_there_has_its_own_exit_code(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("timeline", "cam-9") == 3
    assert "cam-9" in capsys.readouterr().err


def test_a_range_turned_round_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("timeline", "cam-1", "--from", "now", "--to", "now-5m") == 2
    assert "must end after it starts" in capsys.readouterr().err
