"""`streamvault demo`: live simulated cameras and a recorder on one data folder, for trying everything without a camera.

The commands it prints are ordinary ones; nothing here is known to them. A data folder in which somebody has cameras of their
own is left alone.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

from index.cameras import Camera, NewCamera
from index.node import Node, init_node, open_node
from ingest.simulate.live import DEMO, LiveOptions, start_live
from ingest.supervisor import run_node
from vault.clock import Clock
from vault.config import Config, load
from vault.datafolder import DataFolder
from vault.errors import NotFound, Refused

DEFAULT_DATA = Path("demo-data")

_IDS = tuple(spec.name.partition(" ")[0] for spec in DEMO)
_URL = re.compile(r"rtsp://127\.0\.0\.1:\d+/cam/\d+")


def run_demo(
    data: Path, stop: threading.Event, clock: Clock, started: Callable[[list[str]], None],
    furnish: Callable[[Node], None] = lambda node: None,
) -> None:  # fmt: skip
    """Record until `stop` is set. `data` is made when it is not there, else recording goes on in it.

    `started` is told the cameras' ids as soon as their addresses are in the registry. `furnish`: as `init_node` takes it. Raises Refused when `data` has cameras
    that are not the demo's, and what the parts raise.
    """
    new = not (data / "VERSION").exists()
    folder = init_node(data, lambda made: load(made.config_file), clock, furnish) if new else DataFolder.open(data)
    config = load(folder.config_file)
    # Asked first, so that a second demo on the same folder changes no address under the first one.
    with folder.supervisor_lock():
        with open_node(folder, config, clock) as node:
            strange = [camera for camera in node.cameras.list(removed=True) if not _is_ours(camera)]
        if strange:
            raise Refused(
                f"{data}: has cameras that are not the demonstration's, such as {strange[0].id}, and nothing was changed; "
                f"name a folder of its own: `streamvault --data {DEFAULT_DATA} demo`"
            )
        simulator = start_live(LiveOptions(), clock)
    try:
        ids = _register(folder, config, clock, simulator.urls)
        started(ids)
        run_node(folder, config, stop, clock)
    finally:
        simulator.stop()


def _is_ours(camera: Camera) -> bool:
    return camera.id in _IDS and camera.secret is None and _URL.fullmatch(camera.url) is not None


def _register(folder: DataFolder, config: Config, clock: Clock, urls: list[str]) -> list[str]:
    """Each start takes a free port, so that the addresses are new each time."""
    ids = []
    with open_node(folder, config, clock) as node:
        node.sites.ensure_default()
        for camera_id, spec, url in zip(_IDS, DEMO, urls, strict=True):
            name = spec.name.partition(" ")[2]
            try:
                node.cameras.set(camera_id, url=url, name=name)
            except NotFound:
                node.cameras.add(NewCamera(camera_id, url, name=name))
            ids.append(camera_id)
    return ids
