"""Streams that libav opens, from servers that nobody here wrote, recorded by a node: every picture byte for byte, and each end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.feeds import ffmpeg_plays, free_port, make_movie, picture_digests
from tests.support.node import wait_until
from tests.support.probe import decode_errors, packets, streams
from tests.support.station import Station, station
from vault.media import Codec

SECONDS = 6
FRAMES = SECONDS * 25


def children() -> dict[int, tuple[str, bytes]]:
    """Running libav processes of this machine: command line and environment."""
    found: dict[int, tuple[str, bytes]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if command.rstrip().endswith("ingest.libavchild"):
                found[int(entry.name)] = (command, (entry / "environ").read_bytes())
    return found


def of_station(it: Station) -> list[int]:
    """Libav processes whose worker belongs to this station."""
    assert it.process is not None

    def parent(pid: int) -> int:
        with contextlib.suppress(OSError):
            return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        return 0

    return [pid for pid in children() if parent(parent(pid)) == it.process.pid]


def recorded(it: Station, name: str, wanted: list[bytes]) -> list[bytes]:
    known = set(wanted)
    return [digest for unit in it.units(name) for digest in unit.digests if digest in known]


def assert_whole(it: Station, name: str, movie: Path, codec: Codec) -> None:
    """One play of the movie is there from its first picture to its last, and the files decode."""
    wanted = picture_digests(movie, codec)
    assert recorded(it, name, wanted)[: len(wanted)] == wanted
    for file in it.files(name):
        assert decode_errors(file.path) == ""
        assert len(packets(file.path, "v:0")) == len(file.units[0])


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Station]:
    with station(tmp_path) as made:
        yield made


@pytest.mark.slow
def test_rtmp_and_http_servers_and_files_are_recorded_byte_for_byte(it: Station, tmp_path: Path) -> None:
    flv = make_movie(tmp_path / "live.flv", Codec.H264, Codec.AAC, seconds=SECONDS)
    ts = make_movie(tmp_path / "live.ts", Codec.H265, Codec.AAC, seconds=SECONDS)
    mov = make_movie(tmp_path / "a movie.mov", Codec.H264, Codec.ALAW, seconds=SECONDS, bframes=2)
    rtmp, http = free_port(), free_port()
    with (
        ffmpeg_plays(flv, "-c", "copy", "-f", "flv", "-listen", "1", f"rtmp://127.0.0.1:{rtmp}/live"),
        ffmpeg_plays(ts, "-c", "copy", "-f", "mpegts", "-listen", "1", f"http://127.0.0.1:{http}/live.ts"),
    ):
        it.add("cam-rtmp", f"rtmp://127.0.0.1:{rtmp}/live")
        it.add("cam-http", f"http://127.0.0.1:{http}/live.ts")
        it.add("cam-file", mov.as_uri())
        it.start()
        for name in it.numbers:
            wait_until(lambda name=name: len(it.units(name)) >= FRAMES, 60, f"the pictures of {name}")
    assert it.stop() == 0
    assert_whole(it, "cam-rtmp", flv, Codec.H264)
    assert_whole(it, "cam-http", ts, Codec.H265)
    assert_whole(it, "cam-file", mov, Codec.H264)
    codecs = {name: [one["codec_name"] for one in streams(it.files(name)[0].path)] for name in it.numbers}
    assert codecs == {"cam-rtmp": ["h264", "aac"], "cam-http": ["hevc", "aac"], "cam-file": ["h264", "pcm_alaw"]}
    # Two B-frames: the third unit of the movie is shown before the second.
    first = it.files("cam-file")[0].units[0]
    assert [unit.pts - first[0].pts for unit in first[:4]] == [0, 10_800, 3600, 7200]
    assert not [line for line in it.log() if "level=error" in line]


@pytest.mark.slow
def test_a_killed_process_is_a_gap_and_recording_goes_on(it: Station, tmp_path: Path) -> None:
    movie = make_movie(tmp_path / "movie.mp4", Codec.H264, seconds=30)
    it.add("cam-file", movie.as_uri())
    it.start()
    it.wait_recording("cam-file")
    wait_until(lambda: len(it.units("cam-file")) > 25, 30)
    (first,) = wait_until(lambda: of_station(it), 10)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: [pid for pid in of_station(it) if pid != first], 20, "another process")
    wait_until(lambda: len(it.view("cam-file").runs) >= 2, 30, "a second run")
    view = it.view("cam-file")
    inner = [gap for gap in view.gaps if view.runs[0].end_us <= gap.start_us < view.runs[1].start_us]
    assert [gap.reason for gap in inner] == ["closed by camera"]
    assert "(signal 9)" in " ".join(it.log("cam-file"))
    assert it.stop() == 0
    assert of_none_left(first)


def of_none_left(first: int) -> bool:
    return wait_until(lambda: first not in children(), 10) is True


@pytest.mark.slow
def test_the_process_knows_no_secret_by_its_command_line_and_ends_with_its_worker(
    it: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "not-for-children")
    movie = make_movie(tmp_path / "movie.mp4", Codec.H264, seconds=30)
    it.add("cam-file", movie.as_uri())
    it.start()
    (pid,) = wait_until(lambda: of_station(it), 30)
    command, environment = children()[pid]
    assert "movie" not in command
    assert b"not-for-children" not in environment
    it.wait_recording("cam-file")
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert [line.split()[3] for line in limits.splitlines() if line.startswith("Max address space")] == [str(1 << 30)]
    assert [line.split()[3] for line in limits.splitlines() if line.startswith("Max file size")] == ["0"]
    assert it.process is not None
    worker = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: pid not in children(), 10, "the process's end")
