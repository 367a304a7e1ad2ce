"""`streamvault demo`: live simulated cameras and a recorder on one data folder, for trying everything without a camera.

The commands it prints are ordinary ones; nothing here is known to them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from index.cameras import NewCamera
from index.node import open_node
from ingest.simulate.live import DEMO, LiveOptions, start_live
from ingest.supervisor import run_node
from vault.clock import Clock
from vault.config import Config, load
from vault.datafolder import DataFolder
from vault.errors import NotFound

DEFAULT_DATA = Path("demo-data")


def run_demo(data: Path, stop: threading.Event, clock: Clock, started: Callable[[list[str]], None]) -> None:
    """Record until `stop` is set. `data` is made when it is not there, else recording goes on in it.

    `started` is told the cameras' ids as soon as their addresses are in the registry. Raises what the parts raise.
    """
    folder = DataFolder.open(data) if (data / "VERSION").exists() else DataFolder.init(data)
    config = load(folder.config_file)
    # Asked first, so that a second demo on the same folder changes no address under the first one.
    with folder.supervisor_lock():
        simulator = start_live(LiveOptions(), clock)
    try:
        ids = _register(folder, config, clock, simulator.urls)
        started(ids)
        run_node(folder, config, stop, clock)
    finally:
        simulator.stop()


def _register(folder: DataFolder, config: Config, clock: Clock, urls: list[str]) -> list[str]:
    """Each start takes a free port, so that the addresses are new each time."""
    ids = []
    with open_node(folder, config, clock) as node:
        node.sites.ensure_default()
        for spec, url in zip(DEMO, urls, strict=True):
            camera_id, _, name = spec.name.partition(" ")
            try:
                node.cameras.set(camera_id, url=url, name=name)
            except NotFound:
                node.cameras.add(NewCamera(camera_id, url, name=name))
            ids.append(camera_id)
    return ids
