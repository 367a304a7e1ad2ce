"""A bucket that is away for an hour while twenty cameras record: `make outage`, or with options:

    python -m benchmarks.soak_outage [--cameras 20] [--minutes 60] [--bitrate 4M] [--folder DIR] [--how freeze|kill]

MinIO, simulated cameras and `streamvault serve` run as processes of their own on this machine. After the outage the spool drains
while recording goes on. Then everything is read back: no frame missing, no gap row, each object with the hash of its row. An hour
of 20 cameras at 4 Mbit/s is 36 GB, in the spool first and then in MinIO's folder. Ends with exit code 1 when something is not good.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np

from access.footage import Footage
from benchmarks.soak import FRAME_TICKS, Seen, command, unwanted_gaps
from index.alarms import Alarms
from index.camera_import import import_cameras
from index.cameras import NewCamera
from index.check_objects import Level, ObjectCheck
from index.node import Node, open_node
from tests.support.s3servers import KEYS, Server, server
from vault.clock import SystemClock
from vault.config import Config, load
from vault.datafolder import DataFolder
from vault.errors import StoreError
from vault.grant import system_grant
from vault.ids import SegmentKey
from vault.segment.read import read_closed
from vault.splice.plan import plan_clip
from vault.timebase import US, Interval

LOOK_SECONDS = 10
BEFORE_SECONDS = 60
DRAIN_SECONDS = 3600


def waiting_bytes(node: Node) -> int:
    return sum(node.catalog.usage(camera.number).spool_bytes for camera in node.cameras.list())


def playback(node: Node, began_us: int, away_us: int) -> list[str]:
    """What reading says while the store is away: new footage is shown, old footage is said to be out of reach."""
    footage, faults = Footage(node.environment, node.spool, node.store, node.clock), []
    camera = node.cameras.list()[0].number
    new = Interval(away_us + 5 * US, node.clock.now_us() - 5 * US)
    with footage.parts(system_grant("benchmark"), camera, new) as parts:
        if not plan_clip(parts, new).read(0, 1):
            faults.append("new footage is not shown from the spool")
    try:
        with footage.parts(system_grant("benchmark"), camera, Interval(began_us, new.end_us)):
            faults.append("old footage was shown by a store that is away")
    except StoreError as error:
        print(f"a clip over both says: {error}")
        if "can be shown, from the spool" not in str(error):
            faults.append("it is not said what can be shown")
    return faults


def read_back(node: Node) -> list[str]:
    """Every object against its row, and every camera's pictures against the grid of their times."""
    faults = [
        finding.message
        for finding in ObjectCheck(node.environment, node.store, node.spool, Level.HASH, node.clock.now_us()).findings()
    ]
    seen: dict[int, Seen] = {}
    for item in node.store.list("segments/"):
        key = SegmentKey.parse(item.key)
        with node.store.open(item.key) as source:
            table = read_closed(source)
        video, one = table.video, seen.setdefault(key.camera, Seen())
        assert video is not None
        dts = np.append(video.dts, video.end_dts)
        one.segments += 1
        one.frames += len(video.dts)
        one.missing += int((np.rint(np.diff(dts) / FRAME_TICKS) - 1).clip(min=0).sum())
        one.holes += bool(one.end_us and abs(key.start_us - one.end_us) > 1000)
        one.end_us = table.info.end_us
    total = sum(one.frames for one in seen.values())
    print(
        f"read back             {sum(one.segments for one in seen.values()):,} segments, {total:,} frames of {len(seen)} cameras"
    )
    missing, holes = sum(one.missing for one in seen.values()), sum(one.holes for one in seen.values())
    return faults + [f"{missing} frames missing"] * bool(missing) + [f"{holes} holes between segments"] * bool(holes)


def run(options: argparse.Namespace, path: Path, running: Server, stack: ExitStack) -> list[str]:
    folder = DataFolder.init(path)
    settings = running.settings
    folder.config_file.write_text(
        f"[recording]\nsegment_seconds = {options.segment}\n"
        f'[store]\nkind = "s3"\nendpoint = "{settings.endpoint}"\nbucket = "{settings.bucket}"\n'
        "timeout_seconds = 5\nrequest_seconds = 60\n"
    )
    config: Config = load(folder.config_file)
    simulator = stack.enter_context(
        command("simulate", "rtsp", "--cameras", str(options.cameras), "--bitrate", options.bitrate, "--port", "0")
    )
    assert simulator.stdout is not None
    base = simulator.stdout.readline().strip().rpartition("/")[0]
    with open_node(folder, config, SystemClock(), create=True) as node:
        node.sites.ensure_default()
        import_cameras(
            node.cameras,
            [NewCamera(f"cam-{number}", f"{base}/{number}", transport="tcp") for number in range(1, options.cameras + 1)],
        )
        faults: list[str] = []
        with command("--data", str(path), "serve", "--log-level", "error"):
            began_us = node.clock.now_us() + 15 * US
            time.sleep(max(BEFORE_SECONDS, 2 * options.segment))
            away_us = node.clock.now_us()
            end_server(running) if options.how == "kill" else os.kill(running.process.pid, signal.SIGSTOP)
            end = time.monotonic() + options.minutes * 60
            while time.monotonic() < end:
                time.sleep(min(LOOK_SECONDS, max(0.1, end - time.monotonic())))
            alarms = {alarm.kind: alarm.message for alarm in Alarms(node.environment).lasting()}
            faults += [] if "store away" in alarms else ["no alarm says that the store is away"]
            faults += playback(node, began_us, away_us)
            most = waiting_bytes(node)
            print(f"after {options.minutes:g} minutes     {most / 1e9:.2f} GB in the spool; alarms: {', '.join(alarms)}")
            running.again() if options.how == "kill" else os.kill(running.process.pid, signal.SIGCONT)
            back, begun = time.monotonic(), 0.0
            while (left := waiting_bytes(node)) and time.monotonic() < back + DRAIN_SECONDS:
                begun = begun or (time.monotonic() if left < most else 0.0)
                time.sleep(0.2)
            drained = time.monotonic() - (begun or back)
            print(f"drained in            {drained:.0f} s ({options.minutes * 60 / drained:.1f} x real time, recording going on), "
                  f"begun {(begun or back) - back:.0f} s after it was back")  # fmt: skip
            faults += ["the spool did not drain"] * bool(left)
        faults += [f"{waiting_bytes(node)} bytes are left in the spool"] * bool(waiting_bytes(node))
        gaps = unwanted_gaps(node)
        return faults + [f"{len(gaps)} gaps: {'; '.join(gaps[:5])}"] * bool(gaps) + read_back(node)


def end_server(running: Server) -> None:
    running.process.kill()
    running.process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--bitrate", default="4M")
    parser.add_argument("--segment", type=int, default=60, help="nominal seconds of a segment")
    parser.add_argument("--how", choices=("freeze", "kill"), default="freeze")
    parser.add_argument("--folder", type=Path, help="where data folder and bucket are made; a temporary one otherwise")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="streamvault-outage-", dir=options.folder) as name,
        mock.patch.dict(os.environ, KEYS),
        server("minio", Path(name) / "minio") as running,
        ExitStack() as stack,
    ):
        faults = run(options, Path(name) / "vault", running, stack)
    for text in faults:
        print(f"NOT GOOD: {text}")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
