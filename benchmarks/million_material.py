"""A local store with a million small objects and the index that knows them, for what is measured at that size.

The objects hold their own key and no footage: what only lists or counts needs no more. Nothing here is synced.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.index_material import minutes_of
from index.catalog import Catalog
from index.node import Node
from index.rows import NewRow, Place

CAMERAS = 200


def fill(node: Node, count: int, root: Path | None = None) -> int:
    """Rows and objects of at least `count` segments; returns how many. `root`: the store's folder, where it is not the node's own."""
    folder = root or node.folder.store(node.config)
    made = 0
    known: set[str] = set()
    last: list[NewRow] = []
    for rows in minutes_of(CAMERAS, count):
        for row in rows:
            put(folder, row.key.object_key, known)
        node.catalog.commit(rows, adopt=True, place=Place.STORE)
        made, last = made + len(rows), rows
    Catalog(node.environment, node.clock).open_gaps([(row.key.camera, row.end_us, "stopped") for row in last])
    return made


def put(folder: Path, key: str, known: set[str]) -> None:
    """One object, the cheapest way; `known` are the folders that are there."""
    parent = key.rpartition("/")[0]
    if parent not in known:
        os.makedirs(folder / parent, exist_ok=True)
        known.add(parent)
    fd = os.open(f"{folder}/{key}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.write(fd, key.encode())
    os.close(fd)
