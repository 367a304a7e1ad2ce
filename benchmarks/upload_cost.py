"""What uploading adds to recording, measured on the real `serve`: `python -m benchmarks.upload_cost [--cameras 20] [--seconds 60]`.

The same cameras are recorded three times: into the local store, into a bucket of MinIO on loopback, and into the bucket after an
outage (its process stopped), so that the backlog drains while recording goes on. CPU of the supervisor (which uploads) and of the
workers is read from the kernel; MinIO's own is not counted. Needs `minio` in `.cache/bin`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from benchmarks.processes import cost
from benchmarks.soak import command
from index.camera_import import import_cameras
from index.cameras import NewCamera
from index.node import open_node
from tests.support.s3servers import KEYS, Server, server
from vault.clock import SystemClock
from vault.config import load
from vault.datafolder import DataFolder

WARM_SECONDS = 75
SEGMENT_SECONDS = 10
"""Shorter than a real one: a short run then has many puts, and each costs what a put costs beside its bytes more often."""


@dataclass(frozen=True)
class Share:
    """Per cent of a core a camera."""

    supervisor: float
    workers: float


@contextmanager
def serving(path: Path, cameras: int, bitrate: str, store: str) -> Iterator[tuple[DataFolder, int]]:
    """A recorder on a new data folder, recording; its process id."""
    folder = DataFolder.init(path)
    folder.config_file.write_text(f"[recording]\nsegment_seconds = {SEGMENT_SECONDS}\n{store}")
    with ExitStack() as stack:
        simulator = stack.enter_context(
            command("simulate", "rtsp", "--cameras", str(cameras), "--bitrate", bitrate, "--port", "0")
        )
        assert simulator.stdout is not None
        base = simulator.stdout.readline().strip().rpartition("/")[0]
        with open_node(folder, load(folder.config_file), SystemClock(), create=True) as node:
            node.sites.ensure_default()
            import_cameras(
                node.cameras,
                [NewCamera(f"cam-{number}", f"{base}/{number}", transport="tcp") for number in range(1, cameras + 1)],
            )
        recorder = stack.enter_context(command("--data", str(path), "serve", "--log-level", "error"))
        yield folder, recorder.pid


def share(pid: int, cameras: int, seconds: float) -> Share:
    """Over so many seconds from now."""
    before, alone = cost([pid]).cpu_s, own_cpu_s(pid)
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    both, own = cost([pid]).cpu_s - before, own_cpu_s(pid) - alone
    return Share(100 * own / took / cameras, 100 * (both - own) / took / cameras)


def own_cpu_s(pid: int) -> float:
    """Of all threads of this process and none of its children."""
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((tasks / name / "schedstat").read_text().split()[0]) for name in os.listdir(tasks)) / 1e9


def spooled_bytes(folder: DataFolder) -> int:
    """Committed segments that wait, without those that are being recorded."""
    with open_node(folder, load(folder.config_file), SystemClock()) as node:
        return sum(node.catalog.usage(camera.number).spool_bytes for camera in node.cameras.list())


def drain(folder: DataFolder, running: Server, options: argparse.Namespace) -> None:
    """Stop the store's process for a while, let it go on, and see how fast the backlog goes."""
    os.kill(running.process.pid, signal.SIGSTOP)
    time.sleep(options.outage)
    os.kill(running.process.pid, signal.SIGCONT)
    most, begun = spooled_bytes(folder), 0.0
    end = time.monotonic() + 300
    while time.monotonic() < end:
        time.sleep(0.5)
        left = spooled_bytes(folder)
        if not begun and left < most * 0.98:
            most, begun = left, time.monotonic()
        most = max(most, left) if not begun else most
        if begun and left < most * 0.1:
            break
    took = time.monotonic() - begun
    rate = options.bits / 8 * options.cameras
    done = most - left + rate * took
    print(f"drained {(most - left) / 1e6:,.0f} MB of backlog in {took:.1f} s beside recording: {done / took / 1e6:.0f} MB/s put, "
          f"{done / took / rate:.1f} x real time of {options.cameras} cameras")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=45)
    parser.add_argument("--bitrate", default="4M")
    parser.add_argument("--outage", type=float, default=0, help="seconds for which the bucket is stopped; 0: not")
    parser.add_argument("--only", choices=("local", "s3"), help="one of the two")
    parser.add_argument("--folder", type=Path, help="where data folders are made; a temporary one otherwise")
    options = parser.parse_args()
    options.bits = float(options.bitrate.removesuffix("M")) * 1e6
    found: dict[str, Share] = {}
    with tempfile.TemporaryDirectory(prefix="streamvault-upload-", dir=options.folder) as name:
        folder = Path(name)
        if options.only != "s3":
            with serving(folder / "local", options.cameras, options.bitrate, "") as (_, pid):
                time.sleep(WARM_SECONDS / 3)
                found["local"] = share(pid, options.cameras, options.seconds)
        if options.only != "local":
            with server("minio", folder / "minio") as running, mock.patch.dict(os.environ, KEYS):
                settings = dataclasses.replace(running.settings, timeout_seconds=5)
                store = "[store]\n" + "".join(
                    f'{key} = "{getattr(settings, key)}"\n' for key in ("kind", "endpoint", "bucket")
                ) + f"timeout_seconds = {settings.timeout_seconds}\nrequest_seconds = 30\n"  # fmt: skip
                with serving(folder / "s3", options.cameras, options.bitrate, store) as (data, pid):
                    time.sleep(WARM_SECONDS / 3)
                    if options.seconds:
                        found["s3"] = share(pid, options.cameras, options.seconds)
                    if options.outage:
                        drain(data, running, options)
    for where, one in found.items():
        print(f"{where:6} supervisor {one.supervisor:.4f} %, workers {one.workers:.4f} % of a core a camera")
    if len(found) == 2:
        print(f"uploading adds {found['s3'].supervisor - found['local'].supervisor:.4f} % of a core a camera to the supervisor")


if __name__ == "__main__":
    main()
