"""A little of the disk that retention keeps for itself: deleting writes into the ledger first, and a full disk takes nothing.

The file is let go of when a run finds no space, and taken again when there is some.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from vault.files import FILE_MODE, make_folder

SIZE_BYTES: Final = 1 << 20
"""The lists and entries of a run; a list of a thousand keys takes some 20 KB."""
LEAVE_BYTES: Final = 4 * SIZE_BYTES
"""It is not taken from a disk that has less than this left, or somebody who records would miss it."""
_PAGE_BYTES: Final = 64 << 10


class Reserve:
    """One file beside the ledger, on the disk that the ledger is written to."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "reserve"

    def keep(self) -> None:
        """Take it where there is room. Raises nothing: a run does without."""
        with contextlib.suppress(OSError):
            make_folder(self._path.parent)
            status = os.statvfs(self._path.parent)
            if self._path.exists() or status.f_bavail * status.f_frsize < LEAVE_BYTES:
                return
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
            try:
                # Written, since not every file system allocates without, and one that compresses would keep nothing of zeros.
                for _ in range(SIZE_BYTES // _PAGE_BYTES):
                    os.write(fd, os.urandom(_PAGE_BYTES))
            except OSError:
                self._path.unlink()
            finally:
                os.close(fd)

    def release(self) -> bool:
        """Give it back to the disk. False when there is none."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
