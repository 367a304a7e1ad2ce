"""Cameras that are added, changed, switched off and removed while the node runs or stands still; and hundreds that are not there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.camera_import import import_cameras
from index.cameras import NewCamera
from tests.support.node import TestNode, end, epoch_of, wait_until


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    made = TestNode(tmp_path / "data", cameras=3)
    yield made
    made.close()


def test_changes_of_the_registry_are_followed_while_recording(node: TestNode) -> None:
    one, two, _ = node.numbers
    node.start()
    node.wait_recording()
    with node.open() as opened:
        opened.cameras.set("cam-1", url=node.simulator.url(3))
        opened.cameras.set("cam-2", enabled=False)
        fourth = opened.cameras.add(NewCamera("cam-4", node.simulator.url(2))).number
    wait_until(lambda: any(epoch_of(path) > 1 for path in node.spool_files(one)), 20, "the camera at its new address")
    wait_until(lambda: node.spool_files(fourth), 20, "the new camera")
    wait_until(lambda: not node.spool_files(two), 20, "the end of the camera that was switched off")
    with node.open() as opened:
        opened.cameras.set("cam-2", enabled=True)
        opened.cameras.remove("cam-4")
    wait_until(lambda: node.spool_files(two), 20, "the camera that was switched on")
    wait_until(lambda: not node.spool_files(fourth), 20, "the end of the removed camera")
    assert node.stop() == 0
    assert node.findings() == []
    # Its own older segment is committed by the worker itself: nobody has taken the camera.
    assert "another process" not in node.log
    assert "camera let go" not in node.log
    assert {unit.key.epoch for unit in node.units(one)} == {1, 2}
    assert [gap.reason for gap in node.gaps(two)] == ["connecting", "recording switched off", "recorder stopped"]
    assert [gap.reason for gap in node.gaps(fourth)] == ["connecting", "recording switched off"]


def test_files_of_cameras_that_were_removed_while_nobody_recorded_are_adopted(node: TestNode) -> None:
    node.start()
    node.wait_recording()
    for pid in node.worker_pids():
        end(pid)
    for pid in node.kill():
        end(pid)
    left = [path for path in node.spool_files() if path.stat().st_size > 3000]
    assert left
    with node.open() as opened:
        opened.cameras.set("cam-2", enabled=False)
        opened.cameras.remove("cam-3")
    last = node.last_epoch()
    node.start()
    wait_until(lambda: any(epoch_of(path) > last for path in node.spool_files(node.numbers[0])), 20, "recording")
    wait_until(lambda: not any(path.exists() for path in left), 20, "adopted files")
    assert node.stop() == 0
    assert node.findings() == []
    for number, reason in zip(
        node.numbers, ("recorder stopped", "recording switched off", "recording switched off"), strict=True
    ):
        assert node.units(number)
        assert node.gaps(number)[-1].reason == reason


def test_hundreds_of_cameras_that_are_not_there_do_not_disturb_the_others(node: TestNode) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as silent:
        port = silent.getsockname()[1]
        with node.open() as opened:
            rows = [
                NewCamera(f"gone-{number}", f"rtsp://127.0.0.1:{port if number % 2 else 1}/cam/{number}")
                for number in range(500)
            ]
            numbers = [camera.number for camera in import_cameras(opened.cameras, rows).cameras]
        node.start()
        node.wait_recording(60)
        wait_until(lambda: len(node.status()) == 503, 30, "a status of all")
        wait_until(lambda: len(node.segment_paths()) >= 6, 40, "segments in the store")
        states = {number: node.status()[str(number)] for number in node.numbers}
        assert all(state["state"] == "recording" for state in states.values())
        wait_until(lambda: all(node.status()[str(number)].get("why") for number in numbers), 60, "a reason for each")
        assert node.stop() == 0
    for number in node.numbers:
        compared = node.compare(number)
        assert compared.strange == []
        assert len(compared.missing) < 25
    assert {gap.reason for number in (numbers[0], numbers[1]) for gap in node.gaps(number)} >= {
        "unreachable",
        "recorder stopped",
    }
    assert node.findings() == []


def test_a_camera_whose_credentials_do_not_open_says_so_while_the_others_record(node: TestNode) -> None:
    one, two, _ = node.numbers
    with node.open() as opened:
        opened.cameras.set("cam-1", secret="sealed with another key")
    node.start()
    wait_until(lambda: node.spool_files(two), 30, "the others' footage")
    shown = wait_until(lambda: node.status().get(str(one)), 20, "its state")
    assert shown["state"] == "waiting"
    assert "does not open" in shown["why"]
    assert node.stop() == 0
    assert node.gaps(one)[0].reason == "stored credentials do not open"
    assert node.units(two)
    assert [path.name for path in node.folder.run.iterdir()] == ["supervisor.lock"]
