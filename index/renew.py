"""`index rebuild` on a node: a new index beside the old one, then in its place. What goes into it is `index.rebuild`'s."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import closing

from index.rebuild import Rebuilt, rebuild
from vault.clock import Clock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.files import store_error, sync_folder
from vault.spool import Spool
from vault.store.choose import open_store


def renew(
    folder: DataFolder, config: Config, clock: Clock, progress: Callable[[str, int], None], *, hash_bytes: bool = True
) -> Rebuilt:
    """Rebuild the index and take it into use; the old one stays as `index.old` until the next rebuild.

    A crash leaves the old index, or none and the new one beside it, and then it is repeated. Raises Busy while a supervisor
    runs, StoreError, StoreFull.
    """
    fresh, old = folder.path / "index.new", folder.path / "index.old"
    with folder.supervisor_lock():
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            with Spool(folder.spool) as spool, closing(open_store(folder.path, config.store, clock)) as store:
                result = rebuild(
                    store, spool, fresh, progress, hash_bytes=hash_bytes, map_bytes=config.index.map_bytes, clock=clock
                )
            if folder.index.exists():
                shutil.rmtree(old, ignore_errors=True)
                os.rename(folder.index, old)
            os.rename(fresh, folder.index)
            sync_folder(folder.path)
        except OSError as error:
            raise store_error(f"putting the rebuilt index into {folder.index}", error) from error
    return result
