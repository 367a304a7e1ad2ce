"""A local store with very many objects, made fast: sparse files of a segment's size that take no space. Nothing is synced.

What is beside them is what is measured: the index that knows them, or the manifests that an index is made of anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from benchmarks.index_material import minutes_of, row_of
from index.node import Node
from index.rows import NewRow, Place
from vault.manifest import HOUR_US, ListedGap, ListedSegment, Manifest, ManifestKey, encode

CAMERAS = 200


def fill(node: Node, count: int) -> int:
    """Objects in the node's store and their rows, of at least `count` segments; how many."""
    folder = node.folder.store(node.config)
    made = 0
    last: list[NewRow] = []
    for rows in minutes_of(CAMERAS, count):
        for row in rows:
            _reserve(folder / row.key.object_key, row.size_bytes)
        node.catalog.commit(rows, adopt=True, place=Place.STORE)
        made, last = made + len(rows), rows
    node.catalog.open_gaps([(row.key.camera, row.end_us, "stopped") for row in last])
    return made


def make_store(folder: Path, cameras: int, segments: int) -> int:
    """Objects of that many cameras, each a minute a segment, with a manifest an hour and a gap a day; how many segments."""
    made = 0
    for at in range(cameras):
        rows = [row_of(at, minute) for minute in range(segments // cameras)]
        for key, hour in hours_of(rows):
            gaps = (ListedGap(key.hour_us, hour[0].key.start_us, "camera silent"),) if key.hour_us % (24 * HOUR_US) == 0 else ()
            manifest = Manifest(key, 1, rows[0].key.start_us, 120_000_000, tuple(map(listed, hour)), gaps, ())
            _write(folder / key.object_key, encode(manifest))
        made += len(rows)
        for row in rows:
            _reserve(folder / row.key.object_key, row.size_bytes)
    return made


def hours_of(rows: list[NewRow]) -> Iterator[tuple[ManifestKey, list[NewRow]]]:
    for hour, group in groupby(rows, key=lambda row: row.key.start_us // HOUR_US):
        hour_rows = list(group)
        yield ManifestKey(hour_rows[0].key.camera, hour * HOUR_US, 1), hour_rows


def listed(row: NewRow) -> ListedSegment:
    return ListedSegment(
        row.key,
        row.end_us,
        row.size_bytes,
        row.blake3,
        row.tail_bytes,
        row.params,
        row.site_class,
        row.min_until_us,
        row.flags,
    )


def _reserve(path: Path, size_bytes: int) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.ftruncate(fd, size_bytes)
    os.close(fd)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
