"""Small file-system steps that more than one module takes: turning OSError into ours, durable writes, private folders.

Nothing here knows what the bytes are. A durable write is temp name, fsync, rename, fsync of the directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from vault.errors import Damaged, NotFound, Refused, StoreError, StoreFull, Unreadable

FILE_MODE = 0o600
FOLDER_MODE = 0o700

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

Buffer = bytes | bytearray | memoryview
"""What may be written: one byte an item, contiguous."""


def store_error(doing: str, error: OSError) -> StoreError:
    """Our error for an OSError: StoreFull for a full disk or quota, else StoreError. `doing` says what and where.

    The OSError's own file names are left out: `doing` has said it, and names of temporary files help nobody.
    """
    reason = error.strerror or type(error).__name__
    if error.errno in _FULL:
        return StoreFull(f"{doing}: {reason}; free some space there")
    return StoreError(f"{doing}: {reason}")


def read_error(doing: str, error: OSError) -> StoreError:
    """As `store_error`, for what only reads: Unreadable where the medium does not give the bytes."""
    if error.errno == errno.EIO:
        return Unreadable(f"{doing}: {error.strerror}")
    return store_error(doing, error)


def make_folder(path: Path) -> None:
    """Make one folder that only its owner may enter; fine when it is there. Raises OSError; NotADirectoryError when the name
    is something else's, FileNotFoundError when another process removes the folder at this moment."""
    try:
        os.mkdir(path, FOLDER_MODE)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, offset: int, buffers: Sequence[Buffer]) -> int:
    """Write the buffers one after the other at `offset`; returns the offset behind them. Raises OSError.

    One `pwritev` in the usual case. A short write (a signal, a nearly full disk, over 2 GB) goes on where it stopped, so that
    the kernel says by an error why it could not.
    """
    total = sum(map(len, buffers))
    # The kernel takes at most 1,024 buffers a call (IOV_MAX).
    done = os.pwritev(fd, buffers[:1024], offset)
    if done == total:
        return offset + total
    rest = [memoryview(buffer) for buffer in buffers]
    skip = done
    while done < total:
        while skip >= len(rest[0]):
            skip -= len(rest[0])
            del rest[0]
        rest[0] = rest[0][skip:]
        skip = os.pwritev(fd, rest[:1024], offset + done)
        if skip == 0:
            raise OSError(errno.EIO, "the file takes no more bytes and gives no reason")
        done += skip
    return offset + total


def write_new_file(path: Path, data: Buffer) -> None:
    """Make a durable file of mode 0600 under a name that must be free. Raises FileExistsError, OSError.

    The bytes are complete before the name appears. A crash leaves the old state and at most a `.new` file beside it, which
    the next attempt replaces.
    """
    temporary = path.with_name(path.name + ".new")
    # Replaced and not opened again: its mode or its owner may be another, and what is written may be a key.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        write_all(fd, 0, [data])
        os.fsync(fd)
        # A link refuses a name that is taken, which a rename would silently replace.
        os.link(temporary, path)
    finally:
        os.close(fd)
        os.unlink(temporary)
    sync_folder(path.parent)


def replace_file(path: Path, data: Buffer) -> None:
    """Durably put a file of mode 0600 in the place of the one of this name, if there is one. Raises OSError.

    A crash leaves the old one or the new one, whole, and at most a `.new` file beside it, which the next attempt replaces.
    """
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


def read_key_file(path: Path, what: str, max_bytes: int) -> bytes:
    """The first bytes of a file that must be its owner's alone. `what` says whose key it is, as in `the ledger's key`.

    Raises NotFound, Refused when others may read it, Damaged when it is no regular file, StoreError.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFound(f"{path}: {what} is missing; restore it from its backup") from None
    except OSError as error:
        raise store_error(f"opening {what}, {path}", error) from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise Damaged(f"{path}: {what} is not a regular file")
        if status.st_mode & 0o077:
            raise Refused(
                f"{path}: {what} may be read by others (mode {stat.S_IMODE(status.st_mode):04o}); "
                f"run `chmod 600 {path}`, and think of whom it was open to"
            )
        return os.read(fd, max_bytes)
    except OSError as error:
        raise store_error(f"reading {what}, {path}", error) from error
    finally:
        os.close(fd)


class Syncfs:
    """`syncfs(2)` by ctypes: Python has none. The call lets other threads run."""

    def __init__(self) -> None:
        self._call = ctypes.CDLL(None, use_errno=True).syncfs
        self._call.argtypes = [ctypes.c_int]
        self._call.restype = ctypes.c_int

    def __call__(self, fd: int) -> None:
        """Raises OSError."""
        if self._call(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def find_syncfs() -> Syncfs | None:
    """syncfs where it exists and reports errors (Linux 5.8 on); before that a lost write would read as success."""
    system = os.uname()
    version = re.match(r"(\d+)\.(\d+)", system.release)
    if system.sysname != "Linux" or version is None or (int(version[1]), int(version[2])) < (5, 8):
        return None
    try:
        return Syncfs()
    except (AttributeError, OSError):
        return None
