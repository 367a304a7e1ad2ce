"""What `camera …` says and refuses: a lost index, cameras by number, what a recorder is doing, addresses that can be none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Run
from vault.clock import SystemClock
from vault.timebase import US


def said(data_path: Path, cameras: dict[str, Any], age_us: int = 0) -> None:
    """What a recorder said of its cameras."""
    whole = {"at_us": SystemClock().now_us() - age_us, "pid": 1, "cameras": cameras}
    (data_path / "run" / "status.json").write_text(json.dumps(whole))


@pytest.mark.parametrize("lost", ["the folder", "the file", "what is in it"])
def test_a_missing_index_is_refused_until_it_is_rebuilt(
    run: Run, data_path: Path, capsys: pytest.CaptureFixture[str], lost: str
) -> None:
    assert run("camera", "add", "cam-1", "rtsp://192.0.2.1/s") == 0
    if lost == "the folder":
        shutil.rmtree(data_path / "index")
    elif lost == "the file":
        (data_path / "index" / "data.mdb").unlink()
    else:
        (data_path / "index" / "data.mdb").write_bytes(b"")
    capsys.readouterr()
    for call in (["camera", "list"], ["camera", "add", "cam-2", "rtsp://192.0.2.2/s"], ["serve"], ["check"]):
        assert run(*call) == 8
        out, err = capsys.readouterr()
        assert out == ""
        assert "the index is missing; run `streamvault index rebuild`" in err
    assert run("index", "rebuild") == 0
    assert run("camera", "add", "cam-2", "rtsp://192.0.2.2/s") == 0
    assert "camera cam-2 added, number 2" in capsys.readouterr().out


def test_a_torn_index_is_rebuilt_in_its_place(run: Run, data_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("camera", "add", "cam-1", "rtsp://192.0.2.1/s") == 0
    (data_path / "index" / "data.mdb").write_bytes(b"\xa5" * 65536)
    assert run("camera", "list") == 8
    assert "run `streamvault index rebuild`" in capsys.readouterr().err
    assert run("index", "rebuild") == 0
    assert run("camera", "show", "cam-1") == 0


def test_a_removed_camera_is_reached_by_its_number_when_another_has_its_id(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("camera", "add", "cam-1", "rtsp://192.0.2.1/old") == 0
    capsys.readouterr()
    assert run("camera", "remove", "cam-1") == 0
    assert "'#1'" in capsys.readouterr().out
    assert run("camera", "add", "cam-1", "rtsp://192.0.2.1/new") == 0
    for name, number, end in (("cam-1", 2, "new"), ("#1", 1, "old"), ("#2", 2, "new")):
        capsys.readouterr()
        assert run("camera", "show", name, "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        assert (shown["number"], shown["url"]) == (number, f"rtsp://192.0.2.1/{end}")
    assert run("timeline", "#1") == 0
    assert run("camera", "show", "#3") == 3
    assert run("camera", "show", "#0") == 3
    assert run("camera", "show", "#x") == 2


def test_a_camera_that_a_running_recorder_does_not_name_yet_is_starting(
    run: Run, data_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for id_ in ("cam-1", "cam-2", "cam-3"):
        assert run("camera", "add", id_, "rtsp://192.0.2.1/s") == 0
    assert run("camera", "set", "cam-3", "--no-record") == 0

    def states() -> list[str]:
        found = []
        for id_ in ("cam-1", "cam-2", "cam-3"):
            capsys.readouterr()
            assert run("camera", "show", id_) == 0
            found += [line.split(maxsplit=1)[1].strip() for line in capsys.readouterr().out.splitlines() if "state" in line]
        return found

    assert states() == ["on, no recorder runs", "on, no recorder runs", "off"]
    said(data_path, {"1": {"state": "waiting", "why": "credentials do not open"}})
    assert states() == ["waiting: credentials do not open", "starting", "off"]
    said(data_path, {"1": {"state": "recording"}}, age_us=60 * US)
    assert states() == ["on, no recorder runs", "on, no recorder runs", "off"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rtsp://192.0.2.1:99999/s"], "port 99999"),
        (["rtsp://192.0.2.1:0/s"], "port 0"),
        (["rtp://239.1.1.1"], "rtp://ADDRESS:PORT"),
        (["rtp://[ff15::1]?codec=h264"], "rtp://ADDRESS:PORT"),
        (["rtp://239.1.1.1:5004", "--transport", "tcp"], "UDP only"),
        (["rtsp://192.0.2.1/s", "--site", "nowhere"], "there are: default"),
    ],
)
def test_what_can_be_no_camera_is_neither_added_nor_imported(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert run("camera", "add", "cam-1", *arguments) == 2
    assert says in capsys.readouterr().err
    if "--site" not in arguments:
        file = tmp_path / "cameras.csv"
        file.write_text(f"id,url,transport\ncam-1,{arguments[0]},{arguments[-1] if len(arguments) > 1 else 'auto'}\n")
        assert run("camera", "import", str(file), "--dry-run") == 2
        err = capsys.readouterr().err
        assert "row 2: " in err
        assert says in err
    assert run("camera", "add", "cam-2", "rtp://[ff15::1]:5004?codec=h264", "--transport", "udp") == 0
