"""A node's data folder opened for use: index, registry, spool and store together. What is done with them is elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from index.bond import IndexBond
from index.cameras import Cameras
from index.catalog import Catalog
from index.environment import Environment
from index.expiry import complete_expiry
from index.holds import Holds
from index.outbox import Outbox, actor_here
from index.registry import Registry
from index.sites import Sites
from index.timeline import Timeline
from vault.clock import Clock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.ledger.ledger import Ledger
from vault.spool import Spool
from vault.store.bound import BoundStore
from vault.store.choose import open_store
from vault.store.interface import ObjectStore
from vault.store.local import LocalStore
from vault.timebase import use_zone


@dataclass(frozen=True, slots=True)
class Node:
    """Everything open; closed at the end of `open_node`."""

    folder: DataFolder
    config: Config
    clock: Clock
    environment: Environment
    spool: Spool
    store: ObjectStore
    registry: Registry

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.environment, self.clock)

    @property
    def timeline(self) -> Timeline:
        return Timeline(self.environment)

    @property
    def cameras(self) -> Cameras:
        return Cameras(self.registry, self.clock, self.spool.last_camera, self.config.retention)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.folder.ledger, self.folder.signing_keys(self.config), self.clock)

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.environment, self.ledger)

    @property
    def sites(self) -> Sites:
        return Sites(self.registry, self.clock, self.config.retention)

    @property
    def holds(self) -> Holds:
        return Holds(self.registry, self.clock)


def init_node(
    path: Path, config_of: Callable[[DataFolder], Config], clock: Clock, furnish: Callable[[Node], None] = lambda node: None
) -> DataFolder:
    """A new data folder with its index and the site `default`. `furnish` puts into it what packages above this one have in
    every folder. One that was cut short may be repeated, and so must `furnish`. Raises UsageError when there is one already, StoreError."""

    def fill(folder: DataFolder) -> None:
        with open_node(folder, config_of(folder), clock, create=True) as node:
            node.sites.ensure_default()
            furnish(node)
            node.outbox.drain()

    return DataFolder.init(path, fill)


@contextmanager
def open_node(
    folder: DataFolder, config: Config, clock: Clock, *, create: bool = False, role: str = "operator"
) -> Iterator[Node]:
    """Open a data folder's parts; one at a time in a process. `create`: the folder is new and gets its index. `role`: who the
    ledger says changes the registry. Times are shown in the configuration's zone from here on.

    Raises Damaged when the index is missing, and what each of the parts raises when it is opened.
    """
    use_zone(config.retention.zone)
    with ExitStack() as stack:
        environment = stack.enter_context(Environment(folder.index, config.index.map_bytes, clock, create=create))
        if create:
            complete_expiry(environment)
        spool = stack.enter_context(Spool(folder.spool))
        # Opened when it is used: a store that is away must not keep a node from recording.
        bound = BoundStore(lambda: open_store(folder.path, config.store, clock), IndexBond(environment), clock)
        store = stack.enter_context(closing(bound))
        # Objects of the registry wait in the spool under the very key that they will have in the store.
        waiting = stack.enter_context(closing(LocalStore(folder.spool)))
        yield Node(folder, config, clock, environment, spool, store, Registry(environment, waiting, actor_here(role)))
