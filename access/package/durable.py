"""Files of a working folder, durable one by one: put in place whole, a line appended, strays removed. Raises OSError throughout."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Container
from pathlib import Path

from vault.files import FILE_MODE, Buffer, sync_folder, write_all


def place(path: Path, data: Buffer) -> None:
    """A file of these bytes under `path`, in the place of an older one. After a crash it is the old or the new one."""
    temporary = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        write_all(fd, 0, [data])
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, path)
    sync_folder(path.parent)


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
