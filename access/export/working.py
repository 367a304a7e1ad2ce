"""Exports' working folders in the data folder: who works in one, how much room there is, and taking one away.

    exports/ID/       what is taken so far: derived data, gone when the export has ended
    run/export-ID.lock    held by the one process that works on it

What stands inside is the package builder's and `access.export.kept`'s.
"""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from index.filesystem import disk_space
from index.guard import LOW_PART
from vault.console import size_text
from vault.datafolder import DataFolder
from vault.errors import StoreFull
from vault.files import make_folder, store_error, sync_folder


@dataclass(frozen=True, slots=True)
class Working:
    """All of one data folder."""

    folder: DataFolder

    def path(self, id: str) -> Path:
        return self.folder.exports / id

    def lock(self, id: str) -> AbstractContextManager[None]:
        """Be the one who works on it. Raises Busy, naming the process that is, StoreError."""
        return self.folder.export_lock(id)

    def make(self, id: str) -> Path:
        """Durable; fine when it is there. Raises StoreError."""
        path = self.path(id)
        try:
            for step in (self.folder.exports, path):
                make_folder(step)
                sync_folder(step.parent)
        except OSError as error:
            raise store_error(f"making the working folder {path}", error) from error
        return path

    def remove(self, id: str) -> None:
        """With all that is in it. Repeatable. Raises StoreError."""
        path = self.path(id)
        try:
            if path.is_dir():
                shutil.rmtree(path)
                sync_folder(self.folder.exports)
            self.folder.export_lock_file(id).unlink(missing_ok=True)
        except OSError as error:
            raise store_error(f"removing the working folder {path}", error) from error

    def ids(self) -> list[str]:
        """Of the folders that are there. Raises StoreError."""
        try:
            return sorted(os.listdir(self.folder.exports))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise store_error(f"listing {self.folder.exports}", error) from error

    def check_room(self, id: str, more_bytes: int) -> None:
        """That so much more can be written here without taking from recording what it lives on. Raises StoreFull."""
        free, size = disk_space(self.folder.path)
        if free - more_bytes < size // LOW_PART:
            raise StoreFull(
                f"export {id}: about {size_text(more_bytes)} more are needed and {size_text(free)} are free in {self.folder.path}, of "
                f"which a twentieth part of the disk is left to recording; free some space, then `export resume {id}`"
            )
