"""Files of a working folder: a line appended durably, strays removed; `vault.files` puts whole ones in place. Raises OSError."""

from __future__ import annotations

import os
import stat
from collections.abc import Container
from pathlib import Path

from vault.files import FILE_MODE, sync_folder, write_all


def append_line(path: Path, line: bytes) -> None:
    """One more line. A kill leaves at most a piece of the last one, and the next line begins behind it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        end = os.fstat(fd).st_size
        torn = end and os.pread(fd, 1, end - 1) != b"\n"
        write_all(fd, end, [b"\n" if torn else b"", line, b"\n"])
        os.fdatasync(fd)
        if not end:
            sync_folder(path.parent)
    finally:
        os.close(fd)


def remove_below(folder: Path, keep: Container[Path]) -> None:
    """Everything below a folder but the files of `keep`; folders that are empty then go too. Links are not followed."""
    for name in os.listdir(folder):
        path = folder / name
        if path in keep:
            continue
        if stat.S_ISDIR(os.lstat(path).st_mode):
            remove_below(path, keep)
            if not os.listdir(path):
                os.rmdir(path)
        else:
            os.unlink(path)
