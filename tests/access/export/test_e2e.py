"""Exports of simulated cameras while they are recorded: the pictures recorded, inside the range by their own clock, provable by anyone."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from access.door import Door
from access.export.engine import Exports
from index.node import Node
from ingest.simulate.glyphs import read_clock
from ingest.simulate.live import LiveOptions, LiveSpec, start_live
from tests.access.export.test_engine import custody
from tests.support.export_main import start_apart
from tests.support.exporting import OPERATOR, SAID, Few, wish
from tests.support.node import TestNode, wait_until
from tests.support.probe import decode_errors
from tests.support.station import Station, station
from vault.clock import SystemClock
from vault.timebase import US, Interval


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Two live cameras with a clock burnt in, recorded for some segments."""
    specs = tuple(LiveSpec(f"cam-{number} gate", width=448, height=252, fps=25, gop=25) for number in (1, 2))
    live = start_live(LiveOptions(specs), SystemClock())
    try:
        with station(tmp_path_factory.mktemp("export")) as made:
            for number in (1, 2):
                made.add(f"cam-{number}", live.url(number))
            made.start()
            wait_until(lambda: all(len(made.files(f"cam-{number}")) >= 2 for number in (1, 2)), 40, "two segments each")
            border_us = made.files("cam-1")[1].key.start_us
            wait_until(lambda: made.status("cam-1")["recorded_to_us"] > border_us + 3 * US, 20, "the range recorded")
            with made.open() as node:
                # The end of the range is still being recorded: an export waits for that segment.
                _take(node, made, Interval(border_us - 1_700_000, border_us + 2_300_000))
            made.stop()
            yield made
    finally:
        live.stop()


def _take(node: Node, made: Station, span: Interval) -> None:
    exports = Exports(Door(node, Few()))
    numbers = [int(number) for number in made.numbers.values()]
    exports.run(exports.ask(OPERATOR, wish(made.folder.path.parent / "package", span, *numbers), SAID).id, OPERATOR)


@pytest.fixture
def package(recorded: Station) -> Path:
    return recorded.folder.path.parent / "package"


def test_a_bare_python_and_openssl_verify_it(package: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-I", "-S", str(package / "verify.py"), str(package)], cwd=tmp_path, env={"PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def test_its_pictures_are_those_recorded(recorded: Station, package: Path) -> None:
    said = custody(package)
    assert [camera["id"] for camera in said["cameras"]] == ["cam-1", "cam-2"]
    for camera in said["cameras"]:
        (file,) = camera["files"]
        assert decode_errors(package / file["path"]) == ""
        first_us, end_us = file["shown"]["start_us"], file["shown"]["end_us"]
        stored = [
            digest
            for one in recorded.files(camera["id"])
            for at_us, digest in _pictures(one.path, one.key.start_us)
            if first_us - 1_000 <= at_us < end_us - 1_000
        ]
        taken = [digest for _, digest in _pictures(package / file["path"], first_us)]
        # A busy machine makes fewer than 25 a second.
        assert len(taken) > 40
        assert taken == stored


def test_the_clock_burnt_into_them_is_inside_the_range(package: Path) -> None:
    for camera in custody(package)["cameras"]:
        wanted = camera["asked"]
        with av.open(str(package / camera["files"][0]["path"])) as container:
            frames = [frame for frame in container.decode(video=0) if frame.time is not None and frame.time >= 0]
            shown = [read_clock(frame.to_ndarray(format="gray")) for frame in frames]
        instants = [instant for instant in shown if instant is not None]
        assert len(instants) == len(frames)
        # A picture is stamped before it is encoded and sent: it was recorded that much later.
        assert wanted["start_us"] - US < instants[0]
        assert instants == sorted(instants)
        assert instants[-1] < wanted["end_us"]


def _pictures(path: Path, start_us: int) -> list[tuple[int, str]]:
    """Instant and SHA-256 of each picture that a player shows."""
    with av.open(str(path)) as container:
        return [
            (start_us + round(frame.time * US), hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest())
            for frame in container.decode(video=0)
            if frame.time is not None and frame.time >= 0
        ]


@pytest.mark.slow
def test_eight_exports_at_once_cost_recording_no_frame(tmp_path: Path) -> None:
    node = TestNode(tmp_path / "data", cameras=2)
    try:
        node.start(segment_seconds=2)
        wait_until(lambda: len(node.segment_paths()) >= 6, 60, lambda: f"segments; the log says\n{node.log[-2000:]}")
        with node.open() as opened:
            first_us = max(opened.catalog.usage(number).first_us or 0 for number in node.numbers)
        said = {"data": str(node.folder.path), "start_us": first_us, "end_us": first_us + 3 * US, "clock": "system"}
        runs = [
            start_apart(said | {"target": str(tmp_path / f"out-{number}"), "cameras": [int(node.numbers[number % 2])]})
            for number in range(8)
        ]
        assert [run.wait(timeout=90) for run in runs] == [0] * 8
        assert node.stop() == 0
        for number in range(8):
            assert custody(tmp_path / f"out-{number}")["cameras"][0]["files"]
        for number in node.numbers:
            compared = node.compare(number)
            assert compared.strange == []
            # What was sent before the first key frame or as it was told to stop is no loss.
            kept = [unit for unit in compared.missing if first_us + 3 * US < unit.sent_us < node.sent(number)[-1].sent_us - US]
            assert kept == []
    finally:
        node.close()
