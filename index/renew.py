"""`index rebuild` on a node: a new index beside the old one, then in its place. What goes into it is `index.rebuild`'s."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import closing

from index.environment import Environment
from index.erased import ErasedSegments
from index.looks import close_lost
from index.rebuild import Rebuilt, can_go_on, rebuild
from vault.clock import Clock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import StreamvaultError
from vault.files import store_error, sync_folder
from vault.ledger.ledger import Ledger
from vault.spool import Spool
from vault.store.choose import open_store


def renew(
    folder: DataFolder, config: Config, clock: Clock, progress: Callable[[str, int], None], *, hash_bytes: bool = True
) -> Rebuilt:
    """Rebuild the index and take it into use; the old one stays as `index.old` until the next rebuild.

    Cut short it leaves the old index, or none, and the new one beside it; repeated, it goes on with that one, unless the old
    index was changed meanwhile: then store and spool may have been too. Raises Busy while a supervisor runs, StoreError,
    StoreFull.
    """
    fresh, old = folder.path / "index.new", folder.path / "index.old"
    with folder.supervisor_lock():
        try:
            origin = _state_of(folder, config)
            with Spool(folder.spool) as spool, closing(open_store(folder.path, config.store, clock)) as store:
                if not can_go_on(fresh, store, origin, config.index.map_bytes):
                    shutil.rmtree(fresh)
                ledger = Ledger(folder.ledger, folder.signing_keys(config), clock)
                result = rebuild(
                    store, spool, fresh, progress,
                    hash_bytes=hash_bytes, map_bytes=config.index.map_bytes, clock=clock, origin=origin, erased=ErasedSegments(ledger),
                )  # fmt: skip
            with Environment(fresh, config.index.map_bytes, clock, create=False) as environment:
                # Cut short here, the same entries are recorded again, and the ledger takes each id once.
                close_lost(environment, ledger, clock.now_us(), os.listdir(folder.exports) if folder.exports.is_dir() else ())
            if folder.index.exists():
                shutil.rmtree(old, ignore_errors=True)
                os.rename(folder.index, old)
            os.rename(fresh, folder.index)
            sync_folder(folder.path)
        except OSError as error:
            raise store_error(f"putting the rebuilt index into {folder.index}", error) from error
    return result


def _state_of(folder: DataFolder, config: Config) -> str:
    """Another one after every change of the old index, and whatever changes store or spool changes that."""
    try:
        with Environment(folder.index, config.index.map_bytes, create=False) as environment:
            return f"after change {environment.last_change}"
    except StreamvaultError:
        return "without an index"
