"""First byte of a clip of one hour whose segments lie in a bucket: `python -m benchmarks.clip_from_bucket`.

MinIO on loopback, video of 4 Mbit/s with sound, as `streamvault clip` does it: finding the rows, reading the tails (several at a
time), planning. Beside it the same one tail after the other, and reading the clip on. Needs `minio` in `.cache/bin`.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

from access.footage import Footage
from benchmarks.splice_material import MINUTE_US, START_US, write_minute
from index.node import Node, open_node
from index.rows import Place
from tests.support.index_vault import row_of
from tests.support.s3servers import KEYS, server
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.grant import system_grant
from vault.ids import CameraNumber
from vault.splice.plan import plan_clip
from vault.store.bound import BoundStore
from vault.timebase import Interval

ROUNDS = 15
WANTED = Interval(START_US + 1_310_000, START_US + 1_310_000 + 60 * MINUTE_US)


def fill(node: Node, folder: Path) -> CameraNumber:
    """An hour and a minute in the bucket, and its rows."""
    noise = os.urandom(1 << 20)
    rows = []
    for number in range(61):
        path = folder / "minute.mp4"
        write_minute(path, number, sound=True, rate_ppm=35.0, jitter=0, noise=noise)
        row = row_of(path.read_bytes())
        node.store.put_file(row.key.object_key, path, digest=row.blake3)
        rows.append(row)
    node.catalog.commit(rows, adopt=True, place=Place.STORE)
    return rows[0].key.camera


def first_byte(node: Node, camera: CameraNumber) -> float:
    began = time.perf_counter()
    with Footage(node.environment, node.spool, node.store, node.clock).parts(
        system_grant("benchmark"), camera, WANTED
    ) as parts:
        plan_clip(parts, WANTED).read(0, 1)
        return time.perf_counter() - began


def show(what: str, seconds: list[float]) -> None:
    print(
        f"{what:36} {min(seconds) * 1e3:6.1f} ms best, {statistics.median(seconds) * 1e3:.1f} median, {max(seconds) * 1e3:.1f} worst"
    )


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="streamvault-clip-") as name,
        mock.patch.dict(os.environ, KEYS),
        server("minio", Path(name) / "minio") as running,
    ):
        folder = DataFolder.init(Path(name) / "data")
        config = dataclasses.replace(Config(), store=running.settings)
        with open_node(folder, config, SystemClock(), create=True) as node:
            camera = fill(node, Path(name))
            show("first byte of an hour", [first_byte(node, camera) for _ in range(ROUNDS)])
            with mock.patch.object(BoundStore, "at_once", 1):
                show("the same, one tail after the other", [first_byte(node, camera) for _ in range(ROUNDS)])
            with Footage(node.environment, node.spool, node.store, node.clock).parts(
                system_grant("benchmark"), camera, WANTED
            ) as parts:
                clip = plan_clip(parts, WANTED)
                began = time.perf_counter()
                size = sum(len(view) for view in clip.chunks())
                print(f"reading it on: {size / (time.perf_counter() - began) / 1e6:.0f} MB/s")
        # As a command does: a new connection, the marker looked at, the features not needed.
        seconds = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            with open_node(folder, config, SystemClock()) as node:
                first_byte(node, camera)
                seconds.append(time.perf_counter() - began)
        show("with index and connections new", seconds)


if __name__ == "__main__":
    main()
