"""Data folders with real footage in them, made without a recorder: for tests of the commands that read."""

from __future__ import annotations

import os
from pathlib import Path

from index.cameras import NewCamera
from index.node import Node, open_node
from index.rows import NewRow
from tests.support.segments import Track, make_head, make_segment
from vault.clock import Clock, ManualClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.digest import bytes_digest
from vault.ids import CameraNumber
from vault.segment.read import read_tail, tail_length
from vault.source import BytesSource
from vault.spool import append

CAMERA_ID = "cam-1"


def put_segment(
    node: Node, number: CameraNumber, tracks: list[Track], start_us: int, *, state: str = "store", sequence: int = 0
) -> int:
    """A segment of epoch 1 in `store`, committed in the `spool`, or still `open` there. Returns where it ends, UTC µs."""
    head = make_head(start_us=start_us, camera=number, sequence=sequence)
    written = make_segment(tracks, head=head)
    data = written.open_bytes if state == "open" else written.closed_bytes
    fd = node.spool.create(head.key)
    append(fd, 0, [data])
    node.spool.sync([fd])
    os.close(fd)
    if state != "open":
        source = BytesSource(data)
        table = read_tail(data, len(data))
        row = NewRow(
            head.key, table.info.end_us, len(data), bytes_digest(data), tail_length(source), tuple(t.params for t in table.tracks),
            "general", table.info.min_until_us,
        )  # fmt: skip
        node.catalog.commit([row])
    if state == "store":
        node.store.put_file(head.key.object_key, node.spool.path_of(head.key), digest=bytes_digest(data))
        node.catalog.settle([head.key])
        node.spool.remove(head.key)
    return written.info.end_us


def make_vault(
    path: Path,
    tracks: list[Track],
    start_us: int,
    states: list[str],
    *,
    gap_us: int = 0,
    config: Config | None = None,
    clock: Clock | None = None,
) -> list[int]:
    """A data folder with camera `cam-1` and a segment for each state, `gap_us` apart. Returns the segments' starts and the end."""
    folder = DataFolder.init(path)
    with open_node(folder, config or Config(), clock or ManualClock(start_us), create=True) as node:
        node.sites.ensure_default()
        camera = node.cameras.add(NewCamera(CAMERA_ID, "rtsp://192.0.2.1/stream"))
        node.cameras.begin_recording(camera.number, start_us)
        node.catalog.raise_epoch(camera.number)
        borders = [start_us]
        for state in states:
            end_us = put_segment(node, camera.number, tracks, borders[-1], state=state)
            if gap_us and state != "open":
                node.catalog.open_gap(camera.number, end_us, "unreachable")
            borders.append(end_us + gap_us)
        node.outbox.drain()
    return borders
