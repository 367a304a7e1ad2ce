"""`demo`, `serve`, `camera probe` and `simulate rtsp` as processes: what a person sees, and that they stop when told."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import streamvault
from ingest.simulate.gate import Scheme
from ingest.simulate.loop import LoopSpec
from ingest.simulate.run import SimulatorOptions, simulated
from tests.support.tools import need
from tests.test_house import ROOT
from vault.media import Codec
from vault.timebase import US, parse_time

PATIENCE_SECONDS = 60
SMALL = LoopSpec(width=320, height=192, bitrate=200_000, seconds=2, gop=25, audio=Codec.AAC)


@contextmanager
def process(
    *arguments: str, stop_by: signal.Signals = signal.SIGTERM, said: list[str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A command that runs until it is told to stop; it must end by itself with exit code 0 then. `said` gets its log."""
    command = [sys.executable, "-m", "streamvault", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
            running.send_signal(stop_by)
            out, err = running.communicate(timeout=PATIENCE_SECONDS)
            assert running.returncode == 0, out + err
            assert "Traceback" not in err
            if said is not None:
                said += err.splitlines()
        finally:
            running.kill()


def until(found: Callable[[], Any], what: str) -> Any:
    """Ask again and again until the answer is true; fails after a while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.2)
    pytest.fail(f"not within {PATIENCE_SECONDS} s: {what}")


def read(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The JSON of a reading command, None when it failed."""
    capsys.readouterr()
    code = streamvault.run([*arguments, "--json"])
    out = capsys.readouterr().out
    return json.loads(out) if code == 0 else None


def recorded_us(capsys: pytest.CaptureFixture[str], data: str, camera: str) -> int:
    view = read(capsys, "--data", data, "timeline", camera, "--from", "now-10m", "--to", "now")
    return sum(parse_time(run["end"], 0) - parse_time(run["start"], 0) for run in view["runs"]) if view else 0


@pytest.mark.slow
def test_the_demo_records_four_cameras_that_its_commands_can_read_while_it_runs(
    data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(data_path)
    with process("--data", data, "demo") as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("user admin, password ")
        said = [demo.stdout.readline() for _ in range(8)]
        # As it can be pasted: what stands behind the file's name is asked for.
        occasion = shlex.split(said[3].strip().partition("clip.mp4 ")[2])
        assert "cam-1, cam-2, cam-3, cam-4" in said[0]
        assert re.search(r"timeline cam-1 --from now-5m --to now$", said[2])
        for camera in ("cam-1", "cam-2", "cam-3", "cam-4"):
            until(lambda camera=camera: recorded_us(capsys, data, camera) > 6 * US, f"six seconds of {camera}")
        view = read(capsys, "--data", data, "timeline", "cam-1", "--from", "now-10m", "--to", "now")
        assert parse_time(view["end"], 0) - parse_time(view["runs"][-1]["end"], 0) < 3 * US
        assert not [gap for gap in view["gaps"] if gap["reason"] == "unknown"]
        end = view["runs"][-1]["end"]
        clip = tmp_path / "clip.mp4"
        start = parse_time(end, 0) - 4 * US
        about = read(
            capsys,
            "--data",
            data,
            "clip",
            "cam-1",
            "--from",
            view["runs"][-1]["start"],
            "--to",
            end,
            "-o",
            str(clip),
            *occasion,
        )
        assert about["size_bytes"] == clip.stat().st_size
        assert start > parse_time(about["start"], 0)
        checked = subprocess.run(
            [need("ffmpeg"), "-v", "error", "-i", str(clip), "-f", "null", "-"], capture_output=True, check=True
        )
        assert checked.stderr == b""
        still = tmp_path / "now.jpg"
        shown = read(capsys, "--data", data, "snapshot", "cam-3", "--at", "now", "-o", str(still), *occasion)
        assert still.read_bytes()[:2] == b"\xff\xd8"
        assert shown["size_bytes"] == still.stat().st_size
    assert streamvault.run(["--data", data, "check", "--level", "hash"]) == 0
    assert read(capsys, "--data", data, "index", "stat")["segments"] >= 4


@pytest.mark.parametrize("url", ["rtsp://admin:geheim@192.0.2.1/s", "rtsp://admin:geheim@127.0.0.1:8554/cam/1"])
def test_the_demo_leaves_a_vault_with_real_cameras_alone(data_path: Path, capsys: pytest.CaptureFixture[str], url: str) -> None:
    data = str(data_path)
    assert streamvault.run(["--data", data, "init"]) == 0
    assert streamvault.run(["--data", data, "camera", "add", "cam-1", url, "--name", "gate"]) == 0
    before = read(capsys, "--data", data, "camera", "list")
    assert streamvault.run(["--data", data, "demo"]) == 4
    err = capsys.readouterr().err
    assert "streamvault --data demo-data demo" in err
    assert read(capsys, "--data", data, "camera", "list") == before


@pytest.mark.slow
def test_serve_closes_everything_when_it_is_stopped_and_goes_on_at_the_next_start(
    data_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(data_path)
    assert streamvault.run(["--data", data, "init"]) == 0
    with simulated(SimulatorOptions(spec=SMALL)) as cameras:
        assert streamvault.run(["--data", data, "camera", "add", "cam-1", cameras.url(1)]) == 0
        for round_, stop_by in enumerate((signal.SIGTERM, signal.SIGINT), 1):
            before = recorded_us(capsys, data, "cam-1")
            said: list[str] = []
            with process("--data", data, "serve", "--only", "ingest", stop_by=stop_by, said=said):
                until(lambda before=before: recorded_us(capsys, data, "cam-1") > before + 2 * US, "two seconds more")
                assert (data_path / "run" / "status.json").stat().st_mode & 0o777 == 0o600
            for line in ('msg="recorder started"', 'msg="camera records" camera=cam-1', 'msg="recorder stopped"'):
                assert sum(line in one for one in said) == 1, said
            assert not list((data_path / "spool").glob("c*/*.mp4"))
            assert [path.name for path in (data_path / "run").iterdir()] == ["supervisor.lock"]
            shown = read(capsys, "--data", data, "camera", "show", "cam-1")
            assert shown["stored"]["segments"] >= round_
            assert shown["gap"]["reason"] == "recorder stopped"
    assert streamvault.run(["--data", data, "check", "--level", "hash"]) == 0


@pytest.mark.slow
def test_a_second_recorder_on_the_same_data_is_refused(data_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(data_path)
    assert streamvault.run(["--data", data, "init"]) == 0
    with process("--data", data, "serve") as first:
        until((data_path / "run" / "status.json").exists, "the first recorder is at work")
        assert streamvault.run(["--data", data, "serve"]) == 5
        assert f"process {first.pid}" in capsys.readouterr().err
        assert streamvault.run(["--data", data, "demo"]) == 5


def test_a_probe_tells_what_a_camera_sends_and_stores_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "credentials"
    file.write_text("viewer:geheim\n")
    options = SimulatorOptions(spec=SMALL, auth=Scheme.SHA256, user="viewer", password="geheim")
    with simulated(options) as cameras:
        call = ["--data", str(tmp_path / "none"), "camera", "probe", cameras.url(1), "--seconds", "1.5"]
        found = read(capsys, *call, "--credentials-file", str(file))
        assert found["recordable"]
        assert [(track["codec"], track["width"], track["height"]) for track in found["tracks"]] == [
            ("h264", 320, 192),
            ("aac", 0, 0),
        ]
        assert found["offer"]["auth"] == "Digest SHA-256"
        assert sorted(found["offer"]["transports"]) == ["tcp", "udp"]
        assert streamvault.run([*call, "--credentials-file", str(file)]) == 0
        assert "320x192" in capsys.readouterr().out
        assert streamvault.run(call) == 6
        out, err = capsys.readouterr()
        assert "user and a password" in err
        assert "geheim" not in out + err
    assert not (tmp_path / "none").exists()


def test_a_probe_of_a_port_where_nothing_listens_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert streamvault.run(["camera", "probe", "rtsp://127.0.0.1:1/stream"]) == 6
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_simulated_cameras_say_their_addresses_and_stop_when_told(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "simulate",
        "rtsp",
        "--cameras",
        "2",
        "--port",
        "0",
        "--size",
        "320x192",
        "--bitrate",
        "200k",
        "--codec",
        "h265",
    ]
    with process(*arguments, stop_by=signal.SIGINT) as running:
        assert running.stdout is not None
        urls = [running.stdout.readline().strip() for _ in range(2)]
        assert [url.rpartition("/")[2] for url in urls] == ["1", "2"]
        found = read(capsys, "camera", "probe", urls[1], "--seconds", "2.5", "--transport", "udp")
        assert [track["codec"] for track in found["tracks"]] == ["h265"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--size", "huge"],
        ["--bitrate", "fast"],
        ["--auth", "md5"],
        ["--misbehave", "explode"],
        ["--size", "99999x2"],
    ],
)
def test_wrong_options_of_the_simulator_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert streamvault.run(["simulate", "rtsp", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
